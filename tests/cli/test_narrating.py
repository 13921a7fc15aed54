"""Every event is told in a line; what is told cannot act on a terminal; secrets stay secret."""

from __future__ import annotations

from typing import get_args

import msgspec
import pytest

from goalfsm.daemon.remote.narrating import event_of, is_quiet, told, why
from goalfsm.daemon.stages.subscriptions import public
from goalfsm.goal.model import Criterion, Limits, Usage
from goalfsm.session import events as e
from goalfsm.session.state import Decision

SAMPLES: tuple[e.Event, ...] = (
    e.ObjectiveGiven(
        objective="ship\nit \x1b[31m",
        limits=Limits(tokens=200_000, seconds=90, cost=2_500_000, continuations=0),
        criteria=(Criterion(text="it is shipped"),),
        policy={"blocked_after": 5},
    ),
    e.PolicyChanged(changes={"no_progress": 4}),
    e.PauseRequested(reason="user"),
    e.ResumeRequested(),
    e.ClearRequested(),
    e.EditRequested(objective="ship it whole"),
    e.BudgetChanged(limits=Limits(tokens=10), unlimited=("seconds",)),
    e.CompletionRequested(),
    e.BlockRequested(reason="no key"),
    e.ClaimAccepted(),
    e.ClaimRejected(feedback="the tests are red"),
    e.SteeringReceived(message_id="m", text="use the other branch"),
    e.WakeRequested(note="the build is done"),
    e.TriggerFired(trigger="archive"),
    e.ToolCalled(name="update_goal", arguments={"status": "blocked", "reason": "no key"}),
    e.InputReceived(source="interactive"),
    e.AgentStarting(),
    e.TurnStarted(turn_index=1),
    e.MessageStarted(message=e.Message(role="user")),
    e.ContextRequested(),
    e.ToolFinished(name="grep", ok=False),
    e.TurnEnded(
        turn_index=1,
        message=e.Message(role="assistant", stop_reason="error", error="overloaded", status=529),
    ),
    e.AgentEnded(),
    e.CompactionStarted(),
    e.CompactionEnded(ok=False),
    e.SessionStarted(),
    e.TreeChanged(),
    e.ShutdownStarted(),
    e.HostChanged(idle=True, pending_messages=False, context_window=200_000),
    e.EngineStarted(after_crash=True),
    e.RunDispatched(run_id="r", token="secret-token", wind_down=True),
    e.RunFinished(run_id="r", outcome="timed_out"),
    e.RunInterrupted(run_id="r", detail="the engine stopped"),
    e.WindDownDelivered(run_id="r"),
    e.ClockAdjusted(by_ms=-3_600_000),
    e.UsageReported(
        run_id="r",
        run_token="secret-token",
        key="1",
        usage=Usage(input_tokens=1200, output_tokens=30, cached_tokens=1000, cost=12_500),
    ),
    e.WaitDeclared(
        kind="timer", until_ms=1_700_000_000_000, note="quota", run_token="secret-token"
    ),
    e.ProcessEnded(pid=7),
    e.TimerFired(),
    e.VerificationFinished(claim_id="c", index=0, outcome="failed", detail="exit status 1"),
    e.UntilChecked(check_id="c", outcome="failed", detail="exit status 1"),
    e.SteeringAcknowledged(message_id="m", run_token="secret-token"),
    e.SessionSaved(run_token="secret-token", data=b"conversation 7"),
    e.DecisionFailed(kind="TimerFired", error="ValueError: no rule", event_id="e1"),
    e.SteeringDropped(message_id="m"),
    e.InterruptRequested(text="stop that"),
    e.EngineLost(seen_ms=1_800_000_000_000),
    e.GoalQueued(objective="ship\nthe next \x1b[31m", limits=Limits(tokens=5)),
    e.QueueMoved(queue_id="q1\x1b[31m", place=2),
    e.QueueDropped(queue_id="q1"),
    e.NextGoalRequested(origin="system"),
    e.GoalImported(source="codex:1\x1b[31m", digest="", objective="go on"),
    e.RulesChanged(state='{"token": "secret-token"}'),
)
KINDS = [type(sample).__name__ for sample in SAMPLES]


def test_the_samples_are_all_events_there_are() -> None:
    assert {type(sample) for sample in SAMPLES} == set(get_args(e.Event))


@pytest.mark.parametrize("event", SAMPLES, ids=KINDS)
def test_an_event_is_told_in_one_harmless_line(event: e.Event) -> None:
    text = told(event, 3)
    assert text
    assert text == " ".join(text.split())
    assert text.isprintable()
    assert "secret-token" not in text


@pytest.mark.parametrize("event", SAMPLES, ids=KINDS)
def test_a_notice_tells_the_same_as_the_event(event: e.Event) -> None:
    """What goes to followers holds no secret, and all that a line needs."""
    data = public(event)
    assert "secret-token" not in msgspec.json.encode(data).decode()
    assert told(event_of(data), 3) == told(event, 3)
    assert is_quiet(event_of(data)) == is_quiet(event)


@pytest.mark.parametrize(
    ("event", "words"),
    [
        (SAMPLES[0], "200K tokens, 1m 30s, cost 2.5, any turns"),
        (SAMPLES[6], "no limit of seconds"),
        (SAMPLES[14], "the model claims blocked: no key"),
        (SAMPLES[21], "error 529: overloaded"),
        (SAMPLES[30], "turn 3 starts, to wind the work down"),
        (SAMPLES[34], "-3600.0 s"),
        (SAMPLES[35], "1,200 + 30 tokens (1,000 cached), cost 0.0125"),
        (SAMPLES[36], "until 2023-11-14 22:13:20 UTC: quota"),
        (SAMPLES[39], "verifier 1 failed: exit status 1"),
        (SAMPLES[40], "--until failed: exit status 1"),
        (SAMPLES[43], "TimerFired could not be decided: ValueError: no rule"),
    ],
)
def test_what_matters_is_in_the_line(event: e.Event, words: str) -> None:
    assert words in told(event, 3)


def test_a_run_is_called_by_its_id_where_its_turn_is_not_known() -> None:
    assert told(e.RunFinished(run_id="cb393806ab243f4e")) == "run cb393806 finished"


def test_long_texts_are_cut() -> None:
    text = told(e.SteeringReceived(message_id="m", text="x" * 9_000))
    assert len(text) < 250
    assert "more characters" in text


def test_a_failed_turn_and_a_crash_are_not_quiet() -> None:
    assert not is_quiet(SAMPLES[21])
    assert not is_quiet(e.EngineStarted(after_crash=True))
    assert is_quiet(e.EngineStarted(after_crash=False))
    assert is_quiet(e.TurnEnded(turn_index=1, message=e.Message(role="assistant")))


def test_a_decision_names_its_guard_and_when_it_ends() -> None:
    waits = Decision(decision="wait", guard="wait", reason="a timer", until_ms=1_700_000_000_000)
    assert why(waits) == "wait: a timer (wait), until 2023-11-14 22:13:20 UTC"


@pytest.mark.parametrize(("turns", "said"), [(0, "any turns"), (1, "1 turn"), (2, "2 turns")])
def test_turns_are_counted_in_words(turns: int, said: str) -> None:
    assert told(e.BudgetChanged(limits=Limits(continuations=turns))).endswith(f"[{said}]")
