"""What is corrupt in the SQLite store is found, named, and costs no more than itself."""

from __future__ import annotations

from pathlib import Path

import apsw
import pytest

from goalfsm.errors import Corrupt
from goalfsm.store.port import Committed, Effect, Invalid
from goalfsm.store.sqlite import SqliteStore
from tests.store.files import filled
from tests.store.handles import commit, nobody_lives, owned


def _corrupt(path: Path, needle: bytes) -> None:
    content = bytearray(path.read_bytes())
    at = content.index(needle)
    page = at - at % 4096
    content[page : page + 64] = b"\xa5" * 64
    path.write_bytes(content)


def test_corrupt_page_is_found_and_named(path: Path) -> None:
    """Reading it raises Corrupt, integrity says what is wrong, other pages are still read."""
    store = owned(SqliteStore.open(path, is_alive=nobody_lives))
    store.commit([commit("t", state=b"needle" * 400), commit("u")])
    store.workers.put("w", b"sound")
    store.close()
    _corrupt(path, b"needle" * 100)
    damaged = owned(SqliteStore.open(path, is_alive=nobody_lives))
    with pytest.raises(Corrupt) as caught:
        damaged.sessions.load("t")
    assert "backup" in caught.value.hint
    with pytest.raises(Corrupt):
        damaged.commit([commit("t", expected=1)])
    assert damaged.workers.get("w") == b"sound"
    assert damaged.integrity() != ()
    with pytest.raises(Corrupt, match="no copy of it was made") as refused:
        damaged.backup(path.with_name("copy.db"))
    assert "Keep the copies that you have" in refused.value.hint
    assert not [each for each in path.parent.iterdir() if "copy" in each.name]
    damaged.close()
    reader = SqliteStore.open(path, read_only=True)
    with pytest.raises(Corrupt):
        reader.sessions.load("t")
    reader.close()


def test_corrupt_schema_is_refused(path: Path) -> None:
    """A file that cannot even be recognised is not touched."""
    filled(path)
    content = bytearray(path.read_bytes())
    content[100:164] = b"\xa5" * 64
    path.write_bytes(content)
    for read_only in (False, True):
        with pytest.raises(Corrupt):
            SqliteStore.open(path, read_only=read_only)
    assert path.read_bytes() == content


@pytest.mark.parametrize(
    ("sql", "word"),
    [
        ("DELETE FROM journal WHERE thread_id = 't0'", "t0"),
        ("UPDATE session SET revision = 9 WHERE thread_id = 't1'", "t1"),
        ("DELETE FROM session WHERE thread_id = 't2'", "t2"),
        (
            """INSERT INTO outbox (key, thread_id, revision, at_ms, kind, payload)
               VALUES ('stray', 't0', 8, 0, 'K', x'')""",
            "stray",
        ),
        (
            """INSERT INTO inbox (inbox_id, thread_id, at_ms, event, revision)
               VALUES ('lost', 't0', 0, x'', 8)""",
            "lost",
        ),
    ],
)
def test_integrity_names_what_disagrees(path: Path, sql: str, word: str) -> None:
    """Rows that one transaction wrote together and that are not together any more are found."""
    filled(path)
    store = SqliteStore.open(path)
    assert store.integrity() == ()
    db = apsw.Connection(str(path))
    db.execute(sql)
    db.close()
    problems = store.integrity()
    assert problems
    assert all(word in problem for problem in problems)
    store.close()


def test_commit_that_sqlite_refuses_costs_only_itself(path: Path) -> None:
    """Text that cannot be encoded, or a number beyond 64 bits, is refused; neighbours are not."""
    store = owned(SqliteStore.open(path))
    outcomes = store.commit(
        [
            commit("a"),
            commit("x", event_id="\ud800"),
            commit("\ud800"),
            commit("\ud800", expected=1),
            commit("b", wake_at_ms=2**70),
            commit("d", outbox=(Effect(key="k", kind="\ud800"),), history=(b"h",)),
            commit("c", inbox_id="in"),
        ]
    )
    assert outcomes[0] == outcomes[6] == Committed(revision=1)
    assert [type(outcome) for outcome in outcomes[1:6]] == [Invalid] * 5
    assert [row.thread_id for row in store.sessions.threads()] == ["a", "c"]
    assert store.integrity() == ()
    store.close()
