"""What cannot be decided or done because of a fault: the thread stops, the others go on.

A fault is an exception that nobody expects: of this program, or of a rule or a prompt of the
embedder's. The same event on the same state would raise it again, so nothing is tried again by
itself. What could not be decided is kept in the journal, with the error (`DecisionFailed`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from typing import TYPE_CHECKING, Final, NamedTuple

import structlog

from goalfsm.daemon.stages.subscriptions import public
from goalfsm.errors import described
from goalfsm.session import events as e
from goalfsm.session.state import FAULT_CODE

if TYPE_CHECKING:
    from goalfsm.daemon.flow.mailbox import Actor
    from goalfsm.daemon.flow.scripts import Said
    from goalfsm.daemon.hub import Hub
    from goalfsm.session.events import Event
    from goalfsm.session.state import Session, Step

HINT: Final = "The log says where; goalfsm explain THREAD, then goalfsm resume THREAD."
KEEP_ERROR: Final = 1_000
_WHY: Final = "a fault kept an event of its thread from being decided"

_log = structlog.get_logger(__name__)


class Undecided(NamedTuple):
    """An event that could not be decided, and who waits for it."""

    event: Event | None
    event_id: str
    outside: bool
    from_inbox: bool

    @property
    def only_asked(self) -> bool:
        """Return whether it is nothing but somebody's wish, who is told that nothing was done.

        A stop is more than that: no turn follows, whatever becomes of it.
        """
        stops = isinstance(self.event, e.PauseRequested | e.ClearRequested)
        return self.outside and not self.from_inbox and not stops


def failure_of(undecided: Undecided | None, error: Exception) -> e.DecisionFailed:
    """Return the fault as an event: what could not be decided, without secrets, and why."""
    text = described(error)[:KEEP_ERROR]
    if undecided is None or undecided.event is None:
        return e.DecisionFailed(kind="an effect" if undecided is None else "an event", error=text)
    return e.DecisionFailed(
        kind=type(undecided.event).__name__,
        error=text,
        event_id=undecided.event_id,
        event=public(undecided.event),
    )


class Faults:
    """Stops threads that met a fault."""

    def __init__(self, engine: Hub) -> None:
        """Look after the threads of ``engine``."""
        self._engine = engine
        self._closing: set[str] = set()
        """Threads whose run is being closed: where that meets a fault it is not tried again."""

    def met(self, actor: Actor, error: Exception, undecided: Undecided | None) -> None:
        """Say what happened; let no turn of the thread follow before a person resumes it."""
        failed = failure_of(undecided, error)
        _log.error(
            "event failed",
            thread_id=actor.thread_id,
            event_kind=failed.kind,
            event_id=failed.event_id,
            exc_info=error,
        )
        message = f"{failed.kind} met a fault: {failed.error}"
        self._engine.problem(actor.thread_id, FAULT_CODE, message, HINT)
        if undecided is not None and undecided.only_asked:
            return
        actor.halted = True
        if not self._engine.over.is_set():
            # Not from inside of the decision: it is one of several that are made in one go.
            asyncio.get_running_loop().call_soon(self._stop, actor, failed, undecided)

    def _stop(self, actor: Actor, failed: e.DecisionFailed, undecided: Undecided | None) -> None:
        """Record the fault, end the running turn, and close a run that nothing else ends."""
        engine = self._engine
        engine.dispatcher.consider(actor)
        event = None if undecided is None else undecided.event
        if isinstance(event, e.DecisionFailed):
            return  # not even that: the thread stands until a person or another engine comes
        row = undecided is not None and undecided.from_inbox
        # In the place of a row of the inbox: it is consumed, and its sender gets the reply.
        event_id = failed.event_id if row else None
        actor.tell(failed, event_id=event_id, outside=row, from_inbox=row, kept=True, first=True)
        live = engine.live(actor.thread_id)
        if live is not None:
            live.end("interrupted", _WHY)
        elif actor.thread_id not in self._closing:
            self.close_run(actor)

    def again(self, actor: Actor) -> None:
        """Go on with a thread that a person has taken up again: do what was left undone."""
        self.close_run(actor)
        for opened in list(actor.open.values()):
            self._engine.do(actor, opened)

    def close_run(self, actor: Actor) -> None:
        """End a run that is open and that no worker of this engine will tell of."""

        def script(session: Session) -> Generator[Said, Step, None]:
            if self._engine.is_live(actor.thread_id):
                return
            gone = not actor.left
            if session.run is not None:
                yield e.RunInterrupted(run_id=session.run.run_id, detail=_WHY, gone=gone)
            elif gone and not session.host.idle:
                yield e.HostChanged(idle=True)

        thread_id = actor.thread_id
        self._closing.add(thread_id)
        actor.post(script).add_done_callback(lambda _: self._closing.discard(thread_id))
