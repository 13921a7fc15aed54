"""What is kept to be read: the journal, the history, and what turns said."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

import apsw
import msgspec

from goalfsm.store.limits import bounded, surplus
from goalfsm.store.port import (
    KEPT_BYTES,
    KEPT_TRANSCRIPTS,
    PAGE_BYTES,
    SPARE_TRANSCRIPTS,
    JournalRow,
    Transcript,
)
from goalfsm.store.rows import transcript_of
from goalfsm.store.sqlite.connection import Row
from goalfsm.store.sqlite.database import Database

_SELECT: Final = (
    "SELECT j.seq, j.thread_id, j.revision, j.event_id, j.at_ms, j.event, j.decision, j.digest,"
    " j.rules_version, j.epoch FROM "
)
_FIND: Final = _SELECT + "journal j WHERE j.thread_id = ? AND j.event_id = ?"
_BETWEEN: Final = _SELECT + "journal j WHERE j.thread_id = ? AND j.revision BETWEEN ? AND ? "
# In this order: labels are few.
_LABELLED: Final = (
    f"{_SELECT}label l CROSS JOIN journal j USING (thread_id, revision)"  # noqa: S608 - constants
    " WHERE l.thread_id = ? AND l.revision BETWEEN ? AND ?"
    " AND l.kind IN (SELECT value FROM json_each(?)) "
)
_OLDEST: Final = "ORDER BY 3 LIMIT ?"
_NEWEST: Final = "ORDER BY 3 DESC LIMIT ?"
_LAST: Final = "SELECT max(revision) FROM journal WHERE thread_id = ?"
_WHEN: Final = "SELECT at_ms FROM journal WHERE thread_id = ? AND revision = ?"
_EVER: Final = 2**62
_KEEP: Final = (
    "INSERT OR REPLACE INTO transcript (run_id, thread_id, turn, at_ms, size,"
    " answer_bytes, stderr_bytes, answer, stderr) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
# By the index alone.
_TOTAL: Final = "SELECT count(*), sum(size) FROM transcript WHERE thread_id = ?"
_SIZES: Final = (
    "SELECT run_id, size FROM transcript WHERE thread_id = ? ORDER BY turn DESC, run_id DESC"
)
_TRANSCRIPT: Final = (
    "SELECT thread_id, run_id, turn, at_ms, answer, stderr, answer_bytes, stderr_bytes"
    " FROM transcript "
)


class SqliteJournal:
    """`goalfsm.store.port.Journal`."""

    def __init__(self, database: Database) -> None:
        """Read through ``database``."""
        self._database = database

    def read(  # noqa: PLR0913 - each narrows what is read
        self,
        thread_id: str,
        *,
        after: int = 0,
        before: int | None = None,
        kinds: Collection[str] = (),
        limit: int = 1000,
        max_bytes: int = PAGE_BYTES,
        newest: bool = False,
    ) -> tuple[JournalRow, ...]:
        """Return a page of rows of a thread by revision."""
        last = _EVER if before is None else before - 1
        of_kinds = (msgspec.json.encode(list(kinds)).decode(),) if kinds else ()
        sql = (_LABELLED if kinds else _BETWEEN) + (_NEWEST if newest else _OLDEST)
        rows = self._database.rows(
            sql, (thread_id, after + 1, last, *of_kinds, limit), max_bytes=max_bytes
        )
        return tuple(_journalled(row) for row in rows)

    def revision_before(self, thread_id: str, at_ms: int) -> int:
        """Return the newest revision of a thread that is older than a moment."""
        rows = self._database.rows
        low, high = 0, rows(_LAST, (thread_id,))[0][0] or 0
        while low < high:
            middle = (low + high + 1) // 2
            if rows(_WHEN, (thread_id, middle))[0][0] < at_ms:
                low = middle
            else:
                high = middle - 1
        return low

    def find(self, thread_id: str, event_id: str) -> JournalRow | None:
        """Return the row of an event."""
        rows = self._database.rows(_FIND, (thread_id, event_id))
        return _journalled(rows[0]) if rows else None


def _journalled(row: Row) -> JournalRow:
    seq, thread_id, revision, event_id, at_ms, event, decision, digest, rules, epoch = row
    return JournalRow(
        seq=seq,
        thread_id=thread_id,
        revision=revision,
        event_id=event_id,
        at_ms=at_ms,
        event=event,
        decision=decision,
        digest=digest,
        rules_version=rules,
        epoch=epoch,
    )


class SqliteHistory:
    """`goalfsm.store.port.History`."""

    def __init__(self, database: Database) -> None:
        """Read through ``database``."""
        self._database = database

    def read(self, thread_id: str) -> tuple[bytes, ...]:
        """Return the entries of a thread, oldest first."""
        rows = self._database.rows(
            "SELECT entry FROM history WHERE thread_id = ? ORDER BY seq", (thread_id,)
        )
        return tuple(entry for (entry,) in rows)


class SqliteTranscripts:
    """`goalfsm.store.port.TranscriptKeeping`; they ride with the commit that comes next."""

    def __init__(self, database: Database) -> None:
        """Read and write through ``database``."""
        self._database = database

    def put(self, transcript: Transcript) -> None:
        """Keep what a run said, and drop what is too much by now."""
        kept = bounded(transcript)
        size = len(kept.answer) + len(kept.stderr)
        row = (
            kept.run_id, kept.thread_id, kept.turn, kept.at_ms, size, kept.answer_bytes,
            kept.stderr_bytes, kept.answer, kept.stderr,
        )  # fmt: skip

        def work(cursor: apsw.Cursor) -> None:
            cursor.execute(_KEEP, row)
            count, total = cursor.execute(_TOTAL, (kept.thread_id,)).get
            if count < KEPT_TRANSCRIPTS + SPARE_TRANSCRIPTS and total <= KEPT_BYTES:
                return
            rows: list[tuple[str, int]] = cursor.execute(  # type: ignore[assignment]
                _SIZES, (kept.thread_id,)
            ).fetchall()
            gone = rows[surplus([size for _, size in rows]) :]
            cursor.executemany(
                "DELETE FROM transcript WHERE run_id = ?", [(run_id,) for run_id, _ in gone]
            )

        self._database.ride(work)

    def read(
        self, thread_id: str, *, before_turn: int | None = None, limit: int = 10
    ) -> tuple[Transcript, ...]:
        """Return the newest transcripts of a thread, newest first."""
        self._database.carry()
        last = _EVER if before_turn is None else before_turn
        rows = self._database.rows(
            _TRANSCRIPT
            + "WHERE thread_id = ? AND turn < ? ORDER BY turn DESC, run_id DESC LIMIT ?",
            (thread_id, last, limit),
        )
        return tuple(transcript_of(row) for row in rows)

    def of_run(self, run_id: str) -> Transcript | None:
        """Return the text that a run has said."""
        self._database.carry()
        rows = self._database.rows(_TRANSCRIPT + "WHERE run_id = ?", (run_id,))
        return transcript_of(rows[0]) if rows else None
