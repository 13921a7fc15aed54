"""The contract of reading: what was written is found again, whichever store is behind it."""

from __future__ import annotations

from typing import Any

from goalfsm.store.port import Effect, ThreadRow
from goalfsm.store.reading import Reading
from tests.store.handles import Write, commit


class ReadingContract:
    """What was written is found by whoever looks for it.

    Inherit this and provide two fixtures: ``reading``, a handle on an empty store, and ``write``,
    what puts commits and workers into it.
    """

    def test_missing_things_are_none_or_empty(self, reading: Reading) -> None:
        """An empty store answers every question without an error."""
        assert reading.sessions.load("t") is None
        assert reading.sessions.threads() == ()
        assert reading.sessions.due(10**15) == ()
        assert reading.sessions.next_wake() is None
        assert reading.journal.read("t") == ()
        assert reading.journal.find("t", "event-1") is None
        assert reading.history.read("t") == ()
        assert reading.outbox.open() == ()
        assert reading.outbox.open("t") == ()
        assert reading.inbox.answer("in-1") is None
        assert reading.workers.get("t") is None
        assert reading.transcripts.read("t") == ()
        assert reading.transcripts.of_run("r") is None
        assert reading.facts().threads == 0

    def test_snapshot_is_that_of_the_newest_commit(self, reading: Reading, write: Write) -> None:
        """It carries what the commit said of it, also where that goes back to nothing."""
        write.commits(commit(rules_version=7, wake_at_ms=9_000, status="active"))
        stored = reading.sessions.load("t")
        assert stored is not None
        assert (stored.state, stored.revision, stored.rules_version) == (b"state 1 of t", 1, 7)
        assert (stored.status, stored.wake_at_ms, stored.updated_at_ms) == ("active", 9_000, 1_000)
        write.commits(commit(expected=1))
        stored = reading.sessions.load("t")
        assert stored is not None
        assert (stored.state, stored.revision) == (b"state 2 of t", 2)
        assert (stored.status, stored.wake_at_ms) == ("", None)

    # --- sessions and timers

    def test_many_threads_are_asked_for_at_once(self, reading: Reading, write: Write) -> None:
        """In the order in which they were named; those that are not there are left out."""
        write.commits(commit("a"), commit("b", status="paused"), commit("c"))
        found = reading.sessions.many(["c", "none", "b"])
        assert [each.thread_id for each in found] == ["c", "b"]
        assert found == (reading.sessions.load("c"), reading.sessions.load("b"))
        drivers = reading.drivers.many(["c", "b"])
        assert drivers == {each: reading.drivers.of(each) for each in ("c", "b")}

    def test_threads_are_listed_by_id_and_status(self, reading: Reading, write: Write) -> None:
        """A listing carries no state and can be limited to some statuses."""
        write.commits(
            commit("b", status="active", wake_at_ms=3),
            commit("a", status="paused"),
            commit("c", status="blocked"),
        )
        row = ThreadRow(
            thread_id="b", status="active", wake_at_ms=3, revision=1, updated_at_ms=1_000
        )
        sessions = reading.sessions
        assert [r.thread_id for r in sessions.threads()] == ["a", "b", "c"]
        assert sessions.threads(["active"]) == (row,)
        assert [r.thread_id for r in sessions.threads({"paused", "blocked"})] == ["a", "c"]

    def test_timers_are_due_in_order(self, reading: Reading, write: Write) -> None:
        """The longest due comes first; the time itself counts; None never does."""
        wakes = {"a": 30, "b": 10, "c": None, "d": 20}
        write.commits(*(commit(t, wake_at_ms=wake) for t, wake in wakes.items()))
        sessions = reading.sessions
        assert sessions.next_wake() == 10
        assert [r.thread_id for r in sessions.due(9)] == []
        assert [r.thread_id for r in sessions.due(20)] == ["b", "d"]
        assert [r.thread_id for r in sessions.due(99, limit=2)] == ["b", "d"]
        write.commits(commit("b", expected=1))
        assert sessions.next_wake() == 20

    # --- journal and history

    def test_journal_row_is_what_was_committed(self, reading: Reading, write: Write) -> None:
        """Event, decision and digest are the bytes that were given."""
        write.commits(commit(decision=b"decision", rules_version=7))
        (row,) = reading.journal.read("t")
        assert (row.thread_id, row.revision, row.event_id) == ("t", 1, "event-1")
        assert (row.event, row.decision, row.digest) == (b"event 1 of t", b"decision", b"digest")
        assert (row.at_ms, row.rules_version) == (1_000, 7)

    def test_journal_is_read_both_ways(self, reading: Reading, write: Write) -> None:
        """Oldest first after a revision, or the newest ones first."""
        write.commits(*(commit(expected=n) for n in range(6)), commit("other"))

        def revisions(**options: Any) -> list[int]:
            return [row.revision for row in reading.journal.read("t", **options)]

        assert revisions() == [1, 2, 3, 4, 5, 6]
        assert revisions(after=4) == [5, 6]
        assert revisions(limit=2) == [1, 2]
        assert revisions(newest=True, limit=2) == [6, 5]
        assert revisions(newest=True, after=4) == [6, 5]
        assert revisions(after=6) == []

    def test_journal_is_read_between_revisions(self, reading: Reading, write: Write) -> None:
        """Pages backwards begin before the row that the last one ended with."""
        write.commits(*(commit(expected=n) for n in range(6)))

        def revisions(**options: Any) -> list[int]:
            return [row.revision for row in reading.journal.read("t", **options)]

        assert revisions(before=3) == [1, 2]
        assert revisions(after=2, before=5) == [3, 4]
        assert revisions(before=5, newest=True, limit=2) == [4, 3]
        assert revisions(before=1) == []
        assert revisions(before=0) == []

    def test_page_of_a_journal_ends_by_bytes(self, reading: Reading, write: Write) -> None:
        """Whatever the rows weigh, a page holds one, and no more than was asked for behind it."""
        write.commits(*(commit(expected=n, event=bytes(1_000)) for n in range(6)))

        def revisions(**options: Any) -> list[int]:
            return [row.revision for row in reading.journal.read("t", **options)]

        assert revisions(max_bytes=1) == [1]
        assert revisions(max_bytes=2_000, after=1) == [2, 3]
        assert revisions(max_bytes=2_000, newest=True) == [6, 5]

    def test_moment_in_a_journal_is_found(self, reading: Reading, write: Write) -> None:
        """What came since begins behind the newest row that is older."""
        write.commits(*(commit(expected=n, at_ms=10 * n) for n in range(7)))
        assert [reading.journal.revision_before("t", at) for at in (-1, 0, 1, 30, 31, 99)] == [
            0, 0, 1, 3, 4, 7,
        ]  # fmt: skip
        assert reading.journal.revision_before("unknown", 99) == 0

    def test_journal_finds_an_event_by_its_id(self, reading: Reading, write: Write) -> None:
        """An outcome that was not heard can be looked up."""
        write.commits(commit(), commit("other"))
        row = reading.journal.find("t", "event-1")
        assert row is not None
        assert (row.thread_id, row.revision) == ("t", 1)
        assert reading.journal.find("t", "event-2") is None

    def test_history_is_in_order_of_commit(self, reading: Reading, write: Write) -> None:
        """Entries of several commits follow one another."""
        write.commits(commit(history=(b"1", b"2")), commit("other", history=(b"x",)))
        write.commits(commit(expected=1, history=(b"3",)))
        assert reading.history.read("t") == (b"1", b"2", b"3")

    # --- effects, answers, workers

    def test_effects_come_in_order_and_by_page(self, reading: Reading, write: Write) -> None:
        """Open effects are listed by commit, per thread, and after a given one."""
        write.commits(commit("a", outbox=tuple(Effect(key=f"a{n}", kind="K") for n in range(3))))
        write.commits(commit("b", outbox=(Effect(key="b0", kind="Run", payload=b"go"),)))
        outbox = reading.outbox
        rows = outbox.open()
        assert [row.key for row in rows] == ["a0", "a1", "a2", "b0"]
        assert (rows[3].thread_id, rows[3].revision, rows[3].at_ms) == ("b", 1, 1_000)
        assert (rows[3].kind, rows[3].payload) == ("Run", b"go")
        assert [row.key for row in outbox.open("b")] == ["b0"]
        assert [row.key for row in outbox.open(after=rows[1].seq)] == ["a2", "b0"]
        assert [row.key for row in outbox.open(limit=2)] == ["a0", "a1"]
        assert [row.key for row in outbox.open("a", after=rows[0].seq, limit=1)] == ["a1"]

    def test_effect_that_was_done_is_not_open(self, reading: Reading, write: Write) -> None:
        """An effect that a later event reports as done is listed no more."""
        write.commits(commit(outbox=(Effect(key="k1", kind="K"), Effect(key="k2", kind="K"))))
        write.commits(commit(expected=1, outbox_done=("k1",)))
        assert [row.key for row in reading.outbox.open()] == ["k2"]

    def test_answer_is_found_by_the_id_of_the_sending(self, reading: Reading, write: Write) -> None:
        """Whoever did not hear the reply can ask again."""
        write.commits(commit(inbox_id="in", reply=b"yes"))
        answer = reading.inbox.answer("in")
        assert answer is not None
        assert (answer.revision, answer.reply) == (1, b"yes")

    def test_worker_is_found_until_it_is_replaced_or_forgotten(
        self, reading: Reading, write: Write
    ) -> None:
        """The others' stay."""
        write.worker("t", b"first")
        write.worker("u", b"other")
        write.worker("t", b"second")
        assert reading.workers.get("t") == b"second"
        write.worker("t", None)
        write.worker("never stored", None)
        assert reading.workers.get("t") is None
        assert reading.workers.get("u") == b"other"

    def test_facts_count(self, reading: Reading, write: Write) -> None:
        """The counts that people see are right."""
        effects = (Effect(key="k1", kind="K"), Effect(key="k2", kind="K"))
        write.commits(commit("a", outbox=effects), commit("b"))
        write.commits(commit("a", expected=1, outbox_done=("k1",)))
        facts = reading.facts()
        assert (facts.threads, facts.journal_rows, facts.open_effects) == (2, 3, 1)
