"""Bugs of an engine and its store, to be switched on.

Each takes out, or turns round, one thing that keeps goals safe. Some were real once.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any
from unittest.mock import patch
from weakref import WeakSet

from msgspec.structs import replace

from goalfsm.daemon.flow.decide import reopened
from goalfsm.daemon.flow.inbox import InboxRows
from goalfsm.daemon.flow.mailbox import Mailbox
from goalfsm.daemon.flow.threads import HALTED
from goalfsm.daemon.guards import ownership, takeover
from goalfsm.daemon.guards.failures import Quarantine, StoreOutage
from goalfsm.daemon.guards.takeover import Takeover
from goalfsm.daemon.guards.upkeep import Upkeep
from goalfsm.daemon.stages import live_run as live
from goalfsm.daemon.stages.effects import Effects
from goalfsm.daemon.stages.performers import ProcessWatch
from goalfsm.daemon.stages.scheduler import Scheduler
from goalfsm.errors import Busy, DatabaseReplaced, DiskFull, StoreError
from goalfsm.session import continuation, thread
from goalfsm.session import events as e
from goalfsm.session.rules import runs, scheduling, steering
from goalfsm.store import memory
from goalfsm.store.memory import MemoryStore
from goalfsm.store.port import Conflict, Done, Duplicate
from tests.simulation.faulty import FaultyStore
from tests.simulation.switching import Patches, bug

# Effects.


@bug("an effect is marked as done before it is done", 10)
def mark_before_doing() -> Patches:
    perform = Effects._perform

    def mark_and_perform(self: Any, task: Any) -> None:
        after = self._mark.__self__
        done = Done(key=task.key, at_ms=after._clock.now_ms())
        after._pump._store.commit([], done=[done])
        perform(self, task)

    yield patch.object(Effects, "_perform", mark_and_perform)


@bug("effects are done before their commit", 10)
def commit_after_the_effect() -> Patches:
    decided_by = Mailbox.commits

    def commits(self: Any) -> Any:
        before = len(self._chain)
        asked = decided_by(self)
        for pending in self._chain[before:]:
            for decided in pending.decided:
                for task in decided.outbox:
                    self._deciding.aftermath._effects.take_over(task)
        return asked

    yield patch.object(Mailbox, "commits", commits)


@bug("what an earlier engine left undone stays undone", 20)
def redo_nothing() -> Patches:
    yield patch.object(Takeover, "_redo", lambda _self, _undone: None)


@bug("a continuation is sent while one is queued", 20)
def send_twice() -> Patches:
    guards = tuple(guard for guard in continuation.GUARDS if guard.name != "queued")
    yield patch.object(scheduling, "decide", lambda now, _: continuation.decide(now, guards))


# The store.


@bug("the revision that a commit was decided on is not compared", 150)
def skip_compare_and_set() -> Patches:
    def same(_disk: Any, commit: Any) -> Conflict:
        return Conflict(actual_revision=commit.expected_revision)

    yield patch.object(memory, "conflicting", same)
    yield patch.object(memory.Lost, "carries", lambda _lost, _commit: False)


@bug("the epoch of a writer is not compared", 60)
def ignore_the_epoch() -> Patches:
    yield patch.object(MemoryStore, "owned", lambda self: self.writable())


@bug("an inbox row that came in bad company is dropped", 20)
def drop_an_inbox_row() -> Patches:
    take = InboxRows._take

    def _take(self: Any, row: Any) -> None:
        if row.seq % 3:
            take(self, row)

    yield patch.object(InboxRows, "_take", _take)


@bug("a person is answered before the commit", 30)
def answer_before_the_commit() -> Patches:
    decide = Mailbox._decide

    def _decide(self: Any, envelope: Any, session: Any, revision: int, *, older: bool) -> Any:
        pending = decide(self, envelope, session, revision, older=older)
        if pending is not None:
            envelope.answer(pending.reply)
        return pending

    yield patch.object(Mailbox, "_decide", _decide)


# Runs.


@bug("a token of another run is let through", 20)
def ignore_the_token() -> Patches:
    yield patch.object(runs, "stale_token", lambda _session, _token: None)


@bug("usage is charged as often as it is reported", 30)
def charge_twice() -> Patches:
    reported = runs.usage_reported

    def usage_reported(session: Any, event: Any, ctx: Any) -> Any:
        if session.run is not None:
            session = replace(session, run=replace(session.run, charged=()))
        return reported(session, event, ctx)

    yield patch.object(runs, "usage_reported", usage_reported)
    yield patch.object(live, "usage_id", lambda _key: "")


@bug("usage under an old key is charged again when a finished run is taken over", 600)
def charge_again_after_a_crash() -> Patches:
    yield patch.object(takeover, "usage_id", lambda _key: "")


@bug("a worker is started twice for one dispatch", 10)
def start_twice() -> Patches:
    start = live.LiveRun.start

    def start_both(self: Any) -> None:
        start(self)
        start(live.LiveRun(self._ports, self.run, self._work, self._assignment))

    yield patch.object(live.LiveRun, "start", start_both)


@bug("open runs are not looked at when an engine takes over", 20)
def forget_open_runs() -> Patches:
    async def nothing(_self: Any, _thread_id: str, _run: Any, _probe: Any) -> Any:
        return lambda _session: iter(())

    yield patch.object(Takeover, "_ending_of", nothing)


@bug("an interrupted run is recorded as one that somebody aborted", 20)
def crash_is_an_abort() -> Patches:
    async def abort(_self: Any, _thread_id: str, run: Any, _probe: Any) -> Any:
        ended = e.RunFinished(run_id=run.run_id, outcome="aborted")
        return lambda _session: (event for event in (ended,))

    yield patch.object(Takeover, "_ending_of", abort)


@bug("work is dispatched while processes of an old run live", 80)
def leave_orphans() -> Patches:
    async def nobody(_self: Any, _runs: Any) -> Any:
        return {}

    yield patch.object(Takeover, "_end_runs", nobody)


@bug("an engine that was fenced leaves its workers running", 80, 6, 10)
def spare_fenced_workers() -> Patches:
    end = live.LiveRun.end

    def end_some(self: Any, how: Any, detail: str = "") -> None:
        if how != "killed":
            end(self, how, detail)

    yield patch.object(live.LiveRun, "end", end_some)


# The thread.


@bug("steering that an interrupted turn carried is dropped", 80)
def lose_steering() -> Patches:
    settled = steering.settled
    yield patch.object(
        steering, "settled", lambda session, run_id, **_: settled(session, run_id, taken=True)
    )


@bug("timers of threads that rest are not set again at a start", 80, first=200)
def forget_timers() -> Patches:
    threads = Takeover._threads_of_engines

    def without(self: Any) -> Any:
        with patch.object(self.wakeups, "set", lambda _thread_id, _at_ms: None):
            return threads(self)

    yield patch.object(Takeover, "_threads_of_engines", without)


@bug("a decision draws its jitter itself", 30)
def decide_by_chance() -> Patches:
    given = thread.context_of
    drawn = iter(range(1, 10**9))

    def context(*asked: Any, **more: Any) -> Any:
        return given(*asked, **more)._replace(jitter=next(drawn) % 97 / 97)

    yield patch.object(thread.GoalThread, "_context", staticmethod(context))


# Faults in decisions.


@bug("a decision that meets a fault is dropped, and its thread left as it is", 60)
def drop_what_meets_a_fault() -> Patches:
    yield patch.object(Quarantine, "met", lambda _self, _thread_id, _error, _undecided: None)


@bug("an open run stays open when its end meets a fault", 20)
def leave_the_run_open() -> Patches:
    async def record(self: Any) -> None:
        with suppress(Exception):
            await self._ports.inbox.run(self.thread_id, self._end_batch())

    yield patch.object(live.LiveRun, "_record_end", record)
    yield patch.object(Quarantine, "close_run", lambda _self, _thread_id: None)


@bug("what a fault left undone is not done when the goal is resumed", 40, 7, 10)
def leave_undone_what_met_a_fault() -> Patches:
    yield patch.object(Effects, "again", lambda _self, _thread_id: None)


@bug("who works on a thread is not asked again", 20, 7, 10)
def ask_once_who_works() -> Patches:
    yield patch.object(Scheduler, "retry_unserved", lambda _self: None)


@bug("a wall clock that is set is not followed", 40)
def follow_no_clock() -> Patches:
    yield patch.object(Upkeep, "_adopt", lambda _self, _step_ms: None)


# The machine: worlds that end in 8 have other programs on it.


@bug("where the processes of open runs cannot be read, there are none", 250, 8, 10)
def take_a_failed_read_for_nothing() -> Patches:
    end_runs = Takeover._end_runs

    async def end(self: Any, open_runs: Any) -> Any:
        try:
            return await end_runs(self, open_runs)
        except StoreError:
            return {}

    yield patch.object(Takeover, "_end_runs", end)


@bug("what cannot be ended at once is taken for gone", 100, 8, 10)
def believe_a_supervisor_that_stands_still() -> Patches:
    async def gone(_self: Any, _pids: Any) -> None:
        return None

    yield patch.object(ProcessWatch, "gone", gone)


@bug("a disk that was full once stays full", 10, 8, 10)
def give_up_on_a_full_disk() -> Patches:
    attempt = StoreOutage._try

    async def once(self: Any) -> bool:
        return not isinstance(self.present, DiskFull) and await attempt(self)

    yield patch.object(StoreOutage, "_try", once)


@bug("an engine whose own log fills the disk tries once to move it", 20, 6, 10)
def move_the_log_once() -> Patches:
    release = FaultyStore.release_reserve
    tried: WeakSet[FaultyStore] = WeakSet()

    def once(self: Any) -> bool:
        if self in tried:
            return False
        tried.add(self)
        return release(self)

    yield patch.object(FaultyStore, "release_reserve", once)


@bug("what met another program's lock is not tried again", 20, 8, 10)
def drop_what_meets_a_lock() -> Patches:
    met = StoreOutage.met

    def forgetful(self: Any, thread_id: Any, error: Any) -> None:
        if not isinstance(error, Busy):
            met(self, thread_id, error)

    yield patch.object(StoreOutage, "met", forgetful)


# Meetings: worlds that end in 6 have a disk with a size, a file with two names, late repeats.


@bug("a repeat of an old command lifts a halt", 40, 6, 10)
def repeat_lifts_a_halt() -> Patches:
    stop = Mailbox._stop

    def _stop(self: Any, why: Any, rest: Any) -> Any:
        if isinstance(why, Duplicate):
            self._deciding.aftermath._holds.release(HALTED, self.thread_id)
        return stop(self, why, rest)

    yield patch.object(Mailbox, "_stop", _stop)


@bug("an engine goes on when the path of its file means another one", 20, 6, 10)
def serve_a_file_that_was_replaced() -> Patches:
    met = StoreOutage.met

    def hopeful(self: Any, thread_id: Any, error: Any) -> None:
        met(self, thread_id, Busy("later") if isinstance(error, DatabaseReplaced) else error)

    yield patch.object(StoreOutage, "met", hopeful)
    yield patch.object(ownership, "DatabaseReplaced", DiskFull)


@bug("a read that fails between two turns is taken for a fault", 100, 6, 10)
def take_a_failed_read_for_a_fault() -> Patches:
    decide = Mailbox._decide

    def _decide(self: Any, envelope: Any, session: Any, revision: int, *, older: bool) -> Any:
        try:
            return decide(self, envelope, session, revision, older=older)
        except StoreError as error:
            self._deciding.aftermath.failed(self.thread_id, error, None)
            envelope.fail(error)
            return None

    yield patch.object(Mailbox, "_decide", _decide)


# A bug that this simulation has found.


@bug(
    "what an engine has committed while it starts is taken for what is left of another",
    60,
    first=3_900,
)
def redo_what_is_new() -> Patches:
    def redo(self: Any, _undone: Any) -> None:
        for row in self.store.outbox.open():
            self.threads.open(row.thread_id)
            task = reopened(row)
            if not self.effects.is_open(task):
                self.effects.take_over(task)
        for thread_id in self.threads.ids():
            self.considered(thread_id)

    yield patch.object(Takeover, "_redo", redo)
