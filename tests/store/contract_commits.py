"""The contract of stores: what a commit writes, and which of a batch are refused."""

from __future__ import annotations

import pytest

from goalfsm.store.port import (
    MAX_COMMIT_BYTES,
    Answer,
    Committed,
    Conflict,
    Duplicate,
    Effect,
    Invalid,
    Store,
)
from tests.store.handles import MakeStore, commit


class CommitsContract:
    """What is committed is there whole, once, and in its order."""

    def test_commit_writes_all_of_it(self, store: Store, make_store: MakeStore) -> None:
        """A commit is there with everything it carries, for another handle too."""
        store.inbox.put("in-1", "t", at_ms=5, event=b"from outside")
        outcomes = store.commit(
            [
                commit(
                    decision=b"decision",
                    rules_version=7,
                    wake_at_ms=9_000,
                    status="active",
                    outbox=(Effect(key="k1", kind="StartRun", payload=b"go"),),
                    history=(b"entry 1", b"entry 2"),
                    inbox_id="in-1",
                    reply=b"done",
                )
            ]
        )
        other = make_store(read_only=True)

        assert outcomes == [Committed(revision=1)]
        stored = other.sessions.load("t")
        assert stored is not None
        assert (stored.state, stored.revision, stored.rules_version) == (b"state 1 of t", 1, 7)
        assert (stored.status, stored.wake_at_ms, stored.updated_at_ms) == ("active", 9_000, 1_000)
        assert stored.epoch == store.owner.epoch
        (row,) = other.journal.read("t")
        assert (row.revision, row.event_id, row.event) == (1, "event-1", b"event 1 of t")
        assert (row.decision, row.digest, row.rules_version) == (b"decision", b"digest", 7)
        assert (row.at_ms, row.epoch) == (1_000, store.owner.epoch)
        (effect,) = other.outbox.open()
        assert (effect.thread_id, effect.revision, effect.key) == ("t", 1, "k1")
        assert (effect.kind, effect.payload, effect.at_ms) == ("StartRun", b"go", 1_000)
        assert other.history.read("t") == (b"entry 1", b"entry 2")
        assert other.inbox.pending() == ()
        answer = other.inbox.answer("in-1")
        assert answer is not None
        assert (answer.revision, answer.reply) == (1, b"done")

    @pytest.mark.parametrize(("there", "expected"), [(0, 1), (0, 7), (2, 1), (2, 3), (2, 0)])
    def test_stale_revision_is_a_conflict(self, store: Store, there: int, expected: int) -> None:
        """A commit computed from another revision writes nothing and learns the actual one."""
        for revision in range(there):
            store.commit([commit(expected=revision)])
        late = commit(
            expected=expected,
            event_id="late",
            outbox=(Effect(key="k", kind="K"),),
            history=(b"h",),
            inbox_id="in",
        )
        assert store.commit([late]) == [Conflict(actual_revision=there)]
        assert len(store.journal.read("t")) == there
        assert store.journal.find("t", "late") is None
        assert store.outbox.open() == ()
        assert store.history.read("t") == ()
        assert store.inbox.answer("in") is None

    def test_repeated_event_is_a_duplicate(self, store: Store) -> None:
        """The same commit again answers what the first did and changes nothing."""
        first = commit(
            outbox=(Effect(key="k", kind="K"),), history=(b"h",), inbox_id="in", reply=b"yes"
        )
        store.commit([first])
        store.commit([commit(expected=1)])

        assert store.commit([first]) == [Duplicate(revision=1, reply=b"yes")]
        assert len(store.journal.read("t")) == 2
        assert len(store.outbox.open()) == 1
        assert store.history.read("t") == (b"h",)
        stored = store.sessions.load("t")
        assert stored is not None
        assert stored.revision == 2

    def test_event_ids_are_per_thread(self, store: Store) -> None:
        """Two threads may have an event of the same id."""
        outcomes = store.commit([commit("a", event_id="same"), commit("b", event_id="same")])
        assert outcomes == [Committed(revision=1)] * 2
        again = [commit("a", expected=1, event_id="same"), commit("b", expected=1, event_id="new")]
        assert store.commit(again) == [Duplicate(revision=1), Committed(revision=2)]

    def test_batch_commits_many_threads(self, store: Store) -> None:
        """Every commit of a batch is there, in the order of the batch."""
        threads = [f"t{n:02}" for n in range(64)]
        assert store.commit([commit(t) for t in threads]) == [Committed(revision=1)] * 64
        seqs = [store.journal.read(t)[0].seq for t in threads]
        assert seqs == sorted(set(seqs))
        assert [row.thread_id for row in store.sessions.threads()] == threads

    def test_batch_leaves_out_only_the_losers(self, store: Store) -> None:
        """A stale and a repeated commit do no harm to those beside them."""
        store.commit([commit("a"), commit("b")])
        outcomes = store.commit(
            [
                commit("a", expected=1, outbox=(Effect(key="a2", kind="K"),)),
                commit("b", expected=5, outbox=(Effect(key="b6", kind="K"),)),
                commit("b"),
                commit("c", history=(b"c",)),
                commit("b", expected=1),
            ]
        )
        assert outcomes == [
            Committed(revision=2),
            Conflict(actual_revision=1),
            Duplicate(revision=1),
            Committed(revision=1),
            Committed(revision=2),
        ]
        assert [effect.key for effect in store.outbox.open()] == ["a2"]
        assert store.history.read("c") == (b"c",)

    def test_batch_may_carry_successive_commits_of_one_thread(self, store: Store) -> None:
        """Each builds on the one before, and the last snapshot stays."""
        batch = [commit(expected=n) for n in range(5)]
        assert store.commit(batch) == [Committed(revision=n + 1) for n in range(5)]
        stored = store.sessions.load("t")
        assert stored is not None
        assert stored.state == b"state 5 of t"

    def test_batch_is_taken_in_order(self, store: Store) -> None:
        """A commit placed before the one it builds on conflicts."""
        outcomes = store.commit([commit(expected=1), commit(expected=0)])
        assert outcomes == [Conflict(actual_revision=0), Committed(revision=1)]

    def test_same_event_twice_in_one_batch(self, store: Store) -> None:
        """The second is a duplicate of the first."""
        outcomes = store.commit([commit(event_id="e"), commit(expected=1, event_id="e")])
        assert outcomes == [Committed(revision=1), Duplicate(revision=1)]

    def test_followers_of_a_loser_conflict(self, store: Store) -> None:
        """What was computed from a state that never was is refused with it."""
        store.commit([commit()])
        outcomes = store.commit([commit(expected=3), commit(expected=4), commit(expected=5)])
        assert outcomes == [Conflict(actual_revision=1)] * 3

    def test_followers_of_a_loser_conflict_at_the_right_revision_too(self, store: Store) -> None:
        """Somebody else's commit has the revision that a follower expects: it conflicts as well."""
        store.commit([commit(), commit(expected=1)])
        stale = [commit(expected=n, event_id=f"stale {n}") for n in (1, 2, 3)]
        assert store.commit(stale) == [Conflict(actual_revision=2)] * 3

    def test_followers_of_a_repeat_are_applied(self, store: Store) -> None:
        """A batch that is submitted once more goes on behind what was durable already."""
        first, second = commit(event_id="e1"), commit(expected=1, event_id="e2")
        store.commit([first])
        assert store.commit([first, second]) == [Duplicate(revision=1), Committed(revision=2)]

    def test_oversized_commit_is_refused_alone(self, store: Store) -> None:
        """A commit above the limit is refused; its neighbours are committed."""
        huge = commit("big", state=bytes(MAX_COMMIT_BYTES))
        refused, fine = store.commit([huge, commit("small")])
        assert isinstance(refused, Invalid)
        assert fine == Committed(revision=1)
        assert store.sessions.load("big") is None

    def test_repeat_of_an_event_consumes_the_row_that_it_left_behind(self, store: Store) -> None:
        """An event that was committed without its row is not left waiting in the inbox."""
        store.commit([commit(event_id="e")])
        assert store.inbox.put("e", "t", at_ms=5, event=b"again")
        outcome = store.commit([commit(expected=1, event_id="e", inbox_id="e", reply=b"later")])
        assert outcome == [Duplicate(revision=1)]
        assert store.inbox.pending() == ()
        assert store.inbox.answer("e") == Answer(revision=1, reply=None)
