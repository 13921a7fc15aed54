from __future__ import annotations

from typing import TYPE_CHECKING
from unittest import mock

import psycopg
import pytest

from goalfsm.errors import NewerDatabase, NotOurDatabase
from goalfsm.store.postgres import schema
from goalfsm.store.postgres.schema import NEWEST, migrate, version_of

if TYPE_CHECKING:
    from tests.postgres import PostgresServer


def test_an_empty_database_gets_the_newest_schema(postgres: PostgresServer) -> None:
    with psycopg.connect(postgres.create(migrated=False)) as connection:
        assert version_of(connection) == 0
        assert migrate(connection) == 0
        assert version_of(connection) == NEWEST
        assert migrate(connection) == NEWEST


def test_the_schema_of_a_newer_program_is_left_alone(dsn: str) -> None:
    with psycopg.connect(dsn) as connection:
        connection.execute("UPDATE goalfsm.schema_version SET version = 99")
        with pytest.raises(NewerDatabase, match="version 99"):
            migrate(connection)


def test_somebody_elses_schema_is_left_alone(postgres: PostgresServer) -> None:
    with psycopg.connect(postgres.create(migrated=False)) as connection:
        connection.execute("CREATE SCHEMA goalfsm")
        connection.execute("CREATE TABLE goalfsm.session (theirs integer)")
        connection.commit()
        with pytest.raises(NotOurDatabase):
            migrate(connection)


def test_an_older_schema_keeps_what_it_holds(postgres: PostgresServer) -> None:
    """The first version did not know which node had decided."""
    with psycopg.connect(postgres.create(migrated=False)) as connection:
        with mock.patch.multiple(schema, MIGRATIONS=schema.MIGRATIONS[:1], NEWEST=1):
            migrate(connection)
        connection.execute(
            "INSERT INTO goalfsm.journal"
            " (thread_id, revision, event_id, at_ms, rules_version, digest, event)"
            " VALUES ('a', 1, 'one', 1, 1, '', '')"
        )
        assert migrate(connection) == 1
        found = connection.execute("SELECT thread_id, node FROM goalfsm.journal").fetchall()
    assert found == [("a", "")]


def test_a_node_of_the_version_before_goes_on_after_a_migration(postgres: PostgresServer) -> None:
    """Nodes are upgraded one at a time: what an older one writes still has its column."""
    with psycopg.connect(postgres.create(migrated=True)) as connection:
        connection.execute(
            "INSERT INTO goalfsm.journal"
            " (thread_id, revision, event_id, at_ms, rules_version, kind, digest, event, node)"
            " VALUES ('a', 1, 'one', 1, 1, 'TurnEnded', '', '', 'n')"
        )
        indexes = connection.execute(
            "SELECT indexname FROM pg_indexes WHERE schemaname = 'goalfsm'"
        ).fetchall()
    assert ("journal_kind",) not in indexes
