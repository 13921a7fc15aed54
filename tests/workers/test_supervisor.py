"""The supervisor itself: what it starts, signals, ends and refuses, and how small it is."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

import goalfsm
from goalfsm.errors import GoalError
from goalfsm.workers.supervisor import identity
from goalfsm.workers.supervisor.client import Supervisor
from tests.workers.daemons import LINUX, spawn
from tests.workers.reading import Python

ROOT = Path(goalfsm.__file__).parents[1]
# What the program imports besides the standard library, and what of that is costly. goalfsm is in
# argv[1].
IMPORTED = """
import sys
sys.path.append(sys.argv[1])
from goalfsm.workers.supervisor.keeper import main
costly = {"asyncio", "logging", "pathlib", "subprocess", "threading"}
ours = {name for name in sys.modules if name.split(".")[0] not in sys.stdlib_module_names}
print(*sorted(ours - {"__main__"} | costly & sys.modules.keys()))
"""


def test_ending_a_run_again_can_only_hasten_it(bench: Any, python: Python) -> None:
    source = (
        "import signal, sys, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "print('up', flush=True)\nwhile True: time.sleep(3600)\n"
    )

    async def main(supervisor: Supervisor) -> None:
        reader, writer = os.pipe()
        child = await spawn(supervisor, "run-1", python(source), bench.db, stdout=writer)
        os.close(writer)
        assert await asyncio.to_thread(os.read, reader, 2) == b"up"
        os.close(reader)
        patient = asyncio.ensure_future(supervisor.end("run-1", grace_s=3600.0))
        assert await supervisor.end("run-1", grace_s=0.0) == ()
        assert await patient == ()
        status = child.exited.result()
        assert status is not None
        assert os.waitstatus_to_exitcode(status) == -signal.SIGKILL
        assert await supervisor.end("run-1") == ()

    bench.run(main)


def test_every_run_ends_at_the_time_that_nobody_puts_off(bench: Any) -> None:
    """It is kept by the supervisor: a daemon that stands still need not say anything."""

    async def main(supervisor: Supervisor) -> None:
        now = time.monotonic()
        supervisor.until(now + 3600.0)
        first = await spawn(supervisor, "run-1", ["sleep", "3600"], bench.db)
        second = await spawn(supervisor, "run-2", ["sleep", "3600"], bench.db)
        assert not first.exited.done()
        due = time.monotonic() + 0.2
        supervisor.until(due)
        for child in (first, second):
            await child.exited
            assert time.monotonic() >= due
            with contextlib.suppress(psutil.NoSuchProcess):
                assert psutil.Process(child.pid).status() == psutil.STATUS_ZOMBIE

    bench.run(main)


def test_a_signal_reaches_the_group(bench: Any) -> None:
    async def main(supervisor: Supervisor) -> int | None:
        child = await spawn(supervisor, "run-1", ["sleep", "3600"], bench.db)
        supervisor.signal("run-1", signal.SIGUSR1)
        status = await child.exited
        await supervisor.end("run-1")
        return None if status is None else os.waitstatus_to_exitcode(status)

    assert bench.run(main) == -signal.SIGUSR1


def test_a_cancelled_spawn_leaves_nothing(bench: Any) -> None:
    async def main(supervisor: Supervisor) -> None:
        spawning = asyncio.create_task(spawn(supervisor, "run-1", ["sleep", "3600"], bench.db))
        while "run-1" not in supervisor.runs:  # noqa: ASYNC110 - until the request has left
            await asyncio.sleep(0)
        spawning.cancel()
        with pytest.raises(asyncio.CancelledError):
            await spawning
        await supervisor.end("run-1")
        assert supervisor.runs == frozenset()

    bench.run(main)


def test_many_large_requests_at_once_all_arrive(bench: Any) -> None:
    """More than a socket holds: requests and their descriptors wait in order."""

    async def main(supervisor: Supervisor) -> list[str]:
        async def one(number: int) -> str:
            reader, writer = os.pipe()
            env = {"PATH": os.environ["PATH"], "N": str(number), "BIG": "x" * 100_000}
            run_id = f"run-{number}"
            with open(os.devnull, "rb") as nothing:  # noqa: ASYNC230, PTH123
                await supervisor.spawn(
                    run_id,
                    ["sh", "-c", 'echo "$N ${#BIG}"'],
                    cwd=None,
                    env=env,
                    stdin=nothing.fileno(),
                    stdout=writer,
                    stderr=writer,
                )
            os.close(writer)
            said = await asyncio.to_thread(os.read, reader, 100)
            os.close(reader)
            await supervisor.end(run_id)
            return said.decode()

        return await asyncio.gather(*(one(number) for number in range(30)))

    assert bench.run(main) == [f"{number} 100000\n" for number in range(30)]


def test_a_closed_supervisor_refuses(bench: Any) -> None:
    async def main(supervisor: Supervisor) -> None:
        pid = supervisor.pid
        child = await spawn(supervisor, "run-1", ["sleep", "3600"], bench.db)
        await supervisor.close()
        assert pid is not None
        assert not psutil.pid_exists(pid)
        assert not identity.is_running(child.pid, child.start_time)
        assert supervisor.pid is None
        with pytest.raises(GoalError) as caught:
            await spawn(supervisor, "run-2", ["true"], bench.db)
        assert caught.value.code == "closed"
        await supervisor.close()

    bench.run(main)


def test_the_supervisor_imports_the_standard_library_only() -> None:
    """It runs isolated: of goalfsm's own it needs what is as light as itself."""
    checked = subprocess.run(
        [*(sys.executable, "-I", "-S", "-c"), IMPORTED, str(ROOT)],
        capture_output=True,
        check=True,
        text=True,
    )
    assert checked.stdout.split() == [
        "goalfsm",
        "goalfsm.workers",
        "goalfsm.workers.supervisor",
        "goalfsm.workers.supervisor.identity",
        "goalfsm.workers.supervisor.keeper",
        "goalfsm.workers.supervisor.process",
        "goalfsm.workers.supervisor.process_tree",
        "recovery",
        "recovery.lazy",
    ]


@LINUX
def test_the_supervisor_is_small(bench: Any) -> None:
    async def main(supervisor: Supervisor) -> int:
        await spawn(supervisor, "run-1", ["true"], bench.db)
        await supervisor.end("run-1")
        return int(psutil.Process(supervisor.pid).memory_info().rss)

    assert bench.run(main) < 24 * 1024 * 1024


def test_a_process_is_told_from_another_with_its_number() -> None:
    started = identity.start_time(os.getpid())
    assert identity.is_running(os.getpid(), started)
    assert not identity.is_running(os.getpid(), started + "0")
    assert not identity.is_running(os.getpid(), "")
    process = subprocess.Popen(["true"])
    pid = process.pid
    process.wait()
    assert identity.start_time(pid) == ""
    asyncio.run(identity.wait_gone(pid, started))


def test_a_zombie_is_gone() -> None:
    process = subprocess.Popen(["sleep", "3600"])
    started = identity.start_time(process.pid)
    try:
        process.kill()
        asyncio.run(identity.wait_gone(process.pid, started))
        assert not identity.is_running(process.pid, started)
    finally:
        process.wait()
