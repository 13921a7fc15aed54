"""PostgreSQL behind the contract of reading, and what is said where it cannot be read."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from unittest import mock

import psycopg
import pytest

from goalfsm.daemon.remote.reading import many
from goalfsm.errors import GoalError, NewerDatabase, NoDatabase, OlderDatabase, StoreUnavailable
from goalfsm.store.address import Server
from goalfsm.store.opening import open_to_read
from goalfsm.store.port import Commit
from goalfsm.store.postgres import open_store
from goalfsm.store.postgres.link import Link
from goalfsm.store.postgres.store import PostgresReading
from goalfsm.store.postgres.tables import SILENT_MS
from goalfsm.store.rows import Driving, Node
from tests.postgres import PostgresServer
from tests.store.contract_reading import ReadingContract
from tests.store.handles import Write, commit


class WriteBySql:
    """Writes rows as those who decide on a server do."""

    def __init__(self, dsn: str) -> None:
        self._connection = psycopg.connect(dsn, autocommit=True)

    def commits(self, *commits: Commit) -> None:
        """Write these, one transaction each."""
        for each in commits:
            with self._connection.transaction():
                self._commit(each)

    def _commit(self, each: Commit) -> None:
        execute, revision = self._connection.execute, each.expected_revision + 1
        execute(
            "INSERT INTO goalfsm.session (thread_id, revision, status, wake_at_ms, updated_at_ms,"
            " rules_version, turn, state) VALUES (%s, %s, %s, %s, %s, %s, false, %s)"
            " ON CONFLICT (thread_id) DO UPDATE SET revision = excluded.revision,"
            " status = excluded.status, wake_at_ms = excluded.wake_at_ms,"
            " updated_at_ms = excluded.updated_at_ms, rules_version = excluded.rules_version,"
            " state = excluded.state",
            (
                each.thread_id,
                revision,
                each.status,
                each.wake_at_ms,
                each.at_ms,
                each.rules_version,
                each.state,
            ),
        )
        execute(
            "INSERT INTO goalfsm.journal (thread_id, revision, event_id, at_ms, rules_version,"
            " digest, event, decision) VALUES (%s, %s, %s, %s, %s, %s, %s, %s)",
            (
                each.thread_id,
                revision,
                each.event_id,
                each.at_ms,
                each.rules_version,
                each.digest,
                each.event,
                each.decision,
            ),
        )
        for effect in each.outbox:
            execute(
                "INSERT INTO goalfsm.outbox (key, thread_id, revision, at_ms, kind, payload)"
                " VALUES (%s, %s, %s, %s, %s, %s)",
                (effect.key, each.thread_id, revision, each.at_ms, effect.kind, effect.payload),
            )
        for key in each.outbox_done:
            execute("UPDATE goalfsm.outbox SET done_at_ms = %s WHERE key = %s", (each.at_ms, key))
        for entry in each.history:
            execute(
                "INSERT INTO goalfsm.history (thread_id, entry) VALUES (%s, %s)",
                (each.thread_id, entry),
            )
        if each.inbox_id is not None:
            execute(
                "INSERT INTO goalfsm.answer (inbox_id, thread_id, at_ms, revision, reply)"
                " VALUES (%s, %s, %s, %s, %s)",
                (each.inbox_id, each.thread_id, each.at_ms, revision, each.reply),
            )

    def worker(self, thread_id: str, config: bytes | None) -> None:
        """Store or forget a worker."""
        execute = self._connection.execute
        execute("DELETE FROM goalfsm.worker WHERE thread_id = %s", (thread_id,))
        if config is not None:
            execute(
                "INSERT INTO goalfsm.worker (thread_id, place, config) VALUES (%s, 'any', %s)",
                (thread_id, config),
            )

    def node(self, name: str, *, places: tuple[str, ...] = ("any",), silent_ms: int = 0) -> None:
        """Have a node that was heard of so long ago."""
        self._connection.execute(
            "INSERT INTO goalfsm.node (node_id, name, host, pid, since_ms, seen_ms, places,"
            " max_runs, rules_version, version, address) VALUES (%s, %s, 'host-' || %s, 7, 5,"
            " (extract(epoch FROM clock_timestamp()) * 1000)::bigint - %s, %s, 2, 1, '1.0', '')",
            (f"id-{name}", name, name, silent_ms, list(places)),
        )

    def run(self, thread_id: str, node: str) -> None:
        """Have a node run a turn of a thread."""
        self._connection.execute(
            "UPDATE goalfsm.session SET run_id = 'r', node_id = %s WHERE thread_id = %s",
            (f"id-{node}", thread_id),
        )

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


@pytest.fixture
def write(dsn: str) -> Iterator[WriteBySql]:
    """Return what writes into a new database."""
    write = WriteBySql(dsn)
    yield write
    write.close()


@pytest.fixture
def reading(dsn: str) -> Iterator[PostgresReading]:
    """Return a handle that reads it."""
    store = open_store(Server(dsn))
    yield store
    store.close()


class TestPostgres(ReadingContract):
    """The contract of reading."""

    def test_integrity_names_what_disagrees(
        self, reading: PostgresReading, write: Write, dsn: str
    ) -> None:
        """A row that is missing is found out by what belongs to it."""
        write.commits(commit(inbox_id="in"), commit("other"))
        assert reading.integrity() == ()
        with psycopg.connect(dsn) as connection:
            connection.execute("DELETE FROM goalfsm.journal WHERE thread_id = 't'")
            connection.execute("DELETE FROM goalfsm.session WHERE thread_id = 'other'")
        assert reading.integrity() == (
            "thread t is at revision 1, its journal has 0 rows up to 0",
            "the journal has events of thread other, which has no snapshot",
            "answer in is that of revision 1 of thread t, which is not in the journal",
        )

    def test_facts_name_the_server(self, reading: PostgresReading) -> None:
        """Version, schema and what decides whether an answer survives a crash."""
        facts = reading.facts()
        assert (facts.backend, facts.schema_version > 0) == ("postgresql", True)
        assert dict(facts.settings).keys() >= {"fsync", "synchronous_commit"}
        assert facts.size

    def test_threads_are_listed_by_code_points(
        self, reading: PostgresReading, write: Write
    ) -> None:
        """As on every store, whatever the language of the server."""
        write.commits(commit("a"), commit("B"), commit("ä"), commit("_"))
        assert [row.thread_id for row in reading.sessions.threads()] == ["B", "_", "a", "ä"]


def driving(reading: PostgresReading, thread_id: str = "t") -> Driving:
    """Return who works on a thread."""
    return reading.drivers.of(thread_id)


def names(nodes: tuple[Node, ...]) -> list[str]:
    """Return the names of nodes."""
    return [node.name for node in nodes]


def test_nodes_of_a_place_drive_its_threads(reading: PostgresReading, write: WriteBySql) -> None:
    """Those that live and serve it; where none does, that is told too."""
    write.commits(commit())
    assert driving(reading) == Driving(place="", node=None, nodes=())
    write.worker("t", b"config")
    write.node("a")
    write.node("b", places=("build",))
    write.node("gone", silent_ms=SILENT_MS + 1_000)
    found = driving(reading)
    assert (found.place, found.node, names(found.nodes)) == ("any", None, ["a"])


def test_node_that_has_the_turn_drives(reading: PostgresReading, write: WriteBySql) -> None:
    """Also where it is silent: its turn is not over before somebody took it over."""
    write.commits(commit())
    write.worker("t", b"config")
    write.node("a", silent_ms=SILENT_MS + 1_000)
    write.node("b")
    write.run("t", "a")
    found = driving(reading)
    assert found.node is not None
    assert (found.node.name, found.node.host, found.node.pid) == ("a", "host-a", 7)
    assert (found.node.alive, found.node.runs, found.node.max_runs) == (False, 1, 2)
    assert names(found.nodes) == ["b"]


# --- what is said where it cannot be read


def refused(url: str) -> GoalError:
    """Return what opening a server is refused with."""
    with pytest.raises(GoalError) as raised:
        open_to_read(Server(url))
    return raised.value


def test_no_server(tmp_path: object) -> None:
    error = refused(f"postgresql:///goals?host={tmp_path}")
    assert isinstance(error, StoreUnavailable)
    assert "cannot be reached" in error.message
    assert "PostgreSQL runs" in error.hint


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:hunter2@localhost/db?nonsense=1",
        "postgresql://u:hun ter2@localhost/db",
    ],
)
def test_url_that_is_none_is_refused_without_its_password(url: str) -> None:
    error = refused(url)
    assert error.code == "database_invalid"
    assert "hun" not in error.message + error.hint


def test_wrong_password_is_never_said(postgres: PostgresServer, dsn: str) -> None:
    with psycopg.connect(dsn) as connection:
        connection.execute("CREATE ROLE guest LOGIN PASSWORD 'right'")
    postgres.require_password("guest")
    wrong = dsn.replace("://postgres:@", "://guest:hunter2@")
    assert "hunter2" in wrong
    error = refused(wrong)
    assert error.code == "access_denied"
    assert "does not take this password" in error.message
    assert "hunter2" not in error.message + error.hint
    none = refused(wrong.replace(":hunter2", ""))
    assert (none.code, "wants a password" in none.message) == ("access_denied", True)
    # It is let in, and may not read.
    forbidden = refused(wrong.replace("hunter2", "right"))
    assert forbidden.code == "access_denied"
    assert "grant" in forbidden.hint


def test_no_such_database(dsn: str) -> None:
    error = refused(dsn.replace(":@/", ":@/nowhere_"))
    assert isinstance(error, NoDatabase)
    assert "createdb" in error.hint


def test_no_tables(postgres: PostgresServer) -> None:
    error = refused(postgres.create(migrated=False))
    assert isinstance(error, NoDatabase)
    assert "goalfsm node" in error.hint


@pytest.mark.parametrize(("version", "kind"), [(99, NewerDatabase), (-1, OlderDatabase)])
def test_tables_of_another_version(dsn: str, version: int, kind: type[GoalError]) -> None:
    with psycopg.connect(dsn) as connection:
        connection.execute("UPDATE goalfsm.schema_version SET version = %s", (version,))
    error = refused(dsn)
    assert isinstance(error, kind)
    assert str(version) in error.message


def test_a_list_asks_as_often_for_many_threads_as_for_one(dsn: str) -> None:
    def asked(names: list[str]) -> int:
        with contextlib.closing(PostgresReading.open(Server(dsn))) as store:
            with mock.patch.object(Link, "rows", autospec=True, side_effect=Link.rows) as rows:
                assert list(many(store, names)) == []
            return int(rows.call_count)

    assert asked(["one"]) == asked([f"t{number}" for number in range(50)])


def test_server_that_goes_away_while_it_is_read(dsn: str) -> None:
    with Link(Server(dsn)) as link:
        with psycopg.connect(dsn, autocommit=True) as other:
            other.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE pid <> pg_backend_pid() AND datname = current_database()"
            )
        with pytest.raises(StoreUnavailable):
            link.rows("SELECT 1")


def test_closed_handle_says_so(reading: PostgresReading) -> None:
    reading.close()
    reading.close()
    with pytest.raises(GoalError, match="closed"):
        reading.sessions.threads()


def test_without_the_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "goalfsm.store.postgres.store", raising=False)
    monkeypatch.setitem(sys.modules, "psycopg", None)
    for name in [name for name in sys.modules if name.startswith("goalfsm.store.postgres.")]:
        monkeypatch.delitem(sys.modules, name)
    error = refused("postgresql:///goals")
    assert (error.code, error.hint) == ("extra_missing", "pip install 'goalfsm[cluster]'")
