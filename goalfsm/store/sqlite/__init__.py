"""The embedded store: one SQLite file in WAL mode, synchronous=FULL, through APSW."""

from goalfsm.store.sqlite.store import SqliteStore

__all__ = ["SqliteStore"]
