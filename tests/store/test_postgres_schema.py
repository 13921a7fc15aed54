from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest

from goalfsm.errors import NewerDatabase, NotOurDatabase
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
