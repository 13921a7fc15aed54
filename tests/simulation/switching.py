"""What a seeded bug is, and how it is switched on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any, Final, NamedTuple

Patches = Iterator[Any]


class Bug(NamedTuple):
    """One bug: what it is, and the number of seeds within which it must be found.

    They are counted from ``first``: a bug that one world in hundreds shows would take a minute; and
    ``every`` so many, where only those have what shows it.
    """

    says: str
    within: int
    patches: Callable[[], Patches]
    first: int = 0
    every: int = 1

    @property
    def seeds(self) -> range:
        """Return the seeds of which one has to find it."""
        return range(self.first, self.first + self.within * self.every, self.every)

    @property
    def bound(self) -> str:
        """Return the same in words."""
        every = f", every {self.every}th" if self.every > 1 else ""
        return f"{self.within} seeds" + (f" from {self.first}" if self.first else "") + every


BUGS: Final[dict[str, Bug]] = {}


def bug(
    says: str, within: int, first: int = 0, every: int = 1, *, of: dict[str, Bug] = BUGS
) -> Callable[[Callable[[], Patches]], None]:
    """Add a bug by the name of its function."""

    def add(patches: Callable[[], Patches]) -> None:
        of[patches.__name__] = Bug(says, within, patches, first, every)

    return add


@contextmanager
def switched_on(name: str, bugs: Mapping[str, Bug] = BUGS) -> Iterator[None]:
    """Have a bug in the code while inside."""
    with ExitStack() as stack:
        for change in bugs[name].patches():
            stack.enter_context(change)
        yield
