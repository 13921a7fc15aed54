"""The tasks of an engine: nothing runs beside its threads without an owner."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import structlog

from goalfsm.errors import GoalError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

_F = TypeVar("_F", bound="Callable[..., None]")
_log = structlog.get_logger(__name__)


def beats_every(period_s: float) -> Callable[[_F], _F]:
    """Mark a callback that sets its own timer again and again, every ``period_s`` seconds.

    A loop on virtual time may leave such beats out while nothing else happens.
    """

    def mark(function: _F) -> _F:
        function.period_s = period_s  # type: ignore[attr-defined]
        return function

    return mark


class Tasks:
    """Every task that one engine has started and that is not over."""

    def __init__(self, over: asyncio.Event) -> None:
        """After ``over`` is set, what a closed store keeps a task from doing is no news."""
        self._over = over
        self._tasks: set[asyncio.Future[Any]] = set()

    def spawn(
        self,
        doing: Awaitable[Any],
        name: str,
        ended: Callable[[asyncio.Future[Any]], None] | None = None,
    ) -> None:
        """Run something in a task called ``name``.

        What it raises is logged, unless ``ended`` is given, which is called with the task.
        """
        task = asyncio.ensure_future(doing)
        if isinstance(task, asyncio.Task):
            task.set_name(name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(partial(self._log, name) if ended is None else ended)

    async def cancel(self, most_s: float) -> None:
        """Cancel all tasks but the calling one; wait for their ends ``most_s`` seconds at most."""
        tasks = [task for task in self._tasks if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=most_s)

    def _log(self, name: str, task: asyncio.Future[Any]) -> None:
        if task.cancelled():
            return
        error = task.exception()
        if error is not None and not (self._over.is_set() and isinstance(error, GoalError)):
            _log.error("task failed", task=name, exc_info=error)
