"""What the store reads is found by an index: no read grows with what is not asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import apsw
import pytest

from goalfsm.session.work import NEED_ENGINE
from goalfsm.store.port import Effect
from goalfsm.store.sqlite import SqliteStore
from goalfsm.store.sqlite.migrations import MIGRATIONS
from tests.store.handles import commit, nobody_lives, owned

SCHEMAS: Final = (
    "bccabcb885c1efcf",
    "7af012dea78ad046",
    "abde3a85b2e8bd1b",
    "a4afa46f57948c71",
    "30f59d9744be4ad7",
)
"""What each migration leads to: a step that somebody has applied is never edited."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return where the database goes."""
    return tmp_path / "goals.db"


@pytest.fixture
def store(path: Path) -> Iterator[SqliteStore]:
    """Return an owning handle on a few threads."""
    store = owned(SqliteStore.open(path, is_alive=nobody_lives))
    store.inbox.put("in-1", "t0", at_ms=1, event=b"e")
    store.commit(
        [
            commit(
                f"t{number}",
                status="active" if number % 2 else "complete",
                wake_at_ms=number,
                outbox=(Effect(key=f"k{number}", kind="StartRun"),),
                history=(b"entry",),
            )
            for number in range(6)
        ]
    )
    yield store
    store.close()


def plans_of(store: SqliteStore, read: Callable[[SqliteStore], object]) -> list[str]:
    """Return how SQLite finds the rows of every statement that ``read`` runs."""
    db = store._database.connection()
    asked: list[tuple[str, Any]] = []

    def note(_cursor: object, sql: str, bindings: Any) -> bool:
        asked.append((sql, bindings))
        return True

    db.exec_trace = note
    try:
        read(store)
    finally:
        db.exec_trace = None
    return [
        row[3]
        for sql, bindings in asked
        for row in db.execute(f"EXPLAIN QUERY PLAN {sql}", bindings)
    ]


READS: Final[dict[str, tuple[Callable[[SqliteStore], object], str]]] = {
    "threads to take over": (
        lambda store: store.sessions.threads(NEED_ENGINE),
        "SEARCH session USING INDEX session_status (status=?)",
    ),
    "one thread": (
        lambda store: store.sessions.load("t1"),
        "SEARCH session USING INDEX sqlite_autoindex_session_1 (thread_id=?)",
    ),
    "threads that are due": (
        lambda store: store.sessions.due(3),
        "SEARCH session USING INDEX session_wake (wake_at_ms<?)",
    ),
    "the next timer": (
        lambda store: store.sessions.next_wake(),
        "SEARCH session USING COVERING INDEX session_wake (wake_at_ms>?)",
    ),
    "open effects": (
        lambda store: store.outbox.open(),
        "SCAN outbox USING INDEX outbox_open",
    ),
    "open effects of a thread": (
        lambda store: store.outbox.open("t1"),
        "SEARCH outbox USING INDEX outbox_open (thread_id=? AND seq>?)",
    ),
    "what waits in the inbox": (
        lambda store: store.inbox.pending(),
        "SEARCH inbox USING INDEX inbox_pending (seq>?)",
    ),
    "what became of an inbox row": (
        lambda store: store.inbox.answer("in-1"),
        "SEARCH inbox USING INDEX sqlite_autoindex_inbox_1 (inbox_id=?)",
    ),
    "the end of a journal": (
        lambda store: store.journal.read("t1", limit=2, newest=True),
        (
            "SEARCH journal USING INDEX sqlite_autoindex_journal_1"
            " (thread_id=? AND revision>? AND revision<?)"
        ),
    ),
    "where a journal is at a moment": (
        lambda store: store.journal.revision_before("t1", 1_500),
        "SEARCH journal USING COVERING INDEX sqlite_autoindex_journal_1 (thread_id=?)",
    ),
    "what a thread said": (
        lambda store: store.transcripts.read("t1"),
        "SEARCH transcript USING INDEX transcript_of (thread_id=? AND turn<?)",
    ),
    "an event": (
        lambda store: store.journal.find("t1", "event-1"),
        "SEARCH journal USING INDEX sqlite_autoindex_journal_2 (thread_id=? AND event_id=?)",
    ),
    "history": (
        lambda store: store.history.read("t1"),
        "SEARCH history USING INDEX history_of (thread_id=?)",
    ),
}


@pytest.mark.parametrize("what", READS)
def test_reads_are_found_by_an_index(store: SqliteStore, what: str) -> None:
    """An engine's start costs what is open, not what there is."""
    read, expected = READS[what]
    plans = plans_of(store, read)
    assert expected in plans
    unasked = ("SCAN session", "SCAN journal", "SCAN history")
    assert not [plan for plan in plans if plan.startswith(unasked)]


def test_index_of_statuses_reaches_older_files(path: Path) -> None:
    """A file of the first version gets the index with the data that it has."""
    SqliteStore.open(path, migrations=MIGRATIONS[:1], is_alive=nobody_lives).close()
    db = apsw.Connection(str(path))
    for n in range(6):
        row = (f"t{n}", "active" if n % 2 else "paused")
        db.execute("INSERT INTO session VALUES (?, 1, 1, ?, NULL, 1, 1, x'00')", row)
        db.execute(
            "INSERT INTO journal VALUES (NULL, ?, 1, 'e', 1, 1, 1, x'', x'00', NULL)", row[:1]
        )
    db.close()
    before = SqliteStore.open(path, read_only=True)
    assert any(plan.startswith("SCAN session") for plan in plans_of(before, _active))
    rows = before.sessions.threads(["active"])
    before.close()
    store = SqliteStore.open(path, is_alive=nobody_lives)
    assert not any(plan.startswith("SCAN session") for plan in plans_of(store, _active))
    assert store.sessions.threads(["active"]) == rows
    assert [row.thread_id for row in rows] == ["t1", "t3", "t5"]
    assert store.integrity() == ()
    store.close()


def _active(store: SqliteStore) -> object:
    return store.sessions.threads(["active"])


@pytest.mark.parametrize("version", range(1, len(MIGRATIONS) + 1))
def test_no_migration_was_edited(path: Path, version: int) -> None:
    """A change of the schema is a step of its own: files that have taken the others get it too."""
    SqliteStore.open(path, migrations=MIGRATIONS[:version], is_alive=nobody_lives).close()
    db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    rows = db.execute("SELECT name, sql FROM sqlite_schema ORDER BY name").fetchall()
    db.close()
    assert len(SCHEMAS) == len(MIGRATIONS)
    assert sha256(repr(rows).encode()).hexdigest()[:16] == SCHEMAS[version - 1]
