"""A database that an earlier version left behind in the middle of its work."""

from __future__ import annotations

import gzip
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from goalfsm.daemon.flow.replay import replay
from goalfsm.session import codec
from goalfsm.session.events import ResumeRequested, RunInterrupted
from goalfsm.store.sqlite import SqliteStore
from goalfsm.store.sqlite.migrations import MIGRATIONS
from goalfsm.testing import MemoryGoals
from goalfsm.workers.protocol import ToolCalled, Work
from tests.daemon.scenes import play, worker
from tests.store.handles import nobody_lives

OLD = Path(__file__).with_name("data") / "schema2.db.gz"
"""Of schema 2: a goal that is complete, one that is paused with a message waiting, and one whose
engine was killed in its first turn; the row of that engine is still there."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return a copy of the old database."""
    path = tmp_path / "old" / "goals.db"
    path.parent.mkdir(mode=0o700)
    path.write_bytes(gzip.decompress(OLD.read_bytes()))
    path.chmod(0o600)
    return path


def test_it_is_read_without_a_migration(path: Path) -> None:
    """Whoever only looks leaves the file as it is, byte for byte."""
    before = path.read_bytes()
    store = SqliteStore.open(path, read_only=True, is_alive=nobody_lives)
    assert [row.thread_id for row in store.sessions.threads()] == ["cut", "done", "held"]
    assert store.facts().schema_version == 2
    current = store.owner.current()
    assert current is not None
    assert (current.identity.pid, current.identity.machine, current.resting) == (4242, "", False)
    assert current.seen_ms == 0
    given = store.journal.read("done")[0]
    assert type(codec.decode_event(given.event)).__name__ == "ObjectiveGiven"
    assert store.transcripts.read("done") == ()
    assert store.transcripts.of_run("r") is None
    assert store.integrity() == ()
    store.backup(path.with_name("copy.db"))
    store.close()
    assert path.read_bytes() == before


def test_it_is_migrated_with_all_that_is_in_it(path: Path) -> None:
    """Rows are what they were."""
    old = SqliteStore.open(path, read_only=True, is_alive=nobody_lives)
    rows = {row.thread_id: old.journal.read(row.thread_id) for row in old.sessions.threads()}
    old.close()
    store = SqliteStore.open(path, is_alive=nobody_lives)
    assert store.facts().schema_version == len(MIGRATIONS)
    assert {thread: store.journal.read(thread) for thread in rows} == rows
    assert [(row.run_id, row.identity.machine) for row in store.processes.open()] == [
        ("8b5b46d6cbd0c407b927d125", "")
    ]
    assert store.integrity() == ()
    for thread in rows:
        assert replay(store, thread).ok
    store.close()


def test_a_copy_of_it_is_kept(path: Path) -> None:
    """What was there before a migration can be had back, once, with the old version."""
    SqliteStore.open(path, is_alive=nobody_lives).close()
    kept = path.with_name("goals.db.version-2")
    assert kept.stat().st_mode & 0o777 == 0o600
    copy = SqliteStore.open(kept, read_only=True)
    assert copy.facts().schema_version == 2
    assert [row.thread_id for row in copy.sessions.threads()] == ["cut", "done", "held"]
    assert copy.integrity() == ()
    copy.close()
    before = kept.read_bytes()
    SqliteStore.open(path, is_alive=nobody_lives).close()
    assert kept.read_bytes() == before
    assert not list(path.parent.glob("*.part*"))


def test_a_disk_without_room_for_a_copy_is_migrated_all_the_same(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A migration loses nothing, so nobody has to make room for a copy first."""
    monkeypatch.setattr("goalfsm.store.sqlite.inspect.free_space", lambda _path: 100_000)
    store = SqliteStore.open(path, is_alive=nobody_lives)
    assert store.facts().schema_version == len(MIGRATIONS)
    store.close()
    assert not path.with_name("goals.db.version-2").exists()


def test_its_goals_go_on(path: Path) -> None:
    """The turn that was cut is recorded as interrupted, and its goal goes on to its end."""
    prompts: list[str] = []

    async def turn(work: Work) -> AsyncIterator[ToolCalled | str]:
        prompts.append(work.prompt)
        evidence = {"status": "complete", "evidence": ["it is there"]}
        yield ToolCalled(id=1, name="update_goal", arguments=evidence)
        yield "done"

    async def scene(goals: MemoryGoals) -> None:
        store = SqliteStore.open(path, is_alive=nobody_lives)
        store.checkpointer = lambda: None
        async with goals.process(worker(turn), store=store, serve=False) as engine:
            session = await engine.settled("cut")
            assert session.goal is not None
            assert session.goal.status == "complete"
            await engine.submit("held", ResumeRequested())
            session = await engine.settled("held")
            assert session.goal is not None
            assert session.goal.status == "complete"
        events = [codec.decode_event(row.event) for row in store.journal.read("cut")]
        assert [type(event) for event in events].count(RunInterrupted) == 1
        assert store.integrity() == ()
        store.close()

    play(scene)
    assert "after the crash" in prompts[0]
    assert "look at the tests first" in prompts[1]
