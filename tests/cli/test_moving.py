"""`goalfsm move`: all goals go to a server and back, whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from goalfsm.cli import exits
from goalfsm.errors import GoalError
from goalfsm.store.address import Server
from goalfsm.store.contents import TABLES, Contents, Row, Sum, summed
from goalfsm.store.opening import open_to_read
from goalfsm.store.port import Effect
from goalfsm.store.postgres.contents import PostgresContents, locked
from goalfsm.store.sqlite import SqliteStore
from goalfsm.testing import check_goals, journal_lines
from tests.cli.processes import daemon, goalfsm
from tests.cli.terminal import Cli
from tests.postgres import PostgresServer
from tests.store.handles import commit, nobody_lives, owned, transcript

DONE = 'goalfsm tool update_goal --status complete --evidence "it is done"; echo finished'


@pytest.fixture
def empty(postgres: PostgresServer) -> str:
    """Return the address of a database without tables."""
    return postgres.create(migrated=False)


@pytest.fixture
def goals(cli: Cli) -> Path:
    """Return a file with a goal that is complete, one that waits, and one that is paused."""
    db = ("--db", "goals.db")
    assert cli("run", "do it", "--thread", "done", *db, "--", "sh", "-c", DONE).status == exits.OK
    given = cli("set", "waits", "do more", "--accept", *db, "--", "sh", "-c", DONE)
    assert given.status == exits.OK
    assert cli("steer", "waits", "mind the gap", *db).status == exits.OK
    assert cli("set", "later", "do less", *db).status == exits.OK
    assert cli("pause", "later", *db).status == exits.OK
    return Path("goals.db")


def of_file(path: Path) -> dict[str, Sum]:
    """Return what each thread of a file consists of."""
    store = SqliteStore.open(path, read_only=True)
    try:
        return summed(store.contents())
    finally:
        store.close()


def of_server(dsn: str) -> dict[str, Sum]:
    """Return what each thread of a server consists of."""
    with locked(Server(dsn)) as contents:
        return summed(contents)


LOOKS = (("log", "done", "--json"), ("report", "done"), ("logs", "done"), ("explain", "done"))


def test_there_and_back(cli: Cli, goals: Path, empty: str) -> None:
    """Every command says the same before, there, and after."""
    before = of_file(goals)
    said = [cli(*words, "--db", str(goals)).out for words in LOOKS]
    there = cli("move", "--from", str(goals), "--to", empty)
    assert there.status == exits.OK, there.err
    assert "3 threads are moved" in there.out
    assert "goals.db.moved; remove it" in there.out
    assert not goals.exists()
    assert of_file(Path("goals.db.moved")) == before
    assert of_server(empty) == before
    assert [cli(*words, "--db", empty).out for words in LOOKS] == said
    checked = cli("doctor", "--db", empty)
    assert checked.status == exits.OK, checked.out
    assert "3 threads replay to their state" in checked.out
    back = cli("move", "--from", empty, "--to", "back.db", "--json")
    assert back.status == exits.OK, back.err
    told = json.loads(back.out)
    assert (told["threads"], told["rows"]["session"], told["already"]) == (3, 3, False)
    assert told["kept"].startswith("schema goalfsm_moved_")
    assert of_file(Path("back.db")) == before
    assert [cli(*words, "--db", "back.db").out for words in LOOKS] == said
    assert cli("doctor", "--db", "back.db").status == exits.OK
    # It is a file like any other: the work goes on.
    assert cli("resume", "later", "--db", "back.db").status == exits.OK
    assert cli("status", "done", "--db", empty).status == exits.USAGE


def test_the_kit_checks_any_store(cli: Cli, goals: Path, empty: str) -> None:
    """A file and a server, and it finds out what is wrong with either."""
    store = open_to_read(goals)
    check_goals(store)
    rows = store.journal.read("done")
    store.close()
    assert cli("move", "--from", str(goals), "--to", empty).status == exits.OK
    store = open_to_read(Server(empty))
    check_goals(store)
    assert journal_lines(store.journal.read("done")) == journal_lines(rows)
    with psycopg.connect(empty) as connection:
        connection.execute(
            "UPDATE goalfsm.journal SET event = convert_to(replace(convert_from(event, 'UTF8'),"
            " 'do more', 'do less'), 'UTF8') WHERE thread_id = 'waits'"
        )
    with pytest.raises(AssertionError) as raised:
        check_goals(store)
    store.close()
    assert raised.value.__notes__ == ["in thread 'waits'"]


def test_a_goal_goes_on_where_it_was_moved(cli: Cli, goals: Path, empty: str) -> None:
    """What a daemon let go when it stopped is taken up by a node, without a word of anybody."""
    slow = ("--", "sh", "-c", "sleep 60")
    assert cli("set", "slow", "take long", "--db", str(goals), *slow).status == exits.OK
    with daemon("--db", str(goals), "--grace", "1s") as serving:
        while '"run":null' in cli("status", "slow", "--db", str(goals), "--json").out:
            pass
        serving.process.terminate()
        serving.process.wait(30)
    moved = cli("move", "--from", str(goals), "--to", empty)
    assert moved.status == exits.OK, moved.err
    with psycopg.connect(empty) as connection:
        rows = connection.execute(
            "SELECT thread_id FROM goalfsm.session WHERE turn ORDER BY thread_id"
        ).fetchall()
        places = connection.execute("SELECT DISTINCT place FROM goalfsm.worker").fetchall()
    assert rows == [("slow",)]
    assert places == [("any",)]


def test_moving_again_only_sets_aside(cli: Cli, goals: Path, empty: str, tmp_path: Path) -> None:
    """A move that was cut off after everything was there can be asked for again."""
    assert cli("move", "--from", str(goals), "--to", empty).status == exits.OK
    Path("goals.db.moved").rename(goals)
    again = cli("move", "--from", str(goals), "--to", empty)
    assert again.status == exits.OK, again.err
    assert "3 threads were moved before" in again.out
    assert not goals.exists()
    copy = tmp_path / "copy.db"
    assert cli("move", "--from", empty, "--to", str(copy)).status == exits.OK


def test_nothing_is_merged(cli: Cli, goals: Path, dsn: str) -> None:
    """A target that has goals is left alone, and so is the source."""
    assert cli("set", "t", "do it", "--db", dsn, "--", "true").status == exits.OK
    before = of_file(goals), of_server(dsn)
    refused = cli("move", "--from", str(goals), "--to", dsn)
    assert (refused.status, refused.told_shortly) == (exits.USAGE, True)
    assert "nothing is merged" in refused.err
    refused = cli("move", "--from", dsn, "--to", str(goals))
    assert (refused.status, refused.told_shortly) == (exits.USAGE, True)
    assert (of_file(goals), of_server(dsn)) == before
    assert cli("pause", "waits", "--db", str(goals)).status == exits.OK


def test_what_somebody_works_on_is_not_moved(cli: Cli, goals: Path, empty: str) -> None:
    """A daemon owns the file; a node serves the server; a turn may be left open."""
    with daemon("--db", str(goals)):
        refused = goalfsm("move", "--from", str(goals), "--to", empty)
    assert refused.status == exits.USAGE
    assert "works on" in refused.err
    assert "stop it first" in refused.err
    assert cli("move", "--from", str(goals), "--to", empty).status == exits.OK
    with psycopg.connect(empty) as connection:
        connection.execute(
            "INSERT INTO goalfsm.node (node_id, name, host, pid, address, since_ms, seen_ms,"
            " places, max_runs, rules_version, version) SELECT 'n', 'blue', 'h', 1, '', 0,"
            " (extract(epoch FROM clock_timestamp()) * 1000)::bigint + 60000, '{any}', 1, 1, '1'"
        )
    refused = cli("move", "--from", empty, "--to", "back.db")
    assert (refused.status, "blue on h serves" in refused.err) == (exits.USAGE, True)
    with psycopg.connect(empty) as connection:
        connection.execute("DELETE FROM goalfsm.node")
        connection.execute("UPDATE goalfsm.session SET run_id = 'r' WHERE thread_id = 'waits'")
    refused = cli("move", "--from", empty, "--to", "back.db")
    assert (refused.status, "thread waits is open" in refused.err) == (exits.USAGE, True)
    assert not Path("back.db").exists()


@pytest.mark.parametrize("broken", ["journal", "transcript", "session"])
def test_what_reads_differently_is_not_kept(
    cli: Cli, goals: Path, empty: str, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    """A row that is lost on the way is found before anybody can see the others."""
    whole = PostgresContents.rows

    def lossy(self: PostgresContents, table: str) -> Iterator[Row]:
        rows = list(whole(self, table))
        yield from rows[1:] if table == broken else rows

    before = of_file(goals)
    with monkeypatch.context() as broken_once:
        broken_once.setattr(PostgresContents, "rows", lossy)
        failed = cli("move", "--from", str(goals), "--to", empty)
    assert (failed.status, failed.told_shortly) == (exits.FAILED, True)
    assert "reads differently" in failed.err
    assert of_server(empty) == {}
    assert of_file(goals) == before
    # Nothing owns the file any more: it goes on here.
    assert cli("pause", "waits", "--db", str(goals)).status == exits.OK


def test_every_column_comes_along(tmp_path: Path, empty: str) -> None:
    """Bytes of every kind, in their order, with what is done and what is not."""
    from goalfsm.cluster.moving import to_file, to_server  # noqa: PLC0415  it loads the driver

    path = tmp_path / "odd.db"
    store = owned(SqliteStore.open(path, is_alive=nobody_lives))
    odd = bytes(range(256))
    state = b'{"began_with":{}}'
    effects = (Effect(key="k1", kind="WatchProcess", payload=odd), Effect(key="k2", kind="K"))
    store.commit(
        [
            commit("ä\\x", state=state, event=odd, decision=odd, digest=odd,
                   outbox=effects, history=(odd, b""), wake_at_ms=5, status="active"),
            commit("b", state=state, inbox_id="in", reply=odd),
            commit("ä\\x", 1, state=state, outbox_done=("k2",), decision=None),
        ]
    )  # fmt: skip
    store.transcripts.put(transcript(1, answer=odd, stderr=b"", thread_id="b"))
    store.owner.release()
    store.close()
    sums = of_file(path)
    assert to_server(path, Server(empty)).rows == (2, 3, 2, 2, 1, 0, 1)
    with psycopg.connect(empty) as connection:
        rows = connection.execute("SELECT key, place, done_at_ms FROM goalfsm.outbox ORDER BY seq")
        first, second = rows.fetchall()
    assert first[1].startswith("host/")
    assert (second[1], second[2]) == ("any", 1_001)
    assert to_file(Server(empty), path).threads == 2
    assert of_file(path) == sums


class Rows:
    """Contents of two threads."""

    def __init__(self, **tables: list[Row]) -> None:
        self._tables = tables

    def rows(self, table: str) -> Iterator[Row]:
        """Yield the rows of a table."""
        yield from self._tables.get(table, [])


@pytest.mark.parametrize(
    "other",
    [
        {"history": [("t", b"1"), ("t", b"3")]},
        {"history": [("t", b"3"), ("t", b"12")]},
        {"history": [("t", b"12"), ("t", b"3"), ("t", b"")]},
        {"history": [("t", "12"), ("t", b"3")]},
        {"worker": [("t", b"12"), ("t", b"3")]},
        {"history": [("u", b"12"), ("t", b"3")]},
        {"history": [("t", 12), ("t", b"3")]},
        {"history": [("t", None), ("t", b"3")]},
    ],
)
def test_what_differs_has_another_sum(other: dict[str, list[Row]]) -> None:
    contents: Contents = Rows(history=[("t", b"12"), ("t", b"3")])
    assert summed(contents) == summed(contents)
    assert summed(Rows(**other)) != summed(contents)
    assert len(summed(contents)["t"].rows) == len(TABLES)


@pytest.mark.parametrize(
    ("source", "target"),
    [("a.db", "b.db"), ("postgresql:///a", "postgresql:///b"), ("mysql://a", "b.db")],
)
def test_what_cannot_be_moved_says_so(cli: Cli, source: str, target: str) -> None:
    shown = cli("move", "--from", source, "--to", target)
    assert (shown.status, shown.told_shortly) == (exits.USAGE, True)


def test_nothing_to_move(cli: Cli, empty: str) -> None:
    for source, target in (("none.db", empty), (empty, "none.db")):
        shown = cli("move", "--from", source, "--to", target)
        assert (shown.status, shown.told_shortly) == (exits.USAGE, True), shown.err
    assert not Path("none.db").exists()


def test_locked_database_is_not_waited_for_for_ever(dsn: str) -> None:
    """A command that has a lock on a thread keeps a move off, and is named as the reason."""
    with psycopg.connect(dsn) as other:
        other.execute("LOCK TABLE goalfsm.session IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(GoalError) as raised, locked(Server(dsn), wait_ms=50):
            raise AssertionError
    assert raised.value.code == "busy"
