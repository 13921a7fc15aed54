"""A worker's failure in its own words: what is tried again, waited for, or no failure at all."""

from __future__ import annotations

import json

import pytest

from goalfsm.cli import exits
from tests.cli.processes import goal, goalfsm
from tests.cli.workers import COMPLETE, turns, worker

SOON = ("--policy", "retry_initial_s=0.01", "--policy", "retry_maximum_s=0.02")
LIMITED = "API Error: Server is temporarily limiting requests (not your usage limit)"
AS_JSON = json.dumps({"type": "result", "is_error": True, "api_error_status": 429, "result": "x"})


@pytest.mark.parametrize(
    "says",
    [
        "echo 'Error: No messages returned' >&2; exit 1",
        f"echo '{LIMITED}'; exit 1",
        f"echo '{AS_JSON}'; exit 1",
        "echo 'API Error: getaddrinfo EAI_AGAIN gateway.example.net'; exit 0",
    ],
    ids=["unknown crash", "answer", "JSON answer", "answer and exit 0"],
)
def test_what_may_pass_is_the_same_turn_once_more(says: str) -> None:
    program = worker(f"[ -e again ] || {{ touch again; {says}; }}", COMPLETE)
    result = goalfsm("run", "x", *SOON, "--", program)
    assert result.status == exits.OK, result
    assert turns() == [1, 1]
    assert "turn 1 failed with an error" in result.out


def test_a_crash_that_nobody_can_explain_is_tried_again_so_often_and_no_more() -> None:
    program = worker("echo 'Error: No messages returned' >&2", "exit 1")
    result = goalfsm("run", "x", *SOON, "--policy", "crash_retries=2", "--", program)
    assert result.status == exits.ATTENTION, result
    assert turns() == [1, 1, 1]
    assert (goal()["pause_reason"], "tried again 2 times" in result.out) == ("recovery", True)


def test_a_quota_that_is_told_as_the_answer_is_waited_for() -> None:
    program = worker("""echo "You've hit your limit · resets 3pm (Europe/Berlin)" """, "exit 1")
    result = goalfsm("run", "x", "--", program)
    assert result.status == exits.GOAL_LIMITED, result
    assert goal()["pause_reason"] == "usage_limit"
    assert goal()["resume_at_ms"] is not None


def test_a_turn_that_a_refused_call_ended_has_ended_well() -> None:
    """`set -e` ends the first turn with the call's own status; the next one shows more."""
    program = worker(
        "set -e", "[ $GOALFSM_TURN = 1 ] || " + COMPLETE + " --evidence 2:seen", COMPLETE
    )
    given = ("--criterion", "one", "--criterion", "two")
    result = goalfsm("run", "x", *given, "--max-continuations", "2", "--", program)
    assert turns() == [1, 2]
    assert "failed with an error" not in result.out
    assert "turn 1 finished" in result.out
