"""Goals that come after one another: queued from the command line, gone on to by run and daemon."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from goalfsm.cli import exits
from tests.cli.processes import daemon, goalfsm, terminal
from tests.cli.terminal import Cli
from tests.cli.workers import BLOCKED, COMPLETE, prompt, turns, worker


def queue(cli: Cli) -> list[dict[str, Any]]:
    """Return what is queued, as data."""
    listed: list[dict[str, Any]] = json.loads(cli("queue", "list", "--json").out)["queue"]
    return listed


def test_a_queue_is_filled_put_in_order_and_emptied(cli: Cli) -> None:
    first = cli("queue", "add", "port the parser", "--tokens", "200k", "--verify", "true")
    assert (first.status, first.err) == (exits.OK, "")
    assert first.out.startswith("queued as q1, in place 1 of 1\nHint: goalfsm run --advance")
    assert cli("queue", "add", "port the printer").status == exits.OK
    assert "place 1 of 3" in cli("queue", "add", "read the notes", "--first").out
    assert cli("queue", "list").out.splitlines()[:3] == [
        "1. q3  read the notes",
        "2. q1  port the parser [200K tokens]",
        "3. q2  port the printer",
    ]
    one = queue(cli)[1]
    assert (one["limits"]["tokens"], one["verifiers"], one["criteria"]) == (200_000, 1, 0)
    assert cli("queue", "move", "q2", "1").status == exits.OK
    assert [each["queue_id"] for each in queue(cli)] == ["q2", "q3", "q1"]
    for queue_id in ("q1", "q2", "q3"):
        assert cli("queue", "drop", queue_id).status == exits.OK
    assert cli("queue", "list").out == "nothing is queued\n"


def test_what_is_wrong_is_said_and_nothing_is_written(cli: Cli) -> None:
    for words, said in (
        (("queue", "add"), "the objective is missing"),
        (("queue", "add", "a", "b", "c"), "3 arguments"),
        (("queue", "add", " "), "the objective is empty"),
        (("queue", "add", "x", "--tokens", "0"), "token budget"),
        (("queue", "add", "x", "--verify", "no-such-program-here"), "no-such-program-here"),
        (("queue", "add", "x", "--agent", "codex"), "No such option"),
        (("queue", "add", "x", "--", "true"), "no program of its own"),
    ):
        refused = cli(*words)
        assert refused.status == exits.USAGE, words
        assert said in refused.err
        assert "Hint: " in refused.err
    assert not list(Path().glob("*.db"))
    assert "there is no database" in cli("queue", "list").err
    cli("queue", "add", "x")
    for words, said in (
        (("queue", "drop", "q9"), "nothing is queued as q9"),
        (("queue", "move", "q1", "7"), "no place 7"),
        (("queue", "move", "q1"), "expected: ID and PLACE"),
        (("queue", "drop"), "expected: the ID"),
    ):
        refused = cli(*words)
        assert (refused.status, said in refused.err) == (exits.USAGE, True), words
    assert [one["queue_id"] for one in queue(cli)] == ["q1"]


def test_a_template_is_queued_as_it_is_run(cli: Cli) -> None:
    assert cli("queue", "add", "-t", "make-green", "check=true").status == exits.OK
    (one,) = queue(cli)
    assert one["verifiers"] + bool(one["until"]) >= 1


def test_every_surface_shows_what_comes_next(cli: Cli) -> None:
    cli("set", "the first", "--", "true")
    cli("queue", "add", "the next")
    cli("queue", "add", "the last")
    status = cli("status").out
    assert "next        q1: the next" in status
    assert "then        q2: the last" in status
    shown = json.loads(cli("status", "--json").out)
    assert [one["objective"] for one in shown["queue"]] == ["the next", "the last"]
    assert "2 queued" in cli("list").out
    assert "Queued: q1, and 1 more" in cli("explain").out
    assert "## Queued\n\n1. `the next`\n2. `the last`" in cli("report").out
    assert "queued: the next" in cli("log").out
    cli("complete")
    assert "Hint: goalfsm run --advance\n" in cli("status").out
    assert cli("queue", "next").status == exits.OK
    assert "objective   the next" in cli("status").out
    refused = cli("queue", "next")
    assert (refused.status, "is not complete" in refused.err) == (exits.USAGE, True)


def test_run_ends_with_its_goal_and_says_how_to_go_on(cli: Cli) -> None:
    program = worker(COMPLETE)
    goalfsm("queue", "add", "the next")
    assert goalfsm("run").err.endswith(
        "Hint: goalfsm run --advance begins with the first that is queued\n"
    )
    done = goalfsm("run", "the first", "--", program)
    assert done.status == exits.OK
    assert "goalfsm run --advance" in done.out
    assert [one["objective"] for one in queue(cli)] == ["the next"]


def test_run_advance_goes_through_the_queue_and_says_so(cli: Cli) -> None:
    program = worker(COMPLETE)
    goalfsm("queue", "add", "the second")
    goalfsm("queue", "add", "the third")
    done = goalfsm("run", "the first", "--advance", "--", program)
    assert done.status == exits.OK, done
    assert "going on to the next goal of the queue, 1 more: the second" in done.out
    assert "going on to the next goal of the queue: the third" in done.out
    assert turns() == [1, 1, 1]
    assert "the third" in prompt(1)
    assert queue(cli) == []
    again = goalfsm("run", "--advance")
    assert (again.status, "complete" in again.out) == (exits.OK, True)


def test_run_goes_on_where_the_policy_came_after_the_first_goal(cli: Cli) -> None:
    """The list says that the thread goes on by itself: then it does, whoever serves it."""
    assert goalfsm("run", "the first", "--", worker(COMPLETE)).status == exits.OK
    goalfsm("queue", "add", "the second")
    goalfsm("policy", "--set", "advance=true")
    assert "goes on to the next one by itself" in goalfsm("queue", "list").out
    done = goalfsm("run")
    assert (done.status, turns()) == (exits.OK, [1, 1]), done
    assert json.loads(cli("status", "--json").out)["goal"]["objective"] == "the second"
    assert queue(cli) == []


def test_a_goal_that_is_not_reached_holds_the_queue(cli: Cli) -> None:
    goalfsm("queue", "add", "the next")
    blocked = goalfsm("run", "the first", "--advance", "--", worker(BLOCKED))
    assert blocked.status == exits.GOAL_BLOCKED
    assert [one["objective"] for one in queue(cli)] == ["the next"]
    assert json.loads(cli("status", "--json").out)["goal"]["objective"] == "the first"


def test_a_killed_run_goes_on_with_the_queue_when_it_is_started_again(cli: Cli) -> None:
    program = worker(
        "[ -e killed ] || { touch killed; kill -9 $(ps -o ppid= -p $PPID); }", COMPLETE
    )
    goalfsm("queue", "add", "the next")
    with terminal("run", "the first", "--advance", "--", program) as first:
        assert first.end().status == -9
    done = goalfsm("run", "--advance")
    assert done.status == exits.OK, done
    assert "going on to the next goal of the queue: the next" in done.out
    assert queue(cli) == []


@pytest.mark.parametrize("how", ["flag", "policy"])
def test_a_daemon_is_followed_through_the_queue(cli: Cli, how: str) -> None:
    program = worker(COMPLETE)
    goalfsm("queue", "add", "the next")
    if how == "policy":
        goalfsm("policy", "--set", "advance=true")
    with daemon():
        advance = ["--advance"] if how == "flag" else []
        done = goalfsm("run", "the first", *advance, "--", program)
        assert done.status == exits.OK, done
        assert "going on to the next goal of the queue: the next" in done.out
    assert queue(cli) == []
    status = json.loads(cli("status", "--json").out)
    assert (status["goal"]["objective"], status["goal"]["status"]) == ("the next", "complete")


def test_a_run_may_not_fill_its_own_queue(cli: Cli) -> None:
    program = worker("goalfsm queue add mine; echo $? > status.txt", COMPLETE)
    assert goalfsm("run", "the first", "--advance", "--", program).status == exits.OK
    assert Path("status.txt").read_text().strip() == str(exits.USAGE)
    assert queue(cli) == []


@pytest.mark.parametrize(("form", "head"), [("report", "# Completion record"), ("pr", "## What")])
def test_each_goal_of_a_queue_leaves_its_record(cli: Cli, form: str, head: str) -> None:
    goalfsm("queue", "add", "the next", "--db", "data/g.db")
    program = worker(COMPLETE)
    words = ("--advance", "--on-complete", form, "--db", "data/g.db", "--", program)
    done = goalfsm("run", "the first", *words)
    assert done.status == exits.OK, done
    written = [path.read_text() for path in Path("data/reports").iterdir()]
    assert len(written) == 2
    assert all(text.startswith(head) for text in written)
    assert sum("the first" in text for text in written) == 1 or form == "report"
    shown = cli("report", *(["--pr"] if form == "pr" else []), "--db", "data/g.db")
    assert shown.out.startswith(head)
    assert "`done`" in shown.out
    # Where it is written is said by the run, of each goal, by the status and beside the report.
    for path in Path("data/reports").iterdir():
        assert f"its record is written: {path.absolute()}" in done.out
    status = json.loads(cli("status", "--json", "--db", "data/g.db").out)
    last = Path(status["record"])
    assert last.read_text() in {*written}
    assert f"record      {last}\n" in cli("status", "--db", "data/g.db").out
    assert str(last) in shown.err
