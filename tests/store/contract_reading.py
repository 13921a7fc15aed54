"""The contract of stores: what is listed and found again, of threads, workers and processes."""

from __future__ import annotations

from typing import Any

from goalfsm.store.port import Process, Store, ThreadRow
from tests.store.handles import ALICE, BOB, MakeStore, commit, everybody_lives


class ReadingContract:
    """What was written is found by whoever looks for it."""

    # --- sessions and timers

    def test_threads_are_listed_by_id_and_status(self, store: Store) -> None:
        """A listing carries no state and can be limited to some statuses."""
        store.commit(
            [
                commit("b", status="active", wake_at_ms=3),
                commit("a", status="paused"),
                commit("c", status="blocked"),
            ]
        )
        row = ThreadRow(
            thread_id="b", status="active", wake_at_ms=3, revision=1, updated_at_ms=1_000
        )
        assert [r.thread_id for r in store.sessions.threads()] == ["a", "b", "c"]
        assert store.sessions.threads(["active"]) == (row,)
        assert [r.thread_id for r in store.sessions.threads({"paused", "blocked"})] == ["a", "c"]

    def test_timers_are_due_in_order(self, store: Store) -> None:
        """The longest due comes first; the time itself counts; None never does."""
        wakes = {"a": 30, "b": 10, "c": None, "d": 20}
        store.commit([commit(t, wake_at_ms=wake) for t, wake in wakes.items()])
        assert store.sessions.next_wake() == 10
        assert [r.thread_id for r in store.sessions.due(9)] == []
        assert [r.thread_id for r in store.sessions.due(20)] == ["b", "d"]
        assert [r.thread_id for r in store.sessions.due(99, limit=2)] == ["b", "d"]
        store.commit([commit("b", expected=1)])
        assert store.sessions.next_wake() == 20

    # --- journal and history

    def test_journal_is_read_both_ways(self, store: Store) -> None:
        """Oldest first after a revision, or the newest ones first."""
        store.commit([commit(expected=n) for n in range(6)] + [commit("other")])

        def revisions(**options: Any) -> list[int]:
            return [row.revision for row in store.journal.read("t", **options)]

        assert revisions() == [1, 2, 3, 4, 5, 6]
        assert revisions(after=4) == [5, 6]
        assert revisions(limit=2) == [1, 2]
        assert revisions(newest=True, limit=2) == [6, 5]
        assert revisions(newest=True, after=4) == [6, 5]
        assert revisions(after=6) == []

    def test_journal_finds_an_event_by_its_id(self, store: Store) -> None:
        """An outcome that was not heard can be looked up."""
        store.commit([commit(), commit("other")])
        row = store.journal.find("t", "event-1")
        assert row is not None
        assert (row.thread_id, row.revision) == ("t", 1)
        assert store.journal.find("t", "event-2") is None

    def test_history_is_in_order_of_commit(self, store: Store) -> None:
        """Entries of several commits follow one another."""
        store.commit([commit(history=(b"1", b"2")), commit("other", history=(b"x",))])
        store.commit([commit(expected=1, history=(b"3",))])
        assert store.history.read("t") == (b"1", b"2", b"3")

    # --- workers and processes

    def test_worker_config_is_kept_and_replaced(self, store: Store, make_store: MakeStore) -> None:
        """Any process may say what runs a thread."""
        other = make_store(is_alive=everybody_lives)
        other.workers.put("t", b"first")
        other.workers.put("t", b"second")
        assert store.workers.get("t") == b"second"
        assert store.workers.get("u") is None

    def test_worker_config_is_forgotten(self, store: Store, make_store: MakeStore) -> None:
        """Any process may take a thread's worker back; the others' stay."""
        other = make_store(is_alive=everybody_lives)
        for thread in ("t", "u"):
            other.workers.put(thread, b"worker")
        other.workers.remove("t")
        other.workers.remove("never stored")
        assert store.workers.get("t") is None
        assert store.workers.get("u") == b"worker"
        store.workers.put("t", b"again")
        assert other.workers.get("t") == b"again"

    def test_processes_are_open_until_ended(self, store: Store, make_store: MakeStore) -> None:
        """A successor finds the process groups that were not ended."""
        first = Process(run_id="r1", thread_id="t", identity=ALICE, pgid=100, at_ms=2)
        second = Process(run_id="r2", thread_id="u", identity=BOB, pgid=200, at_ms=1)
        for process in (first, second):
            store.processes.put(process)
        assert make_store(read_only=True).processes.open() == (second, first)
        replaced = Process(run_id="r1", thread_id="t", identity=BOB, pgid=300, at_ms=2)
        store.processes.put(replaced)
        store.processes.end("r2")
        store.processes.end("unknown")
        assert store.processes.open() == (replaced,)
