"""`--until`: a real command completes the goal, whatever the worker says of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from goalfsm.cli import exits
from tests.cli.processes import goalfsm
from tests.cli.workers import prompt, turns, worker

COUNT = "wc -l < turns.txt >> counted.txt"
"""What the command leaves behind each time that it is run."""
THIRD = "grep -c 3 turns.txt"


def status() -> dict[str, Any]:
    """Return what the status says."""
    found: dict[str, Any] = json.loads(goalfsm("status", "--json").out)
    return found


def test_a_worker_without_a_claim_reaches_the_goal() -> None:
    program = worker("echo turn $GOALFSM_TURN")
    result = goalfsm("run", "three turns", "--until", THIRD, "--", program)
    assert result.status == exits.OK, result
    assert turns() == [1, 2, 3]
    assert "--until failed: grep -c 3 turns.txt: exit status 1" in result.out
    assert "--until passed" in result.out
    assert "<command>grep -c 3 turns.txt</command>" in prompt(1)
    assert "exit status" not in prompt(2)  # what it said is no feedback
    assert THIRD in goalfsm("report").out


def test_it_is_run_before_the_budget_of_turns_is_said_to_be_spent() -> None:
    program = worker("echo turn $GOALFSM_TURN")
    given = ("run", "x", "--until", THIRD, "--max-continuations")
    assert goalfsm(*given, "2", "--", program).status == exits.GOAL_LIMITED
    assert goalfsm("budget", "--max-continuations", "3").status == exits.OK
    assert goalfsm("run").status == exits.OK
    assert turns() == [1, 2, 3]


def test_the_other_checks_still_follow() -> None:
    program = worker("echo turn $GOALFSM_TURN")
    given = ("--until", "true", "--verify", THIRD, "--criterion", "three turns")
    result = goalfsm("run", "x", *given, "--", program)
    assert result.status == exits.OK, result
    assert turns() == [1, 2, 3]


def test_a_timeout_pauses_once() -> None:
    program = worker("echo turn $GOALFSM_TURN")
    slow = ("--until", "sh -c 'grep -q 2 turns.txt && exit 0; sleep 60'", "--verify-timeout", "1s")
    assert goalfsm("run", "x", *slow, "--", program).status == exits.ATTENTION
    goal = status()["goal"]
    assert (goal["status"], goal["pause_reason"]) == ("paused", "verification")
    assert "timed out after 1 s" in goal["note"]
    assert goalfsm("run").status == exits.OK
    assert turns() == [1, 2]


def test_it_is_edited_in_place_and_dropped() -> None:
    assert goalfsm("set", "t", "x", "--until", "false").status == exits.OK
    assert goalfsm("edit", "t", "--until", "true").out.startswith(
        "the command that completes the goal is updated"
    )
    until = json.loads(goalfsm("status", "t", "--json").out)["goal"]["until"]
    assert (until["argv"], until["cwd"]) == (["true"], str(Path.cwd()))
    assert goalfsm("edit", "t", "--no-until").status == exits.OK
    assert json.loads(goalfsm("status", "t", "--json").out)["goal"]["until"] is None


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("--until", "a && b"), "sh -c"),
        (("--until", "no-such-program"), "--until no-such-program: "),
        (("--no-until", "--until", "true"), "--no-until and others in their place"),
    ],
)
def test_what_is_refused(given: tuple[str, ...], said: str) -> None:
    goalfsm("set", "t", "x")
    result = goalfsm("edit", "t", *given)
    assert result.status != exits.OK
    assert said in result.err


def test_a_template_says_it() -> None:
    Path("goals").mkdir()
    result = goalfsm(
        "run", "-t", "make-green", f"check={THIRD}", "--", worker("echo $GOALFSM_TURN")
    )
    assert result.status == exits.OK, result
    assert turns() == [1, 2, 3]
