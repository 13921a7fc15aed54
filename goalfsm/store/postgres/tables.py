"""The nouns of `goalfsm.store.reading`, one class a table, but for what is kept to be read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from goalfsm.store.rows import (
    Answer,
    Driving,
    Node,
    OpenEffect,
    Stored,
    ThreadRow,
    open_effect,
    thread_row,
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


class PostgresSessions:
    """`goalfsm.store.reading.Sessions`."""

    def __init__(self, link: Link) -> None:
        """Read through ``link``."""
        self._link = link

    def load(self, thread_id: str) -> Stored | None:
        """Return the snapshot of a thread."""
        return next(iter(self.many((thread_id,))), None)

    def many(self, thread_ids: Collection[str]) -> tuple[Stored, ...]:
        """Return the snapshots of these threads, as far as they are there, in the same order."""
        return tuple(map(_stored, self._link.rows(_SNAPSHOTS, (list(thread_ids),))))

    def threads(self, statuses: Collection[str] = ()) -> tuple[ThreadRow, ...]:
        """Return all threads, or those with one of these statuses, by thread id."""
        if not statuses:
            rows = self._link.rows(f"{_THREADS}goalfsm.session{_BY_ID}")
        else:
            rows = self._link.rows(
                f"{_THREADS}goalfsm.session WHERE status = ANY(%s){_BY_ID}", (list(statuses),)
            )
        return tuple(map(thread_row, rows))

    def due(self, now_ms: int, *, limit: int = 1000) -> tuple[ThreadRow, ...]:
        """Return threads whose timer has run out, the longest due first."""
        rows = self._link.rows(
            f"{_THREADS}goalfsm.session WHERE wake_at_ms <= %s"
            ' ORDER BY wake_at_ms, thread_id COLLATE "C" LIMIT %s',
            (now_ms, limit),
        )
        return tuple(map(thread_row, rows))

    def next_wake(self) -> int | None:
        """Return the earliest timer."""
        wake: int | None = self._link.rows("SELECT min(wake_at_ms) FROM goalfsm.session")[0][0]
        return wake


def _stored(row: tuple[Any, ...]) -> Stored:
    thread_id, state, revision, rules_version, status, wake_at_ms, updated_at_ms = row
    return Stored(
        thread_id=thread_id,
        state=state,
        revision=revision,
        rules_version=rules_version,
        status=status,
        wake_at_ms=wake_at_ms,
        updated_at_ms=updated_at_ms,
        epoch=0,
    )


class PostgresOutbox:
    """`goalfsm.store.reading.OpenEffects`."""

    def __init__(self, link: Link) -> None:
        """Read through ``link``."""
        self._link = link

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
        return tuple(map(open_effect, rows))


class PostgresAnswers:
    """`goalfsm.store.reading.Answers`."""

    def __init__(self, link: Link) -> None:
        """Read through ``link``."""
        self._link = link

    def answer(self, inbox_id: str) -> Answer | None:
        """Return what became of that event."""
        rows = self._link.rows(
            "SELECT revision, reply FROM goalfsm.answer WHERE inbox_id = %s", (inbox_id,)
        )
        return Answer(revision=rows[0][0], reply=rows[0][1]) if rows else None


class PostgresPrograms:
    """`goalfsm.store.reading.Programs`."""

    def __init__(self, link: Link) -> None:
        """Read through ``link``."""
        self._link = link

    def get(self, thread_id: str) -> bytes | None:
        """Return the thread's worker; an embedder's own is not stored, only its place is."""
        rows = self._link.rows(
            "SELECT config FROM goalfsm.worker WHERE thread_id = %s", (thread_id,)
        )
        return rows[0][0] or None if rows else None


class PostgresDrivers:
    """`goalfsm.store.reading.Drivers`."""

    def __init__(self, link: Link) -> None:
        """Read through ``link``."""
        self._link = link

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
