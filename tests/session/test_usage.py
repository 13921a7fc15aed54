"""What is charged, and once."""

from __future__ import annotations

from goalfsm.goal.model import MAX_COUNT, Usage
from goalfsm.session import Policy
from goalfsm.session import events as e
from tests.session.charging import spent


def test_equal_keys_are_charged_once() -> None:
    thread = spent()
    thread.use(70, key="call-1")
    thread.use(70, key="call-1")
    assert thread.reply.code == "charged_before"
    assert thread.goal.tokens_used == 70
    assert thread.session.ledger.reported.input_tokens == 70


def test_a_run_remembers_only_so_many_keys() -> None:
    thread = spent()
    for number in range(200):
        thread.use(1, key=f"call-{number}")
    assert thread.session.run is not None
    assert len(thread.session.run.charged) == 128
    assert thread.session.run.charged[-1] == "call-199"


def test_cached_tokens_weigh_what_the_policy_says() -> None:
    thread = spent(Policy(cached_weight=0.5))
    thread.use(10, cached=9)
    assert thread.goal.tokens_used == 14
    assert thread.session.ledger.reported.cached_tokens == 9


def test_the_ledger_says_why_something_was_not_charged() -> None:
    thread = spent()
    thread.use(10)
    stale = e.UsageReported(
        run_id="run-0", run_token="token-0", key="k", usage=Usage(input_tokens=5, cost=3)
    )
    thread.do(stale)
    assert (thread.reply.ok, thread.reply.code) == (False, "stale_run")
    ledger = thread.session.ledger
    assert ledger.uncharged == {"stale_run": 5}
    assert (ledger.charged_tokens, ledger.reported.input_tokens) == (10, 15)
    assert (ledger.charged_cost, ledger.reported.cost) == (0, 3)


def test_the_usage_of_a_replaced_goals_run_is_nobodys() -> None:
    thread = spent()
    thread.use(10)
    thread.give("Another", replace=True)
    thread.use(99)
    assert thread.goal.tokens_used == 0
    assert thread.session.ledger.uncharged == {"stale_run": 99}


def test_what_a_paused_goals_own_turn_uses_is_charged() -> None:
    thread = spent(tokens=100)
    thread.do(e.PauseRequested())
    thread.use(120)
    assert (thread.status, thread.goal.tokens_used) == ("paused", 120)
    assert thread.session.ledger.charged_tokens == 120


def test_what_a_complete_goals_own_turn_uses_is_charged() -> None:
    thread = spent()
    thread.claim_complete()
    thread.use(12)
    assert (thread.status, thread.goal.tokens_used) == ("complete", 12)


def test_a_report_of_nothing_changes_nothing() -> None:
    thread = spent()
    thread.do(e.PauseRequested())
    thread.advance(60)
    goal = thread.goal
    thread.use(0)
    assert thread.goal == goal
    assert thread.session.ledger.reported == Usage()


def test_a_pause_and_a_resume_during_a_turn_lose_no_usage() -> None:
    thread = spent()
    thread.do(e.PauseRequested(), e.ResumeRequested())
    thread.use(33)
    assert thread.goal.tokens_used == 33
    thread.advance(4)
    thread.end()
    assert thread.goal.active_seconds == 4


def test_figures_below_zero_charge_nothing() -> None:
    thread = spent()
    usage = Usage(input_tokens=-5, output_tokens=3, cached_tokens=-1, cost=-9)
    thread.do(e.UsageReported(run_id="run-1", run_token="token-1", key="k", usage=usage))
    assert (thread.goal.tokens_used, thread.goal.cost_used) == (3, 0)
    assert thread.session.ledger.reported == Usage(output_tokens=3)


def test_sums_stay_below_what_json_keeps_exact() -> None:
    thread = spent()
    thread.use(MAX_COUNT)
    thread.use(MAX_COUNT)
    assert thread.goal.tokens_used == MAX_COUNT
