"""The contract of stores: effects that are owed, and events that came from outside."""

from __future__ import annotations

import pytest

from goalfsm.errors import TooLarge
from goalfsm.store.port import MAX_COMMIT_BYTES, Committed, Done, Duplicate, Effect, Invalid, Store
from tests.store.handles import MakeStore, commit, everybody_lives


class EffectsContract:
    """What is owed and what was received stays until it is dealt with."""

    # --- effects

    @pytest.mark.parametrize("way", ["commit", "batch", "marks"])
    def test_done_effect_is_no_longer_open(self, store: Store, way: str) -> None:
        """An effect is marked by its event, beside a batch, or alone."""
        effects = (Effect(key="k1", kind="K"), Effect(key="k2", kind="K"))
        store.commit([commit(outbox=effects)])
        if way == "commit":
            store.commit([commit(expected=1, outbox_done=("k1",))])
        elif way == "batch":
            store.commit([], done=[Done(key="k1", at_ms=9)])
        else:
            store.outbox.mark_done([Done(key="k1", at_ms=9), Done(key="unknown", at_ms=9)])
        assert [row.key for row in store.outbox.open()] == ["k2"]

    def test_marks_of_a_lost_commit_are_lost(self, store: Store) -> None:
        """A conflict marks nothing; marks beside the batch are kept."""
        store.commit([commit(outbox=(Effect(key="k1", kind="K"), Effect(key="k2", kind="K")))])
        stale = commit(expected=8, event_id="stale", outbox_done=("k1",))
        store.commit([stale], done=[Done(key="k2", at_ms=9)])
        assert [row.key for row in store.outbox.open()] == ["k1"]

    def test_known_key_is_left_as_it_is(self, store: Store) -> None:
        """An effect under a known key is not done again, nor is an open one replaced."""
        store.commit([commit(outbox=(Effect(key="k1", kind="K", payload=b"first"),))])
        again = Effect(key="k1", kind="K", payload=b"second")
        store.commit([commit(expected=1, outbox=(again,))])
        assert [row.payload for row in store.outbox.open()] == [b"first"]
        store.outbox.mark_done([Done(key="k1", at_ms=9)])
        store.commit([commit(expected=2, outbox=(again,))])
        assert store.outbox.open() == ()

    def test_effect_and_its_mark_in_one_commit(self, store: Store) -> None:
        """A commit may order an effect that it reports as done."""
        store.commit([commit(outbox=(Effect(key="k", kind="K"),), outbox_done=("k",))])
        assert store.outbox.open() == ()

    def test_mark_before_its_effect_marks_nothing(self, store: Store) -> None:
        """In one batch, too, an effect that is ordered after a mark of its key stays open."""
        marks = commit("a", outbox_done=("k",))
        orders = commit("b", outbox=(Effect(key="k", kind="K"),))
        assert store.commit([marks, orders]) == [Committed(revision=1)] * 2
        assert [row.key for row in store.outbox.open()] == ["k"]
        assert store.commit([commit("a", expected=1, outbox_done=("k",))]) == [
            Committed(revision=2)
        ]
        assert store.outbox.open() == ()

    # --- inbox

    def test_inbox_keeps_the_first_under_an_id(self, store: Store) -> None:
        """A repeated send is harmless."""
        assert store.inbox.put("in", "t", at_ms=1, event=b"first")
        assert not store.inbox.put("in", "t", at_ms=2, event=b"second")
        (row,) = store.inbox.pending()
        assert (row.inbox_id, row.thread_id, row.at_ms, row.event) == ("in", "t", 1, b"first")
        answer = store.inbox.answer("in")
        assert answer is not None
        assert answer.revision is None

    def test_inbox_takes_events_from_who_does_not_own(
        self, store: Store, make_store: MakeStore
    ) -> None:
        """Another process may write to the inbox; the owner finds it."""
        assert make_store(is_alive=everybody_lives).inbox.put("in", "t", at_ms=1, event=b"x")
        assert [row.inbox_id for row in store.inbox.pending()] == ["in"]

    def test_inbox_is_ordered_and_paged(self, store: Store) -> None:
        """Rows come in the order of arrival, after a given one."""
        for name in "cab":
            store.inbox.put(name, "t", at_ms=1, event=b"")
        rows = store.inbox.pending()
        assert [row.inbox_id for row in rows] == ["c", "a", "b"]
        assert [row.inbox_id for row in store.inbox.pending(after=rows[0].seq)] == ["a", "b"]
        assert [row.inbox_id for row in store.inbox.pending(limit=2)] == ["c", "a"]

    def test_inbox_row_is_consumed_once(self, store: Store) -> None:
        """A second event that would consume the row is told what the first answered."""
        store.inbox.put("in", "t", at_ms=1, event=b"x")
        store.commit([commit(inbox_id="in", reply=b"yes")])
        again = commit(expected=1, event_id="other", inbox_id="in", reply=b"no")
        assert store.commit([again]) == [Duplicate(revision=1, reply=b"yes")]
        assert len(store.journal.read("t")) == 1

    def test_inbox_row_of_another_thread_is_refused(self, store: Store) -> None:
        """A thread cannot consume what was sent to another."""
        store.inbox.put("in", "other", at_ms=1, event=b"x")
        (outcome,) = store.commit([commit(inbox_id="in")])
        assert isinstance(outcome, Invalid)
        assert store.sessions.load("t") is None
        assert [row.inbox_id for row in store.inbox.pending()] == ["in"]

    def test_event_from_a_socket_leaves_its_reply(self, store: Store) -> None:
        """Without an inbox row one is written, consumed: the sender can ask again."""
        store.commit([commit(inbox_id="in", reply=b"yes")])
        answer = store.inbox.answer("in")
        assert answer is not None
        assert (answer.revision, answer.reply) == (1, b"yes")
        assert store.inbox.pending() == ()
        assert not store.inbox.put("in", "t", at_ms=1, event=b"again")

    def test_inbox_refuses_what_is_too_large(self, store: Store) -> None:
        """Nothing is written above the limit."""
        with pytest.raises(TooLarge):
            store.inbox.put("in", "t", at_ms=1, event=bytes(MAX_COMMIT_BYTES + 1))
        assert store.inbox.answer("in") is None
