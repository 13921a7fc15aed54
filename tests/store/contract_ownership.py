"""The contract of stores: one owner at a time, and what it takes to become the next."""

from __future__ import annotations

import msgspec
import pytest

from goalfsm.errors import Fenced
from goalfsm.store.port import EXPIRY_MS, Acquired, Committed, Done, Held, Process, Store
from tests.store.handles import ALICE, BOB, MakeStore, commit, everybody_lives, nobody_lives, owned


class OwnershipContract:
    """Who owns the store commits; who was superseded is fenced."""

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
        held = make_store(is_alive=everybody_lives).owner.acquire(BOB, socket="/b", uptime_ms=4_000)
        assert isinstance(held, Held)
        assert held.owner is not None
        assert (held.owner.identity, held.owner.socket) == (ALICE, "/run/s")
        assert (held.silent_for_ms, held.locked) == (4_000, False)
        assert store.commit([commit()]) == [Committed(revision=1)]

    def test_dead_owner_is_replaced_at_once(self, store: Store, make_store: MakeStore) -> None:
        """Its successor has the next epoch and learns who it was."""
        heir = make_store(is_alive=nobody_lives)
        claimed = heir.owner.acquire(BOB, socket="/b", uptime_ms=0)
        assert isinstance(claimed, Acquired)
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
        answer = heir.owner.acquire(BOB, socket="/b", uptime_ms=500 + silent)
        assert isinstance(answer, Acquired) is taken

    @pytest.mark.parametrize(
        ("unanswered", "taken"), [(0, False), (EXPIRY_MS - 1, False), (EXPIRY_MS, True)]
    )
    def test_owner_that_was_asked_is_as_silent_as_its_socket(
        self, store: Store, make_store: MakeStore, unanswered: int, *, taken: bool
    ) -> None:
        """One that answers is left alone however long it could not write its heartbeat."""
        heir = make_store(is_alive=everybody_lives)
        answer = heir.owner.acquire(
            BOB, socket="/b", uptime_ms=3 * EXPIRY_MS, unanswered_ms=unanswered
        )
        assert isinstance(answer, Acquired) is taken
        if isinstance(answer, Held):
            assert answer.silent_for_ms == unanswered
            assert store.commit([commit()]) == [Committed(revision=1)]

    def test_resting_owner_owes_no_heartbeat(self, store: Store, make_store: MakeStore) -> None:
        """Only a socket that does not answer tells that it hangs; a heartbeat ends the rest."""
        store.owner.rest()
        store.owner.rest()
        heir = make_store(is_alive=everybody_lives)
        for unanswered in (None, 0, EXPIRY_MS - 1):
            answer = heir.owner.acquire(BOB, socket="", uptime_ms=10**9, unanswered_ms=unanswered)
            assert isinstance(answer, Held)
            assert answer.owner is not None
            assert answer.owner.resting
        store.owner.heartbeat(uptime_ms=10**9)
        held = heir.owner.acquire(BOB, socket="", uptime_ms=10**9 + 1)
        assert isinstance(held, Held)
        assert held.owner is not None
        assert (held.owner.resting, held.silent_for_ms) == (False, 1)
        store.owner.rest()
        taken = heir.owner.acquire(BOB, socket="", uptime_ms=10**9, unanswered_ms=EXPIRY_MS)
        assert isinstance(taken, Acquired)
        with pytest.raises(Fenced):
            store.owner.rest()

    def test_owner_of_another_boot_is_silent_while_its_row_stays(
        self, store: Store, make_store: MakeStore
    ) -> None:
        """Its clock is another, so what counts is whether anything changes before our eyes."""
        far = msgspec.structs.replace(BOB, boot_id="another")
        heir = make_store(is_alive=everybody_lives).owner
        silent = []
        for uptime_ms, beat in ((0, 1), (EXPIRY_MS - 1, None), (EXPIRY_MS - 1, 2)):
            if beat is not None:
                store.owner.heartbeat(uptime_ms=10**6 * beat)
            answer = heir.acquire(far, socket="", uptime_ms=uptime_ms)
            assert isinstance(answer, Held)
            silent.append(answer.silent_for_ms)
        assert silent == [0, EXPIRY_MS - 1, 0]
        answered = heir.acquire(far, socket="", uptime_ms=10**7, unanswered_ms=0)
        assert isinstance(answered, Held)
        last = heir.acquire(far, socket="", uptime_ms=2 * EXPIRY_MS - 1, unanswered_ms=5)
        assert isinstance(last, Acquired)

    def test_confirming_asks_and_writes_nothing(self, store: Store, make_store: MakeStore) -> None:
        """An owner that stood still learns whether it still is one."""
        before = store.owner.current()
        store.owner.confirm()
        assert store.owner.current() == before
        owned(make_store(is_alive=nobody_lives), who=BOB)
        for _ in range(2):
            with pytest.raises(Fenced):
                store.owner.confirm()
        assert store.owner.epoch is None

    def test_clock_that_went_back_does_not_depose(
        self, store: Store, make_store: MakeStore
    ) -> None:
        """A heartbeat from the future is no silence."""
        store.owner.heartbeat(uptime_ms=3_600_000)
        held = make_store(is_alive=everybody_lives).owner.acquire(BOB, socket="/b", uptime_ms=5)
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
        claimed = make_store(is_alive=everybody_lives).owner.acquire(BOB, socket="/b", uptime_ms=0)
        assert claimed == Acquired(epoch=2, previous=None)
        store.owner.release()

    def test_claiming_again_is_a_heartbeat(self, store: Store) -> None:
        """The owner keeps its epoch."""
        again = store.owner.acquire(ALICE, socket="/new", uptime_ms=700)
        assert again == Acquired(epoch=1, previous=None)
        current = store.owner.current()
        assert current is not None
        assert (current.uptime_ms, current.socket, current.epoch) == (700, "/new", 1)

    def test_same_process_can_take_over_from_its_own_handle(
        self, store: Store, make_store: MakeStore
    ) -> None:
        """A second handle of one process is another owner: it is held like any other."""
        held = make_store(is_alive=everybody_lives).owner.acquire(ALICE, socket="/s", uptime_ms=1)
        assert isinstance(held, Held)
        assert store.owner.epoch == 1

    def test_closing_does_not_release(self, store: Store, make_store: MakeStore) -> None:
        """A closed handle leaves its owner row, as a crash does."""
        store.close()
        current = make_store(read_only=True).owner.current()
        assert current is not None
        assert current.identity == ALICE
