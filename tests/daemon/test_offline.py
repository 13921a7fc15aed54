"""Events that are decided where no engine is, and a journal that is decided again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from goalfsm.daemon.flow.replay import replay
from goalfsm.daemon.host.platform import SystemClock, own_identity
from goalfsm.daemon.remote import offline
from goalfsm.errors import OutcomeUnknown, StoreUnavailable
from goalfsm.session import codec
from goalfsm.session import events as e
from goalfsm.session.policy import Policy
from goalfsm.session.state import Reply
from goalfsm.store.memory import MemoryStore
from goalfsm.store.port import Commit, Conflict, Held, Outcome
from tests.daemon.scenes import OBJECTIVE, THREAD


class Odd(MemoryStore):
    """A store whose next commits answer as told."""

    def __init__(self) -> None:
        super().__init__()
        self.odd: list[Outcome | str] = []
        self.reopened = 0

    def commit(self, batch: Sequence[Commit], **options: Any) -> list[Outcome]:
        if not self.odd:
            return super().commit(batch, **options)
        answer = self.odd.pop(0)
        if answer == "landed":
            super().commit(batch, **options)
        if isinstance(answer, str):
            raise OutcomeUnknown("who knows")
        return [answer]

    def reopen(self) -> None:
        self.reopened += 1


def decided(store: MemoryStore, event: e.Event, event_id: str) -> Reply:
    reply = offline.apply(store, THREAD, event, event_id)
    assert isinstance(reply, Reply)
    return reply


def test_it_owns_the_store_for_a_moment_and_does_no_effect() -> None:
    store = MemoryStore()
    assert decided(store, OBJECTIVE, "one").code == "created"
    assert store.owner.current() is None
    assert store.outbox.open() == ()
    assert replay(store, THREAD).rows == 1


def test_an_owner_that_lives_is_left_alone() -> None:
    store = MemoryStore()
    other = MemoryStore(store.disk)
    other.owner.acquire(own_identity(), socket="", uptime_ms=SystemClock().uptime_ms())
    assert isinstance(offline.apply(store, THREAD, OBJECTIVE, "one"), Held)
    assert store.disk.journal == {}


def test_a_repeat_gets_the_first_reply() -> None:
    store = MemoryStore()
    first = decided(store, OBJECTIVE, "one")
    decided(store, e.PauseRequested(), "two")
    assert decided(store, OBJECTIVE, "one") == first


@pytest.mark.parametrize("answer", ["landed", "lost"])
def test_an_unknown_outcome_is_settled(answer: str) -> None:
    store = Odd()
    store.odd = [answer]
    assert decided(store, OBJECTIVE, "one").code == "created"
    assert store.reopened == 1
    assert len(store.disk.journal[THREAD]) == 1


def test_a_conflict_is_decided_again_but_not_for_ever() -> None:
    store = Odd()
    store.odd = [Conflict(actual_revision=1)]
    assert decided(store, OBJECTIVE, "one").ok
    store.odd = [Conflict(actual_revision=1)] * 5
    with pytest.raises(StoreUnavailable):
        decided(store, e.PauseRequested(), "two")


def test_what_is_too_large_is_refused() -> None:
    store = MemoryStore()
    decided(store, OBJECTIVE, "one")
    reply = decided(store, e.TriggerFired(trigger="x" * 9_000_000), "two")
    assert (reply.ok, reply.code) == (False, "too_large")


def test_the_inbox_comes_first_and_a_refused_row_is_consumed() -> None:
    store = MemoryStore()
    store.inbox.put("zero", THREAD, at_ms=1, event=codec.encode_event(e.PauseRequested()))
    store.inbox.put("one", THREAD, at_ms=1, event=codec.encode_event(OBJECTIVE))
    assert decided(store, e.PauseRequested(), "two").ok
    kinds = [codec.decode_event(row.event) for row in store.disk.journal[THREAD]]
    assert [type(event).__name__ for event in kinds] == [
        "PauseRequested",
        "ObjectiveGiven",
        "PauseRequested",
    ]
    assert store.inbox.pending() == ()


def test_ids_are_new_each_time() -> None:
    assert offline.new_event_id() != offline.new_event_id()


def journal_of(store: MemoryStore) -> list[Any]:
    decided(store, OBJECTIVE, "one")
    decided(store, e.PauseRequested(), "two")
    decided(store, e.ResumeRequested(), "three")
    return store.disk.journal[THREAD]


def test_a_replay_finds_the_first_row_that_differs() -> None:
    store = MemoryStore()
    rows = journal_of(store)
    assert replay(store, THREAD).ok
    assert replay(store, "unknown").rows == 0
    rows[1] = msgspec.structs.replace(rows[1], digest=b"x")
    assert replay(store, THREAD).wrong_at == 2


def test_a_replay_finds_a_snapshot_that_differs() -> None:
    store = MemoryStore()
    journal_of(store)
    stored = store.disk.sessions[THREAD]
    other = codec.encode(msgspec.structs.replace(codec.decode(stored.state), stopping=True))
    store.disk.sessions[THREAD] = msgspec.structs.replace(stored, state=other)
    assert replay(store, THREAD).wrong_at == 3


def test_a_replay_stops_at_other_rules() -> None:
    store = MemoryStore()
    rows = journal_of(store)
    rows[1] = msgspec.structs.replace(rows[1], rules_version=0)
    found = replay(store, THREAD)
    assert (found.skipped, found.rows, found.ok) == (True, 1, True)


def test_the_policy_of_a_new_thread_is_the_one_given() -> None:
    store = MemoryStore()
    offline.apply(store, THREAD, OBJECTIVE, "one", Policy(no_progress=7))
    assert codec.decode(store.disk.sessions[THREAD].state).policy.no_progress == 7
