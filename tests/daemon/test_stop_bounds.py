"""A stop that cannot be written is answered within a second: its waits are counted, not timed."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import apsw
import pytest

from goalfsm.daemon.remote import client
from goalfsm.errors import Busy, CannotWrite, DiskFull, OutcomeUnknown, StoreError, StoreUnavailable
from goalfsm.session import events as e
from goalfsm.store.sqlite import SqliteStore
from goalfsm.testing import MemoryGoals
from goalfsm.workers import protocol as w
from tests.daemon.failing import Failing
from tests.daemon.scenes import OBJECTIVE, THREAD, inside, play, steps, worker

SECOND_US: Final = 1_000_000
HOLDS: Final = """
import sqlite3, sys
held = sqlite3.connect(sys.argv[1], isolation_level=None)
held.execute("BEGIN " + sys.argv[2])
print("held", flush=True)
sys.stdin.read()
held.execute("ROLLBACK")
"""


class Sleeps(apsw.VFS):
    """The system's files, with sleeps that are added up and not slept."""

    def __init__(self) -> None:
        self.us = 0
        super().__init__("sleeps", "", makedefault=True)

    def xSleep(self, microseconds: int) -> int:  # noqa: N802  apsw's name
        self.us += microseconds
        return microseconds


@pytest.fixture
def waited(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sleeps]:
    """Add up what is waited for locks, and between two tries."""
    before = apsw.vfs_names()[0]
    sleeps = Sleeps()

    def sleep(seconds: float) -> None:
        sleeps.us += round(seconds * SECOND_US)

    monkeypatch.setattr("time.sleep", sleep)
    yield sleeps
    apsw.set_default_vfs(before)
    sleeps.unregister()


@contextlib.contextmanager
def locked(path: Path, how: str) -> Iterator[None]:
    """Have another process hold the write lock."""
    words = [sys.executable, "-c", HOLDS, str(path), how]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        yield
        holder.communicate()


@pytest.mark.parametrize("how", ["IMMEDIATE", "EXCLUSIVE"])
@pytest.mark.parametrize("stop", [e.PauseRequested(), e.ClearRequested()])
def test_without_an_engine_the_waits_for_a_lock_are_short(
    tmp_path: Path, waited: Sleeps, how: str, stop: e.Event
) -> None:
    db = tmp_path / "goals.db"
    client.request(db, THREAD, OBJECTIVE, "given")
    with locked(db, how):
        waited.us = 0
        reply = client.request(db, THREAD, stop, "stop")
    assert (reply.ok, reply.code) == (True, "suspended")
    assert 0 < waited.us < SECOND_US // 2


def test_any_other_command_waits_longer_before_it_fails(tmp_path: Path, waited: Sleeps) -> None:
    db = tmp_path / "goals.db"
    client.request(db, THREAD, OBJECTIVE, "given")
    with locked(db, "IMMEDIATE"):
        waited.us = 0
        with pytest.raises(StoreUnavailable, match="locked"):
            client.request(db, THREAD, e.EditRequested(objective="x"), "edit", timeout_s=0)
    assert waited.us > SECOND_US


def test_an_engine_is_patient_for_less_than_a_second(tmp_path: Path, waited: Sleeps) -> None:
    """What its loop waits, on virtual time, and what each of its tries waits for the lock."""
    db = tmp_path / "goals.db"

    async def scene(goals: MemoryGoals) -> None:
        store = SqliteStore.open(db)
        turns = worker(steps([1000, "a"]))
        async with goals.process(turns, store=store, serve=False) as engine:
            await engine.submit(THREAD, OBJECTIVE)
            await asyncio.sleep(1)
            with locked(db, "IMMEDIATE"):
                waited.us, asked_at = 0, goals.clock.loop.time()
                reply = await engine.submit(THREAD, e.PauseRequested())
                assert (reply.ok, reply.code) == (True, "suspended")
                elapsed = (goals.clock.loop.time() - asked_at) * SECOND_US
                assert 0 < waited.us + elapsed < SECOND_US
        store.close()

    play(scene)


@pytest.mark.parametrize("failure", [Busy, CannotWrite, DiskFull, OutcomeUnknown])
@pytest.mark.parametrize("stuck", [False, True])
def test_an_engine_whose_store_fails_answers_within_a_second(
    failure: type[StoreError],
    stuck: bool,
) -> None:
    """Whatever waits for the store before the stop, and however long the next try takes to come."""

    async def scene(goals: MemoryGoals) -> None:
        store = Failing(goals)
        begun = []

        def turn(work: w.Work) -> Any:
            begun.append(work.turn)
            return works(work)

        works = steps([10, "a"], ["b"])
        async with goals.process(worker(turn), store=store) as engine:
            await engine.submit(THREAD, OBJECTIVE)
            store.failing = lambda: failure("no")
            await asyncio.sleep(15 if stuck else 1)
            for _ in range(3):
                asked_at = goals.clock.loop.time()
                reply = await engine.submit(THREAD, e.PauseRequested())
                assert (reply.ok, reply.code) == (True, "suspended")
                assert goals.clock.loop.time() - asked_at < 1.0
                await asyncio.sleep(7)
            store.failing = lambda: None
            session = await engine.settled(THREAD)
            assert session.goal is not None
            assert session.goal.status == "paused"
            await asyncio.sleep(60)
            assert begun == [1]
            assert not inside(engine).holds.stops(THREAD)

    play(scene)
