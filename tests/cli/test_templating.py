"""Templates on the command line."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from goalfsm.cli import exits
from tests.cli.conftest import Cli
from tests.cli.processes import goalfsm
from tests.cli.workers import COMPLETE, turns, worker


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


def test_a_goal_is_run_from_a_template() -> None:
    Path(".goalfsm/templates").mkdir(parents=True)
    Path(".goalfsm/templates/write.md").write_text(
        '+++\ntokens = "5k"\n[inputs.what]\n+++\nWrite {{what}}.\n- [ ] {{what}} is written\n'
    )
    run = goalfsm("run", "-t", "write", "what=the report", "--tokens", "7k", "--", worker(COMPLETE))
    assert run.status == exits.OK, run
    goal = json.loads(goalfsm("status", "--json").out)["goal"]
    assert goal["objective"] == "Write the report."
    assert goal["token_budget"] == 7_000
    assert [one["text"] for one in goal["criteria"]] == ["the report is written"]


@pytest.mark.parametrize(
    ("name", "inputs", "criteria"),
    [
        ("fix-issue", ["issue=the gate sticks"], 3),
        ("refactor", ["what=the gate, one board less"], 3),
        ("add-feature", ["feature=a bell"], 4),
        ("make-green", [], 0),
        ("upgrade-dependency", ["dependency=hinge"], 3),
    ],
)
def test_what_comes_along_leads_to_a_goal_whose_own_check_passed(
    name: str, inputs: list[str], criteria: int
) -> None:
    """The first turn claims what its check refuses; the second one does the work."""
    Path("Makefile").write_text("test:\n\ttest -e mended\n")
    shown = "".join(f" --criterion {number}" for number in range(1, criteria + 1))
    done = worker(
        "[ $GOALFSM_TURN = 1 ] || touch mended",
        f"goalfsm tool update_goal --status complete --evidence seen{shown} >&2",
    )
    run = goalfsm("run", "-t", name, *inputs, "--", done)
    assert run.status == exits.OK, run
    record = json.loads(goalfsm("report", "--json").out)
    assert (record["status"], record["accepted_by"], turns()) == ("complete", "engine", [1, 2])
    assert [one["evidence"] for one in record["criteria"]] == [["seen"]] * criteria
    assert [(one["what"], one["outcome"]) for one in record["verifiers"]] == [
        ("make test", "passed")
    ]


def test_a_goal_is_given_a_budget_in_words_where_that_is_asked_for(cli: Cli) -> None:
    """Without --inline the words are the objective's."""
    assert cli("set", "plain", "Fix it budget: 15k").status == exits.OK
    plain = json.loads(cli("status", "plain", "--json").out)["goal"]
    assert (plain["objective"], plain["token_budget"]) == ("Fix it budget: 15k", None)
    assert cli("set", "words", "Fix it budget: 15k, 2h", "--inline").status == exits.OK
    goal = json.loads(cli("status", "words", "--json").out)["goal"]
    assert goal["objective"] == "Fix it"
    assert (goal["token_budget"], goal["time_budget_seconds"]) == (15_000, 7_200)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("Fix it budget: lots", "--inline"), "'lots' is no budget"),
        (("Fix it budget: 2k", "--inline", "--tokens", "3k"), "two budgets of tokens"),
        (("Fix it budget: 2h, , 20 turns", "--inline"), "in double quotes a shell takes $5"),
        (("budget: 2k", "--inline"), "objective is empty"),
    ],
)
def test_a_budget_in_words_that_cannot_be_is_refused(
    cli: Cli, words: tuple[str, ...], said: str
) -> None:
    refused = cli("set", "books", *words)
    assert refused.status == exits.USAGE
    assert said in refused.err
    assert "Hint: " in refused.err
    assert cli("status", "books").status != exits.OK


def test_a_run_takes_a_budget_from_its_objective() -> None:
    run = goalfsm("run", "Write it. Budget: 9 turns", "--inline", "--", worker(COMPLETE))
    assert run.status == exits.OK, run
    goal = json.loads(goalfsm("status", "--json").out)["goal"]
    assert (goal["objective"], goal["max_continuations"]) == ("Write it.", 9)


def test_a_template_takes_a_budget_in_words(cli: Cli) -> None:
    """Behind its inputs, in place of its own, or at the end of its text where it says inline."""
    fix = ("-t", "fix-issue", "issue=12", "check=true", "--inline", "budget: 200k, 2h")
    assert "two budgets of tokens" in cli("set", "c", *fix, "--tokens", "3k").err
    assert cli("set", "c", *fix).status == exits.OK
    limits = json.loads(cli("status", "c", "--json").out)["goal"]
    assert (limits["token_budget"], limits["time_budget_seconds"]) == (200_000, 7_200)
    Path(".goalfsm/templates").mkdir(parents=True)
    Path(".goalfsm/templates/write.md").write_text("Write it.\n- [ ] it is written\n")
    assert cli("set", "a", "-t", "write", "--inline", "budget: 15k").status == exits.OK
    Path(".goalfsm/templates/own.md").write_text(
        "+++\ninline = true\n[inputs.n]\n+++\nWrite it.\n\nbudget: {{n}}, 2h\n"
    )
    assert cli("set", "b", "-t", "own", "n=7k").status == exits.OK
    for thread, tokens in (("a", 15_000), ("b", 7_000)):
        goal = json.loads(cli("status", thread, "--json").out)["goal"]
        assert (goal["objective"], goal["token_budget"]) == ("Write it.", tokens)


def test_a_template_says_what_of_its_verifier_is_sealed(cli: Cli) -> None:
    """As on the command line: the run shows what stays as it is."""
    Path(".goalfsm/templates").mkdir(parents=True)
    for name in ("expected.txt", "log.txt"):
        Path(name).touch()
    Path(".goalfsm/templates/mine.md").write_text(
        '+++\nverify = ["grep -q x log.txt"]\nseal = ["expected.txt"]\nunsealed = ["log.txt"]\n'
        'verify_changed = "accept"\n+++\nDo it.\n'
    )
    assert cli("templates", "trust", "mine").status == exits.OK
    told = cli("set", "books", "-t", "mine")
    (row,) = [row for row in told.out.splitlines() if row.startswith("sealed for")]
    assert "expected.txt" in row
    assert "log.txt" not in row.partition(": ")[2]


def test_a_thread_is_set_from_a_template(cli: Cli) -> None:
    made = cli("set", "books", "--template=fix-issue", "issue=12", "check=true")
    assert made.status == exits.OK, made
    goal = json.loads(cli("status", "books", "--json").out)["goal"]
    assert goal["objective"].startswith("Fix this fault: 12")


def test_programs_of_a_repository_need_trust(cli: Cli) -> None:
    Path(".goalfsm/templates").mkdir(parents=True)
    Path(".goalfsm/templates/mine.md").write_text('+++\nverify = ["true"]\n+++\nDo it.\n')
    refused = cli("set", "books", "-t", "mine")
    assert refused.status != exits.OK
    assert "goalfsm templates trust mine" in refused.err
    assert cli("templates", "trust", "mine").status == exits.OK
    assert cli("set", "books", "-t", "mine").status == exits.OK


def test_a_missing_input_is_named(cli: Cli) -> None:
    refused = cli("set", "-t", "fix-issue")
    assert "needs issue" in refused.err
    assert "-t needs a name" in cli("set", "-t").err


def test_templates_are_listed_shown_made_and_checked(cli: Cli) -> None:
    assert "make-green" in cli("templates", "list").out
    made = cli("templates", "new", "mine")
    assert Path(made.out.strip()).is_file()
    assert "exists" in cli("templates", "new", "mine").err
    assert "no name" in cli("templates", "new", "../mine").err
    assert "mine: well formed, takes what" in cli("templates", "check", "mine").out
    assert "{{what}}" in cli("templates", "show", "mine").out
    shown = cli("templates", "show", "mine", "what=a test").out
    assert shown.startswith("goalfsm run --criterion")
    assert "a test" in shown
    assert "write INPUT=VALUE" in cli("templates", "show", "mine", "what").err


def test_what_is_wrong_is_said_for_each(cli: Cli) -> None:
    Path(".goalfsm/templates").mkdir(parents=True)
    Path(".goalfsm/templates/bad.md").write_text("Do {{it}}.")
    checked = cli("templates", "check")
    assert checked.status == exits.FAILED
    assert "bad: the template bad uses it" in checked.err
    assert "unusable" in cli("templates", "list").out


def test_an_own_template_goes_into_the_users_folder(cli: Cli, tmp_path: Path) -> None:
    made = Path(cli("templates", "new", "mine", "--user").out.strip())
    assert made.is_relative_to(tmp_path / "config")


@pytest.mark.parametrize("program", [(), ("--", "true")])
def test_a_word_that_is_no_input_is_named(cli: Cli, program: tuple[str, ...]) -> None:
    """Neither as a program nor as more of an objective that a person did not type."""
    told = cli("run", "-t", "fix-issue", "issue=12", "soon", *program)
    assert told.status == exits.USAGE
    assert "no inputs of the template: soon\n" in told.err
    assert "NAME=VALUE" in told.err


@pytest.mark.parametrize("what", ["fifo", "device", "large"])
def test_what_is_no_template_is_not_read_without_an_end(cli: Cli, what: str) -> None:
    place = Path("endless.md")
    if what == "fifo":
        os.mkfifo(place)
    elif what == "device":
        place.symlink_to("/dev/zero")
    else:
        place.touch()
        os.truncate(place, 1 << 40)
    refused = cli("run", "--template", "./endless.md")
    assert refused.status == exits.USAGE
    assert "endless.md" in refused.err
    assert "Traceback" not in refused.err
