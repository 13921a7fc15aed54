"""`goalfsm doctor` says what is wrong with a file that is damaged, whatever is damaged."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import apsw
import pytest

from goalfsm.cli import exits
from tests.cli.terminal import Cli

DB = ("--db", "goals.db")

OLDER = Path(__file__).parents[1] / "store" / "data" / "schema2.db.gz"
"""Of schema 2, left behind in the middle of its work."""


@pytest.fixture(autouse=True)
def _goal(cli: Cli) -> None:
    assert cli("set", "it", *DB, "--", "true").status == exits.OK


def sick(cli: Cli, *options: str) -> dict[str, Any]:
    """Examine a database that is not healthy; return what was found wrong, by check."""
    shown = cli("doctor", *DB, *options)
    assert shown.status == exits.FAILED
    assert not shown.err
    assert "goals.db is not healthy" in shown.out
    result = cli("doctor", *DB, *options, "--json")
    assert result.status == exits.FAILED
    report = json.loads(result.out)
    assert report["healthy"] is False
    return {each["check"]: each for each in report["findings"] if not each["ok"]}


@pytest.mark.parametrize("options", [(), ("--repair",)])
def test_a_file_that_cannot_be_opened(cli: Cli, options: tuple[str, ...]) -> None:
    with Path("goals.db").open("r+b") as file:
        file.truncate(20_000)
    wrong = sick(cli, *options)
    assert "malformed" in wrong["integrity"]["found"]
    assert "goalfsm backup" in wrong["integrity"]["hint"]


@pytest.mark.parametrize("options", [(), ("--repair",)])
def test_a_file_that_is_no_database_of_ours(cli: Cli, options: tuple[str, ...]) -> None:
    Path("goals.db").write_text("Dear diary, " * 1_000)
    wrong = sick(cli, *options)
    assert wrong.keys() == {"file"}
    assert "goals.db" in wrong["file"]["found"]
    assert "--db names another file" in wrong["file"]["hint"]
    assert Path("goals.db").read_text().startswith("Dear diary")


def test_a_file_of_a_newer_version(cli: Cli) -> None:
    newer = apsw.Connection("goals.db")
    newer.execute("PRAGMA user_version = 9999")
    newer.close()
    wrong = sick(cli)
    assert wrong.keys() == {"file"}
    assert "Upgrade goalfsm" in wrong["file"]["hint"]


def test_a_file_of_an_older_version_is_read_as_it_is(cli: Cli) -> None:
    """It is migrated by whoever writes first, not by one who looks."""
    older = Path("older.db")
    older.write_bytes(gzip.decompress(OLDER.read_bytes()))
    older.chmod(0o600)
    before = older.read_bytes()
    shown = cli("doctor", "--db", "older.db")
    assert shown.status == exits.OK
    assert "schema 2" in shown.out
    assert "older.db is healthy" in shown.out
    assert older.read_bytes() == before


def test_one_thing_is_told_as_one(cli: Cli) -> None:
    out = cli("doctor", *DB).out
    assert "1 thread replays to its state" in out
    assert "1 turn to begin, 0 effects to do, 0 events in the inbox" in out
    cli("set", "another", "too", *DB, "--", "true")
    out = cli("doctor", *DB).out
    assert "2 threads replay to their state" in out
    assert "2 turns to begin, 0 effects to do, 0 events in the inbox" in out
    cli("set", "third", "too", *DB)
    out = cli("doctor", *DB).out
    assert "3 turns to begin (1 without a stored program), 0 effects to do" in out
    assert "goalfsm daemon goes on with it" in out
    cli("set", "alone", "too", "--db", "alone.db")
    out = cli("doctor", "--db", "alone.db").out
    assert "Hint: goalfsm run --thread alone --agent NAME, or -- PROGRAM ARGS" in out


@pytest.mark.parametrize(
    ("damage", "check", "said"),
    [
        ("DELETE FROM owner", "owner", "who owns the database is gone"),
        ("UPDATE journal SET event = x'7b'", "replay", "a stored event cannot be read"),
        ("UPDATE session SET state = x'7b'", "replay", "a stored session cannot be read"),
        ("DROP TABLE outbox", "open work", "no such table"),
    ],
)
def test_what_one_check_cannot_read_the_others_can(
    cli: Cli, damage: str, check: str, said: str
) -> None:
    damaged = apsw.Connection("goals.db")
    damaged.execute(damage)
    damaged.close()
    wrong = sick(cli)
    assert said in wrong[check]["found"]
    assert "goalfsm backup" in wrong[check]["hint"]
    assert not {"replay", "owner"} <= wrong.keys()


@pytest.mark.parametrize("command", ["status", "pause"])
def test_a_state_that_cannot_be_read_is_no_wrong_usage(cli: Cli, command: str) -> None:
    damaged = apsw.Connection("goals.db")
    damaged.execute("UPDATE session SET state = x'7b'")
    damaged.close()
    result = cli(command, *DB)
    assert result.status == exits.FAILED
    assert result.told_shortly
    assert "goalfsm doctor" in result.err
