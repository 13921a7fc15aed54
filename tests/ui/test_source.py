"""Where the interface gets what it shows: one database, or all of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from goalfsm.cli import asking, main
from goalfsm.daemon.remote.face import RemoteEngine
from goalfsm.errors import GoalError
from goalfsm.session import events as e
from goalfsm.ui.source import Database, Everywhere


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    for name in ("one", "two"):
        there = ("--db", str(tmp_path / f"{name}.db"), "--thread", "books")
        assert main(["set", *there, f"balance ledger {name}", "--", "true"]) == 0
    return [tmp_path / "one.db", tmp_path / "two.db"]


def test_a_database_that_is_not_there_has_no_threads(tmp_path: Path) -> None:
    source = Database(none := tmp_path / "none.db", RemoteEngine(none))
    assert source.threads() == ()
    assert source.look("books") == (None, "nobody")
    with pytest.raises(GoalError, match="no goal yet"):
        source.why("books")
    assert not (tmp_path / "none.db").exists()


def test_what_is_asked_without_an_engine_is_decided(paths: list[Path]) -> None:
    source = Database(paths[0], RemoteEngine(paths[0]))
    assert source.send("books", e.PauseRequested()).ok
    seen = source.look("books")
    assert seen.status is not None
    assert (seen.status.activity, seen.link) == ("paused (user)", "nobody")
    assert "paused" in "\n".join(source.why("books"))
    assert "balance ledger one" in source.report("books")
    with pytest.raises(GoalError, match="no engine"):
        next(iter(source.follow("books")))


def test_threads_of_one_name_are_told_apart_everywhere(paths: list[Path]) -> None:
    source = Everywhere(lambda: paths, asking.remote)
    names = [status.thread_id for status in source.threads()]
    assert names == ["books", "books in two"]
    assert source.place_of("books in two") == (paths[1], "books")
    assert source.send("books in two", e.PauseRequested()).ok
    kinds = {status.thread_id: status.activity_kind for status in source.threads()}
    assert kinds["books in two"] == "paused"
    assert kinds["books"] != "paused"
    seen = source.look("books in two").status
    assert seen is not None
    assert seen.thread_id == "books in two"
    assert "balance ledger two" in source.report("books in two")


def test_a_database_that_cannot_be_read_is_told_beside_the_others(
    paths: list[Path], tmp_path: Path
) -> None:
    broken = tmp_path / "broken.db"
    broken.write_text("this is no database" * 100)
    broken.chmod(0o600)
    source = Everywhere(lambda: [*paths, broken], asking.remote)
    assert len(source.threads()) == 2
    (problem,) = source.problems()
    assert problem.startswith(str(broken))
