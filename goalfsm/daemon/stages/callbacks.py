"""Calls the embedder's functions by the names that the goal machine gives them."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

import msgspec
import structlog

from goalfsm.goal.model import ACTIVE, Status
from goalfsm.session.effects import AskPerson, RunCallback

if TYPE_CHECKING:
    from goalfsm.daemon.flow.ports import Task
    from goalfsm.session.state import Session

PERSON_ASKED: Final = "person_asked"
"""The name of the callback for a goal that goes no further without a person; it may be missing."""

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
    """The performer of `RunCallback` and `AskPerson`."""

    def __init__(self, callbacks: Mapping[str, Callback]) -> None:
        """Call ``callbacks`` by name."""
        self._callbacks = dict(callbacks)

    async def perform(self, task: Task, session: Session) -> None:
        """Call the function; a name that nobody registered is logged."""
        del session
        effect = task.effect
        assert isinstance(effect, RunCallback | AskPerson)  # noqa: S101  performers are chosen by the effect
        name: str = PERSON_ASKED
        status: Status = ACTIVE
        if isinstance(effect, RunCallback):
            name, status = effect.name, effect.status
        log = _log.bind(thread_id=task.thread_id, callback=name)
        callback = self._callbacks.get(name)
        if callback is None:
            if isinstance(effect, RunCallback):
                log.warning("no such callback")
            return
        call = CallbackCall(
            thread_id=task.thread_id,
            goal_id=effect.goal_id,
            name=name,
            status=status,
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
