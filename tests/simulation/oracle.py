"""What must hold, whatever breaks: looked at with every commit, every effect and every step.

The oracle keeps its own record of what became durable, decides every event again, and compares.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from goalfsm.daemon.flow.threads import HALTED, PROCESSES, SHUTDOWN
from goalfsm.daemon.guards.failures import RETRIES
from goalfsm.daemon.host.platform import SMALL_STEP_MS
from goalfsm.session import codec
from goalfsm.session import events as e
from goalfsm.session.work import NEED_ENGINE, label
from goalfsm.store.port import EXPIRY_MS, Commit, Committed, Conflict, Done, Duplicate, Outcome
from tests.simulation.commit_rules import CommitRules

if TYPE_CHECKING:
    from goalfsm.session.state import Session
    from goalfsm.workers import protocol as w
    from tests.simulation.children import Child
    from tests.simulation.process import Process

FENCED_WITHIN_US: Final = 3_000_000
"""A deposed engine that runs notices at its next heartbeat, two seconds away at most."""
CLOSED_WITHIN_US: Final = 20_000_000
"""An engine that is well ends a run that nobody does: a fault that meets its end takes seconds."""
FOLLOWED_WITHIN_US: Final = 9_000_000
"""An engine looks at the clock every two seconds; a look may fail, and the next one too."""
ENDS_TRIED: Final = RETRIES + 2
"""How often an engine tries to record the end of one run, whatever it meets: then people are asked.
"""
UNSEEN_US: Final = 3_000_000
"""How far an engine's last sign of life may be from its end, with what is rounded."""
RESISTED_US: Final = 1_000_000
"""How much longer a worker lives each time that it does not let itself be ended."""


class Oracle(CommitRules):
    """Watches one world."""

    # Ownership.

    def claimed(self, process: Process, epoch: int) -> None:
        """Look at a claim: the epoch grows, and nobody who is well loses the store."""
        world = self._world
        if epoch == self.epoch and self._owner is process:
            return
        if epoch != self.epoch + 1:
            self.fail("an epoch does not follow on the last one", f"{self.epoch}, then {epoch}")
        before = self._owner
        if before is not None and not before.dead:
            silent_ms = world.uptime_ms(world.now_us) - self._beat_ms
            if silent_ms < EXPIRY_MS or self._is_well(before, process):
                self.fail("an owner that is well loses the store", f"silent for {silent_ms} ms")
            before.deposed_at_us = world.now_us
            world.stats.takeovers += 1
        self.epoch, self._owner = epoch, process
        self.beat(process)

    def _is_well(self, owner: Process, claims: Process) -> bool:
        """Tell whether an owner answers at its door, and has done so long enough to be believed."""
        if not self._world.plan.door or claims.foreign != owner.foreign or not owner.runs:
            return False
        engine = owner.engine
        serves = engine is not None and owner.ready and not engine._parts.over.is_set()
        return serves and self._world.now_us - owner.awake_since_us > FENCED_WITHIN_US

    def beat(self, process: Process) -> None:
        """Look at a heartbeat: only the owner's may succeed."""
        if process.store.claimed != self.epoch:
            self.fail("a deposed engine may beat", repr(process))
        # What it says is what it read of the clock: it may have stood still since.
        owner = self._world.disk.owner
        self._beat_ms = 0 if owner is None else owner.uptime_ms

    def released(self, process: Process) -> None:
        """Note that an owner gives the store up by itself."""
        if self._owner is process:
            self._owner = None

    def renamed(self) -> None:
        """Note that the path means another file: who has the old one open has to notice."""
        for process in self._world.processes:
            if process.deposed and process.deposed_at_us is None:
                process.deposed_at_us = self._world.now_us

    def went_on(self, process: Process) -> None:
        """Note that a process goes on: what it did not see, it has to notice from now on."""
        if process.deposed:
            process.deposed_at_us = self._world.now_us

    def after_step(self) -> None:
        """Look at the world between two steps."""
        world = self._world
        for process in world.processes:
            self._clocks(process)
            since = process.deposed_at_us
            if since is None or not process.runs:
                continue
            late = world.now_us - since - FENCED_WITHIN_US
            own = [child for child in world.children.all if child.engine is process]
            # What nobody can end is left to a successor; the turn that it was of has to end.
            kept = [child for child in own if not (child.unkillable and child.let_go)]
            if late >= 0 and any(late >= child.resisted * RESISTED_US for child in kept):
                self.fail("a deposed engine keeps its workers", repr(process))

        self._open_runs()

    def _clocks(self, process: Process) -> None:
        """Look for an engine that goes on by a wall clock that was set long ago."""
        world = self._world
        follows = abs(process.wall_ms() - world.wall_ms(process.loop.now_us)) < SMALL_STEP_MS
        hardware = world.hardware
        in_the_way = hardware.is_in_the_way(self._now_ms()) or hardware.is_full
        if follows or in_the_way or not process.serves:
            process.behind_since_us = None
        elif process.behind_since_us is None:
            process.behind_since_us = world.now_us
        elif world.now_us - process.behind_since_us > FOLLOWED_WITHIN_US:
            self.fail("a clock that was set is not followed", repr(process))

    def _open_runs(self) -> None:
        """Look for runs that stay open under one engine, though nothing of them is there."""
        world, process = self._world, self._world.serving()
        for thread_id, known in self._threads.items():
            run = known.session.run
            watched = None if run is None or process is None else (run.run_id, process.pid)
            if watched is None or process is None or self._is_done(process, thread_id, watched[0]):
                self._abandoned.pop(thread_id, None)
                continue
            before, since = self._abandoned.setdefault(thread_id, (watched, world.now_us))
            if before != watched:
                self._abandoned[thread_id] = (watched, world.now_us)
            elif world.now_us - since > CLOSED_WITHIN_US:
                self.fail("a run stays open that nobody does", f"{watched[0]} of {thread_id}")

    def _is_done(self, process: Process, thread_id: str, run_id: str) -> bool:
        """Tell whether somebody does a run, or the engine is kept from ending it."""
        engine = process.engine
        if engine is None or process.stalled or self._world.hardware.is_in_the_way(self._now_ms()):
            return True
        parts = engine._parts
        return (
            any(child.run_id == run_id for child in self._world.children.all)
            or parts.outage.present is not None
            or parts.holds.has(PROCESSES, thread_id)
            or thread_id in parts.runs
            or self._world.ends_met[run_id] >= ENDS_TRIED
        )

    def _now_ms(self) -> int:
        return self._world.now_us // 1000

    def stops(self, process: Process) -> None:
        """Note which threads have to be told that this engine stops: where something would be lost.

        That is the time that is being measured, or the next try of what failed.
        """
        needed = {
            thread_id
            for thread_id, known in self._threads.items()
            if label(known.session) in NEED_ENGINE
            and (known.session.clock.last_ms is not None or known.session.retry.at_ms is not None)
        }
        process.needed = self._world.stats.faults, frozenset(needed)

    def exited(self, process: Process) -> None:
        """Look at an engine that has stopped in order: what it did is recorded."""
        engine = process.engine
        begun = engine is not None and engine._made is not None
        if engine is None or not begun or process.deposed or process.ended_with is not None:
            return
        parts = engine._parts
        trouble = parts.outage.present is not None or not parts.holds.has(SHUTDOWN)
        if trouble or self._world.hardware.is_in_the_way(self._now_ms()) or process.naps:
            return
        for thread_id in self._world.plan.threads:
            run, resisted = self.session(thread_id).run, self._resisted(process, thread_id)
            if run is not None and not resisted and not parts.holds.has(HALTED, thread_id):
                self.fail("an engine that stops leaves a run open", f"{run.run_id}, {process}")
        if process.needed is None or process.needed[0] != self._world.stats.faults:
            return
        for thread_id in process.needed[1]:
            session = self.session(thread_id)
            left = label(session) in NEED_ENGINE and not parts.holds.has(HALTED, thread_id)
            if left and not session.stopping:
                self.fail("an engine stops without a word to its threads", thread_id)

    def _resisted(self, process: Process, thread_id: str) -> bool:
        """Tell whether a worker of this engine would not be ended."""
        children = self._world.children.by_run.values()
        own = [c for c in children if c.engine is process and c.thread == thread_id]
        return any(child.resisted or child.unkillable for child in own)

    # Work.

    def starts(self, child: Child, work: w.Work) -> None:
        """Look at a worker that starts, and at the engine that starts it.

        An engine asks whether the store is its own before it tells, and may stand still after that.
        """
        engine = child.engine
        if engine.is_succeeded:
            # What its verifiers are worth is its successor's to say by now.
            if self._world.children.told[work.run_id] == engine.naps:
                self.fail("a deposed engine starts a worker", work.run_id)
        elif self._world.people.verifies_in_vain(engine, work.thread_id):
            self.fail("a turn starts beside a verifier", work.run_id)
        super().starts(child, work)
        going = [c for c in self._world.children.alive() if c.engine is engine]
        able = [c for c in going if not c.unkillable and not c.resisted]
        if len(able) >= self._world.plan.max_runs:
            self.fail("more runs at once than are allowed", work.run_id)

    def _event(self, process: Process, commit: Commit, revision: int) -> None:
        known = self.thread(commit.thread_id)
        before, last, counted = known.session.goal, known.last, _counted(known.session)
        super()._event(process, commit, revision)
        if last is None or counted != _counted(known.session):
            # It may have been decided long before it could be committed.
            late_ms = max(0, process.wall_ms() - commit.at_ms)
            known.last = process, self._world.now_us - late_ms * 1000
        else:
            known.last = process, last[1]
        after = known.session.goal
        if last is None or last[0] is process or before is None or after is None:
            return
        ended_us = last[0].ended_us
        if self._world.records_met[e.EngineLost.__name__]:
            return  # nobody could take note of when that engine was last there
        if ended_us is not None and before.goal_id == after.goal_id:
            grown_us = (after.active_seconds - before.active_seconds) * 1_000_000
            if grown_us > max(0, ended_us - last[1]) + UNSEEN_US:
                self.fail("time counts while nobody was there", f"{grown_us} us")

    # Commits.

    def committed(
        self,
        process: Process,
        batch: Sequence[Commit],
        outcomes: Sequence[Outcome],
        done: Sequence[Done],
    ) -> None:
        """Look at what has just become durable, and at what has not."""
        self._world.stats.commits += 1
        if process.store.claimed != self.epoch or process.store.is_renamed:
            self.fail("a deposed engine commits", f"{process}: {len(batch)} events")
        for commit, outcome in zip(batch, outcomes, strict=True):
            match outcome:
                case Committed(revision=revision):
                    self._event(process, commit, revision)
                case Duplicate(revision=revision):
                    process.trace("repeats", commit.thread_id, revision, commit.event_id)
                    self._repeat(commit, revision)
                case Conflict(actual_revision=actual):
                    process.trace("conflicts", commit.thread_id, actual, commit.expected_revision)
                    known = self.thread(commit.thread_id)
                    follows = any(
                        c.thread_id == commit.thread_id
                        and c.expected_revision < commit.expected_revision
                        for c in batch
                    )
                    same = actual == commit.expected_revision and not follows
                    if actual != known.revision or same:
                        self.fail("a conflict without a reason", f"at {actual}")
                case _:
                    self.fail("a commit is refused", f"{outcome}")
        for mark in done:
            process.trace("marks", mark.key)
            self._done(mark.key)

    def _repeat(self, commit: Commit, revision: int) -> None:
        known = self.thread(commit.thread_id)
        if known.events.get(commit.event_id) != revision:
            self.fail("a new event is taken for a repeat", commit.event_id)
        inbox_id = commit.inbox_id
        if inbox_id in self._inbox and inbox_id not in self._consumed:
            self._consumed[inbox_id] = (commit.thread_id, revision)

    # People.

    def put(self, inbox_id: str, thread_id: str) -> None:
        """Note a row that is in the inbox for good."""
        self._inbox[inbox_id] = thread_id

    def compare_with_disk(self) -> None:
        """Compare everything that was committed with what is stored: nothing may be missing."""
        disk = self._world.disk
        for thread_id, known in self._threads.items():
            rows = disk.journal.get(thread_id, [])
            if [row.digest for row in rows] != known.digests:
                self.fail("committed events are missing", f"{len(rows)} of {known.revision}")
            if {row.event_id: row.revision for row in rows} != known.events:
                self.fail("the journal holds other events", thread_id)
            stored = disk.sessions.get(thread_id)
            if known.revision and (stored is None or stored.state != codec.encode(known.session)):
                self.fail("a snapshot is not what was committed", thread_id)
        forged = self._world.callers.forged
        rows = self._world.front.inbox.pending()
        waiting = sorted(row.inbox_id for row in rows if row.inbox_id not in forged)
        if waiting != sorted(self.unconsumed()):
            self.fail("the inbox is not what was left in it", f"{waiting}")
        stored_open = set(disk.open_effects)
        if stored_open != set(self.undone()):
            differ = sorted(stored_open ^ set(self.undone()))
            self.fail("open effects are not what was committed", f"{differ}")


def _counted(session: Session) -> tuple[object, ...]:
    """Return what changes whenever a goal's time is counted, and when it begins to run."""
    goal, clock = session.goal, session.clock
    seconds = 0 if goal is None else goal.active_seconds
    return seconds, clock.remainder_ms, clock.last_ms is None
