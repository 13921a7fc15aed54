"""Commands that look: what they print, as text and as JSON, and that they change nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from goalfsm.cli import exits
from goalfsm.store.sqlite import SqliteStore
from tests.cli.processes import daemon, goalfsm
from tests.cli.terminal import Cli

STATUS = {"thread_id", "goal", "activity", "last_decision", "run", "attention"}
GOAL = {
    "goal_id",
    "objective",
    "status",
    "token_budget",
    "time_budget_seconds",
    "max_continuations",
    "tokens_used",
    "active_seconds",
    "continuations",
    "created_at",
    "updated_at",
    "revision",
    "pause_reason",
    "limited_by",
    "criteria",
}


@pytest.fixture(autouse=True)
def _goal(cli: Cli, _elsewhere: None) -> None:
    set_ = cli("set", "ship it", "--tokens", "20k", "--criterion", "it is out", "--", "true")
    assert set_.status == exits.OK, set_


def test_status_as_json_has_what_programs_rely_on(cli: Cli) -> None:
    found = json.loads(cli("status", "--json").out)
    assert found.keys() >= STATUS
    assert found["goal"].keys() >= GOAL
    assert found["last_decision"].keys() >= {"decision", "guard", "reason", "at"}
    assert found["goal"]["token_budget"] == 20_000
    assert found["run"] is None


def test_status_in_words(cli: Cli) -> None:
    out = cli("status").out
    for words in (
        "the next turn is due",
        "ship it",
        "0 of 20,000 used",
        "criterion 1 it is out",
        "decided",
    ):
        assert words in out


def test_status_says_that_no_program_is_stored_for_a_goal(cli: Cli) -> None:
    assert "no program" not in cli("status").out
    cli("set", "alone", "another")
    for words in (("status", "alone"), ("list",), ("chip", "alone"), ("explain", "alone")):
        assert "waits: no program" in cli(*words).out, words
    missing = "Hint: goalfsm run --thread alone -- PROGRAM ARGS"
    assert missing in cli("status", "alone").out
    cli("pause", "alone")
    paused = cli("status", "alone").out
    assert ("paused (user)" in paused, missing in paused) == (True, True)
    cli("resume", "alone")
    with daemon():
        # It serves the database, and has nobody for this thread.
        for words in (("status", "alone"), ("list",), ("chip", "alone"), ("explain", "alone")):
            assert "waits: no program" in goalfsm(*words).out, words
        assert "continuing" not in goalfsm("list").out
        goalfsm("set", "--thread", "alone", "--", "sleep", "60")
        assert "no program" not in goalfsm("status", "alone").out


def test_a_directory_whose_goals_are_of_other_threads_says_so(cli: Cli) -> None:
    cli("set", "mine", "another", "--db", "g.db")
    refused = cli("status", "--db", "g.db")
    assert "this directory's own thread has no goal; its database has thread mine" in refused.err
    assert "goalfsm status mine" in refused.err
    cli("set", "yours", "a third", "--db", "g.db")
    refused = cli("report", "--db", "g.db")
    assert "its database has 2 threads" in refused.err
    assert "goalfsm list" in refused.err


def test_a_thread_is_named_by_argument_or_option(cli: Cli) -> None:
    cli("set", "mine", "another", "--", "true")
    by_argument = cli("status", "mine", "--json").out
    by_option = cli("status", "--thread", "mine", "--json").out
    assert json.loads(by_argument)["goal"] == json.loads(by_option)["goal"]
    assert json.loads(by_argument)["goal"]["objective"] == "another"


def test_list_shows_every_thread(cli: Cli) -> None:
    cli("set", "mine", "another")
    cli("pause", "mine")
    cli("clear")
    mine, todo, other = cli("list").out.splitlines()
    assert mine.startswith("mine           paused (user): somebody asked for it · ")
    assert todo.split("  ")[-1] == " goalfsm run --thread mine -- PROGRAM ARGS"
    assert "no goal" in other
    rows = json.loads(cli("list", "--json").out)
    assert [row["goal"] and row["goal"]["objective"] for row in rows] == ["another", None]


def test_list_of_nothing_is_no_error(cli: Cli) -> None:
    SqliteStore.open(Path("fresh.db")).close()
    assert "no threads" in cli("list", "--db", "fresh.db").out
    assert cli("list", "--db", "fresh.db", "--json").out == "[]\n"


def test_a_long_name_widens_its_own_line_only(cli: Cli) -> None:
    cli("set", "l" * 200, "another")
    mine, other = sorted((row for row in cli("list").out.splitlines() if row[0] != " "), key=len)
    assert len(mine.split("  ")[0]) <= 40
    assert other.startswith("l" * 200 + "  ")


def test_log_tells_the_newest_events_oldest_first(cli: Cli) -> None:
    for text in ("one", "two", "three"):
        cli("steer", text)
    first, second = cli("log", "-n", "2").out.splitlines()
    assert "steering: two" in first
    assert "steering: three" in second
    everything = [json.loads(row) for row in cli("log", "--json").out.splitlines()]
    assert [row["revision"] for row in everything] == [1, 2, 3, 4]
    assert everything[0]["event"]["type"] == "ObjectiveGiven"
    assert everything[0]["decision"]["decision"] == "continue"


def test_explain_says_why_in_words_and_in_data(cli: Cli) -> None:
    cli("pause")
    out = cli("explain").out
    assert "paused" in out
    assert "Hint: goalfsm resume" in out
    found = json.loads(cli("explain", "--json").out)
    assert found["last_decision"]["decision"] == "stop"
    assert any(step["answer"] == "yes" for step in found["chain"])
    assert [made["decision"] for made in found["earlier"]] == ["continue"]
    assert "Before that:" in out


@pytest.mark.parametrize(("events", "pause_is_read"), [(3, False), (4, True), (5, True)])
def test_explain_reads_no_more_than_the_newest_events(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, events: int, pause_is_read: bool
) -> None:
    """The goal was given, paused and resumed, and then nothing else was decided twice."""
    for words in (("pause",), ("resume",), ("steer", "one"), ("steer", "two")):
        assert cli(*words).status == exits.OK
    monkeypatch.setattr("goalfsm.daemon.remote.reading._DECISION_EVENTS", events)
    found = json.loads(cli("explain", "--json").out)
    assert ("stop" in [made["decision"] for made in found["earlier"]]) is pause_is_read
    assert found["of_newest"] == (events if events < 5 else None)
    said = f"was decided in the newest {events} events; goalfsm log -n N shows older ones."
    assert (said in cli("explain").out) is (events < 5)


def test_report_is_markdown_or_json(cli: Cli) -> None:
    cli("complete", "--evidence", "the tag is pushed")
    text = cli("report").out
    assert text.startswith("# Completion record")
    assert "`the tag is pushed`" in text
    assert json.loads(cli("report", "--json").out)["accepted_by"] == "person"


def test_a_report_counts_no_rejection_that_was_refused(cli: Cli) -> None:
    assert cli("reject", "--feedback", "not yet").status == exits.USAGE
    assert json.loads(cli("report", "--json").out)["refused_claims"] == 0


def test_a_cleared_thread_has_no_report(cli: Cli) -> None:
    cli("clear")
    assert json.loads(cli("status", "--json").out)["goal"] is None
    assert cli("report").status == exits.USAGE


def test_reading_writes_nothing(cli: Cli, tmp_path: Path) -> None:
    (db,) = (tmp_path / "state").rglob("*.db")
    before = {path.name: path.read_bytes() for path in db.parent.iterdir()}
    for words in (("status",), ("list",), ("log",), ("explain",), ("report",), ("doctor",)):
        assert cli(*words).status == exits.OK
    assert {path.name: path.read_bytes() for path in db.parent.iterdir()} == before


def test_doctor_finds_a_healthy_database(cli: Cli) -> None:
    result = cli("doctor", "--json")
    found = json.loads(result.out)
    assert found["healthy"] is True
    checks = {finding["check"] for finding in found["findings"]}
    assert checks >= {"integrity", "replay", "owner", "open work", "settings", "permissions"}


def test_doctor_finds_and_mends_permissions(cli: Cli, tmp_path: Path) -> None:
    (db,) = (tmp_path / "state").rglob("*.db")
    db.chmod(0o644)
    sick = cli("doctor")
    assert sick.status == exits.FAILED
    assert "others may use" in sick.out
    mended = cli("doctor", "--repair")
    assert mended.status == exits.OK, mended
    assert db.stat().st_mode & 0o777 == 0o600


def test_doctor_finds_a_state_that_the_journal_does_not_lead_to(cli: Cli, tmp_path: Path) -> None:
    import apsw  # noqa: PLC0415  the sickness is made by hand

    (db,) = (tmp_path / "state").rglob("*.db")
    sickness = apsw.Connection(str(db))
    ((state,),) = sickness.execute("SELECT state FROM session")
    changed = bytes(state).replace(b'"token_budget":20000', b'"token_budget":29999')
    assert changed != state
    sickness.execute("UPDATE session SET state = ?", (changed,))
    sickness.close()
    sick = cli("doctor")
    assert sick.status == exits.FAILED
    assert "replays differently" in sick.out


def test_a_backup_is_the_same_goals(cli: Cli) -> None:
    assert cli("backup", "copy.db").status == exits.OK
    mine = json.loads(cli("list", "--json").out)
    copied = json.loads(cli("list", "--db", "copy.db", "--json").out)
    assert [row["goal"] for row in copied] == [row["goal"] for row in mine]
    assert cli("backup", "copy.db").status != exits.OK


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (("pause",), "paused", "the goal is paused"),
        (("block", "--reason", "no key"), "blocked", "the goal is blocked"),
        (("complete",), "complete", "the goal is complete"),
        (("edit", "ship it all"), "active", "the objective is updated"),
        (("budget", "--tokens", "none", "--cost", "1.50"), "active", "the budget is changed"),
        (("policy", "--set", "no_progress=5"), "active", ""),
        (("steer", "go left"), "active", "the next turn takes it into account"),
    ],
)
def test_what_a_person_asks_is_done_without_an_engine(
    cli: Cli, words: tuple[str, ...], status: str, said: str
) -> None:
    result = cli(*words)
    assert result.status == exits.OK, result
    assert said in result.out
    goal = json.loads(cli("status", "--json").out)["goal"]
    assert goal["status"] == status


def test_a_goal_is_paused_and_resumed_without_an_engine(cli: Cli) -> None:
    cli("pause")
    assert cli("resume").out == "the goal is active\n"


def test_a_set_stores_a_program_alone(cli: Cli) -> None:
    thread = json.loads(cli("status", "--json").out)["thread_id"]
    stored = cli("set", "--thread", thread, "--", "cat")
    assert stored.status == exits.OK, stored
    assert "is stored" in stored.out
