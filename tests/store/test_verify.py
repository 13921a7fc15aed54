"""What a look at the file finds while there is nothing to commit."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from goalfsm.errors import CannotWrite, Corrupt, DatabaseReplaced, StoreError
from goalfsm.store.sqlite import SqliteStore
from tests.store.handles import commit


def _delete(path: Path) -> None:
    path.unlink()


def _replace(path: Path) -> None:
    other = path.with_name("other")
    other.write_bytes(path.read_bytes())
    other.rename(path)


def _cut_short(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 8_192)


def _overwrite(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(b"not a database, whatever it was")


def _empty(path: Path) -> None:
    os.truncate(path, 0)


@pytest.mark.parametrize(
    ("harm", "kind"),
    [
        (_delete, DatabaseReplaced),
        (_replace, DatabaseReplaced),
        (_cut_short, Corrupt),
        (_overwrite, Corrupt),
        (_empty, Corrupt),
    ],
)
def test_harm_is_found_without_a_commit(
    path: Path, store: SqliteStore, harm: Callable[[Path], None], kind: type[StoreError]
) -> None:
    """An engine that has nothing to do learns of it, and its handle is used no more."""
    keeper = store.checkpointer()
    assert keeper is not None
    assert keeper.run()
    store.verify()
    harm(path)
    with pytest.raises(kind):
        store.verify()
    with pytest.raises(kind):
        store.commit([commit(expected=1)])
    keeper.close()


def test_file_that_is_read_only_by_now_is_found(
    path: Path, store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is lost by it, so the handle goes on once it may write again."""
    monkeypatch.setattr(os, "access", lambda _path, _mode: False)
    os.utime(path, (1, 1))
    with pytest.raises(CannotWrite):
        store.verify()
    monkeypatch.undo()
    store.verify()
    store.commit([commit(expected=1)])


def test_file_that_grows_and_is_moved_into_is_sound(store: SqliteStore) -> None:
    """What checkpoints and commits do to it is no harm."""
    keeper = store.checkpointer()
    assert keeper is not None
    for expected in range(1, 6):
        store.commit([commit(expected=expected, state=bytes(50_000))])
        store.verify()
        keeper.run()
        store.verify()
    keeper.close()
