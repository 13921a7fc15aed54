"""What cannot be decided or done because of a fault: the thread stops, the others go on.

A fault is an exception that nobody expects: of this program, or of a rule or a prompt of the
embedder's. The same event on the same state would raise it again, so the event is not tried again
by itself. What could not be decided is kept in the journal, with the error (`DecisionFailed`).
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import structlog

from goalfsm.daemon.flow.decide import FAULT_HINT, Envelope, failure_of
from goalfsm.daemon.flow.holds import HALTED, PROCESSES, SHUTDOWN
from goalfsm.goal.model import ACTIVE
from goalfsm.session import events as e
from goalfsm.session.state import FAULT_CODE

if TYPE_CHECKING:
    from collections.abc import Callable

    from goalfsm.daemon.flow.holds import Holds
    from goalfsm.daemon.flow.ports import Events, Landed, Report, Undecided
    from goalfsm.daemon.flow.threads import Threads
    from goalfsm.daemon.stages.effects import Effects
    from goalfsm.daemon.stages.live_run import LiveRuns
    from goalfsm.session.state import Session

FIRST_RETRY_S: Final = 1.0
RETRIES: Final = 3
"""How often the record of a fault, and the end of its run, are tried where a fault meets these."""
_WHY: Final = "a fault kept an event of its thread from being decided"
_GOES_ON: Final = (e.ResumeRequested, e.ObjectiveGiven, e.NextGoalRequested)
_STOPS: Final = (e.PauseRequested, e.ClearRequested)

_log = structlog.get_logger(__name__)


class Quarantine:
    """Holds the threads that met a fault until a person takes them up again."""

    def __init__(
        self,
        threads: Threads,
        holds: Holds,
        runs: LiveRuns,
        effects: Effects,
        report: Report,
        *,
        over: asyncio.Event,
        on_fault: Callable[[str, Exception], None] | None,
    ) -> None:
        """Stop threads by ``holds``; tell ``on_fault`` of what nobody else is told."""
        self._threads = threads
        self._holds = holds
        self._runs = runs
        self._effects = effects
        self._report = report
        self._over = over
        self._on_fault = on_fault
        self._closing: set[str] = set()
        """Threads whose run is being closed."""
        self._tried: dict[str, int] = {}
        """How often the record of a fault met another one, by thread."""

    def committed(self, landed: Landed) -> None:
        """Go on with a thread that a person has taken up again: do what was left undone."""
        thread_id = landed.thread_id
        if _is_taken_up(landed) and self._holds.has(HALTED, thread_id):
            self._tried.pop(thread_id, None)
            self.close_run(thread_id)
            self._effects.again(thread_id)
            self._holds.release(HALTED, thread_id)

    def met(self, thread_id: str, error: Exception, undecided: Undecided | None = None) -> None:
        """Say what happened; let no turn of the thread follow before a person resumes it.

        ``undecided`` is the event that met the fault, None for an effect.
        """
        failed = failure_of(undecided, error)
        _log.error(
            "event failed",
            thread_id=thread_id,
            event_kind=failed.kind,
            event_id=failed.event_id,
            exc_info=error,
        )
        message = f"{failed.kind} met a fault: {failed.error}"
        self._report(thread_id, FAULT_CODE, message, FAULT_HINT)
        if undecided is not None and undecided.only_asked:
            return
        if self._on_fault is not None:
            self._on_fault(thread_id, error)
        self._holds.add(HALTED, thread_id)
        if not self._over.is_set():
            # Not from inside of the decision: it is one of several that are made in one go.
            asyncio.get_running_loop().call_soon(self._stop, thread_id, failed, undecided)

    def run_over(self, thread_id: str) -> None:
        """Close the run of a thread whose worker is gone, where a fault kept its end out."""
        if self._holds.has(HALTED, thread_id):
            self.close_run(thread_id)

    def close_run(self, thread_id: str) -> None:
        """End a run that is open and that no worker of this engine will tell of."""

        def batch(session: Session) -> Events:
            if thread_id in self._runs:
                return
            gone = not self._holds.has(PROCESSES, thread_id)
            run = session.run
            if run is not None:
                yield e.RunInterrupted(run_id=run.run_id, turn=run.turn, detail=_WHY, gone=gone)
            elif gone and not session.host.idle:
                yield e.HostChanged(idle=True)
            if session.stopping and not self._holds.has(SHUTDOWN):
                # The word of this engine's start was kept out as well.
                yield e.EngineStarted(after_crash=True)

        self._closing.add(thread_id)
        closed = self._threads.run(thread_id, batch)
        closed.add_done_callback(lambda _: self._closing.discard(thread_id))

    def _stop(self, thread_id: str, failed: e.DecisionFailed, undecided: Undecided | None) -> None:
        """Record the fault, end the running turn, and close a run that nothing else ends."""
        event = None if undecided is None else undecided.event
        row = undecided is not None and undecided.from_inbox
        if isinstance(event, e.DecisionFailed):
            # Not even that could be decided: once more in a while, with the same words.
            self._later(thread_id, lambda: self._record(thread_id, event, undecided))
            return
        # In the place of a row of the inbox: it is consumed, and its sender gets the reply.
        self._record(thread_id, failed, undecided if row else None)
        live = self._runs.get(thread_id)
        if live is not None:
            live.end("interrupted", _WHY)
        elif thread_id in self._closing:
            self._later(thread_id, lambda: self.close_run(thread_id))
        else:
            self.close_run(thread_id)

    def _record(self, thread_id: str, failed: e.DecisionFailed, of: Undecided | None) -> None:
        row = of is not None and of.from_inbox
        event_id = of.event_id if of is not None and row else ""
        envelope = Envelope(failed, event_id=event_id, outside=row, from_inbox=row, kept=True)
        self._threads.take(thread_id, envelope, first=True)

    def _later(self, thread_id: str, what: Callable[[], None]) -> None:
        """Try something again, later each time; in the end the thread stands as it is."""
        tried = self._tried[thread_id] = self._tried.get(thread_id, 0) + 1

        def again() -> None:
            if not self._over.is_set() and self._holds.has(HALTED, thread_id):
                what()

        if tried <= RETRIES:
            delay = FIRST_RETRY_S * 2 ** (tried - 1)
            asyncio.get_running_loop().call_later(delay, again)


def _is_taken_up(landed: Landed) -> bool:
    """Tell whether a person has said that the thread's goal is to go on."""
    before = landed.before
    for decided in landed.decided:
        event, reply, after = decided.ready.event, decided.ready.reply, decided.ready.state
        accepted = reply is not None and reply.ok
        # A goal that is active and held is refused a resume: the person has spoken all the same.
        accepted = accepted or (isinstance(event, e.ResumeRequested) and _is_active(after))
        if accepted and isinstance(event, e.Expecting) and event.origin == "person":
            if isinstance(event, _GOES_ON):
                return True
            if _is_active(after) and not _is_active(before) and not isinstance(event, _STOPS):
                return True
        before = after
    return False


def _is_active(session: Session) -> bool:
    return session.goal is not None and session.goal.status == ACTIVE
