"""Which program does a turn, by what is left of the goal's budgets.

Routes are lines of text, as a person writes them: ``below 25% tokens: -- ./cheap.sh``. Of those
that hold the one with the lowest share decides, and of several such the first.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from functools import lru_cache
from typing import Final, Literal, NamedTuple

import msgspec

Budget = Literal["tokens", "time", "cost", "turns"]
MAX_ROUTES: Final = 16
EXAMPLE: Final = "below 25% tokens: -- ./cheap.sh"
_LINE: Final = re.compile(
    r"below\s+(?P<below>\d{1,3})\s?%\s+(?:of\s+(?:the\s+)?)?(?P<of>tokens|time|cost|turns)\s*:"
    r"\s*--\s+(?P<command>\S.*)",
    re.ASCII,
)
_ALL: Final = 100
_BUDGETS: Final[dict[str, Budget]] = {
    "tokens": "tokens",
    "time": "time",
    "cost": "cost",
    "turns": "turns",
}


class Route(NamedTuple):
    """The program that does turns while less than ``below`` percent of a budget is left."""

    of: Budget
    below: int
    argv: tuple[str, ...]


class Routed(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The route that a turn takes, and why: ``left`` percent of the budget were left, rounded."""

    of: Budget
    below: int
    left: int
    argv: tuple[str, ...]

    @property
    def why(self) -> str:
        """Return the reason in words."""
        are = "is" if self.of in {"time", "cost"} else "are"
        return f"{self.left}% of the {self.of} {are} left, below {self.below}%"

    @property
    def text(self) -> str:
        """Return in words who does the turn, and why."""
        return f"{shlex.join(self.argv)}: {self.why}"


@lru_cache(maxsize=64)
def parse(text: str) -> tuple[Route, ...]:
    """Return the routes of a text, one a line; ValueError names the line that is none."""
    lines = [one.strip() for one in text.split("\n") if one.strip()]
    if len(lines) > MAX_ROUTES:
        raise ValueError(f"a thread has at most {MAX_ROUTES} routes, and here are {len(lines)}")
    return tuple(map(_route, lines))


def _route(text: str) -> Route:
    found = _LINE.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is no route; one reads: {EXAMPLE}")
    below = int(found["below"])
    if not 0 < below <= _ALL:
        raise ValueError(f"{text!r} is no route: a share is from 1% to 100%")
    try:
        argv = tuple(shlex.split(found["command"]))
    except ValueError as error:
        raise ValueError(f"the program of the route {text!r} cannot be read: {error}") from None
    return Route(_BUDGETS[found["of"]], below, argv)


def choose(routes: str, budgets: Mapping[Budget, tuple[int, int]]) -> Routed | None:
    """Return the route that a turn takes, None for the thread's own worker.

    ``budgets`` says what is left of each budget that there is, and its whole. One that the goal
    does not have is never short.
    """
    best: Routed | None = None
    for route in parse(routes):
        left, whole = budgets.get(route.of, (1, 1))
        if left * _ALL >= route.below * whole:
            continue
        if best is None or route.below < best.below:
            share = left * _ALL // whole
            best = Routed(of=route.of, below=route.below, left=share, argv=route.argv)
    return best
