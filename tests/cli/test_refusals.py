"""Bad input is told in a line, with a hint and exit status 2, and leaves nothing behind."""

from __future__ import annotations

import shlex
from pathlib import Path

import apsw
import pytest

from goalfsm.cli import exits
from tests.cli.terminal import Cli

TRUE = ("--", "true")


def refused(cli: Cli, *words: str) -> str:
    """Run a command that must be refused, and return what it said."""
    result = cli(*words)
    assert result.status == exits.USAGE, result
    assert result.told_shortly, result
    return result.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("run", "", *TRUE), "the objective is empty"),
        (("run", " \n", *TRUE), "the objective is empty"),
        (("run", "x" * 8_001, *TRUE), "8,001 characters"),
        (("run", "x", "--tokens", "0", *TRUE), "'0' is not a token budget"),
        (("run", "x", "--tokens", "ten", *TRUE), "'ten' is not a token budget"),
        (("run", "x", "--time", "0", *TRUE), "not a duration"),
        (("run", "x", "--cost", "-1", *TRUE), "not a cost"),
        (("run", "x", "--max-continuations", "-1", *TRUE), "not a number of continuations"),
        (("run", "x", "--turn-timeout", "soon", *TRUE), "not a duration"),
        (("run", "x", "--criterion", "", *TRUE), "the criterion is empty"),
        (("run", "x", "--verify", "", *TRUE), "the command is empty"),
        (("run", "x", "--verify", "a 'b", *TRUE), "No closing quotation"),
        (("run", "x", "--policy", "blocked_after=none", *TRUE), "no value for blocked_after"),
        (("run", "x", "--policy", "luck=1", *TRUE), "no setting 'luck'"),
        (("run", "x", "--thread", "a\nb", *TRUE), "printable"),
        (("run", "x"), "no program is known"),
        (("run", "x", "--"), "no program behind --"),
        (("run", "x", "--", ""), "no program was given"),
        (("run", "x", "--", "./absent"), "no such program: ./absent"),
        (("run", "x", "--", "absent-program"), "not on PATH"),
        (("run", "x", "--", "/etc"), "/etc"),
        (("run", "x", "y", *TRUE), "more words than an objective: y"),
        (("run", "x", "--prompt-arg"), "describe a program"),
        (("run", "x", "--env", "FOO=1", *TRUE), "'FOO=1' is not the name of a variable"),
        (("run", "x", "--env", "FOO,BAR", *TRUE), "'FOO,BAR' is not the name of a variable"),
        (("run",), "has no goal yet"),
        (("run", *TRUE), "has no goal yet"),
        (("run", "--tokens", "5", *TRUE), "describe a new goal"),
        (("run", "--verify-timeout", "5s", *TRUE), "describe a new goal"),
        (("run", "x", "--verify-timeout", "5s", *TRUE), "no verifier"),
        (("set",), "neither an objective nor a program"),
        (("set", "a", "b", "c"), "3 arguments"),
        (("set", ""), "the objective is empty"),
        (("set", *TRUE), "has no goal yet"),
        (("status",), "has no goal yet"),
        (("status", "absent"), "there is no database"),
        (("list",), "there is no database"),
        (("list", "--json"), "there is no database"),
        (("list", "--db", "absent.db"), "there is no database at"),
        (("status", "--db", "absent.db"), "there is no database at"),
        (("run", "--db", "absent.db"), "there is no database at"),
        (("tool", "get_goal", "--db", "absent.db"), "there is no database at"),
        (("pause",), "has no goal yet"),
        (("resume", "absent"), "there is no database"),
        (("steer", "go left"), "has no goal yet"),
        (("steer", ""), "the message is empty"),
        (("edit", "x" * 9_000), "9,000 characters"),
        (("budget", "--tokens", "none"), "has no goal yet"),
        (("log",), "has no goal yet"),
        (("log", "-n", "0"), "not a number of events"),
        (("explain",), "has no goal yet"),
        (("report",), "has no goal yet"),
        (("doctor",), "there is no database"),
        (("backup", "copy.db"), "there is no database"),
        (("diagram", "absent"), "unknown machine"),
        (("diagram", "goal", "-o", "no/such/folder/x.md"), "cannot write"),
        (("tool", "get_goal"), "has no goal yet"),
        (("tool", "update_goal", "--status", "complete"), "has no goal yet"),
    ],
)
def test_bad_input_leaves_nothing_behind(
    cli: Cli, tmp_path: Path, words: tuple[str, ...], said: str
) -> None:
    assert said in refused(cli, *words)
    assert list(tmp_path.rglob("*.db*")) == []
    assert list(Path.cwd().iterdir()) == []


def test_a_database_of_another_program_is_left_as_it_is(cli: Cli) -> None:
    other = apsw.Connection("other.db")
    other.execute("CREATE TABLE t(x)")
    other.close()
    before = Path("other.db").read_bytes()
    for words in (("status",), ("run", "x", *TRUE), ("set", "x")):
        assert "another program's database" in refused(
            cli, words[0], "--db", "other.db", *words[1:]
        )
    assert "another program's database" in cli("doctor", "--repair", "--db", "other.db").out
    assert Path("other.db").read_bytes() == before


def test_a_file_that_is_no_database_is_left_as_it_is(cli: Cli) -> None:
    Path("notes.txt").write_text("not a database, but longer than a header of one is" * 9)
    before = Path("notes.txt").read_bytes()
    assert "notes.txt" in refused(cli, "run", "x", "--db", "notes.txt", *TRUE)
    assert Path("notes.txt").read_bytes() == before


def test_a_database_of_a_newer_version_is_left_as_it_is(cli: Cli) -> None:
    assert cli("set", "x", "--db", "new.db").status == exits.OK
    newer = apsw.Connection("new.db")
    newer.execute("PRAGMA user_version = 999")
    newer.close()
    before = Path("new.db").read_bytes()
    assert "newer" in refused(cli, "status", "--db", "new.db").lower()
    assert "newer" in refused(cli, "run", "--db", "new.db", *TRUE).lower()
    assert Path("new.db").read_bytes() == before


@pytest.mark.parametrize("place", ["/proc/goalfsm/x.db", "/dev/null/x.db", "."])
def test_a_place_that_cannot_be_written_is_told(cli: Cli, place: str) -> None:
    refused(cli, "run", "x", "--db", place, *TRUE)
    refused(cli, "set", "x", "--db", place)


def test_a_second_goal_on_a_busy_thread_changes_nothing(cli: Cli) -> None:
    assert cli("set", "the first", "--", "true").status == exits.OK
    before = cli("status", "--json").out
    for words in (("run", "the second", *TRUE), ("set", "the second", "--", "cat"), ("set", "2nd")):
        assert "already has an unfinished goal" in refused(cli, *words)
    after = cli("status", "--json").out
    assert after == before


def test_a_refused_command_says_why_and_changes_no_goal(cli: Cli) -> None:
    cli("set", "it", "--", "true")
    for words in (("accept",), ("reject",), ("resume",), ("wake",)):
        refused(cli, *words)
    assert '"status":"active"' in cli("status", "--json").out


def test_an_expectation_that_does_not_hold_refuses(cli: Cli) -> None:
    cli("set", "it")
    assert "another one by now" in refused(cli, "pause", "--expect-goal", "g-0")
    assert "changed meanwhile" in refused(cli, "pause", "--expect-revision", "99")


@pytest.mark.parametrize("command", ["steer", "edit"])
def test_a_thread_without_the_words_for_it_is_told(cli: Cli, command: str) -> None:
    """The name of a thread alone is no message for the directory's own thread."""
    assert cli("set", "work", "--thread", "release", *TRUE).status == 0
    assert cli("set", "work", *TRUE).status == 0
    assert "release is the name of a thread" in refused(cli, command, "release")
    assert cli(command, "release", "be quick").status == 0


def test_words_that_begin_with_a_dash_can_be_given(cli: Cli) -> None:
    assert "behind a space" in refused(cli, "set", "-fast please")
    assert cli("set", " -fast please").status == exits.OK
    assert "-fast please" in cli("status").out


def test_a_thread_that_does_not_exist_is_told(cli: Cli) -> None:
    cli("set", "it")
    for words in (("status",), ("resume",), ("log",), ("run", "--thread")):
        assert "there is no thread absent" in refused(cli, *words, "absent")


def test_a_thread_whose_goal_was_given_up_is_no_unknown_one(cli: Cli) -> None:
    cli("set", "release", "it", *TRUE)
    cli("clear", "release")
    said = refused(cli, "run", "--thread", "release")
    assert "thread release has no goal" in said
    assert "goalfsm set release OBJECTIVE" in said
    assert "goalfsm set release OBJECTIVE" in cli("status", "release").out


def test_a_hint_names_the_thread_and_the_database_as_they_have_to_be_typed(cli: Cli) -> None:
    place = ("--thread=-x y", "--db", str(Path("a b.db").absolute()))
    cli("set", "it", *place)
    hint = cli("status", *place).out.splitlines()[-1]
    assert shlex.split(hint) == ["Hint:", "goalfsm", "run", *place, "--", "PROGRAM", "ARGS"]
    cli("set", *place, *TRUE)
    cli("pause", *place)
    hint = cli("status", *place).out.splitlines()[-1]
    _, *words = shlex.split(hint.removeprefix("Hint: "))
    assert cli(*words).out == "the goal is active\n"


def test_an_empty_name_of_a_database_is_no_default(cli: Cli) -> None:
    assert "the database's name is empty" in refused(cli, "status", "--db", "")
