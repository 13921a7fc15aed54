"""What people type: options on both sides, words of other programs, a program without ``--``."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from goalfsm.cli import exits
from goalfsm.cli.app import _ENTRIES
from goalfsm.cli.meant import _MEANT
from tests.cli.processes import daemon, goalfsm, terminal
from tests.cli.terminal import Cli
from tests.cli.workers import COMPLETE, prompt, worker


def test_options_may_stand_before_the_command(cli: Cli) -> None:
    assert cli("--db", "a.db", "--thread", "x", "set", "do it").status == exits.OK
    before = cli("--thread", "x", "--db", "a.db", "--json", "status")
    after = cli("status", "--db", "a.db", "--json", "--thread", "x")
    assert json.loads(before.out)["goal"]["objective"] == "do it"
    assert json.loads(after.out)["goal"] == json.loads(before.out)["goal"]
    assert cli("--tokens", "5k", "--db", "a.db", "--thread", "y", "set", "do it").status == exits.OK
    assert cli("--set", "no_progress=7", "policy", "y", "--db", "a.db").status == exits.OK
    assert "no_progress=7" in cli("policy", "y", "--db", "a.db").out
    unknown = cli("--nonsense", "list")
    assert unknown.status == exits.USAGE
    assert "--nonsense" in unknown.err


def test_a_program_without_dashes_is_told_where_they_belong(cli: Cli) -> None:
    result = cli("run", "do it", "make", "test")
    assert result.status == exits.USAGE
    assert result.told_shortly
    assert "goalfsm run 'do it' -- make test" in result.err
    quoted = cli("run", "do", "it", "--", "make").err
    assert "an objective of several words goes in quotes: goalfsm run 'do it' …" in quoted
    assert (
        "goalfsm run 'do it' --tokens 5 -- make" in cli("run", "do it", "--tokens", "5", "make").err
    )


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        (("stauts", "t"), "goalfsm status t"),
        (("stop", "t"), "goalfsm pause t"),
        (("cancel", "t"), "goalfsm interrupt t"),
        (("continue",), "goalfsm resume"),
        (("tell", "t", "use the API"), "goalfsm steer t 'use the API'"),
        (("contnue",), "goalfsm resume"),
        (("xyzzy",), "goalfsm --help lists them"),
        (("do the thing",), "goalfsm run 'do the thing' -- PROGRAM"),
        (("fix it",), "goalfsm run 'fix it' -- PROGRAM"),
        (("--db", "a.db", "lst"), "goalfsm list --db a.db"),
    ],
)
def test_a_word_that_is_no_command_is_answered_with_the_one_that_was_meant(
    typed: tuple[str, ...], meant: str, cli: Cli
) -> None:
    result = cli(*typed)
    assert result.status == exits.USAGE
    assert f"Hint: {meant}" in result.err


def test_what_is_suggested_exists_and_no_command_is_shadowed() -> None:
    assert set(_MEANT.values()) <= set(_ENTRIES)
    assert not set(_MEANT) & set(_ENTRIES)


def test_a_thread_that_a_word_has_made_is_named(cli: Cli) -> None:
    """Whoever forgot the quotes learns what became of the first word."""
    assert "fix is a new thread" in cli("set", "fix", "it").out
    assert "new thread" not in cli("set", "fix", "it better", "--replace").out
    assert "new thread" not in cli("set", "fix the other one").out


def test_pausing_twice_is_no_error(cli: Cli) -> None:
    cli("set", "do it")
    assert cli("pause").status == exits.OK
    again = cli("pause")
    assert again.status == exits.OK
    assert "paused already" in again.out


def test_bare_budget_and_policy_show_what_is_set(cli: Cli) -> None:
    cli("set", "do it", "--tokens", "5k", "--policy", "no_progress=7")
    assert "tokens: 0 of 5,000 used" in cli("budget").out
    shown = cli("policy").out.splitlines()
    assert "no_progress=7  (default: 3)" in shown
    assert "blocked_after=3" in shown


def test_the_next_prompt_is_shown_with_what_it_carries(cli: Cli) -> None:
    cli("set", "do it")
    cli("steer", "mind the gap")
    found = json.loads(cli("context", "--json").out)
    assert [part["name"] for part in found["parts"]] == ["messages", "work"]
    assert found["bytes"] == len(found["prompt"].encode())
    assert "mind the gap" in found["prompt"]
    told = cli("context").out
    assert told.startswith(f"turn 1: {found['bytes']:,} bytes\n")
    assert "mind the gap" in told


def test_a_report_tells_what_happened_since(cli: Cli) -> None:
    cli("set", "do it")
    cli("steer", "mind the gap")
    assert "## Since" not in cli("report").out
    assert "steering: mind the gap" in cli("report", "--since", "1h").out
    cli("pause")
    cli("steer", "and the other one")
    paused = cli("report", "--since", "1h").out
    assert paused.count("`stop: ") == 1
    assert "steering: and the other one" in paused
    later = cli("report", "--since", "2100-01-01", "--json")
    assert json.loads(later.out)["happened"] == []
    assert cli("report", "--since", "yesterday").status == exits.USAGE


def test_a_report_of_a_busy_night_tells_the_last_of_it(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("goalfsm.cli.explaining._LINES", 1)
    cli("set", "do it")
    cli("steer", "the first word")
    cli("steer", "the last word")
    told = cli("report", "--since", "1h").out
    assert "steering: the first word" not in told
    assert "steering: the last word" in told
    assert "- 2 more before what follows: goalfsm log shows all" in told


def test_all_goals_are_listed_wherever_they_are(cli: Cli) -> None:
    cli("set", "here")
    cli("set", "there", "--db", "there.db", "--thread", "far")
    Path("gone.db").write_text("no database")
    listed = cli("list", "--everywhere")
    assert listed.status == exits.OK
    assert "there.db:" in listed.out
    assert "far" in listed.out
    assert len([row for row in listed.out.splitlines() if row[0] != " "]) == 4
    there = Path("there.db").resolve()
    assert f"   goalfsm run --thread far --db {there} -- PROGRAM ARGS\n" in listed.out
    Path("there.db").unlink()
    assert "there.db" not in cli("list", "--everywhere", "--json").out


def test_an_interruption_ends_the_turn_and_its_words_open_the_next() -> None:
    program = worker(
        "[ $GOALFSM_TURN -gt 1 ] || while :; do sleep 0.05; done",
        COMPLETE,
    )
    with terminal("run", "do it", "--thread", "t", "--", program) as run:
        run.until("turn 1 starts")
        assert goalfsm("interrupt", "t", "use the other branch").status == exits.OK
        assert run.end().status == exits.OK
    assert "use the other branch" in prompt(2)


def test_pause_now_ends_the_running_turn() -> None:
    program = worker("while :; do sleep 0.05; done")
    with terminal("run", "do it", "--thread", "t", "--", program) as run:
        run.until("turn 1 starts")
        assert goalfsm("pause", "t", "--now").status == exits.OK
        result = run.end()
    assert result.status == exits.ATTENTION, result
    assert "turn 1 interrupted" in result.out


def test_who_looks_on_never_takes_over() -> None:
    """When the engine ends, somebody has to say that the work goes on, as before."""
    program = worker("echo waiting", "while ! [ -f go ]; do sleep 0.05; done", COMPLETE)
    with daemon("--db", "goals.db") as serving:
        goalfsm("set", "do it", "--db", "goals.db", "--", program)
        with terminal("watch", "--db", "goals.db") as watching:
            watching.until("looking on")
            serving.process.kill()
            watching.until("nobody works on this")
            Path("go").touch()
            assert goalfsm("run", "--db", "goals.db").status == exits.OK
            assert watching.end().status == exits.OK


def test_ctrl_c_ends_the_looking_on_and_nothing_else() -> None:
    program = worker("while ! [ -f go ]; do sleep 0.05; done", COMPLETE)
    with terminal("run", "do it", "--db", "goals.db", "--", program) as run:
        run.until("turn 1 starts")
        with terminal("watch", "--db", "goals.db") as watching:
            watching.until("looking on: running a turn")
            watching.process.send_signal(signal.SIGINT)
            assert watching.end().status == exits.INTERRUPTED
        Path("go").touch()
        assert run.end().status == exits.OK
