"""Goals of other programs, brought here from the command line: whole, once, and paused."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from goalfsm.cli import exits, places
from tests.cli.processes import goalfsm
from tests.cli.terminal import Cli
from tests.cli.workers import COMPLETE, worker
from tests.importers.samples import CLAUDE, PI, PROJECT, codex_home, database

PI_THREAD = "pi-01a2271b-68ab-7447-8155-e501d2dd289b"


def rows(text: str) -> list[dict[str, Any]]:
    return [json.loads(row) for row in text.splitlines()]


def threads(cli: Cli, *where: str) -> dict[str, dict[str, Any]]:
    """Return the goals of a database by their objectives."""
    return {
        row["goal"]["objective"]: row["goal"]
        for row in json.loads(cli("list", "--json", *where).out)
    }


def test_every_goal_of_codex_arrives_as_it_stood(cli: Cli, tmp_path: Path) -> None:
    home = codex_home(tmp_path / "codex")
    brought = cli("import", "codex", str(home), "--db", "g.db", "--json")
    assert brought.status == exits.OK, brought
    assert [(row["code"], row["status"]) for row in rows(brought.out)] == [
        ("imported", status)
        for status in ("paused", "budget_limited", "usage_limited", "blocked", "complete", "active")
    ]
    here = threads(cli, "--db", "g.db")
    assert {name: goal["status"] for name, goal in here.items()} == {
        "Port the parser": "paused",
        "Rewrite everything": "budgetLimited",
        "QUOTA please": "paused",
        "Deploy it": "blocked",
        "FINISH the notes": "complete",
        "Keep going for ever": "paused",
    }
    assert here["QUOTA please"]["pause_reason"] == "usage_limit"
    assert here["Rewrite everything"]["limited_by"] == "tokens"
    ported = here["Port the parser"]
    assert (ported["tokens_used"], ported["token_budget"]) == (80, 1_000_000)


def test_a_second_time_changes_nothing_and_says_so(cli: Cli, tmp_path: Path) -> None:
    home = codex_home(tmp_path / "codex")
    cli("import", "codex", str(home), "--db", "g.db")
    before = cli("list", "--json", "--db", "g.db").out
    again = cli("import", "codex", str(home), "--db", "g.db")
    assert again.status == exits.OK
    assert again.out.count("is here already (") == 6
    database(
        home / "goals_1.sqlite", "UPDATE thread_goals SET tokens_used = 99 WHERE status = 'paused'"
    )
    changed = cli("import", "codex", str(home), "--db", "g.db")
    assert changed.out.count("has changed there since; it is left as it is") == 1
    assert cli("list", "--json", "--db", "g.db").out == before


def test_a_dry_run_says_what_would_come_and_writes_nothing(cli: Cli, tmp_path: Path) -> None:
    trial = cli("import", "pi", str(PI), "--dry-run")
    assert trial.status == exits.OK
    assert f"{PI_THREAD}: it would be brought here (active there, 12,345 tokens, 67 s)" in trial.out
    assert not (tmp_path / "state").exists()
    cli("import", "pi", str(PI))
    assert "is here already" in cli("import", "pi", str(PI), "--dry-run").out


def test_each_goal_goes_to_the_database_of_its_own_directory(cli: Cli) -> None:
    (row,) = rows(cli("import", "pi", str(PI), "--json").out)
    assert row["db"] == str(places.own_database(Path(PROJECT)))
    told = cli("status", PI_THREAD, "--db", row["db"]).out
    assert "paused (user): it was being worked on where it came from" in told
    goal = threads(cli, "--db", row["db"])["Port the printer"]
    assert (goal["tokens_used"], goal["token_budget"], goal["active_seconds"]) == (
        12_345,
        500_000,
        67,
    )


def test_it_is_taken_up_where_it_was(cli: Cli) -> None:
    brought = cli("import", "pi", str(PI), "--thread", "port", "--db", "g.db")
    assert f"Hint: cd {PROJECT} && goalfsm run --thread port --db " in brought.out
    done = goalfsm("run", "--thread", "port", "--db", "g.db", "--", worker(COMPLETE))
    assert done.status == exits.OK, done
    goal = threads(cli, "--db", "g.db")["Port the printer"]
    assert (goal["status"], goal["tokens_used"]) == ("complete", 12_345)


def test_claude_tells_how_its_goal_ended(cli: Cli) -> None:
    for name, status in (("met", "complete"), ("failed", "blocked"), ("going-on", "paused")):
        cli("import", "claude", str(CLAUDE / f"{name}.jsonl"), "--thread", name, "--db", "g.db")
        found = json.loads(cli("status", name, "--db", "g.db", "--json").out)
        assert found["goal"]["status"] == status
    assert "the disk is read-only" in cli("status", "failed", "--db", "g.db").out


def test_a_thread_with_a_goal_of_its_own_keeps_it(cli: Cli) -> None:
    cli("set", "port", "our own", "--db", "g.db")
    refused = cli("import", "pi", str(PI), "--thread", "port", "--db", "g.db")
    assert refused.status == exits.FAILED
    assert "already has an unfinished goal" in refused.err
    assert list(threads(cli, "--db", "g.db")) == ["our own"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("codex", "no-such-file"), "there is no file no-such-file"),
        (("pi", "no-such-file"), "there is no no-such-file"),
        (("claude", "bad.jsonl"), "line 1, is no JSON object"),
        (("pi", "bad.jsonl"), "line 1, is no JSON object"),
        (("codex", "bad.jsonl"), "cannot be read"),
        (("aider",), "aider"),
    ],
)
def test_what_cannot_be_read_is_said_in_a_line_with_a_hint(
    cli: Cli, tmp_path: Path, words: tuple[str, ...], said: str
) -> None:
    Path("bad.jsonl").write_text("nothing of the kind\n" * 99)
    refused = cli("import", *words)
    assert refused.status == exits.USAGE
    first, second = refused.err.splitlines()
    assert said in first
    assert second.startswith("Hint: ")
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize("tool", ["codex", "claude", "pi"])
@pytest.mark.parametrize("what", ["fifo", "device"])
def test_what_is_no_file_is_not_waited_for(cli: Cli, tool: str, what: str) -> None:
    place = Path("session.jsonl")
    if what == "fifo":
        os.mkfifo(place)
    else:
        place.symlink_to("/dev/zero")
    refused = cli("import", tool, str(place))
    assert refused.status == exits.USAGE
    assert "session.jsonl" in refused.err


def test_one_thread_is_not_for_several_goals(cli: Cli, tmp_path: Path) -> None:
    home = codex_home(tmp_path / "codex")
    refused = cli("import", "codex", str(home), "--thread", "one", "--db", "g.db")
    assert (refused.status, "6 goals" in refused.err) == (exits.USAGE, True)
    assert not Path("g.db").exists()


def test_one_of_several_goals_is_chosen_by_its_name(cli: Cli, tmp_path: Path) -> None:
    home = str(codex_home(tmp_path / "codex"))
    shown = rows(cli("import", "codex", home, "--dry-run", "--json").out)
    named = next(row["thread_id"] for row in shown if row["objective"] == "Port the parser")
    refused = cli("import", "codex", home, "--only", "parser", "--db", "g.db")
    assert (refused.status, "begins with parser" in refused.err) == (exits.USAGE, True)
    assert shown[0]["thread_id"] in refused.err
    assert not Path("g.db").exists()
    chosen = ("--only", named[:-1], "--thread", "port", "--db", "g.db", "--json")
    (brought,) = rows(cli("import", "codex", home, *chosen).out)
    assert list(threads(cli, "--db", "g.db")) == ["Port the parser"]
    where = f"cd {brought['cwd']} && " if brought["cwd"] else ""
    assert brought["hint"] == f"{where}goalfsm run --thread port --db {brought['db']} --agent codex"


def test_a_bad_session_in_a_home_is_named_and_the_others_come(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PI_CODING_AGENT_DIR", str(tmp_path / "pi"))
    folder = tmp_path / "pi" / "sessions"
    folder.mkdir(parents=True)
    (folder / "1.jsonl").write_text("{\n")
    (folder / "2.jsonl").write_bytes(PI.read_bytes())
    brought = cli("import", "pi", "--db", "g.db")
    assert brought.status == exits.FAILED
    assert "1.jsonl, line 1, is no JSON object" in brought.err
    assert list(threads(cli, "--db", "g.db")) == ["Port the printer"]
    (folder / "1.jsonl").unlink()
    (folder / "2.jsonl").unlink()
    assert cli("import", "pi").out == "no goal of pi there\n"
