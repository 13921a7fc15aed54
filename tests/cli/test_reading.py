"""Commands that look: what they print, as text and as JSON, and that they change nothing."""

from __future__ import annotations

import errno
import json
import os
import sys
from pathlib import Path

import pytest

from goalfsm.cli import exits
from goalfsm.store.sqlite import SqliteStore
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
    for words in ("continuing", "ship it", "0 of 20,000 used", "criterion 1 it is out", "decided"):
        assert words in out


def test_status_says_that_no_program_is_stored_for_a_goal(cli: Cli) -> None:
    assert "no program" not in cli("status").out
    cli("set", "alone", "another")
    missing = "Hint: no program is stored for it: goalfsm set --thread alone -- PROGRAM ARGS"
    assert missing in cli("status", "alone").out
    cli("pause", "alone")
    assert missing not in cli("status", "alone").out


def test_a_thread_is_named_by_argument_or_option(cli: Cli) -> None:
    cli("set", "mine", "another", "--", "true")
    by_argument = cli("status", "mine", "--json").out
    by_option = cli("status", "--thread", "mine", "--json").out
    assert json.loads(by_argument)["goal"] == json.loads(by_option)["goal"]
    assert json.loads(by_argument)["goal"]["objective"] == "another"


def test_list_shows_every_thread(cli: Cli) -> None:
    cli("set", "mine", "another")
    out = cli("list").out.splitlines()
    assert len(out) == 2
    rows = json.loads(cli("list", "--json").out)
    assert {row["goal"]["objective"] for row in rows} == {"ship it", "another"}


def test_list_of_nothing_is_no_error(cli: Cli) -> None:
    SqliteStore.open(Path("fresh.db")).close()
    assert "no threads" in cli("list", "--db", "fresh.db").out
    assert cli("list", "--db", "fresh.db", "--json").out == "[]\n"


def test_a_long_name_widens_its_own_line_only(cli: Cli) -> None:
    cli("set", "l" * 200, "another")
    mine, other = sorted(cli("list").out.splitlines(), key=len)
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
    monkeypatch.setattr("goalfsm.cli.explaining._EVENTS", events)
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


def test_a_diagram_shows_where_the_thread_is(cli: Cli) -> None:
    cli("pause")
    text = cli("diagram", "goal", "--thread", json.loads(cli("status", "--json").out)["thread_id"])
    assert "active --> paused : pause" in text.out
    assert "pause \N{MULTIPLICATION SIGN}1" in text.out


@pytest.mark.parametrize(
    "name", ["goal", "recovery", "stale-work", "continuation", "run", "session"]
)
@pytest.mark.parametrize("format_", ["mermaid", "dot", "plantuml", "svg", "md", "json"])
def test_every_machine_is_drawn_in_every_format(cli: Cli, name: str, format_: str) -> None:
    result = cli("diagram", name, "--format", format_, "-o", "drawn.txt")
    assert result.status == exits.OK, result
    assert result.out == ""
    assert Path("drawn.txt").stat().st_size > 200


@pytest.mark.parametrize(
    ("name", "start"),
    [
        ("drawn.svg", "<svg "),
        ("drawn.SVG", "<svg "),
        ("drawn.gv", "digraph"),
        ("drawn.puml", "@startuml"),
        ("drawn.json", "{"),
        ("drawn.md", "## The goal machine"),
        ("drawn.mmd", "---\ntitle"),
        ("drawn", "---\ntitle"),
    ],
)
def test_a_drawing_is_of_the_kind_that_its_file_s_name_says(
    cli: Cli, name: str, start: str
) -> None:
    assert cli("diagram", "goal", "-o", name).status == exits.OK
    assert Path(name).read_text("utf-8").startswith(start)
    assert cli("diagram", "goal", "--format", "dot", "-o", name).status == exits.OK
    assert Path(name).read_text("utf-8").startswith("digraph")


def test_a_picture_of_a_kind_that_there_is_not_is_refused(cli: Cli) -> None:
    refused = cli("diagram", "goal", "-o", "drawn.gif")
    assert refused.status == exits.USAGE
    assert "end it in .svg" in refused.err
    assert not Path("drawn.gif").exists()
    assert cli("diagram", "goal", "--format", "mermaid", "-o", "drawn.gif").status == exits.OK


def test_a_png_is_written_to_a_file_and_into_a_pipe(cli: Cli) -> None:
    pytest.importorskip("resvg_py", reason="resvg-py is not installed")
    assert cli("diagram", "goal", "-o", "drawn.png").status == exits.OK
    assert Path("drawn.png").read_bytes().startswith(b"\x89PNG")


def test_without_resvg_a_png_is_refused_with_what_brings_it(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "resvg_py", None)
    refused = cli("diagram", "goal", "-o", "drawn.png")
    assert refused.status == exits.USAGE
    assert "pip install 'goalfsm[png]'" in refused.err
    assert not Path("drawn.png").exists()


@pytest.mark.parametrize(
    "words", [("goal",), ("--format", "svg"), ("-o", "x.md"), ("--no-guards",), ("--title", "T")]
)
def test_what_a_block_says_itself_is_not_given_beside_its_file(
    cli: Cli, words: tuple[str, ...]
) -> None:
    page = Path("page.md")
    page.write_text("<!-- goalfsm:diagram goal -->\n<!-- /goalfsm:diagram -->\n")
    before = page.read_text()
    refused = cli("diagram", "--update", "page.md", *words)
    assert refused.status == exits.USAGE
    assert "out: each block of a file says what is in it" in refused.err
    assert page.read_text() == before


def test_a_missing_folder_is_named_with_what_makes_it(cli: Cli) -> None:
    refused = cli("diagram", "goal", "-o", "no/such folder/x.svg")
    assert refused.status == exits.USAGE
    assert "mkdir -p 'no/such folder'" in refused.err


@pytest.mark.parametrize(
    "words",
    [
        ("diagram", "goal", "-o", "absent/x"),
        ("diagram", "goal", "-o", "."),
        ("diagram", "goal", "-o", "file/x"),
        ("backup", "absent/x"),
        ("backup", "file/x"),
        ("set", "x", "--db", "file/x"),
    ],
)
def test_a_place_where_no_file_can_be_is_wrong_usage(cli: Cli, words: tuple[str, ...]) -> None:
    Path("file").touch()
    refused = cli(*words)
    assert refused.status == exits.USAGE
    assert refused.told_shortly, refused
    assert not Path("absent").exists()


@pytest.mark.parametrize("words", [("goal", "-o", "drawn"), ("--update", "page.md")])
def test_a_disk_that_fails_while_a_drawing_is_written_is_no_wrong_usage(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    def fail(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    Path("page.md").write_text("<!-- goalfsm:diagram goal -->\n<!-- /goalfsm:diagram -->\n")
    Path("drawn").write_text("an older one")
    before = {path: path.read_text() for path in Path().iterdir() if path.is_file()}
    monkeypatch.setattr("goalfsm.diagram.docs.writing.os.fsync", fail)
    failed = cli("diagram", *words)
    assert {path: path.read_text() for path in Path().iterdir() if path.is_file()} == before
    assert failed.status == exits.FAILED
    assert "No space left on device" in failed.err
    assert "df shows" in failed.err


def test_generated_blocks_are_checked_and_written_again(cli: Cli) -> None:
    page = Path("page.md")
    page.write_text("# Mine\n\n<!-- goalfsm:diagram goal -->\n<!-- /goalfsm:diagram -->\n")
    stale = cli("diagram", "--check", "page.md")
    assert stale.status == exits.FAILED
    assert "goalfsm diagram --update page.md" in stale.err
    assert cli("diagram", "--update", "page.md").status == exits.OK
    assert "stateDiagram-v2" in page.read_text()
    assert cli("diagram", "--check", "page.md").status == exits.OK


def test_a_file_without_a_generated_block_is_told_and_is_no_error(cli: Cli) -> None:
    """A hook gives every Markdown file that changed; a wrong marker must be seen all the same."""
    Path("plain.md").write_text("# Nothing generated\n")
    Path("other.md").write_text("<!-- goalfsm diagram goal -->\n")
    for word in ("--check", "--update"):
        one = cli("diagram", word, "plain.md")
        assert one.status == exits.OK
        assert "plain.md has no generated block" in one.err
        assert "none of the 2 files has a generated block" in cli("diagram", word, "*.md").err


def test_many_files_are_checked_and_written_at_once(cli: Cli) -> None:
    """As words, as patterns that no shell has spelled out, and each once."""
    Path("docs/deep").mkdir(parents=True)
    block = "<!-- goalfsm:diagram goal -->\n<!-- /goalfsm:diagram -->\n"
    for name in ("docs/a b.md", "docs/deep/b.md", "c.md"):
        Path(name).write_text(block)
    Path("docs/plain.md").write_text("# Plain\n")
    stale = cli("diagram", "--check", "c.md", "docs/**/*.md", "docs/a b.md")
    assert stale.status == exits.FAILED
    assert stale.err.count("is stale") == 3
    assert "goalfsm diagram --update c.md 'docs/a b.md' docs/deep/b.md" in stale.err
    assert Path("c.md").read_text() == block
    written = cli("diagram", "--update", "c.md", "docs/**/*.md")
    assert written.status == exits.OK
    assert written.out.count("wrote 'goal' again") == 3
    assert cli("diagram", "--check", "--check", "c.md", "docs/**/*.md").status == exits.OK


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--check",), "no file was named"),
        (("--check", "absent.md"), "there is no absent.md"),
        (("--update", "*.none"), "no file matches *.none"),
        (("--check", "."), ". is a folder"),
        (("--check", "--update", "page.md"), "either checked or written"),
        (("goal", "run"), "one machine is drawn at a time, not 2"),
    ],
)
def test_files_that_cannot_be_looked_at_are_refused(
    cli: Cli, words: tuple[str, ...], said: str
) -> None:
    refused = cli("diagram", *words)
    assert refused.status == exits.USAGE
    assert said in refused.err
    assert refused.told_shortly, refused


def test_a_file_is_replaced_whole_and_keeps_its_rights(cli: Cli) -> None:
    """A link leads to the new drawing too; what is no file is written to."""
    target = Path("real.svg")
    target.write_text("old")
    target.chmod(0o640)
    Path("link.svg").symlink_to(target)
    with target.open() as reader:
        assert cli("diagram", "goal", "-o", "link.svg").status == exits.OK
        assert reader.read() == "old"
    assert target.read_text().startswith("<svg ")
    assert target.stat().st_mode & 0o777 == 0o640
    assert Path("link.svg").is_symlink()
    assert cli("diagram", "goal", "-o", os.devnull).status == exits.OK


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
