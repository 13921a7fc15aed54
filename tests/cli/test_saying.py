"""`goalfsm logs`: what turns answered."""

from __future__ import annotations

import json

from goalfsm.cli import exits
from tests.cli.processes import goalfsm
from tests.cli.workers import prompt, worker

RED = "\\033[31mred\\033[0m"


def test_what_turns_said_is_shown_and_told_to_the_next_turn() -> None:
    """Escape sequences reach nobody's terminal raw."""
    program = worker(
        f"printf 'answer {RED} of %s\\n' $GOALFSM_TURN",
        "echo trouble $GOALFSM_TURN >&2",
    )
    done = goalfsm("run", "do it", "--max-continuations", "2", "--", program)
    assert done.status == exits.GOAL_LIMITED, done
    shown = goalfsm("logs")
    assert shown.status == exits.OK, shown
    assert "\x1b" not in shown.out
    for said in ("== turn 1", "[0m of 1", "trouble 1", "== turn 2", "[0m of 2", "trouble 2"):
        assert said in shown.out
    one = goalfsm("logs", "--turn", "1").out
    assert "of 1" in one
    assert "of 2" not in one
    rows = [json.loads(row) for row in goalfsm("logs", "--json").out.splitlines()]
    assert [row["turn"] for row in rows] == [1, 2]
    assert "\x1b[31mred\x1b[0m of 2\n" in rows[1]["answer"]
    assert rows[0]["stderr"].strip() == "trouble 1"
    assert rows[0]["answer_bytes"] == len(rows[0]["answer"])
    assert json.loads(goalfsm("logs", "--json", "--turn", "1").out) == rows[0]
    refused = goalfsm("logs", "--turn", "9")
    assert "nothing is kept of turn 9" in refused.err
    assert "<last_answer>" not in prompt(1)
    assert "of 1" in prompt(2).partition("<last_answer>")[2]
