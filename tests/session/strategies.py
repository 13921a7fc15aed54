"""Events of every kind, from small pools of ids, so that they meet each other."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, Final, get_args

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from goalfsm.goal.machine import TRANSITIONS
from goalfsm.goal.model import (
    STATUSES,
    Criterion,
    Evidence,
    Goal,
    Limit,
    Limits,
    PauseReason,
    Usage,
    Verifier,
)
from goalfsm.session import Context, Policy
from goalfsm.session import events as e
from goalfsm.session.context import Rules
from goalfsm.session.effects import ClearEntry, SetEntry, UserStartEntry
from goalfsm.session.routes import Routed
from goalfsm.testing.loop import START_MS

EXPLORE: Final = "GOALFSM_EXPLORE" in os.environ
"""Whether to search at random and for longer; otherwise every run tries the same examples."""


def tries(count: int, **more: Any) -> settings:
    """Return the settings of a property that is tried ``count`` times, and often when exploring."""
    return settings(
        max_examples=count * (4 if EXPLORE else 1),
        derandomize=not EXPLORE,
        deadline=None,
        database=None,
        # A long sequence of events may outgrow one example, and is then drawn again: which ones do
        # depends on the constants of whatever modules other tests have imported.
        suppress_health_check=[
            HealthCheck.filter_too_much,
            HealthCheck.data_too_large,
            HealthCheck.too_slow,
        ],
        **more,
    )


GOALS: Final = ("goal-1", "goal-2", "goal-3", "old")
RUNS: Final = ("run-1", "run-2")
TOKENS: Final = ("token-1", "token-2")
ERRORS: Final = (
    "503 Service Unavailable",
    "429 rate limit exceeded",
    "You exceeded your current quota",
    "prompt is too long: 250000 tokens > 200000 maximum",
    "401 invalid api key",
    "something else",
    "",
)

few: Final = st.integers(min_value=0, max_value=3)
counts: Final = st.sampled_from([0, 1, 7, 60, 100, 2**53]) | st.integers(-5, 200)
texts: Final = st.sampled_from(["", " ", "a", "Make it work", "é\U0001f600\x00", "x" * 9_000])
usages: Final = st.builds(
    Usage, input_tokens=counts, output_tokens=counts, cached_tokens=counts, cost=counts
)
budgets: Final = st.none() | st.sampled_from([50, 1_000, 0, -1, 2**53])
limits: Final = st.builds(
    Limits, tokens=budgets, seconds=budgets, cost=budgets, continuations=budgets | st.just(2)
)
moments: Final = st.integers(-5_000, 100_000).map(lambda ms: START_MS + ms)
goal_ids: Final = st.sampled_from(GOALS)
work: Final = st.builds(e.GoalWork, st.sampled_from(get_args(e.WorkKind)), goal_ids)
criteria: Final = st.lists(st.builds(Criterion, text=texts), max_size=2).map(tuple)
verifiers: Final = st.lists(
    st.builds(Verifier, kind=st.sampled_from(["command", "callable", "person"])), max_size=2
).map(tuple)
evidence: Final = st.lists(
    st.builds(Evidence, text=texts, criterion=st.none() | st.integers(0, 3)), max_size=2
).map(tuple)
_SAID: Final[dict[str, st.SearchStrategy[Any]]] = {
    "stop_reason": st.none() | st.sampled_from(get_args(e.StopReason)),
    "usage": usages,
    "error": st.none() | st.sampled_from(ERRORS),
    "status": st.none() | st.sampled_from([200, 401, 429, 500, 529]),
    "code": st.none() | st.sampled_from(["rate_limit_exceeded", "overloaded_error", ""]),
    "retry_after": st.none() | st.sampled_from([0.0, 2.5, 1e9, -1.0, float("inf"), float("nan")]),
    "work": st.none() | work,
}
messages: Final = st.builds(
    e.Message, role=st.sampled_from(["user", "assistant", "assistant", "custom", "tool"]), **_SAID
)
answers: Final = st.builds(e.Message, role=st.just("assistant"), **_SAID)


@st.composite
def goals(draw: st.DrawFn) -> Goal:
    """Draw a goal as a history may hold it: what explains its status fits."""
    status = draw(st.sampled_from(STATUSES))
    spent = draw(st.sampled_from([0, 60]))
    limited = status == "budgetLimited"
    return Goal(
        goal_id=draw(goal_ids),
        objective="x",
        status=status,
        token_budget=draw(st.sampled_from([None, 50, 1_000])),
        tokens_used=spent,
        active_seconds=spent,
        time_budget_seconds=draw(st.sampled_from([None, 50])),
        created_at=1,
        updated_at=draw(st.sampled_from([1, START_MS // 1000, 10**11])),
        continuations=draw(few),
        pause_reason=draw(st.sampled_from(get_args(PauseReason))) if status == "paused" else None,
        resume_at_ms=draw(st.none() | moments) if status == "paused" else None,
        limited_by=draw(st.sampled_from(get_args(Limit))) if limited else None,
    )


entries: Final = st.one_of(
    st.builds(SetEntry, source=st.just("runtime"), goal=goals()),
    st.builds(ClearEntry, source=st.just("command"), cleared=goal_ids),
    st.builds(UserStartEntry, active=st.booleans()),
)
arguments: Final = st.sampled_from(
    [
        {"status": "complete", "evidence": ["it runs"]},
        {"status": "complete", "evidence": [{"text": "it runs", "criterion": 1}]},
        {"status": "complete"},
        {"status": "blocked", "reason": "no access"},
        {"status": "complete", "evidence": ["it runs"], "read": 1},
        {"status": "blocked", "reason": "no access", "read": 2},
        {"status": "paused"},
        {"objective": "Mine", "token_budget": 500},
        {},
    ]
)
settings_of_a_policy: Final = st.dictionaries(
    st.sampled_from(
        ["no_progress", "steering_limit", "max_continuations", "on_start", "advance", "zzz"]
    ),
    st.sampled_from([0, 1, 2, "ask", "pause", "resume", True]),
    max_size=2,
)

UNTIL: Final = Verifier(kind="command", name="make test", argv=("make", "test"))
FIELDS: Final[dict[str, st.SearchStrategy[Any]]] = {
    "acceptance": st.none() | st.booleans(),
    "after_crash": st.booleans(),
    "any": st.booleans(),
    "answer_shape": st.sampled_from(["", "s1", "s2"]),
    "answer_step": st.none() | st.sampled_from([(1, 3), (2, 3)]),
    "said_progress": st.booleans(),
    "answer_digest": st.sampled_from(["", "d1", "d2"]),
    "answer_length": few,
    "arguments": arguments,
    "by_ms": st.integers(-5_000, 5_000),
    "can_compact": st.booleans(),
    "can_steer": st.booleans(),
    "changes": settings_of_a_policy,
    "check_id": st.sampled_from(["claim-1", "claim-2", "claim-3"]),
    "claim_id": st.sampled_from(["claim-1", "claim-2", "claim-3"]),
    "context_window": st.none() | st.sampled_from([100, 10**6]),
    "criteria": criteria,
    "data": st.none() | st.sampled_from([b"", b"conversation 7"]),
    "detail": texts,
    "digest": st.just(""),
    "error": texts,
    "event": st.just({}),
    "event_id": st.just(""),
    "ended_ms": st.none() | moments | st.just(0),
    "evidence": evidence,
    "expected_goal_id": st.none() | goal_ids,
    "goal_id": st.none() | goal_ids,
    "expected_revision": st.none() | few,
    "created_at": st.none() | st.sampled_from([-1, 0, START_MS // 1000, 10**11]),
    "first": st.booleans(),
    "feedback": texts,
    "gone": st.booleans(),
    "history": st.lists(entries, max_size=3).map(tuple),
    "idle": st.none() | st.booleans(),
    "index": st.integers(-1, 2),
    "key": st.sampled_from(["k1", "k2", "k3"]),
    "kind": st.sampled_from(["timer", "process", "person", "event"]),
    "limits": limits,
    "message": messages,
    "message_id": st.sampled_from(["m1", "m2", "m3"]),
    "messages": st.lists(messages, max_size=3).map(tuple),
    "name": st.sampled_from(["update_goal", "update_goal", "create_goal", "get_goal", "zzz"]),
    "no_until": st.booleans(),
    "note": texts,
    "now": st.booleans(),
    "objective": texts,
    "ok": st.booleans(),
    "origin": st.sampled_from(["person", "person", "person", "system", "model"]),
    "outcome": st.sampled_from(["finished", "finished", "failed", "aborted", "timed_out"]),
    "pending_messages": st.none() | st.booleans(),
    "pid": st.none() | st.sampled_from([0, 77]),
    "policy": st.just({}) | settings_of_a_policy,
    "reason": st.sampled_from(get_args(PauseReason)),
    "relative": st.booleans(),
    "replace": st.booleans(),
    "paused": st.booleans(),
    "pause_reason": st.sampled_from(get_args(PauseReason)),
    "place": few,
    "queue_id": st.sampled_from(["q1", "q2", "q9"]),
    "reopen": st.booleans(),
    "run_id": st.sampled_from(RUNS),
    "run_token": st.none() | st.sampled_from(TOKENS),
    "seen_ms": moments | st.just(0),
    "seconds": counts,
    "source": st.sampled_from(["interactive", "rpc", "extension"]),
    "started": st.just(""),
    "state": st.just("{}"),
    "status": st.sampled_from(["paused", "blocked", "complete", "budgetLimited"]),
    "text": texts,
    "timed_out": st.booleans(),
    "token": st.sampled_from(TOKENS),
    "tokens": counts,
    "tools_failed": few,
    "tools_ok": few,
    "trigger": st.sampled_from([*sorted({row.trigger for row in TRANSITIONS}), "zzz"]),
    "turn_index": few,
    "turn": few,
    "unlimited": st.lists(
        st.sampled_from(["tokens", "seconds", "cost", "continuations"]), max_size=2
    ).map(tuple),
    "until_ms": st.none() | moments,
    "until": st.none() | st.just(UNTIL),
    "usage": usages,
    "verifiers": verifiers,
    "wind_down": st.booleans(),
    "route": st.none() | st.just(Routed(of="tokens", below=25, left=9, argv=("cheap.sh",))),
    "work": st.none() | work,
}
"""What a field of an event may hold, by its name."""
SPECIAL: Final[dict[tuple[type, str], st.SearchStrategy[Any]]] = {
    (e.BlockRequested, "reason"): texts,
    (e.EditRequested, "objective"): st.none() | texts,
    (e.EditRequested, "criteria"): st.none() | criteria,
    (e.EditRequested, "verifiers"): st.none() | verifiers,
    (e.GoalImported, "source"): st.sampled_from(["codex:1", "pi:2"]),
    (e.SessionStarted, "reason"): st.sampled_from(get_args(e.LoadReason)),
    (e.ProcessEnded, "pid"): st.just(77),
    (e.SessionSaved, "run_token"): st.sampled_from(TOKENS),
    (e.UsageReported, "run_token"): st.sampled_from(TOKENS),
    (e.UntilChecked, "outcome"): st.sampled_from(["passed", "failed", "unverifiable"]),
    (e.VerificationFinished, "outcome"): st.sampled_from(["passed", "failed", "unverifiable"]),
}
EVENT_TYPES: Final[tuple[Callable[..., e.Event], ...]] = get_args(e.Event)


def events_of(kind: Any) -> st.SearchStrategy[e.Event]:
    """Return a strategy for one type of event; a field without a pool is an error."""
    fields = {
        name: SPECIAL.get((kind, name), FIELDS[name])
        for name in kind.__struct_fields__
        if not name.startswith("expected_") and name != "by"
    }
    return st.builds(kind, **fields)


events: Final = st.one_of(*(events_of(kind) for kind in EVENT_TYPES))
expecting: Final = st.builds(
    e.PauseRequested, expected_goal_id=FIELDS["expected_goal_id"], expected_revision=few
)


@st.composite
def turns(draw: st.DrawFn) -> tuple[e.Event, ...]:
    """Draw a whole turn as an engine or a host reports it; something happens in between."""
    run = draw(few)
    owner = draw(st.none() | work)
    message = e.Message(role="custom", work=owner)
    said = draw(answers)
    run_id, token = RUNS[run % 2], TOKENS[run % 2]
    between = draw(st.lists(events, max_size=3))
    if draw(st.booleans()):
        usage = e.UsageReported(run_id=run_id, run_token=token, key="k", usage=draw(usages))
        return (
            e.RunDispatched(run_id=run_id, token=token, wind_down=draw(st.booleans())),
            usage,
            *between,
            replace(draw(events_of(e.RunFinished)), run_id=run_id, message=said),
        )
    return (
        e.HostChanged(idle=False),
        e.AgentStarting(work=owner),
        e.TurnStarted(turn_index=run),
        e.MessageStarted(message=message),
        e.ContextRequested(),
        *between,
        e.TurnEnded(turn_index=run, message=said),
        e.AgentEnded(messages=(message, said)),
        e.HostChanged(idle=True),
    )


begun: Final = st.builds(
    e.ObjectiveGiven,
    objective=st.just("Make it work"),
    limits=st.builds(
        Limits,
        tokens=st.sampled_from([None, 50, 1_000]),
        seconds=st.sampled_from([None, 5]),
        cost=st.sampled_from([None, 100]),
        continuations=st.sampled_from([None, 0, 2]),
    ),
    verifiers=verifiers,
)


def _pieces(least: int) -> st.SearchStrategy[list[tuple[e.Event, ...]]]:
    single = st.tuples(events | expecting)
    return st.lists(single | turns() | single, min_size=least, max_size=least + 10)


@st.composite
def happenings(draw: st.DrawFn) -> tuple[e.Event, ...]:
    """Draw what happens to a thread: single events and whole turns, in any order."""
    pieces = draw(st.sampled_from([0, 5, 20]).flatmap(_pieces))
    first = draw(st.tuples(begun) | st.just(()))
    return (*first, *(event for piece in pieces for event in piece))


steps: Final = st.lists(st.sampled_from([0, 1, 700, 2_500, 70_000, -3_000]), min_size=1, max_size=5)
"""How many milliseconds pass before an event, over and over."""
policies: Final = st.sampled_from(
    [
        Policy(),
        Policy.reference(),
        Policy(max_continuations=2, no_progress=1, blocked_after=2, cached_weight=0.5),
        Policy(on_start="ask", steering_limit=1, evidence_required=False),
        Policy(on_start="pause", idle_time_counts=True, retry_window_s=5.0),
    ]
)


class World:
    """Time and ids for one run of a session: the same each time it is made."""

    def __init__(self, steps_ms: list[int], machine: Any = None) -> None:
        self.now_ms = START_MS
        self._steps = steps_ms
        self._count = 0
        self._machine = machine

    def next(self) -> Context:
        """Return the context of the next event."""
        self.now_ms += self._steps[self._count % len(self._steps)]
        self._count += 1
        jitter = (self._count % 4) / 4
        # The same ids however often the event is decided.
        number = self._count
        return Context(
            self.now_ms, lambda kind: f"{kind}-{number}", jitter, rules=Rules(self._machine)
        )
