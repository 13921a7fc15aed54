"""The person's word by the command line: it binds a run, is taken back, and is about one claim."""

from __future__ import annotations

import json
import time
from typing import Any

from goalfsm.cli import exits
from tests.cli.processes import daemon, goalfsm
from tests.cli.terminal import Cli
from tests.cli.workers import COMPLETE, prompt, turns, worker

PLACE = ("--thread", "t", "--db", "g.db")


def shown(cli: Cli) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(cli("status", "--json", *PLACE).out)
    return found


def test_a_message_is_taken_back_once(cli: Cli) -> None:
    cli("set", "ship it", *PLACE)
    cli("steer", "not before Monday", *PLACE)
    (word,) = shown(cli)["words"]
    assert cli("steer", "--drop", word["message_id"], *PLACE).status == exits.OK
    assert shown(cli)["words"] == []
    again = cli("steer", "--drop", word["message_id"], *PLACE)
    assert (again.status, again.told_shortly) == (exits.USAGE, True)


def another_claim(before: str | None) -> str:
    """Return the id of the open claim once it is not ``before``."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        claim = json.loads(goalfsm("status", "--json", *PLACE).out)["claim"]
        if claim is not None and claim["claim_id"] != before:
            return str(claim["claim_id"])
    raise AssertionError("no other claim was made")


def test_an_answer_is_refused_where_the_claim_is_another_one_by_now() -> None:
    """The first is set aside by a message; who accepts that one has not seen the second."""
    goalfsm("set", "ship it", "--accept", *PLACE, "--", worker(COMPLETE))
    with daemon("--db", "g.db"):
        first = another_claim(None)
        goalfsm("steer", "and the docs", *PLACE)
        second = another_claim(first)
        refused = goalfsm("accept", "--expect-claim", first, *PLACE)
        assert refused.status == exits.USAGE
        assert goalfsm("accept", "--expect-claim", second, *PLACE).status == exits.OK
    assert turns() == [1, 2]


def test_a_claim_that_gives_the_word_back_is_taken_in_the_same_turn() -> None:
    claim = COMPLETE.removesuffix(" >&2")
    program = worker(
        f"./person steer 'keep the old name' {' '.join(PLACE)} >&2",
        f"{claim} > refused.txt 2>&1 && exit 1",
        "word=$(sed -n 's/.*read=\\([0-9]*\\).*/\\1/p' refused.txt | head -1)",
        f"{claim} --read $word >&2",
    )
    done = goalfsm("run", "rename it", *PLACE, "--", program)
    assert done.status == exits.OK, done
    assert turns() == [1]


def test_a_claim_that_gives_no_word_back_is_told_in_the_next_prompt() -> None:
    program = worker(
        f"[ $GOALFSM_TURN -gt 1 ] || ./person steer 'keep the old name' {' '.join(PLACE)} >&2",
        COMPLETE,
    )
    done = goalfsm("run", "rename it", *PLACE, "--", program)
    assert done.status == exits.OK, done
    assert turns() == [1, 2]
    assert "keep the old name" not in prompt(1)
    assert "keep the old name" in prompt(2)


def test_a_run_whose_goal_was_replaced_says_so() -> None:
    program = worker(f"./person set 'another' --replace {' '.join(PLACE)} -- true >&2; sleep 60")
    done = goalfsm("run", "the first", *PLACE, "--", program)
    assert done.status == exits.ATTENTION, done
    assert "another" in done.out
    assert "replaced" in done.out + done.err
