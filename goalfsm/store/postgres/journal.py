"""What is kept to be read: the journal, the history, and what turns said."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from goalfsm.store.reading import PAGE_BYTES
from goalfsm.store.rows import JournalRow, Transcript, transcript_of

if TYPE_CHECKING:
    from collections.abc import Collection

    from goalfsm.store.postgres.link import Link, Row

_COLUMNS: Final = (
    "seq, thread_id, revision, event_id, at_ms, event, decision, digest, rules_version, node"
)
_FIND: Final = (
    f"SELECT {_COLUMNS} FROM goalfsm.journal"  # noqa: S608 - constants
    " WHERE thread_id = %s AND event_id = %s"
)
# Sizes are known without reading what is large: a row is fetched where those before it weigh less
# than the page may.
_PAGE: Final = (
    "WITH found AS ("  # noqa: S608 - constants
    f" SELECT {_COLUMNS}, octet_length(event) + octet_length(coalesce(decision, '')) +"
    "   octet_length(digest) AS size"
    " FROM goalfsm.journal WHERE thread_id = %s AND revision > %s AND revision < %s"
)
_OF_KINDS: Final = " AND kind = ANY(%s)"
_OLDEST: Final = (
    " ORDER BY revision LIMIT %s),"  # noqa: S608 - constants
    " weighed AS (SELECT *, sum(size) OVER (ORDER BY revision) - size AS before FROM found)"
    f" SELECT {_COLUMNS} FROM weighed WHERE before < %s ORDER BY revision"
)
_NEWEST: Final = (
    " ORDER BY revision DESC LIMIT %s),"  # noqa: S608 - constants
    " weighed AS (SELECT *, sum(size) OVER (ORDER BY revision DESC) - size AS before FROM found)"
    f" SELECT {_COLUMNS} FROM weighed WHERE before < %s ORDER BY revision DESC"
)
_BEFORE: Final = (
    "SELECT revision FROM goalfsm.journal WHERE thread_id = %s AND at_ms < %s"
    " ORDER BY revision DESC LIMIT 1"
)
_EVER: Final = 2**62
_TRANSCRIPT: Final = (
    "SELECT thread_id, run_id, turn, at_ms, answer, stderr, answer_bytes, stderr_bytes"
    " FROM goalfsm.transcript "
)


class PostgresJournal:
    """`goalfsm.store.reading.Journal`."""

    def __init__(self, link: Link) -> None:
        """Read through ``link``."""
        self._link = link

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
        end = _EVER if before is None else before
        of_kinds = (list(kinds),) if kinds else ()
        sql = _PAGE + (_OF_KINDS if kinds else "") + (_NEWEST if newest else _OLDEST)
        rows = self._link.rows(sql, (thread_id, after, end, *of_kinds, limit, max_bytes))
        return tuple(map(_journalled, rows))

    def revision_before(self, thread_id: str, at_ms: int) -> int:
        """Return the newest revision of a thread that is older than a moment."""
        rows = self._link.rows(_BEFORE, (thread_id, at_ms))
        return rows[0][0] if rows else 0

    def find(self, thread_id: str, event_id: str) -> JournalRow | None:
        """Return the row of an event."""
        rows = self._link.rows(_FIND, (thread_id, event_id))
        return _journalled(rows[0]) if rows else None


def _journalled(row: Row) -> JournalRow:
    seq, thread_id, revision, event_id, at_ms, event, decision, digest, rules_version, node = row
    return JournalRow(
        seq=seq,
        thread_id=thread_id,
        revision=revision,
        event_id=event_id,
        at_ms=at_ms,
        event=event,
        decision=decision,
        digest=digest,
        rules_version=rules_version,
        epoch=0,
        node=node,
    )


class PostgresHistory:
    """`goalfsm.store.reading.History`."""

    def __init__(self, link: Link) -> None:
        """Read through ``link``."""
        self._link = link

    def read(self, thread_id: str) -> tuple[bytes, ...]:
        """Return the entries of a thread, oldest first."""
        rows = self._link.rows(
            "SELECT entry FROM goalfsm.history WHERE thread_id = %s ORDER BY seq", (thread_id,)
        )
        return tuple(entry for (entry,) in rows)


class PostgresTranscripts:
    """`goalfsm.store.reading.Transcripts`."""

    def __init__(self, link: Link) -> None:
        """Read through ``link``."""
        self._link = link

    def read(
        self, thread_id: str, *, before_turn: int | None = None, limit: int = 10
    ) -> tuple[Transcript, ...]:
        """Return the newest transcripts of a thread, newest first."""
        last = _EVER if before_turn is None else before_turn
        rows = self._link.rows(
            _TRANSCRIPT
            + 'WHERE thread_id = %s AND turn < %s ORDER BY turn DESC, run_id COLLATE "C" DESC'
            " LIMIT %s",
            (thread_id, last, limit),
        )
        return tuple(map(transcript_of, rows))

    def saying(self, thread_id: str) -> tuple[str, int, bytes] | None:
        """Return the run of a thread that says something, how many bytes, and the last of them.

        None where it has said nothing yet, and a moment after it is over.
        """
        rows = self._link.rows(
            "SELECT run_id, total, tail FROM goalfsm.saying JOIN goalfsm.session"
            " USING (thread_id, run_id) WHERE thread_id = %s",
            (thread_id,),
        )
        return (str(rows[0][0]), int(rows[0][1]), bytes(rows[0][2])) if rows else None

    def of_run(self, run_id: str) -> Transcript | None:
        """Return the text that a run has said."""
        rows = self._link.rows(_TRANSCRIPT + "WHERE run_id = %s", (run_id,))
        return transcript_of(rows[0]) if rows else None
