"""What fails: a thread that met a fault stops, the others go on; a store that fails is an outage.

A fault is an exception that nobody expects: of this program, or of a rule or a prompt of the
embedder's. The same event on the same state would raise it again, so the event is not tried again
by itself. What could not be decided is kept in the journal, with the error (`DecisionFailed`).
A store that fails is tried again, or given up where it is another's or cannot be trusted.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import msgspec
import structlog
from tenacity import AsyncRetrying, retry_if_result, wait_exponential

from goalfsm.daemon.flow.decide import FAULT_HINT, Envelope, failure_of
from goalfsm.daemon.flow.threads import HALTED, OUTAGE, PROCESSES, SHUTDOWN, Holds
from goalfsm.errors import (
    Corrupt,
    DatabaseReplaced,
    DiskFull,
    Fenced,
    OutcomeUnknown,
    StoreClosed,
    StoreError,
    StoreUnavailable,
)
from goalfsm.goal.model import ACTIVE
from goalfsm.session import events as e
from goalfsm.session.state import FAULT_CODE, Session
from goalfsm.views.activity import suspended_by

if TYPE_CHECKING:
    from collections.abc import Callable

    from goalfsm.daemon.flow.ports import Events, Landed, Report, Spawn, Undecided
    from goalfsm.daemon.flow.threads import Threads
    from goalfsm.daemon.stages.effects import Effects
    from goalfsm.daemon.stages.live_run import LiveRuns
    from goalfsm.daemon.stages.subscriptions import Subscriptions
    from goalfsm.store.port import Store


FIRST_RETRY_S: Final = 1.0
RETRIES: Final = 3
"""How often the record of a fault, and the end of its run, are tried where a fault meets these."""
_WHY: Final = "a fault kept an event of its thread from being decided"
_GOES_ON: Final = (e.ResumeRequested, e.ObjectiveGiven, e.NextGoalRequested)
_STOPS: Final = (e.PauseRequested, e.ClearRequested)

_log = structlog.get_logger(__name__)


class Quarantine(msgspec.Struct, eq=False):
    """Holds the threads that met a fault until a person takes them up again.

    They are stopped by ``holds``; ``on_fault`` is told of what nobody else is told.
    """

    threads: Threads
    holds: Holds
    runs: LiveRuns
    effects: Effects
    report: Report
    over: asyncio.Event
    on_fault: Callable[[str, Exception], None] | None
    _closing: set[str] = set()
    """Threads whose run is being closed."""
    _tried: dict[str, int] = {}
    """How often the record of a fault met another one, by thread."""

    def committed(self, landed: Landed) -> None:
        """Go on with a thread that a person has taken up again: do what was left undone."""
        thread_id = landed.thread_id
        if self.holds.has(HALTED, thread_id) and _is_taken_up(landed):
            self._tried.pop(thread_id, None)
            self.close_run(thread_id)
            self.holds.release(HALTED, thread_id)
            # What meets a fault once more holds the thread again.
            self.effects.again(thread_id)

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
        self.report(thread_id, FAULT_CODE, message, FAULT_HINT)
        if undecided is not None and undecided.only_asked:
            return
        if self.on_fault is not None:
            self.on_fault(thread_id, error)
        self.holds.add(HALTED, thread_id)
        if not self.over.is_set():
            # Not from inside of the decision: it is one of several that are made in one go.
            asyncio.get_running_loop().call_soon(self._stop, thread_id, failed, undecided)

    def run_over(self, thread_id: str) -> None:
        """Close the run of a thread whose worker is gone, where a fault kept its end out."""
        if self.holds.has(HALTED, thread_id):
            self.close_run(thread_id)

    def close_run(self, thread_id: str) -> None:
        """End a run that is open and that no worker of this engine will tell of."""

        def batch(session: Session) -> Events:
            if thread_id in self.runs:
                return
            gone = not self.holds.has(PROCESSES, thread_id)
            run = session.run
            if run is not None:
                yield e.RunInterrupted(run_id=run.run_id, turn=run.turn, detail=_WHY, gone=gone)
            elif gone and not session.host.idle:
                yield e.HostChanged(idle=True)
            if session.stopping and not self.holds.has(SHUTDOWN):
                # The word of this engine's start was kept out as well.
                yield e.EngineStarted(after_crash=True)

        self._closing.add(thread_id)
        closed = self.threads.run(thread_id, batch)
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
        live = self.runs.get(thread_id)
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
        self.threads.take(thread_id, envelope, first=True)

    def _later(self, thread_id: str, what: Callable[[], None]) -> None:
        """Try something again, later each time; in the end the thread stands as it is.

        How it went is not returned, as tenacity would need it: another fault calls this again.
        """
        tried = self._tried[thread_id] = self._tried.get(thread_id, 0) + 1

        def again() -> None:
            if not self.over.is_set() and self.holds.has(HALTED, thread_id):
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


FIRST_TRY_S: Final = 0.05
LONGEST_RETRY_S: Final = 5.0
"""How long it waits between two tries at most; a disk that is full again sooner was full all along.
"""

_MOST_RELAPSES: Final = 10
"""From so many on the wait is the longest one in any case."""


class StoreOutage(msgspec.Struct, eq=False):
    """Keeps an engine safe while its store cannot commit or read.

    Nothing is dispatched, what workers report is kept in memory, and every retry submits it
    again; who asks from outside is told at once that nothing was written.

    ``give_up`` ends the engine where the store is another's or cannot be trusted.
    ``show`` is told the code of what keeps the store from committing, "" once nothing does.
    """

    store: Store
    threads: Threads
    holds: Holds
    subscriptions: Subscriptions
    spawn: Spawn
    give_up: Callable[[StoreError], None]
    show: Callable[[str], None]
    _waiting: set[str] = set()
    """Threads with something that the store has not taken yet."""
    _asked: set[str] = set()
    """Threads that were asked to try again and have not met the store yet."""
    _answered: asyncio.Event = msgspec.field(default_factory=asyncio.Event)
    _reopens: bool = False
    """Whether the store's connection is not to be gone on with: it may refuse everything."""
    _failed: bool = False
    retrying: bool = False
    """Whether threads try again: each that has an answer then says so by `past`."""
    present: StoreError | None = None
    """What keeps the store from committing, None while nothing does."""
    _over_at: float | None = None
    """When the last outage ended, in the loop's time."""
    _relapses: int = 0
    """How often the disk was full again at once: what fits then is less than a turn takes."""

    def met(self, thread_id: str | None, error: StoreError) -> None:
        """Deal with a failure; what the thread has to say waits until it is over."""
        self._failed = True
        if thread_id is not None:
            self._waiting.add(thread_id)
            self._answer(thread_id)
        match error:
            case Fenced() | DatabaseReplaced() | Corrupt() | StoreClosed():
                self.give_up(error)
            case OutcomeUnknown() | StoreUnavailable():
                self._reopens = True
                self._suspend(error)
            case _:
                self._suspend(error)

    def past(self, thread_id: str) -> None:
        """Take note that the store has answered for this thread."""
        self._waiting.discard(thread_id)
        self._answer(thread_id)

    def _answer(self, thread_id: str) -> None:
        self._asked.discard(thread_id)
        if not self._asked:
            self._answered.set()

    def _suspend(self, error: StoreError) -> None:
        if self.present is None:
            self.holds.add(OUTAGE)
            self._note_relapse(error)
            _log.error("the store cannot commit", code=error.code, error=error.message)
            told = f"suspended, no turn starts: {suspended_by(error.code)} ({error.message})"
            self.subscriptions.problem(error.code, told, error.hint)
            if isinstance(error, DiskFull) and self.store.release_reserve():
                _log.warning("the space kept for a full disk was released")
        known, self.present = self.present, error
        if known is None or known.code != error.code:
            self.show(error.code)
            self._restate()
        if not self.retrying:
            self.retrying = True
            self.spawn(self._retry(), "store outage")

    def _note_relapse(self, error: StoreError) -> None:
        """Wait longer for a disk that has room for the least of what there is to write, only."""
        since, now = self._over_at, asyncio.get_running_loop().time()
        again = since is not None and now - since < LONGEST_RETRY_S
        relapsed = again and isinstance(error, DiskFull)
        self._relapses = min(self._relapses + 1, _MOST_RELAPSES) if relapsed else 0

    async def _retry(self) -> None:
        """Try until every thread has said what it had to say, waiting longer each time."""
        first = min(FIRST_TRY_S * 2**self._relapses, LONGEST_RETRY_S)
        waits = wait_exponential(first, max=LONGEST_RETRY_S)
        retrying = AsyncRetrying(wait=waits, retry=retry_if_result(lambda over: not over))
        await asyncio.sleep(first)
        await retrying(self._try)
        self.retrying, self.present = False, None
        self._over_at = asyncio.get_running_loop().time()
        _log.info("the store commits again")
        self.show("")
        self.subscriptions.problem("recovered", "the database can be written again: work goes on")
        self._restate()
        self.holds.release(OUTAGE)

    def _restate(self) -> None:
        """Tell those who follow a thread how it stands now."""
        for thread_id in self.subscriptions.threads():
            session = self.threads.known(thread_id)
            if session is not None:
                self.subscriptions.restate(thread_id, session)

    async def _try(self) -> bool:
        """Have everything that waits tried again; tell whether nothing failed."""
        self._failed = False
        if isinstance(self.present, DiskFull):
            # What could not be moved before may be by now.
            self.store.release_reserve()
        try:
            if self._reopens:
                self.store.reopen()
                self._reopens = False
            if not self._waiting:
                # No commit would tell whether it is over.
                self.store.verify()
        except StoreError as error:
            self.met(None, error)
            return False
        waiting, self._waiting = self._waiting, set()
        self._asked = set(waiting)
        self._answered.clear()
        for thread_id in sorted(waiting):
            # Each answers by `met`, or by `past` when it has committed.
            if not self.threads.again(thread_id):
                self.past(thread_id)
        if self._asked:
            await self._answered.wait()
        return not self._failed
