"""Where the interface gets what it shows: one database, or all of them."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from goalfsm.cli import asking, main
from goalfsm.daemon.flow.notices import StatusChanged
from goalfsm.daemon.remote.face import RemoteEngine
from goalfsm.errors import GoalError
from goalfsm.session import events as e
from goalfsm.store.address import Server
from goalfsm.ui.source import Database, Everywhere


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    for name in ("one", "two"):
        there = ("--db", str(tmp_path / f"{name}.db"), "--thread", "books")
        assert main(["set", *there, f"balance ledger {name}", "--", "true"]) == 0
    return [tmp_path / "one.db", tmp_path / "two.db"]


def test_a_database_that_is_not_there_has_no_threads(tmp_path: Path) -> None:
    source = Database(none := tmp_path / "none.db", RemoteEngine(none))
    assert source.names() == ()
    assert source.rows(("books",)) == ()
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
    assert "balance ledger one" in source.report("books").objective
    with pytest.raises(GoalError, match="no engine"):
        next(iter(source.follow("books", 0)))


def test_threads_of_one_name_are_told_apart_everywhere(paths: list[Path]) -> None:
    source = Everywhere(lambda: paths, asking.remote)
    names = source.names()
    assert list(names) == ["books", "books in two"]
    assert source.place_of("books in two") == (paths[1], "books")
    assert source.send("books in two", e.PauseRequested()).ok
    kinds = {status.thread_id: status.activity_kind for status in source.rows(names)}
    assert kinds["books in two"] == "paused"
    assert kinds["books"] != "paused"
    seen = source.look("books in two").status
    assert seen is not None
    assert seen.thread_id == "books in two"
    assert "balance ledger two" in source.report("books in two").objective


def test_a_database_that_cannot_be_read_is_told_beside_the_others(
    paths: list[Path], tmp_path: Path
) -> None:
    broken = tmp_path / "broken.db"
    broken.write_text("this is no database" * 100)
    broken.chmod(0o600)
    source = Everywhere(lambda: [*paths, broken], asking.remote)
    assert len(source.rows(source.names())) == 2
    (problem,) = source.problems()
    assert problem.startswith(str(broken))


def test_a_server_is_shown_as_a_file_is(dsn: str, tmp_path: Path) -> None:
    """Its threads, why they wait, what they came to; what is asked is decided at once."""
    server = Server(dsn)
    source = Database(server, asking.remote(server))
    assert source.names() == ()
    assert source.send("t", e.ObjectiveGiven(objective="do it")).ok
    (listed,) = source.rows(source.names())
    assert (listed.thread_id, listed.activity) == ("t", "nobody works on this")
    assert listed.detail.startswith("no program is stored")
    look = source.look("t")
    assert (look.status is not None, look.link) == (True, "nobody")
    assert "the next turn is due" in source.why("t")[0]
    assert "do it" in source.report("t").objective
    with contextlib.closing(source.follow("t", source.revision("t"))) as notices:
        first = next(notices)
        assert isinstance(first, StatusChanged)
        assert source.send("t", e.PauseRequested()).ok
        told = next(notice for notice in notices if isinstance(notice, StatusChanged))
        assert told.status.activity == "paused (user)"
    missing = tmp_path / "none.db"
    everywhere = Everywhere(lambda: [missing, server, Server(f"{dsn}x")], asking.remote)
    assert [status.thread_id for status in everywhere.rows(everywhere.names())] == ["t"]
    assert len(everywhere.problems()) == 1
    assert everywhere.look("t").status is not None
