"""The schema, as functions that are appended; what schema each of them makes is never edited.

Each runs in a transaction of its own together with the version it leads to, so that a crash
between two leaves a database that the next start takes further.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import apsw

APPLICATION_ID: Final = 0x676F616C
"""The letters ``goal``, in the header of every database of ours."""

Migration = Callable[[apsw.Connection], None]


def m001_create(db: apsw.Connection) -> None:
    """Create every table."""
    db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    db.execute(
        """
        CREATE TABLE owner (
            id INTEGER PRIMARY KEY CHECK (id = 1),
            epoch INTEGER NOT NULL,
            pid INTEGER,
            start_time INTEGER NOT NULL DEFAULT 0,
            boot_id TEXT NOT NULL DEFAULT '',
            namespace TEXT NOT NULL DEFAULT '',
            socket TEXT NOT NULL DEFAULT '',
            uptime_ms INTEGER NOT NULL DEFAULT 0,
            reopened INTEGER NOT NULL DEFAULT 0
        ) STRICT;
        INSERT INTO owner (id, epoch) VALUES (1, 0);

        CREATE TABLE inbox (
            seq INTEGER PRIMARY KEY,
            inbox_id TEXT NOT NULL UNIQUE,
            thread_id TEXT NOT NULL,
            at_ms INTEGER NOT NULL,
            revision INTEGER,
            event BLOB NOT NULL,
            reply BLOB
        ) STRICT;
        CREATE INDEX inbox_pending ON inbox (seq) WHERE revision IS NULL;

        CREATE TABLE session (
            thread_id TEXT NOT NULL PRIMARY KEY,
            revision INTEGER NOT NULL,
            epoch INTEGER NOT NULL,
            status TEXT NOT NULL,
            wake_at_ms INTEGER,
            updated_at_ms INTEGER NOT NULL,
            rules_version INTEGER NOT NULL,
            state BLOB NOT NULL
        ) STRICT;
        CREATE INDEX session_wake ON session (wake_at_ms) WHERE wake_at_ms IS NOT NULL;

        CREATE TABLE journal (
            seq INTEGER PRIMARY KEY,
            thread_id TEXT NOT NULL,
            revision INTEGER NOT NULL,
            event_id TEXT NOT NULL,
            at_ms INTEGER NOT NULL,
            rules_version INTEGER NOT NULL,
            epoch INTEGER NOT NULL,
            digest BLOB NOT NULL,
            event BLOB NOT NULL,
            decision BLOB,
            UNIQUE (thread_id, revision),
            UNIQUE (thread_id, event_id)
        ) STRICT;

        CREATE TABLE outbox (
            seq INTEGER PRIMARY KEY,
            key TEXT NOT NULL UNIQUE,
            thread_id TEXT NOT NULL,
            revision INTEGER NOT NULL,
            at_ms INTEGER NOT NULL,
            done_at_ms INTEGER,
            kind TEXT NOT NULL,
            payload BLOB NOT NULL
        ) STRICT;
        CREATE INDEX outbox_open ON outbox (thread_id, seq) WHERE done_at_ms IS NULL;

        CREATE TABLE history (
            seq INTEGER PRIMARY KEY,
            thread_id TEXT NOT NULL,
            entry BLOB NOT NULL
        ) STRICT;
        CREATE INDEX history_of ON history (thread_id, seq);

        CREATE TABLE worker (
            thread_id TEXT NOT NULL PRIMARY KEY,
            config BLOB NOT NULL
        ) STRICT;

        CREATE TABLE process (
            run_id TEXT NOT NULL PRIMARY KEY,
            thread_id TEXT NOT NULL,
            pid INTEGER NOT NULL,
            start_time INTEGER NOT NULL,
            boot_id TEXT NOT NULL,
            namespace TEXT NOT NULL,
            pgid INTEGER NOT NULL,
            at_ms INTEGER NOT NULL
        ) STRICT;
        """
    )


def m002_index_status(db: apsw.Connection) -> None:
    """Find the threads of a status without reading every snapshot."""
    db.execute("CREATE INDEX session_status ON session (status, thread_id)")


def _add_to_owner(db: apsw.Connection, column: str) -> None:
    """Add a column where it is not there: a file may have been taken back a version by hand."""
    there = {name for (name,) in db.execute("SELECT name FROM pragma_table_info('owner')")}
    if column.split(maxsplit=1)[0] not in there:
        db.execute(f"ALTER TABLE owner ADD COLUMN {column}")


def m003_keep_transcripts_and_labels(db: apsw.Connection) -> None:
    """Keep what turns said, and kinds of events beside the journal; tell machines and rest apart.

    What is there already is left: a file may have been taken back a version by hand.
    """
    db.execute(
        """
        CREATE TABLE IF NOT EXISTS transcript (
            seq INTEGER PRIMARY KEY,
            run_id TEXT NOT NULL UNIQUE,
            thread_id TEXT NOT NULL,
            turn INTEGER NOT NULL,
            at_ms INTEGER NOT NULL,
            size INTEGER NOT NULL,
            answer_bytes INTEGER NOT NULL,
            stderr_bytes INTEGER NOT NULL,
            answer BLOB NOT NULL,
            stderr BLOB NOT NULL
        ) STRICT;
        CREATE INDEX IF NOT EXISTS transcript_of ON transcript (thread_id, turn, run_id, size);

        CREATE TABLE IF NOT EXISTS label (
            thread_id TEXT NOT NULL,
            revision INTEGER NOT NULL,
            kind TEXT NOT NULL,
            PRIMARY KEY (thread_id, revision)
        ) STRICT, WITHOUT ROWID;
        """
    )
    _add_to_owner(db, "machine TEXT NOT NULL DEFAULT ''")
    _add_to_owner(db, "resting INTEGER NOT NULL DEFAULT 0")


def m004_say_when_the_owner_was_seen(db: apsw.Connection) -> None:
    """Keep an owner's last sign in the time of its events, which another may not find out."""
    _add_to_owner(db, "seen_ms INTEGER NOT NULL DEFAULT 0")


def m005_drop_the_labels(db: apsw.Connection) -> None:
    """Drop the kinds of events: nobody asks for them."""
    db.execute("DROP TABLE label")


MIGRATIONS: Final[tuple[Migration, ...]] = (
    m001_create,
    m002_index_status,
    m003_keep_transcripts_and_labels,
    m004_say_when_the_owner_was_seen,
    m005_drop_the_labels,
)


_SEEN_AS_NEWEST: Final[dict[int, str]] = {
    2: """
        CREATE TEMP VIEW owner AS SELECT *, '' AS machine, 0 AS resting, 0 AS seen_ms
            FROM main.owner;
        CREATE TEMP TABLE transcript (
            run_id TEXT, thread_id TEXT, turn INTEGER, at_ms INTEGER, answer_bytes INTEGER,
            stderr_bytes INTEGER, answer BLOB, stderr BLOB
        );
        """,
    3: "CREATE TEMP VIEW IF NOT EXISTS owner AS SELECT *, 0 AS seen_ms FROM main.owner",
}
"""What makes a file of a version look as the next one to a connection that only reads."""


def look_newest(db: apsw.Connection, version: int) -> None:
    """Let a connection that may not migrate read an older file with the newest queries."""
    for older, views in _SEEN_AS_NEWEST.items():
        if version <= older:
            db.execute(views)


def migrate(db: apsw.Connection, migrations: tuple[Migration, ...] = MIGRATIONS) -> None:
    """Take the schema to its newest version, one transaction a step.

    Two processes may do this at once: the version is read again under the write lock.
    """
    while version_of(db) < len(migrations):
        db.execute("BEGIN IMMEDIATE")
        try:
            version = version_of(db)
            if version < len(migrations):
                migrations[version](db)
                db.execute(f"PRAGMA user_version = {version + 1}")
            db.execute("COMMIT")
        except BaseException:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise


def version_of(db: apsw.Connection) -> int:
    """Return the schema version in the header of the file."""
    return int(db.pragma("user_version"))
