"""An engine with nothing under way is told of changes, and looks for the rest once a minute."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from goalfsm.daemon.engine import Engine
from goalfsm.daemon.flow import inbox
from goalfsm.daemon.guards.ownership import HEARTBEAT_S
from goalfsm.daemon.host.watch import Place, Watch
from goalfsm.daemon.remote import socket_path
from goalfsm.daemon.remote.client import look, ping, request, serving
from goalfsm.errors import Corrupt, DatabaseReplaced
from goalfsm.session import codec
from goalfsm.session import events as e
from goalfsm.store.sqlite import SqliteStore
from goalfsm.testing import MemoryGoals
from tests.daemon.scenes import OBJECTIVE, THREAD, inside, play, steps, worker

SAID = e.SteeringReceived(message_id="m", text="look at the tests")
WITHIN_S = 30
"""For a busy machine; what is waited for comes in milliseconds."""


@pytest.fixture
def db(tmp_path: Path) -> Path:
    """Return where a database is to be, in a directory of its own."""
    return tmp_path / "home" / "goals.db"


class Told:
    """A watch that tells what a test wants."""

    def __init__(self, places: Any) -> None:
        self.places = places()
        self.changed: Callable[[], None] | None = None
        self.works = True

    def start(self, changed: Callable[[], None]) -> bool:
        self.changed = changed if self.works else None
        return self.works

    def stop(self) -> None:
        self.changed = None


def _watched(
    scene: Callable[[MemoryGoals, Engine, Told, list[float]], Awaitable[None]], path: Path
) -> None:
    """Play a scene with an idle engine on a file, its watch, and the moments of its looks."""

    async def body(goals: MemoryGoals) -> None:
        watches: list[Told] = []

        def watch(places: Any) -> Watch:
            watches.append(Told(places))
            return watches[-1]

        store: Any = SqliteStore.open(path)
        looks: list[float] = []
        verify = store.verify

        def look() -> None:
            looks.append(goals.clock.loop.time())
            verify()

        store.verify = look
        watched = goals.process(worker(steps(["a"], [600.0])), store=store, serve=False)
        watched._platform.watch = watch  # type: ignore[union-attr, method-assign]
        async with watched as engine:
            await engine.submit(THREAD, OBJECTIVE)
            await engine.submit(THREAD, e.PauseRequested())
            await engine.settled(THREAD)
            await asyncio.sleep(10)
            assert watches[0].changed is not None
            looks.clear()
            await scene(goals, engine, watches[0], looks)
        assert watches[0].changed is None
        store.close()

    play(body)


def test_an_idle_engine_looks_once_a_minute(db: Path) -> None:
    """Sixty times in an hour in which nothing happens."""

    async def scene(_goals: MemoryGoals, _engine: Engine, watch: Told, looks: list[float]) -> None:
        await asyncio.sleep(3_600)
        assert len(looks) == 60
        assert watch.places[0] == Place(db.parent, frozenset({db.name, db.name + "-wal"}))

    _watched(scene, db)


def test_it_looks_when_it_is_told_and_no_more_often_than_without_a_watch(db: Path) -> None:
    """A thousand changes in a second are one look, and the next one two seconds later."""

    async def scene(goals: MemoryGoals, _engine: Engine, watch: Told, looks: list[float]) -> None:
        await asyncio.sleep(30)
        looks.clear()
        told_at = goals.clock.loop.time()
        for _ in range(1_000):
            assert watch.changed is not None
            watch.changed()
            await asyncio.sleep(0.001)
        assert len(looks) == 1
        assert looks[0] - told_at < 0.1
        await asyncio.sleep(30)
        assert len(looks) == 2
        assert looks[1] - looks[0] == pytest.approx(HEARTBEAT_S)

    _watched(scene, db)


def test_a_row_is_decided_as_soon_as_it_is_told(db: Path) -> None:
    """Not a minute later."""

    async def scene(_goals: MemoryGoals, engine: Engine, watch: Told, _looks: list[float]) -> None:
        await asyncio.sleep(30)
        other = SqliteStore.open(db)
        written = codec.encode_event(SAID)
        other.inbox.put("left", THREAD, at_ms=1, event=written)
        other.close()
        assert watch.changed is not None
        watch.changed()
        await asyncio.sleep(0.5)
        assert [said.text for said in engine.session(THREAD).steering] == [SAID.text]

    _watched(scene, db)


def test_an_engine_that_rests_does_so_when_the_clock_was_set(db: Path) -> None:
    """It owes no sign of life, and its last one is of the time before."""

    async def scene(goals: MemoryGoals, engine: Engine, watch: Told, looks: list[float]) -> None:
        looks.clear()
        goals.clock.jump(-3_600)
        assert watch.changed is not None
        watch.changed()
        await asyncio.sleep(HEARTBEAT_S + 0.1)
        assert len(looks) == 1
        owner = inside(engine).store.owner.current()
        assert owner is not None
        assert (owner.resting, owner.seen_ms) == (True, 0)
        assert inside(engine).clock.now_ms() == goals.clock.now_ms

    _watched(scene, db)


def test_an_engine_with_a_run_is_told_nothing(db: Path) -> None:
    """Its own commits would wake it each time; it says that it lives and looks as it does so."""

    async def scene(_goals: MemoryGoals, engine: Engine, watch: Told, looks: list[float]) -> None:
        await engine.submit(THREAD, e.ResumeRequested())
        await asyncio.sleep(0)
        assert watch.changed is None
        await asyncio.sleep(3)
        assert looks
        assert watch.changed is None

    _watched(scene, db)


def test_where_nothing_can_be_watched_it_goes_on_looking(db: Path) -> None:
    """No more inotify instances, say: a look every two seconds finds the row."""

    async def scene(_goals: MemoryGoals, engine: Engine, watch: Told, _looks: list[float]) -> None:
        watch.works = False
        await asyncio.sleep(61)
        other = SqliteStore.open(db)
        written = codec.encode_event(SAID)
        other.inbox.put("left", THREAD, at_ms=1, event=written)
        other.close()
        await asyncio.sleep(HEARTBEAT_S + 0.5)
        assert [said.text for said in engine.session(THREAD).steering] == [SAID.text]

    _watched(scene, db)


@pytest.mark.parametrize(
    "harm", ["deleted", "emptied", "moved", "replaced", "overwritten", "cut short"]
)
def test_a_file_that_is_taken_from_a_resting_engine_ends_it(
    db: Path, monkeypatch: pytest.MonkeyPatch, harm: str
) -> None:
    """It is told, for its next look is hours away."""
    monkeypatch.setattr("goalfsm.daemon.guards.ownership.HEARTBEAT_S", 0.01)
    monkeypatch.setattr("goalfsm.daemon.guards.ownership.LOOK_S", 10_000.0)

    async def main() -> None:
        store = SqliteStore.open(db)
        async with Engine(store, serve=False) as engine:
            await _resting(engine, store)
            if harm == "deleted":
                db.unlink()  # noqa: ASYNC240 - nothing else has to run
            elif harm == "moved":
                db.parent.rename(db.parent.with_name("elsewhere"))
            elif harm == "replaced":
                copy = db.with_name("copy")
                copy.write_bytes(db.read_bytes())  # noqa: ASYNC240 - the same
                copy.rename(db)
            else:
                store.release_reserve()
                _harm(db, harm)
            with pytest.raises((DatabaseReplaced, Corrupt)):
                await asyncio.wait_for(engine.wait(), WITHIN_S)
        store.close()

    asyncio.run(main())


def _harm(db: Path, harm: str) -> None:
    """Harm a file whose log has been moved into it: what it holds is nowhere else."""
    with contextlib.closing(SqliteStore.open(db)) as other:
        keeper = other.checkpointer()
        assert keeper is not None
        keeper.run()
        keeper.close()
    if harm == "overwritten":
        with db.open("r+b") as file:
            file.write(b"no database, whatever it was")
    else:
        os.truncate(db, 0 if harm == "emptied" else db.stat().st_size - 8_192)


def test_a_resting_engine_whose_file_is_read_only_is_suspended_until_it_is_not(
    db: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says so though it has nothing to commit, and goes on by itself."""
    monkeypatch.setattr("goalfsm.daemon.guards.ownership.HEARTBEAT_S", 0.01)
    monkeypatch.setattr("goalfsm.daemon.guards.failures.LONGEST_RETRY_S", 0.1)
    # Root may write whatever the mode says; the mode is what counts here.
    monkeypatch.setattr(os, "access", lambda path, _: bool(Path(path).stat().st_mode & 0o200))
    runtime = db.parent.with_name("r")
    runtime.mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))

    def ask() -> None:
        owner = serving(db)
        assert owner is not None
        until(lambda: socket_path.shown(owner.socket) == "")
        db.chmod(0o400)
        until(lambda: ping(owner.socket, THREAD).held.startswith("the disk or the file"))
        shown = look(db, THREAD, time.monotonic() + WITHIN_S)
        assert shown is not None
        assert any("suspended" in line for line in shown.lines), shown.lines
        db.chmod(0o600)
        until(lambda: ping(owner.socket, THREAD).held == "")
        assert request(db, THREAD, SAID, "on").ok

    async def main() -> None:
        store = SqliteStore.open(db)
        async with Engine(store, workers={}) as engine:
            await engine.submit(THREAD, OBJECTIVE)
            await _resting(engine, store)
            await asyncio.to_thread(ask)
        store.close()

    asyncio.run(main())


def until(holds: Callable[[], bool]) -> None:
    """Return when it holds."""
    ends = time.monotonic() + WITHIN_S
    while not holds():
        assert time.monotonic() < ends
        time.sleep(0.01)


@pytest.mark.parametrize("way", ["inbox", "beside"])
def test_what_is_left_for_a_resting_engine_is_taken(
    db: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """A row that another process wrote, and a stop that no database could take."""
    monkeypatch.setattr("goalfsm.daemon.guards.ownership.HEARTBEAT_S", 0.01)
    monkeypatch.setattr("goalfsm.daemon.guards.ownership.LOOK_S", 10_000.0)
    event = codec.encode_event(SAID)

    async def main() -> None:
        store = SqliteStore.open(db)
        async with Engine(store, serve=False) as engine:
            await engine.submit(THREAD, OBJECTIVE)
            await engine.submit(THREAD, e.PauseRequested())
            await _resting(engine, store)
            notices = engine.follow(THREAD)
            await anext(notices)
            if way == "inbox":
                other = SqliteStore.open(db)
                other.inbox.put("left", THREAD, at_ms=1, event=event)
                other.close()
            else:
                inbox.leave(str(db), THREAD, "left", at_ms=1, event=event)
            async with asyncio.timeout(WITHIN_S):
                while not engine.session(THREAD).steering:
                    await anext(notices)
        store.close()

    asyncio.run(main())


async def _resting(engine: Engine, store: Any) -> None:
    """Return when the engine of a store has come to rest and is told of changes."""
    if inside(engine).heartbeat.resting:
        return
    told = asyncio.Event()
    rest = store.owner.rest

    def rests() -> None:
        rest()
        # The watch starts before the loop has its next turn.
        asyncio.get_running_loop().call_soon(told.set)

    store.owner.rest = rests
    await asyncio.wait_for(told.wait(), WITHIN_S)
    del store.owner.rest
