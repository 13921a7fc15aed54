"""The object that owns the decide loop: load, step, replay, and nothing that does anything."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import msgspec
import pytest

from goalfsm import GoalThread, Policy, Ready, ReplayError, Rules
from goalfsm.goal.compiler import Row
from goalfsm.goal.machine import default_machine
from goalfsm.session import codec
from goalfsm.session import effects as f
from goalfsm.session import events as e
from goalfsm.session.state import RULES_VERSION, Session
from goalfsm.session.thread import Replayed

START_MS = 1_700_000_000_000
GIVEN = e.ObjectiveGiven(objective="Make it work")


class Written(msgspec.Struct, frozen=True):
    """A journal row with what a replay reads of it, and no more."""

    revision: int
    event: bytes
    event_id: str
    at_ms: int
    rules_version: int
    digest: bytes


class Journal:
    """A thread and the rows that its steps are written down in."""

    def __init__(self, policy: Policy | None = None, **options: Any) -> None:
        self.thread = GoalThread.new(policy, **options)
        self.rows: list[Written] = []

    def step(self, event: e.Event) -> Ready:
        number = len(self.rows) + 1
        name, at_ms = f"event-{number}", START_MS + number * 1000
        ready = self.thread.step(event, id=name, at_ms=at_ms)
        digest = codec.digest(ready.snapshot())
        row = Written(number, codec.encode_event(event), name, at_ms, RULES_VERSION, digest)
        self.rows.append(row)
        return ready

    def replayed(self, policy: Policy | None = None, **options: Any) -> list[Replayed]:
        return list(GoalThread.replay(self.rows, policy, **options))


def written(policy: Policy | None = None, **options: Any) -> Journal:
    journal = Journal(policy, **options)
    for event in (GIVEN, e.PauseRequested(), e.ResumeRequested(), e.EditRequested(objective="b")):
        journal.step(event)
    return journal


def test_a_step_says_what_to_persist_and_then_to_do() -> None:
    thread = GoalThread.new()
    ready = thread.step(GIVEN, id="one", at_ms=START_MS)
    assert ready.event is GIVEN
    assert ready.state is thread.session
    assert [type(effect) for effect in ready.effects] == [f.AppendEntry, f.SendWork]
    assert ready.reply is not None
    assert (ready.reply.code, ready.wake_at) == ("created", None)
    assert ready.decision == thread.session.decision
    assert ready.step == (ready.state, ready.effects, ready.reply, ready.decision)


def test_a_thread_goes_on_from_its_snapshot() -> None:
    thread = GoalThread.new(Policy(blocked_after=7), thread_id="t")
    snapshot = thread.step(GIVEN, id="one", at_ms=START_MS).snapshot()
    again = GoalThread.load(snapshot, thread_id="t")
    assert again.session == thread.session
    pause = e.PauseRequested()
    assert again.step(pause, id="two", at_ms=START_MS) == thread.step(
        pause, id="two", at_ms=START_MS
    )


def test_what_is_no_snapshot_is_refused() -> None:
    with pytest.raises(codec.CodecError):
        GoalThread.load(b"{")


def test_a_due_time_is_told() -> None:
    thread = GoalThread.new()
    thread.step(GIVEN, id="one", at_ms=START_MS)
    wait = e.WaitDeclared(kind="timer", until_ms=START_MS + 5_000)
    assert thread.step(wait, id="two", at_ms=START_MS).wake_at == START_MS + 5_000


def test_ids_follow_from_the_thread_and_the_event() -> None:
    """The same ones for the same event, others in another thread or for another event."""

    def goal_id(thread_id: str, event_id: str) -> str:
        thread = GoalThread.new(thread_id=thread_id)
        goal = thread.step(GIVEN, id=event_id, at_ms=START_MS).state.goal
        assert goal is not None
        return goal.goal_id

    assert goal_id("a", "one") == goal_id("a", "one")
    assert len({goal_id("a", "one"), goal_id("a", "two"), goal_id("b", "one")}) == 3


def test_an_event_whose_decision_raises_leaves_the_thread_as_it_was() -> None:
    def broken(_goal: object) -> bool:
        raise RuntimeError("no")

    machine = default_machine().extended(
        [Row("check", "active", None, when="broken")], guards={"broken": broken}
    )
    thread = GoalThread.new(rules=Rules(machine))
    before = thread.step(GIVEN, id="one", at_ms=START_MS).state
    with pytest.raises(RuntimeError):
        thread.step(e.TriggerFired(trigger="check"), id="two", at_ms=START_MS)
    assert thread.session is before


def test_a_journal_gives_its_states_again() -> None:
    journal = written(thread_id="t")
    replayed = journal.replayed(thread_id="t")
    assert [each.row for each in replayed] == journal.rows
    assert replayed[0].before == Session()
    assert replayed[-1].ready.state == journal.thread.session
    for earlier, later in pairwise(replayed):
        assert later.before is earlier.ready.state


def test_a_replay_begins_with_the_policy_that_the_thread_began_with() -> None:
    """However often the policy was changed since."""
    journal = Journal(Policy(blocked_after=2))
    journal.step(GIVEN)
    journal.step(e.PolicyChanged(changes={"blocked_after": 7}))
    journal.step(e.PolicyChanged(changes={"blocked_after": 5}))
    session = journal.thread.session
    assert session.policy.blocked_after == 5
    assert session.began_with == Policy(blocked_after=2)
    assert len(journal.replayed(session.began_with)) == 3
    with pytest.raises(ReplayError) as differs:
        journal.replayed(session.policy)
    assert (differs.value.code, differs.value.revision) == ("state_differs", 1)


def upgraded() -> Journal:
    """Return a journal whose first rows an earlier version of the rules has written."""
    journal = written()
    journal.rows = [
        msgspec.structs.replace(row, rules_version=RULES_VERSION - 1, digest=b"other")
        for row in journal.rows
    ]
    journal.step(e.RulesChanged(state=codec.encode(journal.thread.session).decode()))
    journal.step(e.PauseRequested())
    return journal


def test_a_replay_begins_where_these_rules_began_to_decide() -> None:
    journal = upgraded()
    replayed = journal.replayed()
    assert [each.row.revision for each in replayed] == [5, 6]
    assert replayed[0].before == replayed[0].ready.state == replayed[1].before
    assert replayed[-1].ready.state == journal.thread.session


def test_a_replay_goes_back_to_no_rules_but_its_own() -> None:
    """Neither to rows of earlier ones that come later, nor to rows that follow without a word."""
    journal = upgraded()
    later = msgspec.structs.replace(journal.rows[0], revision=7)
    with pytest.raises(ReplayError) as stopped:
        list(GoalThread.replay([*journal.rows, later]))
    assert (stopped.value.code, stopped.value.revision) == ("other_rules", 7)
    del journal.rows[4]
    journal.rows[4] = msgspec.structs.replace(journal.rows[4], revision=5)
    with pytest.raises(ReplayError) as stopped:
        journal.replayed()
    assert (stopped.value.code, stopped.value.revision) == ("other_rules", 4)


@pytest.mark.parametrize(
    ("row", "changes", "code"),
    [
        (1, {"rules_version": RULES_VERSION - 1}, "other_rules"),
        (2, {"revision": 4}, "journal_gap"),
        (3, {"at_ms": START_MS + 60_000}, "state_differs"),
        (3, {"digest": b"another"}, "state_differs"),
    ],
)
def test_a_replay_stops_at_the_row_that_is_wrong(
    row: int, changes: dict[str, Any], code: str
) -> None:
    journal = written()
    wrong = msgspec.structs.replace(journal.rows[row - 1], **changes)
    journal.rows[row - 1] = wrong
    seen: list[int] = []
    with pytest.raises(ReplayError) as stopped:
        seen += (each.row.revision for each in GoalThread.replay(journal.rows))
    assert (stopped.value.code, stopped.value.revision) == (code, wrong.revision)
