"""Engine, supervisor and keeper are killed together, and the machine seems to have booted since.

What they leave goes on, whatever the id says that tells one boot from another: another one was seen
inside of a namespace. The next engine ends it before it starts anything.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from goalfsm.workers.supervisor.identity import start_time
from tests.cli.processes import goalfsm
from tests.workers.daemons import LINUX, keeper_of

PATIENCE_S = 60
BOOT = "/proc/sys/kernel/random/boot_id"
WORKS = """
import fcntl, os, resource, sys, time
hides = sys.argv[1:] == ["hides"]
if hides:
    # The session alone says where it comes from.
    resource.setrlimit(10, resource.getrlimit(10)[1:] * 2)
    os.execve(sys.executable, [sys.executable, sys.argv[0]], {})
lock = open("lock", "w")
try:
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
except BlockingIOError:
    open("overlap", "w").close()
with open("pids", "a") as pids:
    pids.write(f"{os.getpid()}\\n")
while True: time.sleep(3600)
"""


def pids(count: int) -> list[int]:
    """Return the pids of all workers once there were so many."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        found = Path("pids").read_text().split() if Path("pids").exists() else []
        if len(found) >= count:
            return [int(pid) for pid in found]
        assert time.monotonic() < deadline
        time.sleep(0.05)


@LINUX
@pytest.mark.parametrize("worker", ["plain", "hides"])
@pytest.mark.parametrize("false", ["first", "second"])
def test_no_second_program_is_started_beside_what_is_left(worker: str, false: str) -> None:
    Path("boot").write_text("11111111-2222-3333-4444-555555555555\n")
    seen = f"mount --bind $PWD/boot {BOOT}"
    if subprocess.run(["unshare", "-m", "sh", "-c", seen], check=False).returncode:
        pytest.skip("only for root")
    Path("works.py").write_text(WORKS)
    program = (sys.executable, str(Path("works.py").absolute()), worker)
    db = ("--db", "g.db", "--grace", "0.1s")
    goalfsm("set", "t", "x", "--db", "g.db", "--max-continuations", "0", "--", *program)
    serve = f"{sys.executable} -m goalfsm daemon {' '.join(db)}"
    elsewhere = ["unshare", "-m", "sh", "-c", f"{seen} && exec {serve}"]
    here = serve.split()
    first, second = (elsewhere, here) if false == "first" else (here, elsewhere)
    with subprocess.Popen(first, stderr=subprocess.DEVNULL) as engine:
        (before,) = pids(1)
        supervisor = psutil.Process(before).ppid()
        ends = [engine.pid, supervisor, keeper_of(supervisor)]
        for number in (signal.SIGSTOP, signal.SIGKILL):
            for pid in ends:
                os.kill(pid, number)
    assert start_time(before)
    with subprocess.Popen(second, stderr=subprocess.DEVNULL) as engine:
        try:
            _, after = pids(2)
            lived_on = start_time(before)
        finally:
            engine.send_signal(signal.SIGINT)
            if start_time(before):
                os.kill(before, signal.SIGKILL)
    assert not lived_on
    assert not start_time(after)
    assert not Path("overlap").exists()
