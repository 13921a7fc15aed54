"""Real programs under a real engine: turns, verifiers, signals, and what a successor finds."""

from __future__ import annotations

import asyncio
import os
import signal
import stat
from pathlib import Path
from typing import Any

import psutil
import pytest

from goalfsm.daemon.config import WorkerConfig
from goalfsm.daemon.engine import Engine
from goalfsm.daemon.guards.ownership import Owned, acquire
from goalfsm.daemon.host.platform import (
    LocalPlatform,
    SystemClock,
    own_identity,
    recorded_identity,
    started_text,
)
from goalfsm.daemon.signals import stopping_on_signals
from goalfsm.errors import Corrupt, DatabaseReplaced, StoreUnavailable
from goalfsm.goal.model import Verifier
from goalfsm.session import events as e
from goalfsm.store.port import Acquired, Held, Process
from goalfsm.store.sqlite import SqliteStore
from goalfsm.workers.supervisor import identity
from tests.daemon.scenes import THREAD, inside


@pytest.fixture
def db(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    runtime = tmp_path / "r"
    runtime.mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
    return tmp_path / "goals.db"


def program(tmp_path: Path, text: str) -> str:
    path = tmp_path / "worker"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def drive(db: Path, config: WorkerConfig, objective: e.ObjectiveGiven) -> Any:
    async def main() -> Any:
        store = SqliteStore.open(db)
        async with Engine(store, serve=False) as engine:
            store.workers.put(THREAD, config.encode())
            await engine.submit(THREAD, objective)
            session = await engine.settled(THREAD)
            assert store.processes.open() == ()
        store.close()
        return session

    return asyncio.run(main())


CLAIMS = """
echo '{"type": "tool_call", "id": 1, "name": "update_goal",
 "arguments": {"status": "complete", "evidence": ["x"]}}' | tr -d '\\n'; echo
read answer
"""


@pytest.mark.parametrize(("verifier", "status"), [("true", "complete"), ("nonexistent", "paused")])
def test_a_program_works_and_another_verifies(
    tmp_path: Path, db: Path, verifier: str, status: str
) -> None:
    worker = program(
        tmp_path, f'echo \'{{"type": "usage", "input_tokens": 7, "output_tokens": 1}}\'\n{CLAIMS}'
    )
    objective = e.ObjectiveGiven(
        objective="x", verifiers=(Verifier(kind="command", argv=(verifier,)),)
    )
    session = drive(db, WorkerConfig(argv=(worker,), prompt_arg=True), objective)
    assert session.goal.status == status
    assert session.goal.tokens_used == 8


def test_a_failing_verifier_says_what_it_printed(tmp_path: Path, db: Path) -> None:
    worker = program(tmp_path, CLAIMS)
    (tmp_path / "check").mkdir()
    check = program(tmp_path / "check", "echo the file is empty; exit 1")
    objective = e.ObjectiveGiven(
        objective="x",
        verifiers=(Verifier(kind="command", argv=(check,)),),
    )
    session = drive(db, WorkerConfig(argv=(worker,), prompt_arg=True), objective)
    assert session.goal.status == "paused"
    assert session.goal.pause_reason == "no_progress"
    assert any("the file is empty" in notice for notice in session.notices)


def test_a_program_that_does_not_exist_pauses_the_goal(tmp_path: Path, db: Path) -> None:
    session = drive(
        db, WorkerConfig(argv=(str(tmp_path / "nothing"),)), e.ObjectiveGiven(objective="x")
    )
    assert (session.goal.status, session.goal.pause_reason) == ("paused", "recovery")


def test_a_signal_stops_the_engine_and_a_second_one_does_not_wait(tmp_path: Path, db: Path) -> None:
    worker = program(tmp_path, "echo ready; sleep 60")

    async def main() -> None:
        store = SqliteStore.open(db)
        store.workers.put(THREAD, WorkerConfig(argv=(worker,)).encode())
        async with Engine(store, serve=False) as engine:
            with stopping_on_signals(engine, 60.0):
                notices = engine.follow(THREAD)
                await engine.submit(THREAD, e.ObjectiveGiven(objective="x"))
                async for notice in notices:
                    if type(notice).__name__ == "Output":
                        break
                supervisor = inside(engine).processes.started
                assert supervisor is not None
                assert supervisor.pid is not None
                pids = [p.pid for p in psutil.Process(supervisor.pid).children(recursive=True)]
                assert pids
                os.kill(os.getpid(), signal.SIGTERM)
                await asyncio.sleep(0)
                os.kill(os.getpid(), signal.SIGINT)
                await engine.wait()
        assert not any(psutil.pid_exists(pid) for pid in pids)
        assert store.owner.current() is None
        store.close()

    asyncio.run(main())


def test_an_engine_finds_and_ends_what_a_dead_one_left(db: Path) -> None:
    """Its supervisor died as well: only the environment and the record name the process."""

    async def main() -> None:
        store = SqliteStore.open(db)
        environment = {**os.environ, "GOALFSM_DB": str(db), "GOALFSM_RUN_ID": "old-run"}
        orphan = await asyncio.create_subprocess_exec(
            "sleep", "60", env=environment, start_new_session=True
        )
        started = identity.start_time(orphan.pid)
        process = Process(
            run_id="old-run",
            thread_id=THREAD,
            identity=recorded_identity(orphan.pid, started),
            pgid=orphan.pid,
            at_ms=1,
        )
        found = await LocalPlatform().end_orphans(str(db), ["old-run"], [process], None)
        assert found.ended == (orphan.pid,)
        assert found.left == ()
        assert await orphan.wait() == -signal.SIGKILL
        nothing = await LocalPlatform().end_orphans("", [], [], None)
        assert nothing.ended == ()
        store.close()

    asyncio.run(main())


def test_the_identity_of_a_process_survives_its_end() -> None:
    own = own_identity()
    started = identity.start_time(os.getpid())
    assert recorded_identity(os.getpid(), started) == own
    assert started_text(own) == started
    gone = recorded_identity(2**22 + 1, "boot/123")
    assert (gone.boot_id, gone.start_time) == ("boot", 123)
    assert started_text(gone) == "boot/123"
    assert recorded_identity(2**22 + 1, "strange").start_time == 0


class Answers:
    """An ownership that answers from a list."""

    def __init__(self, *answers: Acquired | Held) -> None:
        self.owner = self
        self.answers = list(answers)

    def current(self) -> None:
        """Know of nobody."""

    def acquire(self, *_: object, **__: object) -> Acquired | Held:
        return self.answers.pop(0)


class Killer(LocalPlatform):
    """A machine that notes whom it was to kill."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[Held] = []

    def end_stalled(self, held: Held) -> bool:
        self.asked.append(held)
        return held.locked


def test_an_owner_that_holds_the_lock_beyond_expiry_is_killed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("goalfsm.daemon.guards.ownership._RETRY_S", 0.0)
    silent = Held(owner=None, silent_for_ms=9_000)
    locked = Held(owner=None, silent_for_ms=11_000, locked=True)
    claimed = Acquired(epoch=2)
    system = Killer()
    answers = Answers(silent, locked, claimed)
    assert asyncio.run(acquire(answers, system, socket="")) == claimed  # type: ignore[arg-type]
    assert system.asked == [silent, locked]


def test_a_store_that_cannot_be_read_is_said_to_be_that() -> None:
    class Unreadable(Answers):
        def current(self) -> None:
            raise StoreUnavailable("input/output error")

    with pytest.raises(StoreUnavailable, match="input/output"):
        asyncio.run(acquire(Unreadable(), Killer(), socket=""))  # type: ignore[arg-type]


def test_a_lock_without_an_owner_is_not_waited_for_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("goalfsm.daemon.guards.ownership._RETRY_S", 0.0)
    monkeypatch.setattr("goalfsm.daemon.guards.ownership._COMMAND_S", 0.01)
    held = Held(owner=None, silent_for_ms=0, locked=True)

    class Always(Answers):
        def acquire(self, *_: object, **__: object) -> Held:
            return held

    class Harmless(Killer):
        def end_stalled(self, held: Held) -> bool:
            del held
            return False

    with pytest.raises(Owned, match="another process is using"):
        asyncio.run(acquire(Always(), Harmless(), socket=""))  # type: ignore[arg-type]
    assert SystemClock().uptime_ms() > 0


@pytest.mark.parametrize("harm", ["deleted", "emptied"])
def test_a_file_that_is_taken_from_an_idle_engine_ends_it(
    db: Path, monkeypatch: pytest.MonkeyPatch, harm: str
) -> None:
    """It has nothing to commit, and would serve a file that nobody finds for ever."""
    monkeypatch.setattr("goalfsm.daemon.guards.ownership.HEARTBEAT_S", 0.01)

    async def main() -> None:
        store = SqliteStore.open(db)
        async with Engine(store, serve=False) as engine:
            if harm == "deleted":
                db.unlink()  # noqa: ASYNC240 - nothing else has to run
            else:
                # What is in the log is not in the file; so that nothing hides the harm.
                store.release_reserve()
                os.truncate(db, 0)
            with pytest.raises((DatabaseReplaced, Corrupt)):
                await engine.wait()
        store.close()

    asyncio.run(main())


def test_a_file_that_is_taken_away_ends_the_engine_and_its_workers(
    tmp_path: Path, db: Path
) -> None:
    """Nothing is acknowledged into a file that nobody can find again."""
    worker = program(tmp_path, "echo ready; sleep 60")

    async def main() -> None:
        store = SqliteStore.open(db)
        store.workers.put(THREAD, WorkerConfig(argv=(worker,)).encode())
        async with Engine(store, serve=False) as engine:
            notices = engine.follow(THREAD)
            await engine.submit(THREAD, e.ObjectiveGiven(objective="x"))
            async for notice in notices:
                if type(notice).__name__ == "Output":
                    break
            supervisor = inside(engine).processes.started
            assert supervisor is not None
            assert supervisor.pid is not None
            pids = [p.pid for p in psutil.Process(supervisor.pid).children(recursive=True)]
            assert pids
            db.rename(tmp_path / "elsewhere.db")  # noqa: ASYNC240 - nothing else has to run
            with pytest.raises(DatabaseReplaced):
                await engine.submit(THREAD, e.PauseRequested())
            with pytest.raises(DatabaseReplaced):
                await engine.wait()
        assert not any(psutil.pid_exists(pid) for pid in pids)
        store.close()

    asyncio.run(main())
