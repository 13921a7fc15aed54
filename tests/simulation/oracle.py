"""What must hold, whatever breaks: looked at with every commit, every effect and every step.

The oracle keeps its own record of what became durable, decides every event again, and compares.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from goalfsm.daemon.flow.holds import PROCESSES
from goalfsm.session import codec
from goalfsm.store.port import EXPIRY_MS, Commit, Committed, Conflict, Done, Duplicate, Outcome
from tests.simulation.commit_rules import CommitRules

if TYPE_CHECKING:
    from tests.simulation.process import Process

FENCED_WITHIN_US: Final = 3_000_000
"""A deposed engine that runs notices at its next heartbeat, two seconds away at most."""
CLOSED_WITHIN_US: Final = 20_000_000
"""An engine that is well ends a run that nobody does: a fault that meets its end takes seconds."""
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
            if silent_ms < EXPIRY_MS:
                self.fail("an owner that is well loses the store", f"silent for {silent_ms} ms")
            before.deposed_at_us = world.now_us
            world.stats.takeovers += 1
        self.epoch, self._owner = epoch, process
        self.beat(process)

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
            since = process.deposed_at_us
            if since is None or not process.runs:
                continue
            late = world.now_us - since - FENCED_WITHIN_US
            kept = (child for child in world.children.all if child.engine is process)
            if late >= 0 and any(late >= child.resisted * RESISTED_US for child in kept):
                self.fail("a deposed engine keeps its workers", repr(process))

        self._open_runs()

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
        )

    def _now_ms(self) -> int:
        return self._world.now_us // 1000

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
        waiting = sorted(row.inbox_id for row in self._world.front.inbox.pending())
        if waiting != sorted(self.unconsumed()):
            self.fail("the inbox is not what was left in it", f"{waiting}")
        stored_open = set(disk.open_effects)
        if stored_open != set(self.undone()):
            differ = sorted(stored_open ^ set(self.undone()))
            self.fail("open effects are not what was committed", f"{differ}")
