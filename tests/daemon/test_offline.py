"""Events that are decided where no engine is, and a journal that is decided again."""

from __future__ import annotations

import asyncio
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
from goalfsm.session.state import RULES_VERSION, Reply
from goalfsm.store import limits
from goalfsm.store.memory import MemoryStore
from goalfsm.store.port import Commit, Conflict, Held, Outcome
from goalfsm.testing import MemoryGoals, check_goals
from tests.daemon.scenes import OBJECTIVE, THREAD, play, steps, worker


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


def of_earlier_rules(store: MemoryStore) -> None:
    """Have it look as if an earlier version of the rules had decided all that is stored."""
    disk, older = store.disk, RULES_VERSION - 1
    for thread_id, rows in disk.journal.items():
        rows[:] = [msgspec.structs.replace(row, rules_version=older, digest=b"x") for row in rows]
        stored = disk.sessions[thread_id]
        disk.sessions[thread_id] = msgspec.structs.replace(stored, rules_version=older)


def kinds(store: MemoryStore, after: int) -> list[str]:
    rows = store.journal.read(THREAD, after=after)
    assert {row.rules_version for row in rows} == {RULES_VERSION}
    return [type(codec.decode_event(row.event)).__name__ for row in rows]


def test_new_rules_say_once_from_where_they_decide() -> None:
    store = MemoryStore()
    journal_of(store)
    of_earlier_rules(store)
    assert replay(store, THREAD).skipped
    check_goals(store)
    assert decided(store, e.PauseRequested(), "four").ok
    assert decided(store, e.PauseRequested(), "four").ok
    assert decided(store, e.ResumeRequested(), "five").ok
    assert kinds(store, after=3) == ["RulesChanged", "PauseRequested", "ResumeRequested"]
    found = replay(store, THREAD)
    assert (found.rows, found.ok, found.skipped) == (3, True, False)
    check_goals(store)


def test_a_thread_too_large_to_be_kept_twice_goes_on_under_new_rules(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = MemoryStore()
    journal_of(store)
    of_earlier_rules(store)
    size = len(store.disk.sessions[THREAD].state)
    monkeypatch.setattr(limits, "MAX_COMMIT_BYTES", size * 19 // 10)
    assert decided(store, e.PauseRequested(), "four").ok
    assert kinds(store, after=3) == ["PauseRequested"]
    assert replay(store, THREAD).skipped


def test_an_engine_of_new_rules_says_from_where_they_decide() -> None:
    """Before all else: before what it takes over, and once for all that comes at the same time."""

    async def scene(goals: MemoryGoals) -> None:
        journal_of(goals.store())
        of_earlier_rules(goals.store())
        async with goals.process(worker(steps([500.0, "a"]))) as engine:
            await asyncio.sleep(1)
            await asyncio.gather(
                engine.submit(THREAD, e.PauseRequested()),
                engine.submit(THREAD, e.ResumeRequested()),
            )
        told = kinds(goals.store(), after=3)
        assert told[0] == "RulesChanged"
        assert "RulesChanged" not in told[1:]
        found = replay(goals.store(), THREAD)
        assert (found.rows, found.ok, found.skipped) == (len(told), True, False)

    play(scene)


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
