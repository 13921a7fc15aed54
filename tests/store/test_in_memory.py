"""``:memory:`` is a store in memory, and no file of that name."""

from __future__ import annotations

from pathlib import Path

import pytest

from goalfsm.errors import CannotWrite, StoreClosed
from goalfsm.store.port import Committed, Effect
from goalfsm.store.sqlite import SqliteStore
from tests.store.handles import commit, owned, transcript


def test_it_is_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is written where the program runs, and two handles share nothing."""
    monkeypatch.chdir(tmp_path)
    one, two = owned(SqliteStore.open(":memory:")), owned(SqliteStore.open(Path(":memory:")))
    effects = (Effect(key="k", kind="K"),)
    assert one.commit([commit(outbox=effects)]) == [Committed(revision=1)]
    one.transcripts.put(transcript(1, answer=b"x"))
    one.owner.heartbeat(uptime_ms=5)
    assert [row.revision for row in one.journal.read("t")] == [1]
    assert two.sessions.load("t") is None
    assert one.integrity() == ()
    one.verify()
    one.reopen()
    facts = one.facts()
    assert (facts.path, facts.threads, facts.open_effects) == (None, 1, 1)
    assert one.checkpointer() is None
    assert one.restore_reserve()
    with pytest.raises(CannotWrite):
        one.backup(tmp_path / "copy.db")
    one.close()
    two.close()
    for refused in (one.reopen, one.verify, lambda: one.sessions.load("t")):
        with pytest.raises(StoreClosed):
            refused()
    assert list(tmp_path.iterdir()) == []
