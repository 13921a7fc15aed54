"""A disk that the engine itself has filled: it says so, and goes on when there is room again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cli.processes import daemon, goalfsm

PATIENCE_S = 60
WRITES = "cat > /dev/null; head -c 20000 /dev/urandom | base64; echo $GOALFSM_TURN"


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """Return a directory on a file system of 3 MB."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=3m,mode=0700", "tmpfs", str(place)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small file system needs root")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.mark.parametrize("killed", [False, True], ids=["goes on", "killed"])
def test_it_goes_on_when_there_is_room_and_nobody_removes_anything(
    disk: Path, killed: bool
) -> None:
    """Its log and what was committed fill it; the log could not even be moved."""
    db = ("--db", str(disk / "g.db"))

    def status() -> str:
        return goalfsm("status", "t", *db).out.splitlines()[0]

    def turns() -> int:
        goal = json.loads(goalfsm("status", "t", *db, "--json").out)["goal"]
        return int(goal["continuations"])

    bound = ("--max-continuations", "0", "--policy", "no_progress=0")
    assert goalfsm("set", "t", "x", *db, *bound, "--", "sh", "-c", WRITES).status == 0
    with daemon(*db, "--grace", "0.1s") as serving:

        def is_full() -> bool:
            return os.statvfs(disk).f_bavail == 0 and "suspended: the disk is full" in status()

        until(is_full)
        steered = goalfsm("steer", "t", "hello", *db)
        assert (steered.status, "disk is full" in steered.err) == (1, True)
        done = turns()
        if killed:
            serving.process.kill()
            serving.process.wait()
            assert "disk is full" in goalfsm("daemon", *db).err
        subprocess.run(["mount", "-o", "remount,size=64m", str(disk)], check=True)
        if killed:
            with daemon(*db, "--grace", "0.1s") as again:
                until(lambda: turns() > done + 2)
                again.process.send_signal(signal.SIGINT)
                again.process.wait()
        else:
            until(lambda: turns() > done + 2)
            serving.process.send_signal(signal.SIGINT)
            serving.process.wait()
    assert "healthy" in goalfsm("doctor", *db).out
