"""What people and other processes ask of an engine."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import msgspec

from goalfsm.daemon.flow.decide import FAULT_HINT, Envelope
from goalfsm.daemon.flow.notices import Happened, StatusChanged, notice_of
from goalfsm.daemon.flow.threads import HALTED, STOP
from goalfsm.errors import StoreError
from goalfsm.session import events as e
from goalfsm.session.codec import CodecError, sealed
from goalfsm.session.state import Reply
from goalfsm.views.activity import suspended_by
from goalfsm.views.status import project
from goalfsm.views.tool_answers import respond

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from goalfsm.daemon.flow.notices import Notice, Output
    from goalfsm.daemon.flow.threads import Holds, Threads
    from goalfsm.daemon.host.platform import Clock, IdSource
    from goalfsm.daemon.stages.scheduler import Quiescence
    from goalfsm.daemon.stages.subscriptions import Subscriptions
    from goalfsm.session.state import Session
    from goalfsm.store.port import Journal
    from goalfsm.views.status import Status
    from goalfsm.views.tool_answers import ToolResponse

_PATIENCE_S: Final = 0.45
"""How long a stop waits for a store that does not commit; twice that is less than a second."""
_STOPS: Final = (e.PauseRequested, e.ClearRequested)
_SUSPENDED: Final = Reply(
    ok=True,
    code="suspended",
    message="no turn follows; this is recorded as soon as the store can commit again",
)
_HALTED: Final = Reply(
    ok=True,
    code="suspended",
    message="no turn follows; the stop itself met a fault and could not be decided",
    hint=FAULT_HINT,
)


class Service(msgspec.Struct, eq=False):
    """Answers from outside; it dispatches and performs nothing itself.

    Everything is refused once ``over`` is set, with what ``check_open`` raises then.
    ``said`` returns what a thread's running turn has said so far.
    ``suspended`` returns the code of what keeps the store from committing, "" of nothing.
    """

    threads: Threads
    holds: Holds
    subscriptions: Subscriptions
    quiescence: Quiescence
    clock: Clock
    ids: IdSource
    journal: Journal
    over: asyncio.Event
    check_open: Callable[[], None]
    said: Callable[[str], Output | None]
    suspended: Callable[[], str] = str
    _stops: int = 0

    async def submit(self, thread_id: str, event: e.Event, event_id: str | None = None) -> Reply:
        """Decide an event from outside, as `goalfsm.daemon.engine.Engine.submit` says."""
        self.check_open()
        stop = isinstance(event, _STOPS)
        envelope = Envelope(sealed(event), event_id=event_id or self.ids.new_id(), outside=True)
        told = self._take(thread_id, envelope, stop=stop)
        try:
            return await (self._stopped(told) if stop else asyncio.shield(told))
        except CodecError:
            raise
        except Exception as error:
            if not stop or self.over.is_set():
                raise
            return _SUSPENDED if isinstance(error, StoreError) else _HALTED

    async def _stopped(self, told: asyncio.Future[Reply]) -> Reply:
        """Return the reply to a stop; a store that does not commit keeps nobody waiting for it.

        It fails what it is asked at once, but tries again what came before only now and then.
        """
        while not (await asyncio.wait((told,), timeout=_PATIENCE_S))[0]:
            if self.suspended():
                return _SUSPENDED
        return told.result()

    async def call(
        self, thread_id: str, event: e.Event, event_id: str | None = None
    ) -> ToolResponse:
        """Have a tool's call decided as `submit` does; return what the model is told."""
        reply = await self.submit(thread_id, event, event_id)
        session = self.threads.session(thread_id)
        return respond(reply, session, self.clock.now_ms())

    def take_row(self, thread_id: str, envelope: Envelope, event: e.Event) -> None:
        """Have ``event``, which was left in the inbox, decided by ``envelope``."""
        self._take(thread_id, envelope, stop=isinstance(event, _STOPS))

    def _take(self, thread_id: str, envelope: Envelope, *, stop: bool) -> asyncio.Future[Reply]:
        """Have an envelope from outside decided; no turn starts before a ``stop`` is recorded."""
        if not stop:
            return self.threads.take(thread_id, envelope)
        self._stops += 1
        reason = f"{STOP}{self._stops}"
        self.holds.add(reason, thread_id)
        told = self.threads.take(thread_id, envelope)

        def follow(done: asyncio.Future[Reply]) -> None:
            failed = not done.cancelled() and isinstance(done.exception(), StoreError)
            if failed and not self.over.is_set():
                again = Envelope(
                    envelope.asked, event_id=envelope.event_id, outside=True, kept=True
                )
                self.threads.take(thread_id, again).add_done_callback(recorded)
            else:
                recorded(done)

        def recorded(done: asyncio.Future[Reply]) -> None:
            if not done.cancelled():
                done.exception()
            # Whether turns follow is left to the goal's status again: the stop is in there.
            self.holds.release(reason, thread_id)

        told.add_done_callback(follow)
        return told

    async def halt(self, thread_id: str) -> Reply:
        """Pause the thread's goal in a way that cannot fail: no turn follows, whatever is said."""
        reply = await self.submit(thread_id, e.PauseRequested())
        if not reply.ok:
            self.holds.add(HALTED, thread_id)
        return reply

    async def follow(
        self,
        thread_id: str,
        *,
        after_revision: int | None = None,
        successor: int | None = None,
    ) -> AsyncGenerator[Notice, None]:
        """Yield what happens to the thread from now on, as `goalfsm.daemon.engine.Engine.follow`.

        ``successor`` is the pid of a process that goes on with the thread when this engine ends.
        """
        self.check_open()
        # Before the journal is read, so that no event falls between what it holds and what follows.
        follower = self.subscriptions.follow(thread_id, successor=successor)
        said = self.said(thread_id)
        try:
            told = after_revision
            if told is not None:
                # Of another database's thread, perhaps: what follows here is news all the same.
                told = min(told, self.threads.stored(thread_id)[1])
            while told is not None and (rows := self.journal.read(thread_id, after=told)):
                for row in rows:
                    yield notice_of(row)
                    told = row.revision
            yield StatusChanged(thread_id=thread_id, status=self.status(thread_id))
            if said is not None:
                yield said
            async for notice in follower:
                if told is None or not isinstance(notice, Happened) or notice.revision > told:
                    yield notice
        finally:
            self.subscriptions.leave(follower)

    async def settled(self, thread_id: str) -> Session:
        """Return the session when its goal has left active, or nothing follows by itself.

        Raises a `StoreError` when the engine ends before.
        """
        self.check_open()
        future = self.quiescence.wait(thread_id, self.threads.open(thread_id))
        try:
            await future
        finally:
            self.quiescence.forget(thread_id, future)
        return self.threads.session(thread_id)

    def session(self, thread_id: str) -> Session:
        """Return the thread's committed session; a new one when there is none."""
        return self.threads.session(thread_id)

    def status(self, thread_id: str) -> Status:
        """Return the thread as every surface shows it."""
        session, now_ms = self.session(thread_id), self.clock.now_ms()
        held = suspended_by(self.suspended())
        return project(session, now_ms, thread_id=thread_id, held=held)
