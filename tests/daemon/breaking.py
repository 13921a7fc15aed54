"""Steps of a beginning or an end that raise while a test says so."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any
from unittest import mock

Breaks = Callable[[BaseException], AbstractContextManager[object]]


class BrokenError(Exception):
    """What a step raises."""


def before(owner: object, name: str) -> Breaks:
    """Have a step raise in place of being taken."""
    return lambda error: mock.patch.object(owner, name, side_effect=error)


def after(owner: type, name: str) -> Breaks:
    """Have a step raise when it has been taken."""
    step = getattr(owner, name)

    def broken(error: BaseException) -> AbstractContextManager[object]:
        async def taken(*given: Any) -> None:
            await step(*given)
            raise error

        return mock.patch.object(owner, name, taken)

    return broken
