"""Daemons in processes of their own, that can be killed, and runs that resist."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from typing import Any

import psutil
import pytest

from goalfsm.workers.supervisor.client import Child, Supervisor
from goalfsm.workers.supervisor.orphans import RecordedRun, end_orphans

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux's ways to adopt processes")

# Three generations hold the lifeline: the run's first process, a child that ignores SIGTERM,
# and one that left the session. Each writes a letter when it is up.
STUBBORN = """
import os, signal, sys, time
line = os.open({path!r}, os.O_WRONLY)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if os.fork() == 0:
    os.write(line, b'c')
    while True: time.sleep(3600)
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.write(line, b'd')
        while True: time.sleep(3600)
    os._exit(0)
os.write(line, b'a')
while True: time.sleep(3600)
"""

# A daemon as a process of its own, that can be killed: one run of the given program.
DAEMON = """
import asyncio, json, sys
from goalfsm.workers.command import CommandWorker
from goalfsm.workers.spec import CommandSpec
from goalfsm.workers.protocol import Spawned, Work
from goalfsm.workers.supervisor.client import Supervisor

async def main(db, grace, argv):
    supervisor = await Supervisor.start(db=db, grace_s=grace)
    worker = CommandWorker(CommandSpec(argv=tuple(argv)), supervisor)
    work = Work(db=db, thread_id="t", goal_id="g", run_id="run-1", run_token="x", turn=1,
                objective="o", prompt="p")
    async for event in worker.run(work):
        if isinstance(event, Spawned):
            print(json.dumps([supervisor.pid, event.pid, event.start_time]), flush=True)

asyncio.run(main(sys.argv[1], float(sys.argv[2]), sys.argv[3:]))
"""


def keepers_of(supervisor: int) -> set[int]:
    """Return the children of a supervisor that run the same program."""
    process = psutil.Process(supervisor)
    found: set[int] = set()
    for child in process.children():
        with contextlib.suppress(psutil.Error):
            if child.cmdline() == process.cmdline():
                found.add(child.pid)
    return found


def keeper_of(supervisor: int) -> int:
    """Return the keeper of a supervisor."""
    (keeper,) = keepers_of(supervisor)
    return keeper


class Daemon:
    """A daemon in a process of its own, its supervisor and its run."""

    def __init__(self, db: str, argv: list[str], grace_s: float = 0.0) -> None:
        self.db = db
        self.process = subprocess.Popen(
            [sys.executable, "-c", DAEMON, db, str(grace_s), *argv], stdout=subprocess.PIPE
        )
        assert self.process.stdout is not None
        told = json.loads(self.process.stdout.readline())
        self.supervisor, self.pid, self.started = told

    @property
    def recorded(self) -> RecordedRun:
        return RecordedRun(run_id="run-1", pid=self.pid, pgid=self.pid, start_time=self.started)

    @property
    def keeper(self) -> int:
        """Return the supervisor's child that ends what a dead supervisor leaves."""
        return keeper_of(self.supervisor)

    def kill_all(self) -> None:
        """Kill daemon, keeper and supervisor so that none of them can do anything about it."""
        keeper = self.keeper
        for pid in (self.process.pid, keeper, self.supervisor):
            os.kill(pid, signal.SIGSTOP)
        for pid in (self.supervisor, keeper):
            os.kill(pid, signal.SIGKILL)
        self.kill()

    def kill(self, number: int = signal.SIGKILL) -> None:
        self.process.send_signal(number)
        self.process.wait()

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()
        end_orphans(self.db, {"run-1"}, recorded=[self.recorded])


def wait_up(lifeline: Any) -> None:
    for letter in (b"a", b"c", b"d"):
        lifeline.wait_for(letter)


async def spawn(
    supervisor: Supervisor,
    run_id: str,
    argv: list[str],
    db: str,
    stdout: int | None = None,
    stdin: int | None = None,
) -> Child:
    nothing = os.open(os.devnull, os.O_RDWR)
    try:
        return await supervisor.spawn(
            run_id,
            argv,
            cwd=None,
            env={**os.environ, "GOALFSM_DB": db},
            stdin=nothing if stdin is None else stdin,
            stdout=nothing if stdout is None else stdout,
            stderr=nothing,
        )
    finally:
        os.close(nothing)
