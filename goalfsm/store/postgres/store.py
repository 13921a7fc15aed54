"""One handle that reads threads on a server, and what `doctor` asks of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Self

from goalfsm.store.postgres.link import Link
from goalfsm.store.postgres.tables import (
    PostgresAnswers,
    PostgresDrivers,
    PostgresHistory,
    PostgresJournal,
    PostgresOutbox,
    PostgresPrograms,
    PostgresSessions,
    PostgresTranscripts,
)
from goalfsm.store.rows import Facts

if TYPE_CHECKING:
    from goalfsm.store.address import Server

_MAX_PROBLEMS: Final = 100
_COUNTS: Final = """
    SELECT (SELECT count(*) FROM goalfsm.session),
           (SELECT count(*) FROM goalfsm.journal),
           (SELECT count(*) FROM goalfsm.outbox WHERE done_at_ms IS NULL),
           (SELECT coalesce(sum(pg_total_relation_size(oid)), 0)::bigint FROM pg_class
            WHERE relnamespace = 'goalfsm'::regnamespace AND relkind = 'r')"""
_SETTINGS: Final = """
    SELECT name, setting FROM pg_settings WHERE name = ANY(%s) ORDER BY name"""
_SHOWN: Final = (
    "fsync",
    "full_page_writes",
    "server_version",
    "synchronous_commit",
    "synchronous_standby_names",
)
_CHECKS: Final = (
    (
        "thread {} is at revision {}, its journal has {} rows up to {}",
        """
        SELECT s.thread_id, s.revision, coalesce(j.rows, 0), coalesce(j.last, 0)
        FROM goalfsm.session s LEFT JOIN (
            SELECT thread_id, count(*) AS rows, max(revision) AS last
            FROM goalfsm.journal GROUP BY 1
        ) j USING (thread_id)
        WHERE coalesce(j.rows, 0) <> s.revision OR coalesce(j.last, 0) <> s.revision
        ORDER BY 1 LIMIT %s""",
    ),
    (
        "the journal has events of thread {}, which has no snapshot",
        """
        SELECT DISTINCT thread_id FROM goalfsm.journal j
        WHERE NOT EXISTS (SELECT 1 FROM goalfsm.session s WHERE s.thread_id = j.thread_id)
        ORDER BY 1 LIMIT %s""",
    ),
    (
        "effect {} belongs to revision {} of thread {}, which is not in the journal",
        """
        SELECT o.key, o.revision, o.thread_id FROM goalfsm.outbox o
        WHERE NOT EXISTS (SELECT 1 FROM goalfsm.journal j
                          WHERE j.thread_id = o.thread_id AND j.revision = o.revision)
        ORDER BY 1 LIMIT %s""",
    ),
    (
        "answer {} is that of revision {} of thread {}, which is not in the journal",
        """
        SELECT a.inbox_id, a.revision, a.thread_id FROM goalfsm.answer a
        WHERE NOT EXISTS (SELECT 1 FROM goalfsm.journal j
                          WHERE j.thread_id = a.thread_id AND j.revision = a.revision)
        ORDER BY 1 LIMIT %s""",
    ),
)


class PostgresReading:
    """`goalfsm.store.reading.Reading` on a PostgreSQL server."""

    def __init__(self, link: Link) -> None:
        """Read by ``link``, which `open` has connected."""
        self._link = link
        self.sessions = PostgresSessions(link)
        self.journal = PostgresJournal(link)
        self.history = PostgresHistory(link)
        self.outbox = PostgresOutbox(link)
        self.inbox = PostgresAnswers(link)
        self.workers = PostgresPrograms(link)
        self.transcripts = PostgresTranscripts(link)
        self.drivers = PostgresDrivers(link)

    @classmethod
    def open(cls, server: Server) -> Self:
        """Connect to the server; see `goalfsm.store.postgres.open_store` for what is raised."""
        return cls(Link(server))

    def facts(self) -> Facts:
        """Return what `doctor` shows."""
        threads, journal, effects, size = self._link.rows(_COUNTS)[0]
        settings: dict[str, str] = dict(self._link.rows(_SETTINGS, (list(_SHOWN),)))
        return Facts(
            backend="postgresql",
            version=settings.pop("server_version"),
            schema_version=self._link.version,
            settings=tuple(settings.items()),
            size=size,
            threads=threads,
            journal_rows=journal,
            open_effects=effects,
            pending_inbox=0,
        )

    def integrity(self) -> tuple[str, ...]:
        """Return what does not agree between the tables, empty when everything does."""
        return tuple(
            sentence.format(*row)
            for sentence, query in _CHECKS
            for row in self._link.rows(query, (_MAX_PROBLEMS,))
        )

    def close(self) -> None:
        """Close the handle; a second time is no error."""
        self._link.close()
