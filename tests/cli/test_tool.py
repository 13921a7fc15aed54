"""The goal's tools from inside a turn: what they answer, and what is refused."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from goalfsm.cli import exits
from tests.cli.processes import goalfsm, terminal
from tests.cli.terminal import Cli
from tests.cli.workers import COMPLETE, worker


def test_a_turn_can_read_its_goal() -> None:
    program = worker(
        "goalfsm tool get_goal > goal.txt",
        "goalfsm tool get_goal --json > goal.json",
        "goalfsm status > status.txt",
        COMPLETE,
    )
    result = goalfsm("run", "read it", "--criterion", "it is read", "--", program)
    assert result.status == exits.OK, result
    text = Path("goal.txt").read_text()
    assert "<objective>\nread it\n</objective>" in text
    assert "1. it is read" in text
    found = json.loads(Path("goal.json").read_text())
    assert found["ok"] is True
    assert found["data"]["goal"]["criteria"] == ["it is read"]
    assert "running a turn" in Path("status.txt").read_text()


def test_one_text_can_show_several_criteria() -> None:
    program = worker(
        "goalfsm tool update_goal --status complete --evidence both --criterion 1 --criterion 2 >&2"
    )
    result = goalfsm("run", "do it", "--criterion", "a", "--criterion", "b", "--", program)
    assert result.status == exits.OK, result


def test_what_does_not_pair_is_wrong_usage() -> None:
    program = worker(
        "goalfsm tool update_goal --status complete"
        " --evidence a --evidence b --criterion 1 2> refusal.txt",
        "echo $? > status.txt",
        "./person pause >&2",
        "echo said",
    )
    assert goalfsm("run", "do it", "--", program).status == exits.ATTENTION
    assert Path("status.txt").read_text() == "2\n"
    assert "2 --evidence but 1 --criterion" in Path("refusal.txt").read_text()


def test_a_second_goal_is_refused_to_the_model() -> None:
    program = worker(
        "goalfsm tool create_goal --objective another > out.txt 2> refusal.txt",
        "echo $? > status.txt",
        COMPLETE,
    )
    assert goalfsm("run", "the first", "--", program).status == exits.OK
    assert Path("status.txt").read_text() == "10\n"
    assert Path("out.txt").read_text() == ""
    assert "unfinished goal" in Path("refusal.txt").read_text()


def test_a_model_may_give_a_goal_to_a_thread_that_has_none(cli: Cli) -> None:
    cli("set", "the first")
    cli("complete")
    refused = cli("tool", "create_goal", "--objective", "the second")
    assert refused.status == exits.REFUSED_CALL
    cli("policy", "--set", "model_goals=1")
    made = cli("tool", "create_goal", "--objective", "the second", "--token-budget", "5k")
    assert made.status == exits.OK, made
    goal = json.loads(cli("status", "--json").out)["goal"]
    assert (goal["objective"], goal["token_budget"]) == ("the second", 5_000)


def test_a_run_leaves_the_models_next_goal_paused_and_names_it() -> None:
    program = worker(
        '[ "$GOALFSM_OBJECTIVE" = "the first" ] || exit 0',
        COMPLETE,
        "goalfsm tool create_goal --objective 'the second' >&2",
    )
    given = ("--policy", "model_goals=1", "--max-continuations", "3")
    result = goalfsm("run", "the first", *given, "--", program)
    assert result.status == exits.OK, result
    assert "the thread has a next goal: the second; `goalfsm run" in result.out
    assert "it is paused until then" in result.out
    goal = json.loads(goalfsm("status", "--json").out)["goal"]
    assert (goal["objective"], goal["status"]) == ("the second", "paused")
    assert goal["max_continuations"] == 2
    assert "paused (user): the run was for the goal before it" in goalfsm("status").out


def test_a_token_of_an_old_run_is_refused() -> None:
    """What a forgotten process of an earlier turn asks for changes nothing."""
    program = worker(
        "if [ $GOALFSM_TURN -eq 1 ]; then echo $GOALFSM_RUN_TOKEN > old; echo first; exit; fi",
        "GOALFSM_RUN_TOKEN=$(cat old) goalfsm tool update_goal"
        " --status complete --evidence stale 2> refusal.txt",
        "echo $? > status.txt",
        "./person pause >&2; echo second",
    )
    result = goalfsm("run", "do it", "--", program)
    assert result.status == exits.ATTENTION, result
    assert Path("status.txt").read_text() == "10\n"
    assert "run is over" in Path("refusal.txt").read_text()


def test_a_turn_can_wait_for_a_timer() -> None:
    program = worker(
        "if [ $GOALFSM_TURN -eq 1 ]; then",
        "goalfsm tool wait --for timer --seconds 0.2s --note 'the cache' > said.txt; exit; fi",
        COMPLETE,
    )
    result = goalfsm("run", "wait for it", "--", program)
    assert result.status == exits.OK, result
    assert "The work waits until the time has come; end the turn." in Path("said.txt").read_text()
    declared = waits_of(goalfsm("log", "--json").out)
    assert [(wait["kind"], wait["note"], wait["relative"]) for wait in declared] == [
        ("timer", "the cache", True)
    ]


def test_a_process_that_a_turn_waits_for_outlives_it() -> None:
    """It goes on when the turn has ended; the next turn comes when it has ended as well."""
    os.mkfifo("gate")
    program = worker(
        "if [ $GOALFSM_TURN -eq 1 ]; then",
        "sh -c 'read line < gate; echo $line > built.txt' > log.txt 2>&1 &",
        "goalfsm tool wait --for process --pid $! --note 'the build' >&2; exit; fi",
        "cat built.txt > seen.txt",
        COMPLETE,
    )
    with terminal("run", "build it", "--", program) as running:
        running.until("waits on process")
        Path("gate").write_text("done\n")
        assert running.end().status == exits.OK
    assert Path("seen.txt").read_text() == "done\n"
    (declared,) = waits_of(goalfsm("log", "--json").out)
    assert declared["started"]


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ("--for timer", "a timer needs its seconds"),
        ("--for process", "one for a process, and none for anything else"),
        ("--for person --pid 1", "one for a process, and none for anything else"),
        ("--for process --pid 2147483647", "there is no process 2147483647"),
        ("--for rain", "rain"),
    ],
)
def test_a_wait_that_means_nothing_is_refused(words: str, why: str) -> None:
    program = worker(f"goalfsm tool wait {words} 2> refusal.txt", "./person pause >&2", "echo said")
    assert goalfsm("run", "do it", "--", program).status == exits.ATTENTION
    assert why in Path("refusal.txt").read_text()
    assert waits_of(goalfsm("log", "--json").out) == []


def test_only_a_run_can_wait(cli: Cli) -> None:
    cli("set", "the first")
    refused = cli("tool", "wait", "--for", "event")
    assert refused.status == exits.USAGE
    assert "only a run can" in refused.err


def waits_of(log: str) -> list[dict[str, Any]]:
    """Return the waits that a log in JSON lines tells of."""
    rows = [json.loads(line) for line in log.splitlines()]
    return [row["event"] for row in rows if row["event"]["type"] == "WaitDeclared"]


def test_a_wait_of_an_old_run_is_refused_as_any_call_is(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    cli("set", "do it", "--", "true")
    monkeypatch.setenv("GOALFSM_RUN_TOKEN", "old")
    result = cli("tool", "wait", "--for", "person")
    assert result.status == exits.REFUSED_CALL
    assert not result.out
    assert "run is over" in result.err
    assert '"waits":[]' in cli("status", "--json").out


def test_the_help_says_whole_what_each_tool_is_for(cli: Cli) -> None:
    shown = " ".join(cli("tool", "--help").out.split())
    for name in ("get_goal", "create_goal", "update_goal", "wait"):
        summary = cli("tool", name, "--help").out.split("\n\n")[1]
        assert f"{name} {' '.join(summary.split())}" in shown
    assert "..." not in shown.partition("Commands:")[2]
