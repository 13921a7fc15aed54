"""Random operations on the file and in memory: every answer is the same."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from goalfsm.errors import StoreError
from goalfsm.store.memory import MemoryDisk, MemoryStore
from goalfsm.store.port import Commit, Done, Effect, Identity, Process, Store
from goalfsm.store.sqlite import SqliteStore

THREADS = st.sampled_from(["a", "b", "c"])
KEYS = st.sampled_from([f"k{n}" for n in range(5)])
INBOX_IDS = st.sampled_from([f"in-{n}" for n in range(4)])
SMALL = st.integers(0, 4)
TIMES = st.integers(0, 20)

COMMITS = st.builds(
    Commit,
    thread_id=THREADS,
    expected_revision=SMALL,
    at_ms=TIMES,
    event_id=st.integers(0, 30).map("event-{}".format),
    event=st.binary(max_size=3),
    decision=st.none() | st.just(b"d"),
    state=st.binary(max_size=3),
    wake_at_ms=st.none() | TIMES,
    status=st.sampled_from(["active", "paused"]),
    outbox=st.lists(st.builds(Effect, key=KEYS, kind=st.just("K")), max_size=2).map(tuple),
    outbox_done=st.lists(KEYS, max_size=2).map(tuple),
    history=st.lists(st.binary(max_size=2), max_size=2).map(tuple),
    inbox_id=st.none() | INBOX_IDS,
    reply=st.none() | st.just(b"r"),
)
PROCESSES = st.builds(
    Process,
    run_id=st.sampled_from(["r1", "r2"]),
    thread_id=THREADS,
    identity=st.builds(Identity, pid=SMALL, start_time=SMALL, boot_id=st.just("boot")),
    pgid=SMALL,
    at_ms=TIMES,
)


class Stores(RuleBasedStateMachine):
    """Two processes, each with a handle on both stores, and a crash now and then."""

    def __init__(self) -> None:
        """Open two handles on either side."""
        super().__init__()
        self.directory = tempfile.TemporaryDirectory()
        self.path = Path(self.directory.name) / "goals.db"
        self.disk = MemoryDisk()
        self.dead: set[int] = set()
        self.uptime = 0
        self.pids = itertools.count(1)
        self.pid = [next(self.pids), next(self.pids)]
        self.handles: list[tuple[Store, Store]] = [self._pair(), self._pair()]

    def _pair(self) -> tuple[Store, Store]:
        return (
            SqliteStore.open(self.path, is_alive=self._alive, reserve_bytes=0),
            MemoryStore(self.disk, is_alive=self._alive),
        )

    def _alive(self, identity: Identity) -> bool:
        return identity.pid not in self.dead

    def _both(self, who: int, ask: Callable[[Store], Any]) -> Any:
        """Ask both stores; the answers, or the kinds of error, must be equal."""
        answers = []
        for store in self.handles[who]:
            try:
                answers.append(ask(store))
            except StoreError as error:
                answers.append(type(error))
        assert answers[0] == answers[1]
        return answers[0]

    @rule(who=st.integers(0, 1), batch=st.lists(COMMITS, max_size=5), marks=st.lists(KEYS))
    def commit(self, who: int, batch: list[Commit], marks: list[str]) -> None:
        """Commit any batch, most of it nonsense."""
        done = [Done(key=key, at_ms=1) for key in marks]
        self._both(who, lambda store: store.commit(batch, done=done))

    @rule(who=st.integers(0, 1), batch=st.lists(COMMITS, min_size=1, max_size=5))
    def commit_what_fits(self, who: int, batch: list[Commit]) -> None:
        """Commit a batch whose revisions are right."""
        revisions = {row.thread_id: row.revision for row in self.handles[0][1].sessions.threads()}
        fitting = []
        for each in batch:
            revision = revisions.get(each.thread_id, 0)
            revisions[each.thread_id] = revision + 1
            fitting.append(
                Commit(
                    thread_id=each.thread_id,
                    expected_revision=revision,
                    at_ms=each.at_ms,
                    event_id=f"fits-{revision}",
                    event=each.event,
                    state=each.state,
                    wake_at_ms=each.wake_at_ms,
                    outbox=each.outbox,
                    outbox_done=each.outbox_done,
                    history=each.history,
                )
            )
        self._both(who, lambda store: store.commit(fitting))

    @rule(who=st.integers(0, 1))
    def claim(self, who: int) -> None:
        """Claim for that process."""
        identity = Identity(pid=self.pid[who], start_time=0, boot_id="boot")
        self._both(who, lambda s: s.owner.acquire(identity, socket="s", uptime_ms=self.uptime))

    @rule(who=st.integers(0, 1))
    def heartbeat(self, who: int) -> None:
        """Live on."""
        self._both(who, lambda store: store.owner.heartbeat(uptime_ms=self.uptime))

    @rule(who=st.integers(0, 1))
    def release(self, who: int) -> None:
        """Say goodbye."""
        self._both(who, lambda store: store.owner.release())

    @rule(ms=st.sampled_from([1, 4_000, 10_000]))
    def pass_time(self, ms: int) -> None:
        """Let the owner be silent."""
        self.uptime += ms

    @rule(who=st.integers(0, 1), inbox_id=INBOX_IDS, thread_id=THREADS)
    def put_inbox(self, who: int, inbox_id: str, thread_id: str) -> None:
        """Send an event from outside."""
        self._both(who, lambda s: s.inbox.put(inbox_id, thread_id, at_ms=3, event=b"x"))

    @rule(who=st.integers(0, 1), keys=st.lists(KEYS, max_size=3))
    def mark(self, who: int, keys: list[str]) -> None:
        """Mark effects alone."""
        done = [Done(key=key, at_ms=7) for key in keys]
        self._both(who, lambda store: store.outbox.mark_done(done))

    @rule(who=st.integers(0, 1), thread_id=THREADS, config=st.binary(max_size=2))
    def put_worker(self, who: int, thread_id: str, config: bytes) -> None:
        """Say what runs a thread."""
        self._both(who, lambda store: store.workers.put(thread_id, config))

    @rule(who=st.integers(0, 1), thread_id=THREADS)
    def remove_worker(self, who: int, thread_id: str) -> None:
        """Take back what runs a thread."""
        self._both(who, lambda store: store.workers.remove(thread_id))

    @rule(who=st.integers(0, 1), process=PROCESSES)
    def put_process(self, who: int, process: Process) -> None:
        """Start a process."""
        self._both(who, lambda store: store.processes.put(process))

    @rule(who=st.integers(0, 1), run_id=st.sampled_from(["r1", "r2"]))
    def end_process(self, who: int, run_id: str) -> None:
        """End a process."""
        self._both(who, lambda store: store.processes.end(run_id))

    @rule(who=st.integers(0, 1))
    def reopen(self, who: int) -> None:
        """Reopen either side."""
        self._both(who, lambda store: store.reopen())

    @rule(who=st.integers(0, 1))
    def crash(self, who: int) -> None:
        """End a process; another takes its place."""
        self.dead.add(self.pid[who])
        self.pid[who] = next(self.pids)
        for store in self.handles[who]:
            store.close()
        self.handles[who] = self._pair()

    @invariant()
    def everything_reads_the_same(self) -> None:
        """Compare all that can be read, but for the numbers of arrival."""
        self._both(0, _contents)

    @precondition(lambda self: self.uptime > 0)
    @invariant()
    def nothing_is_wrong(self) -> None:
        """Integrity holds on either side."""
        assert self._both(1, lambda store: store.integrity()) == ()

    def teardown(self) -> None:
        """Close and delete."""
        for pair in self.handles:
            for store in pair:
                store.close()
        self.directory.cleanup()


def _contents(store: Store) -> Any:
    threads = ("a", "b", "c")
    rows = [row for thread in threads for row in store.journal.read(thread)]
    facts = store.facts()
    return (
        store.owner.current(),
        store.owner.epoch,
        [(row.inbox_id, row.thread_id, row.at_ms, row.event) for row in store.inbox.pending()],
        [store.inbox.answer(f"in-{n}") for n in range(4)],
        [store.sessions.load(thread) for thread in threads],
        store.sessions.threads(),
        store.sessions.threads(["paused"]),
        store.sessions.due(10),
        store.sessions.next_wake(),
        [(e.key, e.thread_id, e.revision, e.at_ms) for e in store.outbox.open()],
        [e.key for e in store.outbox.open("a", limit=2)],
        [(row.thread_id, row.revision, row.event_id, row.event, row.epoch) for row in rows],
        [row.revision for row in store.journal.read("a", after=1, newest=True, limit=2)],
        [store.history.read(thread) for thread in threads],
        [store.workers.get(thread) for thread in threads],
        store.processes.open(),
        (facts.threads, facts.journal_rows, facts.open_effects, facts.pending_inbox),
    )


TestStores = Stores.TestCase
TestStores.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
