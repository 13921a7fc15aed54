"""The embedded store: one SQLite file in WAL mode, synchronous=FULL, through APSW.

It may use the port of a store and APSW; nothing above the port knows its SQL.
"""

from goalfsm.store.sqlite.store import SqliteStore

__all__ = ["SqliteStore"]
