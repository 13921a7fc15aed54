"""What every store must do, as tests that a backend inherits.

A backend's test module subclasses `StoreContract` and provides the fixture ``make_store``: a
function that opens one more handle on the same durable data, as another process would::

    class TestMyStore(StoreContract):
        @pytest.fixture
        def make_store(self, tmp_path):
            return lambda **options: MyStore.open(tmp_path / "goals", **options)

Its options are ``read_only`` (default False) and ``is_alive``, the function that tells which
processes live. Handles are closed by the tests that must see them closed, else by the fixture.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeVar

import pytest

from goalfsm.errors import CannotWrite, Fenced, StoreClosed, TooLarge
from goalfsm.store.port import (
    EXPIRY_MS,
    MAX_COMMIT_BYTES,
    Answer,
    Claimed,
    Commit,
    Committed,
    Conflict,
    Done,
    Duplicate,
    Effect,
    Held,
    Identity,
    Process,
    Refused,
    Store,
    ThreadRow,
)

AnyStore = TypeVar("AnyStore", bound=Store)

ALICE = Identity(pid=100, start_time=1, boot_id="boot", namespace="ns")
BOB = Identity(pid=200, start_time=2, boot_id="boot", namespace="ns")


class MakeStore(Protocol):
    """Opens a handle on the data that the test's other handles have."""

    def __call__(
        self, *, read_only: bool = False, is_alive: Callable[[Identity], bool] = ...
    ) -> Store:
        """Return a new handle."""
        ...


def everybody_lives(_identity: Identity) -> bool:
    """Take every process for alive."""
    return True


def nobody_lives(_identity: Identity) -> bool:
    """Take every process for dead."""
    return False


def commit(thread_id: str = "t", expected: int = 0, **changes: Any) -> Commit:
    """Return a commit that is told apart by its thread and revision."""
    fields: dict[str, Any] = {
        "thread_id": thread_id,
        "expected_revision": expected,
        "at_ms": 1_000 + expected,
        "event_id": f"event-{expected + 1}",
        "event": f"event {expected + 1} of {thread_id}".encode(errors="replace"),
        "state": f"state {expected + 1} of {thread_id}".encode(errors="replace"),
        "digest": b"digest",
    }
    return Commit(**(fields | changes))


def owned(store: AnyStore, *, who: Identity = ALICE, at: int = 0) -> AnyStore:
    """Return the store after it claimed ownership."""
    assert isinstance(store.owner.claim(who, socket="/run/s", uptime_ms=at), Claimed)
    return store


class StoreContract:
    """Inherit this and provide ``make_store``."""

    @pytest.fixture
    def store(self, make_store: MakeStore) -> Store:
        """Return a handle that owns an empty store."""
        return owned(make_store(is_alive=everybody_lives))

    # --- commits

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

    def test_missing_things_are_none_or_empty(self, store: Store) -> None:
        """An empty store answers every question without an error."""
        assert store.sessions.load("t") is None
        assert store.sessions.threads() == ()
        assert store.sessions.due(10**15) == ()
        assert store.sessions.next_wake() is None
        assert store.journal.read("t") == ()
        assert store.journal.find("t", "event-1") is None
        assert store.history.read("t") == ()
        assert store.outbox.open() == ()
        assert store.outbox.open("t") == ()
        assert store.inbox.pending() == ()
        assert store.inbox.answer("in-1") is None
        assert store.workers.get("t") is None
        assert store.processes.open() == ()
        assert store.commit([]) == []

    def test_later_commit_replaces_the_state(self, store: Store) -> None:
        """The snapshot is the newest; wake and status follow it, also back to nothing."""
        store.commit([commit(wake_at_ms=5, status="active")])
        assert store.commit([commit(expected=1)]) == [Committed(revision=2)]
        stored = store.sessions.load("t")
        assert stored is not None
        assert (stored.state, stored.revision) == (b"state 2 of t", 2)
        assert (stored.status, stored.wake_at_ms) == ("", None)

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
        assert isinstance(refused, Refused)
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

    # --- effects

    def test_effects_come_in_order_and_by_page(self, store: Store) -> None:
        """Open effects are listed by commit, per thread, and after a given one."""
        store.commit([commit("a", outbox=tuple(Effect(key=f"a{n}", kind="K") for n in range(3)))])
        store.commit([commit("b", outbox=(Effect(key="b0", kind="K"),))])
        rows = store.outbox.open()
        assert [row.key for row in rows] == ["a0", "a1", "a2", "b0"]
        assert [row.key for row in store.outbox.open("b")] == ["b0"]
        assert [row.key for row in store.outbox.open(after=rows[1].seq)] == ["a2", "b0"]
        assert [row.key for row in store.outbox.open(limit=2)] == ["a0", "a1"]
        assert [row.key for row in store.outbox.open("a", after=rows[0].seq, limit=1)] == ["a1"]

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
        assert isinstance(outcome, Refused)
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

    # --- ownership

    def test_who_does_not_own_cannot_commit(self, make_store: MakeStore) -> None:
        """Without a claim every owner's method is fenced."""
        store = make_store(is_alive=everybody_lives)
        process = Process(run_id="r", thread_id="t", identity=ALICE, pgid=1, at_ms=1)
        for attempt in (
            lambda: store.commit([commit()]),
            lambda: store.outbox.mark_done([Done(key="k", at_ms=1)]),
            lambda: store.owner.heartbeat(uptime_ms=1),
            lambda: store.processes.put(process),
            lambda: store.processes.end("r"),
            lambda: store.prune(before_ms=1),
        ):
            with pytest.raises(Fenced):
                attempt()
        assert store.owner.epoch is None
        assert store.sessions.load("t") is None
        assert store.processes.open() == ()

    def test_living_owner_is_left_alone(self, store: Store, make_store: MakeStore) -> None:
        """A second process is told who owns the store and for how long it has been silent."""
        held = make_store(is_alive=everybody_lives).owner.claim(BOB, socket="/b", uptime_ms=4_000)
        assert isinstance(held, Held)
        assert held.owner is not None
        assert (held.owner.identity, held.owner.socket) == (ALICE, "/run/s")
        assert (held.silent_for_ms, held.locked) == (4_000, False)
        assert store.commit([commit()]) == [Committed(revision=1)]

    def test_dead_owner_is_replaced_at_once(self, store: Store, make_store: MakeStore) -> None:
        """Its successor has the next epoch and learns who it was."""
        heir = make_store(is_alive=nobody_lives)
        claimed = heir.owner.claim(BOB, socket="/b", uptime_ms=0)
        assert isinstance(claimed, Claimed)
        assert claimed.previous is not None
        assert (claimed.epoch, claimed.previous.identity) == (2, ALICE)
        assert store.owner.epoch == 1

    @pytest.mark.parametrize(("silent", "taken"), [(EXPIRY_MS - 1, False), (EXPIRY_MS, True)])
    def test_silent_owner_is_replaced_at_expiry(
        self, store: Store, make_store: MakeStore, silent: int, *, taken: bool
    ) -> None:
        """Alive but silent counts as gone after ten seconds, not before."""
        store.owner.heartbeat(uptime_ms=500)
        heir = make_store(is_alive=everybody_lives)
        answer = heir.owner.claim(BOB, socket="/b", uptime_ms=500 + silent)
        assert isinstance(answer, Claimed) is taken

    def test_clock_that_went_back_does_not_depose(
        self, store: Store, make_store: MakeStore
    ) -> None:
        """A heartbeat from the future is no silence."""
        store.owner.heartbeat(uptime_ms=3_600_000)
        held = make_store(is_alive=everybody_lives).owner.claim(BOB, socket="/b", uptime_ms=5)
        assert isinstance(held, Held)
        assert held.silent_for_ms == 0

    def test_superseded_owner_is_fenced(self, store: Store, make_store: MakeStore) -> None:
        """At its next commit the old owner writes nothing and learns that it is one no more."""
        heir = owned(make_store(is_alive=nobody_lives), who=BOB)
        heir.commit([commit("heir")])
        with pytest.raises(Fenced):
            store.commit([commit("a"), commit("b", inbox_id="in")])
        assert store.owner.epoch is None
        assert [row.thread_id for row in heir.sessions.threads()] == ["heir"]
        assert heir.inbox.answer("in") is None
        with pytest.raises(Fenced):
            store.owner.heartbeat(uptime_ms=1)
        current = heir.owner.current()
        assert current is not None
        assert (current.identity, current.epoch) == (BOB, 2)

    def test_superseded_owner_cannot_release_its_successor(
        self, store: Store, make_store: MakeStore
    ) -> None:
        """A late goodbye takes nothing from who came after."""
        heir = owned(make_store(is_alive=nobody_lives), who=BOB)
        store.owner.release()
        assert heir.commit([commit()]) == [Committed(revision=1)]

    def test_released_store_is_free(self, store: Store, make_store: MakeStore) -> None:
        """After release the next claim succeeds, with a higher epoch and no predecessor."""
        store.owner.release()
        assert store.owner.current() is None
        with pytest.raises(Fenced):
            store.commit([commit()])
        claimed = make_store(is_alive=everybody_lives).owner.claim(BOB, socket="/b", uptime_ms=0)
        assert claimed == Claimed(epoch=2, previous=None)
        store.owner.release()

    def test_claiming_again_is_a_heartbeat(self, store: Store) -> None:
        """The owner keeps its epoch."""
        again = store.owner.claim(ALICE, socket="/new", uptime_ms=700)
        assert again == Claimed(epoch=1, previous=None)
        current = store.owner.current()
        assert current is not None
        assert (current.uptime_ms, current.socket, current.epoch) == (700, "/new", 1)

    def test_same_process_can_take_over_from_its_own_handle(
        self, store: Store, make_store: MakeStore
    ) -> None:
        """A second handle of one process is another owner: it is held like any other."""
        held = make_store(is_alive=everybody_lives).owner.claim(ALICE, socket="/s", uptime_ms=1)
        assert isinstance(held, Held)
        assert store.owner.epoch == 1

    def test_closing_does_not_release(self, store: Store, make_store: MakeStore) -> None:
        """A closed handle leaves its owner row, as a crash does."""
        store.close()
        current = make_store(read_only=True).owner.current()
        assert current is not None
        assert current.identity == ALICE

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

    # --- the whole

    def test_everything_survives_the_handle(self, store: Store, make_store: MakeStore) -> None:
        """What was acknowledged is there after the handle is gone."""
        store.commit([commit("a", outbox=(Effect(key="k", kind="K"),)), commit("b")])
        store.inbox.put("in", "a", at_ms=1, event=b"x")
        store.close()
        again = owned(make_store(is_alive=nobody_lives), who=BOB)
        assert [row.thread_id for row in again.sessions.threads()] == ["a", "b"]
        assert [row.key for row in again.outbox.open()] == ["k"]
        assert [row.inbox_id for row in again.inbox.pending()] == ["in"]
        assert again.commit([commit("a", expected=1)]) == [Committed(revision=2)]

    def test_reopen_keeps_the_epoch(self, store: Store) -> None:
        """After reopening the owner goes on."""
        store.commit([commit()])
        store.reopen()
        assert store.owner.epoch == 1
        assert store.commit([commit(expected=1)]) == [Committed(revision=2)]

    def test_reopen_of_a_superseded_owner_is_fenced(
        self, store: Store, make_store: MakeStore
    ) -> None:
        """Reopening settles who owns, too."""
        owned(make_store(is_alive=nobody_lives), who=BOB)
        with pytest.raises(Fenced):
            store.reopen()
        assert store.owner.epoch is None

    def test_prune_keeps_what_is_open(self, store: Store) -> None:
        """Only consumed rows and done effects go; repeats stay harmless."""
        first = commit(
            inbox_id="in-1",
            outbox=(Effect(key="k1", kind="K"), Effect(key="k2", kind="K")),
            outbox_done=("k1",),
        )
        store.commit([first])
        store.inbox.put("in-2", "t", at_ms=1, event=b"x")
        # The newest row of a table may stay, so that numbers are not given out twice.
        store.commit([commit(expected=1, at_ms=5_000, inbox_id="in-3")])
        assert store.prune(before_ms=1_000) == 0
        assert store.prune(before_ms=2_000) == 2
        assert store.inbox.answer("in-1") is None
        assert [row.inbox_id for row in store.inbox.pending()] == ["in-2"]
        assert [row.key for row in store.outbox.open()] == ["k2"]
        assert store.commit([first]) == [Duplicate(revision=1)]

    def test_sound_store_has_integrity(self, store: Store) -> None:
        """Nothing is wrong after ordinary use."""
        store.commit([commit("a", inbox_id="in", outbox=(Effect(key="k", kind="K"),)), commit("b")])
        store.commit([commit("a", expected=1), commit("b", expected=9)])
        assert store.integrity() == ()

    def test_facts_count(self, store: Store) -> None:
        """The counts that people see are right."""
        effects = (Effect(key="k1", kind="K"), Effect(key="k2", kind="K"))
        store.commit([commit("a", outbox=effects), commit("b")])
        store.commit([commit("a", expected=1, outbox_done=("k1",))])
        store.inbox.put("in", "a", at_ms=1, event=b"x")
        facts = store.facts()
        assert (facts.threads, facts.journal_rows) == (2, 3)
        assert (facts.open_effects, facts.pending_inbox) == (1, 1)

    def test_read_only_handle_writes_nothing(self, store: Store, make_store: MakeStore) -> None:
        """It sees later commits and refuses every change."""
        reader = make_store(read_only=True)
        store.commit([commit()])
        stored = reader.sessions.load("t")
        assert stored is not None
        for attempt in (
            lambda: reader.inbox.put("in", "t", at_ms=1, event=b"x"),
            lambda: reader.workers.put("t", b"x"),
            lambda: reader.workers.remove("t"),
            lambda: reader.owner.claim(BOB, socket="", uptime_ms=10**9),
        ):
            with pytest.raises(CannotWrite):
                attempt()
        assert store.owner.epoch == 1
        assert store.inbox.pending() == ()

    def test_closed_handle_refuses(self, store: Store) -> None:
        """Nothing goes through a closed handle, and closing twice is no error."""
        store.close()
        store.close()
        with pytest.raises(StoreClosed):
            store.sessions.load("t")
        with pytest.raises(StoreClosed):
            store.commit([commit()])
        with pytest.raises(StoreClosed):
            store.inbox.put("in", "t", at_ms=1, event=b"x")
