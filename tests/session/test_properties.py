"""What holds for any events, in any order: the invariants, determinism, values that stay."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from goalfsm.goal.compiler import Row
from goalfsm.goal.machine import default_machine
from goalfsm.goal.model import STATUSES, Goal
from goalfsm.session import Context, Policy, Session, Step, codec
from goalfsm.session import events as e
from goalfsm.session.effects import SetEntry
from goalfsm.session.thread import handle
from goalfsm.session.work import next_wake
from goalfsm.testing.invariants import check
from recovery.obligations import IDLE
from tests.conformance import adapter_session
from tests.conftest import VECTORS
from tests.session.strategies import (
    EVENT_TYPES,
    World,
    events,
    events_of,
    happenings,
    policies,
    steps,
    tries,
)

EMBEDDED = default_machine().extended(
    [
        Row("pause", "active", "blocked", when="odd"),
        Row("complete", "active", "paused", when="odd"),
        Row("resume", "paused", None, when="odd", actions=("tell",)),
        Row("zzz", "active", "absent", actions=("tell",)),
        Row("zzz", "blocked", "active"),
    ],
    guards={"odd": lambda goal: goal.revision % 2 == 1},
    effects=["tell"],
    on_enter={"active": "tell", "budgetLimited": "tell"},
)
"""A machine with rows of an embedder that redirect ours."""


def same(ctx: Context) -> Context:
    """Return a context whose ids are the next ones that ``ctx`` gives, however often asked."""
    made: dict[str, str] = {}

    def ids(kind: Any) -> str:
        if kind not in made:
            made[kind] = ctx.ids(kind)
        return made[kind]

    return ctx._replace(ids=ids)


def looked_at(session: Session, event: e.Event, ctx: Context, *, whole: bool = True) -> Step:
    """Return the step, having held it against everything that is said of all steps."""
    ctx = same(ctx)
    before, happened = codec.encode(session), copy.deepcopy(event)
    step = handle(session, event, ctx)
    assert codec.encode(session) == before, "the session was changed in place"
    assert codec.encode_event(event) == codec.encode_event(happened), "the event was changed"
    assert handle(session, event, ctx) == step, "the same inputs gave another step"
    if whole:
        check(session, event, step, now_ms=ctx.now_ms)
    after = codec.encode(step.session)
    assert codec.decode(after) == step.session
    assert codec.encode(codec.decode(after)) == after
    for effect in step.effects:
        assert codec.decode_effect(codec.encode_effect(effect)) == effect
    return step


def play(session: Session, happened: tuple[e.Event, ...], world: World) -> Session:
    """Return the session after all of ``happened``."""
    for event in happened:
        session = looked_at(session, event, world.next()).session
    return session


@tries(120)
@given(policies, happenings(), steps)
def test_any_history_of_events_keeps_the_invariants(
    policy: Policy, happened: tuple[e.Event, ...], passed: list[int]
) -> None:
    play(Session(policy=policy), happened, World(passed))


@tries(40)
@given(policies, happenings(), steps)
def test_no_machine_of_an_embedder_makes_a_step_raise(
    policy: Policy, happened: tuple[e.Event, ...], passed: list[int]
) -> None:
    session, world = Session(policy=policy), World(passed, EMBEDDED)
    for event in happened:
        session = looked_at(session, event, world.next(), whole=False).session


@tries(60)
@given(policies, happenings(), happenings(), steps)
def test_a_snapshot_goes_on_like_the_original(
    policy: Policy, first: tuple[e.Event, ...], then: tuple[e.Event, ...], passed: list[int]
) -> None:
    world = World(passed)
    session = play(Session(policy=policy), first, world)
    restored = codec.decode(codec.encode(session))
    for event in then:
        ctx = same(world.next())
        gone_on, again = handle(session, event, ctx), handle(restored, event, ctx)
        assert gone_on == again
        session, restored = gone_on.session, codec.decode(codec.encode(again.session))


@tries(60)
@given(policies, happenings(), steps)
def test_timers_alone_come_to_rest(
    policy: Policy, happened: tuple[e.Event, ...], passed: list[int]
) -> None:
    """With nothing else happening a thread is woken a few times and then sleeps."""
    world = World(passed)
    session = play(Session(policy=policy), happened, world)
    for _ in range(6):
        wake = next_wake(session)
        if wake is None:
            return
        world.now_ms = max(world.now_ms, wake)
        ctx = Context(world.now_ms, same(world.next()).ids)
        session = looked_at(session, e.TimerFired(), ctx).session
    pytest.fail(f"still woken at {next_wake(session)}")


@tries(40)
@given(policies, happenings(), steps)
def test_shutdown_releases_every_obligation(
    policy: Policy, happened: tuple[e.Event, ...], passed: list[int]
) -> None:
    world = World(passed)
    session = play(Session(policy=policy), happened, world)
    session = looked_at(session, e.ShutdownStarted(), world.next()).session
    assert session.stale == IDLE
    assert session.recovery.attention is None or session.recovery.attention.kind == "paused"


@tries(40)
@given(policies, happenings(), events, steps)
def test_two_threads_that_are_equal_stay_equal(
    policy: Policy, happened: tuple[e.Event, ...], event: e.Event, passed: list[int]
) -> None:
    """Replay gives what was: nothing hides outside of session, event and context."""
    ends = [play(Session(policy=policy), (*happened, event), World(passed)) for _ in range(2)]
    assert codec.digest(codec.encode(ends[0])) == codec.digest(codec.encode(ends[1]))


def in_status(status: str | None, policy: Policy) -> Session:
    """Return a session whose goal has this status."""
    if status is None:
        return Session(policy=policy)
    goal = Goal(goal_id="goal-1", objective="x", created_at=1, updated_at=1, token_budget=100)
    reasons: dict[str, Any] = {
        "paused": {"pause_reason": "user"},
        "budgetLimited": {"limited_by": "tokens", "tokens_used": 100},
    }
    named = SetEntry(
        source="command",
        goal=Goal(
            **{name: getattr(goal, name) for name in goal.__struct_fields__}
            | {"status": status}
            | reasons.get(status, {})
        ),
    )
    return handle(
        Session(policy=policy), e.SessionStarted(history=(named,)), World([0]).next()
    ).session


@pytest.mark.parametrize("kind", EVENT_TYPES, ids=lambda kind: kind.__name__)
@tries(4)
@given(st.data(), st.sampled_from([Policy(), Policy.reference()]))
def test_every_event_in_every_status(kind: Any, data: st.DataObject, policy: Policy) -> None:
    event = data.draw(events_of(kind))
    for status in (None, *STATUSES):
        looked_at(in_status(status, policy), event, World([10]).next())


def test_the_invariants_hold_for_all_that_the_reference_did(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The vectors of whole threads, each step looked at."""
    seen = 0

    def watched(session: Session, event: e.Event, ctx: Context) -> Step:
        nonlocal seen
        seen += 1
        return looked_at(session, event, ctx)

    monkeypatch.setattr(adapter_session, "handle", watched)
    for text in (VECTORS / "session.jsonl").read_text(encoding="utf-8").splitlines():
        got, wanted = adapter_session.replay(json.loads(text))
        assert got == wanted
    assert seen > 1_000
