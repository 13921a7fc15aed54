"""A verifier whose files the work has changed proves nothing, unless a person said otherwise."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from goalfsm.cli import exits
from tests.cli.processes import goalfsm
from tests.cli.terminal import Cli
from tests.cli.workers import COMPLETE, worker

CHECK = ("--verify", "sh check.sh")


@pytest.fixture(autouse=True)
def _check() -> None:
    Path("check.sh").write_text("exit 1\n")
    Path("data.txt").write_text("as it was\n")


def verdict() -> dict[str, str]:
    found: dict[str, str] = json.loads(goalfsm("report", "--json").out)["verifiers"][0]
    return found


def test_a_check_that_the_work_has_changed_is_not_run() -> None:
    program = worker("echo exit 0 > check.sh", COMPLETE)
    result = goalfsm("run", "do it", *CHECK, "--", program)
    assert result.status == exits.ATTENTION, result
    assert "sealed for sh check.sh: " in result.out
    assert str(Path("check.sh").resolve()) in result.out
    said = goalfsm("log", "--json").out
    assert "changed since it was sealed" in said


@pytest.mark.parametrize("options", [("--unsealed", "check.sh"), ("--verify-changed", "accept")])
def test_a_person_may_say_that_it_is_meant_to_change(options: tuple[str, ...]) -> None:
    program = worker("echo exit 0 > check.sh", COMPLETE)
    result = goalfsm("run", "do it", *CHECK, *options, "--", program)
    assert result.status == exits.OK, result
    assert ("changed since" in verdict()["detail"]) == (options[0] == "--verify-changed")


def test_what_is_named_is_sealed_too() -> None:
    Path("check.sh").write_text("exit 0\n")
    program = worker("echo changed > data.txt", COMPLETE)
    assert goalfsm("run", "do it", *CHECK, "--", program).status == exits.OK
    named = goalfsm(
        "run",
        "again",
        *CHECK,
        "--seal",
        "data.txt",
        "--",
        worker("echo twice > data.txt", COMPLETE, name="again.sh"),
    )
    assert named.status == exits.ATTENTION, named


def test_an_edit_seals_the_check_as_it_is_now() -> None:
    goalfsm("set", "do it", *CHECK)
    Path("check.sh").write_text("exit 0\n")
    assert goalfsm("edit", *CHECK).status == exits.OK
    assert goalfsm("run", "--", worker(COMPLETE)).status == exits.OK


def test_what_cannot_be_sealed_is_refused(cli: Cli) -> None:
    missing = cli("set", "do it", *CHECK, "--seal", "nowhere")
    assert missing.status == exits.USAGE
    assert "cannot seal nowhere" in missing.err
    lonely = cli("set", "do it", "--seal", "data.txt")
    assert lonely.status == exits.USAGE
    assert "no verifier" in lonely.err
    assert not Path("goals.db").exists()


def test_what_checks_twice_is_named_once(cli: Cli) -> None:
    Path("notes.txt").touch()
    check = "grep -q x notes.txt"
    told = cli("set", "books", "do it", "--verify", check, "--until", check).out
    assert told.count(f"sealed for {check}: ") == 1
