"""`goalfsm run` while somebody steers, pauses, kills or replaces: from a second terminal."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from goalfsm.cli import exits
from tests.cli.processes import goal, goalfsm
from tests.cli.workers import COMPLETE, ENGINE, prompt, turns, worker


def test_paused_from_a_second_terminal() -> None:
    result = goalfsm("run", "do it", "--", worker("echo busy", "./person pause > pause.txt"))
    assert result.status == exits.ATTENTION, result
    assert turns() == [1]
    assert Path("pause.txt").read_text() == "the goal is paused\n"
    assert "turn 1 finished" in result.out


def test_steered_edited_and_resumed_from_a_second_terminal() -> None:
    program = worker(
        "case $GOALFSM_TURN in",
        "1) ./person steer 'use the blue paint' >&2; ./person edit 'paint it blue' >&2; echo a;;",
        f"*) {COMPLETE};;",
        "esac",
    )
    result = goalfsm("run", "paint it", "--", program)
    assert result.status == exits.OK, result
    assert "use the blue paint" in prompt(2)
    assert "paint it blue" in prompt(2)
    assert goal()["objective"] == "paint it blue"


@pytest.mark.parametrize("ends", ["complete", "clear"])
def test_a_run_tells_which_message_no_turn_has_read(ends: str) -> None:
    """Whoever started it has not seen what the person at the second terminal was told."""
    program = worker("./person steer 'use the blue paint' >&2", f"./person {ends} > told.txt")
    result = goalfsm("run", "paint it", "--", program)
    assert "no turn has read this message: use the blue paint" in result.out, result
    shown = goalfsm("status").out
    if ends == "complete":
        assert "a message was in no turn: use the blue paint" in Path("told.txt").read_text()
        assert "taken into account by no turn: use the blue paint" in shown
        assert "use the blue paint" in goalfsm("report").out


def test_a_run_that_stops_names_the_messages_that_wait() -> None:
    program = worker("./person steer 'use the blue paint' >&2", "./person pause >&2")
    result = goalfsm("run", "paint it", "--", program)
    assert result.status == exits.ATTENTION
    assert "this message is kept for the next turn: use the blue paint" in result.out, result


def test_a_cleared_goal_ends_its_turn_and_the_run() -> None:
    """Clearing ends the running group: the worker never gets behind it."""
    program = worker("./person clear >&2", "sleep 30", "echo late > late.txt")
    result = goalfsm("run", "do it", "--", program)
    assert result.status == exits.ATTENTION, result
    assert not Path("late.txt").exists()


def test_killed_at_any_moment_it_goes_on() -> None:
    """SIGKILL in the middle of a turn; the next run reports it, and finishes the goal."""
    program = worker(
        f"[ $GOALFSM_TURN -ne 2 ] || kill -9 {ENGINE}",
        f"[ $GOALFSM_TURN -lt 4 ] && echo $GOALFSM_TURN || {COMPLETE}",
    )
    killed = goalfsm("run", "do it", "--", program)
    assert killed.status == -signal.SIGKILL, killed
    again = goalfsm("run")
    assert again.status == exits.OK, again
    assert turns() == [1, 2, 3, 4]
    assert "turn 2 interrupted" in again.out
    assert "cut off" in prompt(3)
    assert goalfsm("doctor").status == exits.OK


_INTERRUPTED = f"{{ kill -INT {ENGINE}; until goalfsm status | grep -q paused; do :; done; }}"
"""Interrupts the engine, and ends its turn when that is known."""


def test_interrupted_it_stays_resumable() -> None:
    program = worker(
        f"[ $GOALFSM_TURN -ne 1 ] || {_INTERRUPTED}",
        f"[ $GOALFSM_TURN -lt 2 ] && echo $GOALFSM_TURN || {COMPLETE}",
    )
    stopped = goalfsm("run", "do it", "--", program)
    assert stopped.status == exits.INTERRUPTED, stopped
    assert "`goalfsm run` goes on" in stopped.out
    assert goal()["pause_reason"] == "interrupt"
    assert goalfsm("run").status == exits.OK


def test_replace_gives_the_old_goal_up() -> None:
    assert goalfsm("set", "the old one", "--", "true").status == exits.OK
    old = goal()["goal_id"]
    result = goalfsm("run", "the new one", "--replace", "--", worker(COMPLETE))
    assert result.status == exits.OK, result
    assert goal()["goal_id"] != old
    assert goal()["objective"] == "the new one"


def test_a_goal_that_was_set_is_driven_by_a_run_without_anything() -> None:
    program = worker(COMPLETE)
    assert goalfsm("set", "later", "--verify", "true", "--", program).status == exits.OK
    result = goalfsm("run")
    assert result.status == exits.OK, result
    assert goal()["objective"] == "later"


def test_another_program_can_take_a_goal_over() -> None:
    """A goal that was interrupted goes on with the program given now."""
    stopped = goalfsm("run", "do it", "--", worker(_INTERRUPTED, "echo first"))
    assert stopped.status == exits.INTERRUPTED, stopped
    assert goalfsm("run", "--", worker(COMPLETE, name="other.sh")).status == exits.OK
    assert turns() == [1, 2]
