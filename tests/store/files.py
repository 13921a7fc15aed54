"""What tests of the SQLite store's file begin with, and how they tell whether it changed."""

from __future__ import annotations

from pathlib import Path

from goalfsm.store.sqlite import SqliteStore
from tests.store.handles import commit, nobody_lives, owned


def listing(path: Path) -> dict[str, tuple[int, int, int]]:
    """Return what would tell of any change to a file beside this one."""
    return {
        entry.name: (found.st_size, found.st_mtime_ns, found.st_ino)
        for entry in path.parent.iterdir()
        if (found := entry.stat())
    }


def filled(path: Path, threads: int = 3) -> None:
    """Leave a database with some threads behind."""
    store = owned(SqliteStore.open(path, is_alive=nobody_lives))
    store.commit([commit(f"t{n}", state=bytes(2_000)) for n in range(threads)])
    store.close()
