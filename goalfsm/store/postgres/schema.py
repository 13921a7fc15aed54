"""The tables in PostgreSQL, as steps that are appended and never edited.

They stand in a schema of their own, beside whatever else the database holds. Each step is one
transaction together with the version that it leads to; two programs may take it at once.

| table | holds |
|---|---|
| ``session`` | the snapshot of each thread, and the node that has its open run |
| ``journal`` | every event, what it decided, and the node that did, empty for a command |
| ``outbox`` | effects to do, with the place that does them and the node that is at it |
| ``history`` | the entries that people, forks and importers see |
| ``answer`` | what came of events from outside |
| ``worker`` | the program that runs a thread's turns, and its place |
| ``node`` | the nodes, with the time of their last sign of life |
| ``transcript`` | what turns said |
| ``saying`` | what running turns have said so far; a server that crashes forgets it |

Times named ``*_ms`` are unix milliseconds of the server's clock.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from goalfsm.errors import NewerDatabase, NotOurDatabase

if TYPE_CHECKING:
    import psycopg

SCHEMA: Final = "goalfsm"
"""The schema of all our tables."""
LOCK: Final = 0x676F616C
"""The letters ``goal``: the advisory lock under which the schema changes."""

M001_CREATE: Final = """
CREATE TABLE goalfsm.session (
    thread_id text PRIMARY KEY,
    revision bigint NOT NULL,
    status text NOT NULL,
    wake_at_ms bigint,
    updated_at_ms bigint NOT NULL,
    rules_version integer NOT NULL,
    run_id text,
    node_id text,
    turn boolean NOT NULL,
    state bytea NOT NULL
) WITH (fillfactor = 70);
CREATE INDEX session_status ON goalfsm.session (status, thread_id);
CREATE INDEX session_wake ON goalfsm.session (wake_at_ms) WHERE wake_at_ms IS NOT NULL;
CREATE INDEX session_run ON goalfsm.session (node_id) WHERE run_id IS NOT NULL;
CREATE INDEX session_turn ON goalfsm.session (thread_id) WHERE turn;

CREATE TABLE goalfsm.journal (
    seq bigint GENERATED ALWAYS AS IDENTITY,
    thread_id text NOT NULL,
    revision bigint NOT NULL,
    event_id text NOT NULL,
    at_ms bigint NOT NULL,
    rules_version integer NOT NULL,
    kind text NOT NULL DEFAULT '',
    digest bytea NOT NULL,
    event bytea NOT NULL,
    decision bytea,
    PRIMARY KEY (thread_id, revision),
    UNIQUE (thread_id, event_id)
);
CREATE INDEX journal_kind ON goalfsm.journal (thread_id, kind, revision) WHERE kind <> '';

CREATE TABLE goalfsm.outbox (
    seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    key text NOT NULL UNIQUE,
    thread_id text NOT NULL,
    revision bigint NOT NULL,
    at_ms bigint NOT NULL,
    done_at_ms bigint,
    kind text NOT NULL,
    place text NOT NULL DEFAULT '',
    node_id text,
    payload bytea NOT NULL
);
CREATE INDEX outbox_open ON goalfsm.outbox (thread_id, seq) WHERE done_at_ms IS NULL;

CREATE TABLE goalfsm.history (
    seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    thread_id text NOT NULL,
    entry bytea NOT NULL
);
CREATE INDEX history_of ON goalfsm.history (thread_id, seq);

CREATE TABLE goalfsm.answer (
    inbox_id text PRIMARY KEY,
    thread_id text NOT NULL,
    at_ms bigint NOT NULL,
    revision bigint NOT NULL,
    reply bytea
);
CREATE INDEX answer_at ON goalfsm.answer (at_ms);

CREATE TABLE goalfsm.worker (
    thread_id text PRIMARY KEY,
    place text NOT NULL,
    config bytea NOT NULL
);

CREATE TABLE goalfsm.node (
    node_id text PRIMARY KEY,
    name text NOT NULL,
    host text NOT NULL,
    pid bigint NOT NULL,
    address text NOT NULL,
    since_ms bigint NOT NULL,
    seen_ms bigint NOT NULL,
    places text[] NOT NULL,
    max_runs integer NOT NULL,
    rules_version integer NOT NULL,
    version text NOT NULL
) WITH (fillfactor = 50);

CREATE TABLE goalfsm.transcript (
    seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run_id text NOT NULL UNIQUE,
    thread_id text NOT NULL,
    turn integer NOT NULL,
    at_ms bigint NOT NULL,
    size bigint NOT NULL,
    answer_bytes bigint NOT NULL,
    stderr_bytes bigint NOT NULL,
    answer bytea NOT NULL,
    stderr bytea NOT NULL
);
CREATE INDEX transcript_of ON goalfsm.transcript (thread_id, turn, seq);
"""

M002_NODE: Final = """
ALTER TABLE goalfsm.journal ADD COLUMN node text NOT NULL DEFAULT '';
"""

M003_SAYING: Final = """
CREATE UNLOGGED TABLE goalfsm.saying (
    run_id text PRIMARY KEY,
    thread_id text NOT NULL,
    total bigint NOT NULL,
    tail bytea NOT NULL
) WITH (fillfactor = 50);
CREATE INDEX saying_of ON goalfsm.saying (thread_id);
"""

# Nobody asks for events by their kind. The column stays: nodes are upgraded one at a time, and
# those of the version before write it as long as one of them runs.
M004_KIND: Final = """
DROP INDEX goalfsm.journal_kind;
"""

MIGRATIONS: Final[tuple[str, ...]] = (M001_CREATE, M002_NODE, M003_SAYING, M004_KIND)
NEWEST: Final = len(MIGRATIONS)
"""The version of the schema that this program reads and writes."""


def version_of(connection: psycopg.Connection[tuple[object, ...]]) -> int:
    """Return the version of the schema, 0 where there is none."""
    there = connection.execute("SELECT to_regclass('goalfsm.schema_version')").fetchone()
    if there is None or there[0] is None:
        return 0
    row = connection.execute("SELECT version FROM goalfsm.schema_version").fetchone()
    return 0 if row is None else int(str(row[0]))


def migrate(connection: psycopg.Connection[tuple[object, ...]]) -> int:
    """Take the schema to its newest version; return the version that it had.

    Raises `NewerDatabase` for one that a newer program made, `NotOurDatabase` for a schema of the
    same name that is somebody else's.
    """
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK,))
        found = version_of(connection)
        if found > NEWEST:
            raise NewerDatabase(
                f"the database has version {found} of the schema, this program knows {NEWEST}"
            )
        if found == 0:
            row = connection.execute("SELECT to_regclass('goalfsm.session')").fetchone()
            if row is not None and row[0] is not None:
                raise NotOurDatabase("the schema goalfsm of this database is somebody else's")
            connection.execute("CREATE SCHEMA IF NOT EXISTS goalfsm")
            connection.execute("CREATE TABLE goalfsm.schema_version (version integer NOT NULL)")
            connection.execute("INSERT INTO goalfsm.schema_version VALUES (0)")
        for step in MIGRATIONS[found:]:
            connection.execute(step)
        if found < NEWEST:
            connection.execute("UPDATE goalfsm.schema_version SET version = %s", (NEWEST,))
    return found
