"""Goals of Codex: from its own files, and from ones that are not what they should be."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from goalfsm.importers import codex
from goalfsm.importers.foreign import Foreign, ImportUnreadable
from tests.importers.samples import CODEX, PROJECT, codex_home, database

TABLE = (CODEX / "goals_1.sql").read_text("utf-8").split("INSERT")[0]


def goals(path: Path | None) -> list[Foreign]:
    found = codex.read(path)
    assert all(isinstance(one, Foreign) for one in found)
    return [one for one in found if isinstance(one, Foreign)]


def row(**fields: object) -> str:
    """Return SQL for a goal with some fields of its own."""
    given = {
        "thread_id": "t",
        "goal_id": "g",
        "objective": "Port it",
        "status": "active",
        "token_budget": None,
        "tokens_used": 0,
        "time_used_seconds": 0,
        "created_at_ms": 1_000,
        "updated_at_ms": 1_000,
    } | fields
    values = ", ".join("NULL" if v is None else repr(v) for v in given.values())
    return f"INSERT INTO thread_goals ({', '.join(given)}) VALUES ({values});"  # noqa: S608  a test's own


def test_all_that_codex_wrote_is_read_the_oldest_first(tmp_path: Path) -> None:
    found = goals(codex_home(tmp_path))
    assert [(one.objective, one.status) for one in found] == [
        ("Port the parser", "paused"),
        ("Rewrite everything", "budget_limited"),
        ("QUOTA please", "usage_limited"),
        ("Deploy it", "blocked"),
        ("FINISH the notes", "complete"),
        ("Keep going for ever", "active"),
    ]
    first, second, *_ = found
    assert (first.token_budget, first.tokens, first.cwd) == (1_000_000, 80, PROJECT)
    assert (second.token_budget, second.tokens) == (150, 160)
    assert first.name == "codex-01a2271b-08c6-7380-ada6-6e12aa4aa800"
    assert first.source == f"codex:{first.name[6:]}/359f5ae9-9adc-499b-baa6-701c752436ed"
    assert first.created_at == 1_795_952_413
    assert len({one.digest for one in found}) == 6


def test_its_home_is_found_as_codex_finds_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    codex_home(tmp_path / ".codex")
    monkeypatch.delenv("CODEX_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert len(goals(None)) == 6
    monkeypatch.setenv("CODEX_HOME", str(codex_home(tmp_path / "elsewhere")))
    assert len(goals(None)) == 6
    monkeypatch.setenv("CODEX_HOME", str(tmp_path / "nowhere"))
    with pytest.raises(ImportUnreadable, match="there is no file"):
        codex.read(None)


def test_the_newest_database_counts_and_a_file_alone_will_do(tmp_path: Path) -> None:
    database(tmp_path / "goals_1.sqlite", TABLE, row(objective="old"))
    database(tmp_path / "goals_10.sqlite", TABLE, row(objective="new"))
    database(tmp_path / "goals_9.sqlite", TABLE, row(objective="older"))
    (one,) = goals(tmp_path)
    assert (one.objective, one.cwd) == ("new", None)
    (one,) = goals(tmp_path / "goals_1.sqlite")
    assert one.objective == "old"


def test_a_database_that_codex_is_writing_is_read(tmp_path: Path) -> None:
    path = database(tmp_path / "goals_1.sqlite", "PRAGMA journal_mode=WAL;", TABLE, row())
    writer = sqlite3.connect(path)
    writer.execute("BEGIN IMMEDIATE")
    writer.execute("UPDATE thread_goals SET tokens_used = 5")
    try:
        assert goals(path)[0].tokens == 0
        writer.commit()
        assert goals(path)[0].tokens == 5
    finally:
        writer.close()
    assert sorted(each.name for each in tmp_path.iterdir()) == ["goals_1.sqlite"]


def test_a_change_there_changes_the_digest_and_not_the_source(tmp_path: Path) -> None:
    path = database(tmp_path / "goals_1.sqlite", TABLE, row())
    (before,) = goals(path)
    database(path, "UPDATE thread_goals SET tokens_used = 7")
    (after,) = goals(path)
    assert before.source == after.source
    assert before.digest != after.digest


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("CREATE TABLE other (x)", "no table thread_goals"),
        ("CREATE TABLE thread_goals (thread_id TEXT)", "no goal_id in thread_goals"),
        (
            TABLE.replace("CHECK(status IN (", "CHECK(status NOT IN (") + row(status="dreaming"),
            "status 'dreaming'",
        ),
        (TABLE + row(objective=" "), "a goal without an objective"),
    ],
)
def test_what_is_not_understood_is_refused_in_a_line(tmp_path: Path, sql: str, said: str) -> None:
    with pytest.raises(ImportUnreadable, match=said) as caught:
        codex.read(database(tmp_path / "goals_1.sqlite", sql))
    assert caught.value.hint


def test_what_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "goals_1.sqlite").write_text("no database at all, but long enough to be one" * 9)
    with pytest.raises(ImportUnreadable, match="cannot be read"):
        codex.read(tmp_path)
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(ImportUnreadable, match=r"there is no goals_1\.sqlite"):
        codex.read(empty)


def test_a_state_that_cannot_be_read_costs_the_directory_alone(tmp_path: Path) -> None:
    codex_home(tmp_path)
    (tmp_path / "state_6.sqlite").write_text("no database" * 99)
    assert [one.cwd for one in goals(tmp_path)] == [None] * 6
