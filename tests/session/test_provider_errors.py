"""Providers that fail: retries, and contexts that overflow."""

from __future__ import annotations

import msgspec
import pytest

from goalfsm.session import Policy
from goalfsm.session import events as e
from goalfsm.session.effects import SetEntry
from recovery import Rule
from tests.session.failing import OVERLOADED, failing, retry
from tests.session.hosts import started

OVERFLOW = "prompt is too long: 250000 tokens > 200000 maximum"


def test_a_transient_error_waits_and_tries_again() -> None:
    thread = failing()
    assert thread.status == "active"
    assert thread.decision == ("wait", "recovery")
    assert thread.wake == 2_000
    assert thread.session.notices == (f"turn_failed:provider error ({OVERLOADED})",)
    assert thread.sent() == 1
    retry(thread)
    assert thread.sent() == 2
    assert thread.session.recovery.attention is None


@pytest.mark.parametrize(
    ("code", "source"),
    [
        ("supervisor_lost", "worker"),
        ("other_format", "worker"),
        ("spawn_unavailable", "worker"),
        ("KeyError", "worker"),
        ("invalid_api_key", "provider"),
        (None, "provider"),
    ],
)
def test_a_fault_of_the_process_is_not_put_on_the_provider(code: str | None, source: str) -> None:
    thread = failing("bad", code=code)
    assert thread.status == "paused"
    assert thread.goal.note == f"non-retryable {source} error (bad)"


@pytest.mark.parametrize(("code", "how"), [("exit_7", "exit status 7"), ("signal_11", "signal 11")])
def test_a_worker_that_died_for_no_known_reason_is_tried_again_a_few_times(
    code: str, how: str
) -> None:
    thread = failing("bad", code=code)
    for attempt in (1, 2, 3):
        assert (thread.status, thread.session.retry.crashes) == ("active", attempt)
        assert thread.session.notices == (f"turn_failed:worker error ({how}: bad)",)
        retry(thread)
        thread.dispatch()
        thread.fail("bad", code=code)
    assert thread.status == "paused"
    note = f"non-retryable worker error ({how}: bad); it was tried again 3 times"
    assert thread.goal.note == note
    assert thread.goal.continuations == 1, "every attempt is the same turn"


def test_a_turn_that_ends_well_forgives_the_crashes_before_it() -> None:
    thread = failing("bad", code="exit_7")
    retry(thread)
    thread.turn()
    for _ in range(3):
        thread.dispatch()
        thread.fail("bad", code="exit_7")
        assert thread.status == "active"
        retry(thread)


@pytest.mark.parametrize("policy", [Policy(crash_retries=0), Policy(retries="host")])
def test_crashes_that_are_not_to_be_tried_again_pause_at_once(policy: Policy) -> None:
    thread = failing("bad", policy, code="exit_7")
    note = "non-retryable worker error (exit status 7: bad)"
    assert (thread.status, thread.goal.note) == ("paused", note)


def test_how_a_process_ended_is_not_said_twice() -> None:
    """Without a word of its own the message says it already."""
    note = failing("w.sh exited with status 7", Policy(crash_retries=0), code="exit_7").goal.note
    assert note == "non-retryable worker error (w.sh exited with status 7)"


def test_a_provider_s_error_of_a_process_that_died_is_shown_in_its_own_words() -> None:
    reason = failing("API Error: 503 Service Unavailable", code="exit_1").session.retry.reason
    assert "API Error: 503 Service Unavailable" in reason
    assert "exit status" not in reason


def test_a_worker_that_says_why_it_died_is_believed() -> None:
    assert failing("invalid x-api-key", code="exit_1").status == "paused"


def test_a_tool_s_words_are_not_taken_for_the_provider_s() -> None:
    assert failing("429 Too Many Requests", source="tool").status == "paused"
    assert failing("npm ERR! 429 Too Many Requests").status == "paused"
    assert failing("npm ERR! 429 Too Many Requests", source="provider").status == "active"


def test_a_kind_that_the_worker_states_is_the_kind() -> None:
    assert failing("something is wrong", failure="transient").status == "active"
    assert failing(OVERLOADED, failure="auth").status == "paused"


def test_rules_of_the_thread_s_own_come_first() -> None:
    rule = Rule(name="team_budget", kind="quota", text=r"budget of team \w+ is gone")
    gone = "503 Service Unavailable: budget of team blue is gone, try again in 20s"
    assert failing(gone).status == "active"
    thread = failing(gone, policy=Policy(failure_rules=(rule,)))
    assert (thread.status, thread.goal.pause_reason) == ("paused", "usage_limit")
    assert thread.wake == 20_000
    assert failing(gone, policy=Policy(failure_rules=(rule,)), failure="auth").wake == 20_000
    assert failing(OVERLOADED, policy=Policy(failure_rules=(rule,))).status == "active"


def test_rules_are_settings_like_others() -> None:
    rule = Rule(name="team_budget", kind="quota", text="budget of team")
    thread = started()
    thread.do(e.PolicyChanged(changes={"failure_rules": (rule,)}))
    assert thread.session.policy.failure_rules == (rule,)
    event = e.PolicyChanged(changes={"failure_rules": (rule,)})
    stored = msgspec.json.decode(msgspec.json.encode(event), type=e.PolicyChanged)
    assert stored == event
    assert Policy().changed(stored.changes).failure_rules == (rule,)
    refused = thread.do(
        e.PolicyChanged(changes={"failure_rules": (Rule(name="x", kind="auth", text="("),)})
    )
    assert refused.reply is not None
    assert "no regular expression" in str(refused.reply)


def test_waits_grow_and_stay_below_their_maximum() -> None:
    thread = failing(policy=Policy(retry_maximum_s=10.0))
    waited = []
    for _ in range(5):
        waited.append(thread.wake)
        retry(thread)
        thread.dispatch()
        thread.fail()
    assert waited == [2_000, 4_000, 8_000, 10_000, 10_000]
    assert thread.session.retry.attempts == 6


def test_jitter_lengthens_the_wait_by_its_share() -> None:
    thread = started()
    thread.jitter = 0.5
    thread.dispatch()
    thread.fail()
    assert thread.wake == 2_200


def test_retry_after_is_honoured() -> None:
    thread = failing("429 Too Many Requests", retry_after=61.0)
    assert thread.wake == 61_000


def test_a_success_ends_the_count() -> None:
    thread = failing()
    retry(thread)
    thread.turn()
    assert thread.session.retry.attempts == 0
    assert thread.session.recovery.counters.transient_attempts == 0
    thread.dispatch()
    thread.fail()
    assert thread.wake == 2_000


def test_the_engine_gives_up_at_the_end_of_the_window() -> None:
    thread = failing(policy=Policy(retry_window_s=5.0))
    retry(thread)
    thread.dispatch()
    thread.fail()
    assert (thread.status, thread.goal.pause_reason) == ("paused", "recovery")
    assert thread.goal.note is not None
    assert "no success within 5 seconds" in thread.goal.note
    attention = thread.session.recovery.attention
    assert attention is not None
    assert attention.kind == "paused"


def test_an_error_that_no_retry_helps_pauses_with_attention() -> None:
    thread = failing("401 invalid api key", status=401)
    assert (thread.status, thread.goal.pause_reason) == ("paused", "recovery")
    attention = thread.session.recovery.attention
    assert attention is not None
    assert attention.kind == "paused"
    assert thread.wake is None
    assert isinstance(thread.history[-1], SetEntry)
    assert thread.history[-1].goal == thread.goal


def test_a_resume_forgets_the_trouble() -> None:
    thread = failing("401 invalid api key")
    thread.do(e.ResumeRequested())
    assert thread.session.recovery.attention is None
    assert thread.sent() == 2


def test_a_resume_tries_again_at_once() -> None:
    """What was scheduled before the goal was blocked is over with it."""
    thread = failing()
    thread.do(e.BlockRequested(), e.ResumeRequested())
    assert thread.wake is None
    assert thread.sent() == 2


def test_a_persons_text_forgets_the_trouble() -> None:
    thread = failing()
    thread.do(e.InputReceived(source="interactive"))
    assert thread.session.recovery.attention is None


def test_a_turn_that_failed_while_its_goal_was_stopped_asks_for_nothing() -> None:
    thread = started()
    thread.dispatch()
    thread.do(e.BlockRequested())
    thread.fail()
    assert thread.wake is None
    assert thread.session.recovery.attention is None
    assert thread.status == "blocked"


def test_a_pause_during_the_wait_ends_it() -> None:
    thread = failing()
    thread.do(e.PauseRequested())
    assert thread.wake is None
    thread.do(e.ResumeRequested())
    assert thread.session.retry.at_ms is None
    assert thread.sent() == 2


def test_the_failed_turn_of_a_replaced_goal_is_not_its_successors_trouble() -> None:
    thread = started()
    thread.dispatch()
    thread.give("Another", replace=True)
    thread.fail("401 invalid api key")
    assert thread.status == "active"
    assert thread.session.recovery.attention is None
    assert thread.sent() == 2


def test_the_aborted_turn_of_a_replaced_goal_does_not_pause_its_successor() -> None:
    thread = started()
    thread.dispatch()
    thread.give("Another", replace=True)
    thread.end(outcome="aborted")
    assert thread.status == "active"
    assert thread.sent() == 2


def test_an_interrupted_turn_pauses_with_its_reason() -> None:
    thread = started()
    thread.dispatch()
    thread.end(outcome="aborted")
    assert (thread.status, thread.goal.pause_reason) == ("paused", "interrupt")
    assert isinstance(thread.history[-1], SetEntry)
    assert thread.history[-1].goal.pause_reason == "interrupt"


def test_a_turn_that_is_aborted_before_its_run_ends_pauses_once() -> None:
    thread = started(Policy.reference())
    aborted = e.Message(role="assistant", stop_reason="aborted")
    thread.do(
        e.TurnStarted(turn_index=0),
        e.AgentEnded(messages=(aborted,)),
        e.AgentEnded(messages=(aborted,)),
    )
    assert thread.goal.pause_reason == "interrupt"
    assert thread.goal.revision == 2


def test_a_resume_message_in_the_turn_forgets_the_trouble() -> None:
    thread = failing(policy=Policy.reference())
    assert thread.session.recovery.counters.transient_attempts == 1
    work = e.GoalWork("command_resume", "goal-1")
    thread.do(e.MessageStarted(message=e.Message(role="custom", work=work)))
    assert thread.session.recovery.counters.transient_attempts == 0


@pytest.mark.parametrize("policy", [Policy(), Policy.reference()])
def test_any_error_leaves_the_session_in_order(policy: Policy) -> None:
    """Whatever the figures: they come from a provider."""
    for after in (None, -1.0, 0.0, 1e300, float("inf"), float("nan")):
        thread = started(policy)
        thread.dispatch()
        thread.fail("429 rate limit exceeded", retry_after=after, status=429)
        assert thread.status in {"active", "paused"}
