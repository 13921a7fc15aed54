"""Calls the embedder's functions by the names that the goal machine gives them."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec
import structlog

from goalfsm.goal.model import Status
from goalfsm.session.effects import RunCallback

if TYPE_CHECKING:
    from goalfsm.daemon.flow.ports import Task
    from goalfsm.session.state import Session

_log = structlog.get_logger(__name__)


class CallbackCall(msgspec.Struct, frozen=True, kw_only=True):
    """What an embedder's callback gets; equal ``key`` means the same call, made once more."""

    thread_id: str
    goal_id: str
    name: str
    status: Status
    key: str


Callback = Callable[[CallbackCall], Awaitable[Any] | Any]
"""Called when a goal has entered a status; at least once. What it raises is logged."""


class Callbacks:
    """The performer of `RunCallback`."""

    def __init__(self, callbacks: Mapping[str, Callback]) -> None:
        """Call ``callbacks`` by name."""
        self._callbacks = dict(callbacks)

    async def perform(self, task: Task, session: Session) -> None:
        """Call the function; a name that nobody registered is logged."""
        del session
        effect = task.effect
        assert isinstance(effect, RunCallback)  # noqa: S101  performers are chosen by the effect
        log = _log.bind(thread_id=task.thread_id, callback=effect.name)
        callback = self._callbacks.get(effect.name)
        if callback is None:
            log.warning("no such callback")
            return
        call = CallbackCall(
            thread_id=task.thread_id,
            goal_id=effect.goal_id,
            name=effect.name,
            status=effect.status,
            key=task.key,
        )
        try:
            called = callback(call)
            if inspect.isawaitable(called):
                await called
        except asyncio.CancelledError:
            raise
        except Exception:
            log.exception("callback raised")
