"""What to do when the store fails: stop for good, settle what is unknown, or wait for better."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import structlog

from goalfsm.errors import (
    Corrupt,
    DatabaseReplaced,
    DiskFull,
    Fenced,
    OutcomeUnknown,
    StoreClosed,
    StoreError,
)

if TYPE_CHECKING:
    from goalfsm.daemon.flow.mailbox import Actor
    from goalfsm.daemon.hub import Hub

REASON: Final = "store"
"""Why the dispatcher pauses."""
FIRST_RETRY_S: Final = 0.05
LONGEST_RETRY_S: Final = 5.0

_log = structlog.get_logger(__name__)


class Trouble:
    """Keeps an engine safe while its store cannot commit.

    Nothing is dispatched, what workers report is kept in memory, and every retry submits it
    again; who asks from outside is told at once that nothing was written.
    """

    def __init__(self, engine: Hub) -> None:
        """Look after ``engine``."""
        self._engine = engine
        self._waiting: dict[str, Actor] = {}
        self._unknown = False
        self._retry: asyncio.TimerHandle | None = None
        self._delay = FIRST_RETRY_S
        self._since: StoreError | None = None

    @property
    def present(self) -> StoreError | None:
        """Return what keeps the store from committing, None while nothing does."""
        return self._since

    def met(self, actor: Actor | None, error: StoreError) -> None:
        """Deal with a failure; ``actor`` waits until it is over."""
        if actor is not None:
            self._waiting[actor.thread_id] = actor
        match error:
            case Fenced() | DatabaseReplaced() | Corrupt() | StoreClosed():
                self._engine.give_up(error)
            case OutcomeUnknown():
                self._unknown = True
                self._suspend(error)
            case _:
                self._suspend(error)

    def past(self, actor: Actor) -> None:
        """Take note that the store committed something of this thread's."""
        self._waiting.pop(actor.thread_id, None)
        if self._since is not None and not self._waiting and self._retry is None:
            self._recovered()

    def close(self) -> None:
        """Try no more."""
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None

    def _suspend(self, error: StoreError) -> None:
        if self._since is None:
            self._engine.dispatcher.pause(REASON)
            _log.error("the store cannot commit", code=error.code, error=error.message)
            self._engine.followers.problem(error.code, error.message, error.hint)
            if isinstance(error, DiskFull) and self._engine.store.release_reserve():
                _log.warning("the space kept for a full disk was released")
        self._since = error
        if self._retry is None:
            loop = asyncio.get_running_loop()
            self._retry = loop.call_later(self._delay, self._again)
            self._delay = min(LONGEST_RETRY_S, self._delay * 2)

    def _again(self) -> None:
        self._retry = None
        if self._unknown:
            try:
                self._engine.store.reopen()
            except StoreError as error:
                self.met(None, error)
                return
            self._unknown = False
        waiting, self._waiting = self._waiting, {}
        if not waiting:
            self._recovered()
        for actor in waiting.values():
            # Each comes back by `met`, or by `past` when it has committed.
            self._waiting.setdefault(actor.thread_id, actor)
            actor.again()
            if not actor.busy:
                self.past(actor)

    def _recovered(self) -> None:
        """Go on, once there is room again for the last words of the next time."""
        try:
            restored = self._engine.store.restore_reserve()
        except StoreError:
            restored = False
        if not restored:
            self._retry = asyncio.get_running_loop().call_later(self._delay, self._again)
            self._delay = min(LONGEST_RETRY_S, self._delay * 2)
            return
        self._since, self._delay = None, FIRST_RETRY_S
        _log.info("the store commits again")
        self._engine.dispatcher.resume(REASON)
