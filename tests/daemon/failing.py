"""A store that fails while a test says so."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from goalfsm.errors import OutcomeUnknown, StoreError
from goalfsm.store.port import Commit
from goalfsm.testing import MemoryGoals


class Failing:
    """A store whose commits fail while ``failing`` says so."""

    def __init__(self, goals: MemoryGoals) -> None:
        self._inner = goals.store()
        self.failing: Callable[[], StoreError | None] = lambda: None
        self.commits_anyway = False
        self.reopened = 0
        self.reserve = True
        self.broken = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def commit(self, batch: Sequence[Commit], **options: Any) -> Any:
        error = self.failing()
        if self.broken and error is None:
            raise OutcomeUnknown("reopen it first")
        if error is not None:
            self.broken = isinstance(error, OutcomeUnknown)
            if self.commits_anyway:
                self._inner.commit(batch, **options)
            raise error
        return self._inner.commit(batch, **options)

    def reopen(self) -> None:
        self.reopened += 1
        self.broken = False
        self._inner.reopen()

    def release_reserve(self) -> bool:
        had, self.reserve = self.reserve, False
        return had

    def restore_reserve(self) -> bool:
        self.reserve = self.failing() is None
        return self.reserve


def times(count: int, error: Callable[[], StoreError]) -> Callable[[], StoreError | None]:
    """Fail so many times, then no more."""
    left = count

    def failing() -> StoreError | None:
        nonlocal left
        if left <= 0:
            return None
        left -= 1
        return error()

    return failing
