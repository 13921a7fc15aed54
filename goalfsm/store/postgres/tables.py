"""The nouns of `goalfsm.store.reading`, one class a table, but for what is kept to be read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from goalfsm.store.reading import PAGE_BYTES
from goalfsm.store.rows import (
    Answer,
    Driving,
    JournalRow,
    Node,
    OpenEffect,
    Stored,
    ThreadRow,
    Transcript,
)

if TYPE_CHECKING:
    from collections.abc import Collection

    from goalfsm.store.postgres.link import Link


SILENT_MS: Final = 3_000
"""After how long without a sign of life a node counts as dead: others take its turns over."""

_THREADS: Final = "SELECT thread_id, status, wake_at_ms, revision, updated_at_ms FROM "
# By code points, as every store lists them; the server's own order may be that of a language.
_BY_ID: Final = ' ORDER BY thread_id COLLATE "C"'
_NOW: Final = "(extract(epoch FROM clock_timestamp()) * 1000)::bigint"
NODES: Final = (
    "SELECT node_id, name, host, pid, since_ms, seen_ms, places, max_runs, version,"  # noqa: S608
    f" seen_ms > {_NOW} - %s,"
    " (SELECT count(*) FROM goalfsm.session s"
    "   WHERE s.node_id = n.node_id AND s.run_id IS NOT NULL)"
    " FROM goalfsm.node n ORDER BY since_ms, node_id"
)
_SNAPSHOTS: Final = (
    "SELECT thread_id, state, revision, rules_version, status, wake_at_ms, updated_at_ms"
    " FROM unnest(%s::text[]) WITH ORDINALITY AS asked (thread_id, place)"
    " JOIN goalfsm.session s USING (thread_id) ORDER BY asked.place"
)
_DRIVEN: Final = (
    "SELECT asked, w.place, s.node_id FROM unnest(%s::text[]) AS asked"
    " LEFT JOIN goalfsm.worker w ON w.thread_id = asked"
    " LEFT JOIN goalfsm.session s ON s.thread_id = asked AND s.run_id IS NOT NULL"
)
_UNWATCHED: Final = (
    "SELECT DISTINCT o.thread_id, substr(o.place, 6) AS host"  # noqa: S608
    " FROM goalfsm.outbox o"
    " WHERE o.thread_id = ANY(%s) AND o.done_at_ms IS NULL AND o.kind = 'WatchProcess'"
    "   AND NOT EXISTS (SELECT 1 FROM goalfsm.node n"
    f"     WHERE n.host = substr(o.place, 6) AND n.seen_ms > {_NOW} - %s)"
    " ORDER BY host"
)
_OPEN: Final = (
    "SELECT seq, thread_id, revision, at_ms, key, kind, payload FROM goalfsm.outbox"
    " WHERE done_at_ms IS NULL AND seq > %s"
)


class Table:
    """Reads one table, or what belongs to it."""

    def __init__(self, link: Link) -> None:
        """Read through ``link``."""
        self._link = link


class PostgresSessions(Table):
    """`goalfsm.store.reading.Sessions`."""

    def load(self, thread_id: str) -> Stored | None:
        """Return the snapshot of a thread."""
        return next(iter(self.many((thread_id,))), None)

    def many(self, thread_ids: Collection[str]) -> tuple[Stored, ...]:
        """Return the snapshots of these threads, as far as they are there, in the same order."""
        rows = self._link.rows(_SNAPSHOTS, (list(thread_ids),))
        return tuple(Stored(*row) for row in rows)

    def threads(self, statuses: Collection[str] = ()) -> tuple[ThreadRow, ...]:
        """Return all threads, or those with one of these statuses, by thread id."""
        if not statuses:
            rows = self._link.rows(f"{_THREADS}goalfsm.session{_BY_ID}")
        else:
            rows = self._link.rows(
                f"{_THREADS}goalfsm.session WHERE status = ANY(%s){_BY_ID}", (list(statuses),)
            )
        return tuple(ThreadRow(*row) for row in rows)

    def due(self, now_ms: int, *, limit: int = 1000) -> tuple[ThreadRow, ...]:
        """Return threads whose timer has run out, the longest due first."""
        rows = self._link.rows(
            f"{_THREADS}goalfsm.session WHERE wake_at_ms <= %s"
            ' ORDER BY wake_at_ms, thread_id COLLATE "C" LIMIT %s',
            (now_ms, limit),
        )
        return tuple(ThreadRow(*row) for row in rows)

    def next_wake(self) -> int | None:
        """Return the earliest timer."""
        wake: int | None = self._link.rows("SELECT min(wake_at_ms) FROM goalfsm.session")[0][0]
        return wake


class PostgresOutbox(Table):
    """`goalfsm.store.reading.OpenEffects`."""

    def open(
        self, thread_id: str | None = None, *, after: int = 0, limit: int = 1000
    ) -> tuple[OpenEffect, ...]:
        """Return effects not done, in the order of commit."""
        if thread_id is None:
            rows = self._link.rows(f"{_OPEN} ORDER BY seq LIMIT %s", (after, limit))
        else:
            rows = self._link.rows(
                f"{_OPEN} AND thread_id = %s ORDER BY seq LIMIT %s", (after, thread_id, limit)
            )
        return tuple(OpenEffect(*row) for row in rows)


class PostgresAnswers(Table):
    """`goalfsm.store.reading.Answers`."""

    def answer(self, inbox_id: str) -> Answer | None:
        """Return what became of that event."""
        rows = self._link.rows(
            "SELECT revision, reply FROM goalfsm.answer WHERE inbox_id = %s", (inbox_id,)
        )
        return Answer(revision=rows[0][0], reply=rows[0][1]) if rows else None


class PostgresPrograms(Table):
    """`goalfsm.store.reading.Programs`."""

    def get(self, thread_id: str) -> bytes | None:
        """Return the thread's worker; an embedder's own is not stored, only its place is."""
        rows = self._link.rows(
            "SELECT config FROM goalfsm.worker WHERE thread_id = %s", (thread_id,)
        )
        return rows[0][0] or None if rows else None


class PostgresDrivers(Table):
    """`goalfsm.store.reading.Drivers`."""

    def of(self, thread_id: str) -> Driving:
        """Return which nodes work on the thread, or would."""
        return self.many((thread_id,))[thread_id]

    def many(self, thread_ids: Collection[str]) -> dict[str, Driving]:
        """Return the same for each of these threads."""
        asked, nodes = list(thread_ids), self.nodes()
        unwatched: dict[str, list[str]] = {}
        for thread_id, host in self._link.rows(_UNWATCHED, (asked, SILENT_MS)):
            unwatched.setdefault(thread_id, []).append(host)
        return {
            thread_id: Driving(
                place=place or "",
                node=next((node for node in nodes if node.node_id == node_id), None),
                nodes=tuple(node for node in nodes if node.alive and place in node.places),
                unwatched=tuple(unwatched.get(thread_id, ())),
            )
            for thread_id, place, node_id in self._link.rows(_DRIVEN, (asked,))
        }

    def runs(self, thread_id: str, run_id: str) -> bool:
        """Tell whether a node has opened that run of the thread."""
        return bool(
            self._link.rows(
                "SELECT 1 FROM goalfsm.session WHERE thread_id = %s AND run_id = %s",
                (thread_id, run_id),
            )
        )

    def nodes(self) -> tuple[Node, ...]:
        """Return the nodes that have said that they live, whether they still do, oldest first."""
        return tuple(
            Node(
                node_id=node_id,
                name=name,
                host=host,
                pid=pid,
                since_ms=since_ms,
                seen_ms=seen_ms,
                places=tuple(places),
                max_runs=max_runs,
                version=version,
                alive=alive,
                runs=runs,
            )
            for node_id, name, host, pid, since_ms, seen_ms, places, max_runs, version, alive, runs
            in self._link.rows(NODES, (SILENT_MS,))
        )  # fmt: skip


_COLUMNS: Final = (
    "seq, thread_id, revision, event_id, at_ms, event, decision, digest, rules_version,"
    " 0 AS epoch, node"
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


class PostgresJournal(Table):
    """`goalfsm.store.reading.Journal`."""

    def read(  # noqa: PLR0913 - each narrows what is read
        self,
        thread_id: str,
        *,
        after: int = 0,
        before: int | None = None,
        limit: int = 1000,
        max_bytes: int = PAGE_BYTES,
        newest: bool = False,
    ) -> tuple[JournalRow, ...]:
        """Return a page of rows of a thread by revision."""
        end = _EVER if before is None else before
        sql = _PAGE + (_NEWEST if newest else _OLDEST)
        rows = self._link.rows(sql, (thread_id, after, end, limit, max_bytes))
        return tuple(JournalRow(*row) for row in rows)

    def revision_before(self, thread_id: str, at_ms: int) -> int:
        """Return the newest revision of a thread that is older than a moment."""
        rows = self._link.rows(_BEFORE, (thread_id, at_ms))
        return rows[0][0] if rows else 0

    def find(self, thread_id: str, event_id: str) -> JournalRow | None:
        """Return the row of an event."""
        rows = self._link.rows(_FIND, (thread_id, event_id))
        return JournalRow(*rows[0]) if rows else None


class PostgresHistory(Table):
    """`goalfsm.store.reading.History`."""

    def read(self, thread_id: str) -> tuple[bytes, ...]:
        """Return the entries of a thread, oldest first."""
        rows = self._link.rows(
            "SELECT entry FROM goalfsm.history WHERE thread_id = %s ORDER BY seq", (thread_id,)
        )
        return tuple(entry for (entry,) in rows)


class PostgresTranscripts(Table):
    """`goalfsm.store.reading.Transcripts`."""

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
        return tuple(Transcript(*row) for row in rows)

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
        return Transcript(*rows[0]) if rows else None
