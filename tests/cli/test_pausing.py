"""A pause cannot fail: whatever holds the database or its disk, with an engine or without."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from goalfsm.store.port import EXPIRY_MS
from tests.cli.processes import Terminal, daemon, goalfsm, terminal
from tests.cli.terminal import Cli

TICKS = ("sh", "-c", "cat > /dev/null; echo $GOALFSM_TURN; sleep 0.05")
UNLIMITED = ("--max-continuations", "0", "--policy", "no_progress=0")
LOCK = "another process holds the database's lock"


@contextlib.contextmanager
def locked(path: Path, how: str) -> Iterator[sqlite3.Connection]:
    """Hold the database's write lock, as another program does."""
    holder = sqlite3.connect(path, isolation_level=None)
    deadline = time.monotonic() + 20
    while True:
        try:
            holder.execute(f"BEGIN {how}")
        except sqlite3.OperationalError:
            assert time.monotonic() < deadline
        else:
            break
    try:
        yield holder
    finally:
        holder.execute("ROLLBACK")
        holder.close()


@contextlib.contextmanager
def disk_at(path: Path) -> Iterator[Path]:
    """Mount a small disk at ``path``; needs root."""
    path.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=16m,mode=0700", "tmpfs", str(path)],
        capture_output=True,
        check=False,
    )
    if made.returncode:
        pytest.skip("mounting needs root")
    try:
        yield path
    finally:
        subprocess.run(["umount", "--lazy", str(path)], check=True)


def fill(disk: Path) -> Path:
    """Leave no room on a disk; return the file that takes it."""
    filler = disk / "filler"
    with contextlib.suppress(OSError), filler.open("ab", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    return filler


def remount(path: Path, how: str) -> None:
    """Make the disk read-only (``ro``) or writable (``rw``), also while files are open."""
    subprocess.run(["mount", "-o", f"remount,{how},bind", str(path)], check=True)


def _until(said: str, *words: str) -> str:
    """Run a command until it says something."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        told = goalfsm(*words).out
        if said in told:
            return told
    raise AssertionError(f"{said!r} was never said by {words}, but: {told}")


def _status(db: str) -> str:
    goal = json.loads(goalfsm("status", "t", "--db", db, "--json").out)["goal"]
    return str(goal["status"])


@pytest.mark.parametrize("how", ["IMMEDIATE", "EXCLUSIVE"])
def test_with_an_engine_under_a_lock(how: str) -> None:
    goalfsm("set", "t", "x", "--db", "g.db", *UNLIMITED, "--", *TICKS)
    with daemon("--db", "g.db") as serving:
        with terminal("watch", "t", "--db", "g.db") as watching:
            watching.until(" starts")
            with locked(Path("g.db"), how):
                done = goalfsm("pause", "t", "--db", "g.db")
                assert done.status == 0, done
                assert "no turn follows" in done.out
                for words in (("status", "t"), ("list",), ("explain", "t")):
                    told = goalfsm(*words, "--db", "g.db").out
                    assert "suspended" in told, told
                    assert LOCK in told, told
                assert "suspended" in goalfsm("chip", "t", "--db", "g.db").out
                examined = goalfsm("doctor", "--db", "g.db").out
                assert "epoch 2, suspended: " + LOCK in examined
                assert "suspended" in watching.until(LOCK)
        told = _until("paused (user)", "status", "t", "--db", "g.db")
        assert "suspended" not in told
        _stop(serving)


def _stop(serving: Terminal) -> None:
    serving.process.terminate()
    assert serving.process.wait() == 0


def test_without_an_engine_under_a_lock() -> None:
    """It is kept beside the database, and recorded by who writes it next: before any turn."""
    marks = ("sh", "-c", "cat > /dev/null; touch began")
    goalfsm("set", "t", "x", "--db", "g.db", "--", *marks)
    with locked(Path("g.db"), "EXCLUSIVE"):
        done = goalfsm("pause", "t", "--db", "g.db")
        assert (done.status, "no turn follows" in done.out) == (0, True), done
        assert _status("g.db") == "active"
    with daemon("--db", "g.db") as serving:
        _until("paused (user)", "status", "t", "--db", "g.db")
        _stop(serving)
    assert not Path("began").exists()


def test_a_command_that_finds_the_database_free_takes_an_earlier_stop_first() -> None:
    goalfsm("set", "t", "x", "--db", "g.db", "--", "true")
    with locked(Path("g.db"), "IMMEDIATE"):
        goalfsm("pause", "t", "--db", "g.db")
    assert goalfsm("resume", "t", "--db", "g.db").status == 0
    rows = goalfsm("log", "t", "--db", "g.db", "--json").out
    assert rows.index("PauseRequested") < rows.index("ResumeRequested")
    assert _status("g.db") == "active"


STOPPED = """
import os, signal, sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute("BEGIN IMMEDIATE")
print("locked", flush=True)
os.kill(os.getpid(), signal.SIGSTOP)
"""


def test_a_message_is_kept_while_a_stopped_process_holds_the_lock() -> None:
    """It is told so, and opens the next turn; the process that is in the way is named."""
    reads = ("sh", "-c", "cat > prompt.txt")
    goalfsm("set", "t", "x", "--db", "g.db", "--max-continuations", "1", "--", *reads)
    holder = subprocess.Popen(
        [sys.executable, "-c", STOPPED, "g.db"], stdout=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "locked\n"
        os.waitid(os.P_PID, holder.pid, os.WSTOPPED)
        done = goalfsm("steer", "t", "mind the gap", "--db", "g.db")
        assert (done.status, "it is kept" in done.out) == (0, True), done
        unknown = goalfsm("steer", "nobody", "mind the gap", "--db", "g.db")
        assert "there is no thread nobody" in unknown.err
        examined = goalfsm("doctor", "--db", "g.db")
        assert f"process {holder.pid} holds its lock, and is stopped" in examined.out
        assert examined.status == 1
    finally:
        holder.kill()
        holder.communicate()
    goalfsm("run", "--thread", "t", "--db", "g.db")
    assert "mind the gap" in Path("prompt.txt").read_text()


def test_other_commands_fail_under_a_lock_and_write_nothing() -> None:
    goalfsm("set", "t", "x", "--db", "g.db", "--", "true")
    with locked(Path("g.db"), "IMMEDIATE"):
        done = goalfsm("budget", "t", "--tokens", "5k", "--db", "g.db")
        assert done.status == 1
        assert "locked" in done.err


def test_on_a_full_disk_with_an_engine(tmp_path: Path) -> None:
    with disk_at(tmp_path / "disk") as disk:
        db = str(disk / "g.db")
        goalfsm("set", "t", "x", "--db", db, *UNLIMITED, "--", *TICKS)
        with daemon("--db", db) as serving:
            _until("turn", "status", "t", "--db", db)
            for _ in range(20):
                # It frees what it can itself, and goes on.
                filler = fill(disk)
                told = goalfsm("status", "t", "--db", db).out
                if "the disk is full" in told:
                    break
            assert "suspended" in told
            done = goalfsm("pause", "t", "--db", db)
            if "no turn follows" not in done.out:
                # It says more than that only where the log had room for it: then it is so by now.
                assert (done.status, done.out) == (0, "the goal is paused\n"), done
                assert "paused (user)" in goalfsm("status", "t", "--db", db).out
            assert done.status == 0, done
            filler.unlink()
            _until("paused (user)", "status", "t", "--db", db)
            _stop(serving)


def test_on_a_disk_that_has_become_read_only(tmp_path: Path) -> None:
    with disk_at(tmp_path / "disk") as disk:
        db = str(disk / "g.db")
        goalfsm("set", "t", "x", "--db", db, "--", "touch", "began")
        remount(disk, "ro")
        done = goalfsm("pause", "t", "--db", db)
        assert (done.status, "no turn follows" in done.out) == (0, True), done
        remount(disk, "rw")
        with daemon("--db", db) as serving:
            _until("paused (user)", "status", "t", "--db", db)
            _stop(serving)
    assert not Path("began").exists()


def test_on_a_full_disk_before_a_migration(tmp_path: Path) -> None:
    with disk_at(tmp_path / "disk") as disk:
        db = disk / "g.db"
        goalfsm("set", "t", "x", "--db", str(db), "--", "touch", "began")
        older = sqlite3.connect(db, isolation_level=None)
        older.execute("PRAGMA journal_mode=DELETE")
        older.execute("DROP INDEX session_status")
        older.execute("PRAGMA user_version=1")
        older.close()
        filler = fill(disk)
        done = goalfsm("pause", "t", "--db", str(db))
        assert (done.status, "no turn follows" in done.out) == (0, True), done
        filler.unlink()
        assert not [path.name for path in disk.iterdir() if "part" in path.name]


def test_an_earlier_stop_that_nobody_can_read_keeps_nobody_waiting(
    cli: Cli, tmp_path: Path
) -> None:
    cli("set", "t", "x", "--db", "g.db", "--", "true")
    with locked(Path("g.db"), "IMMEDIATE"):
        # A process does not meet its own locks.
        goalfsm("pause", "t", "--db", "g.db")
    (left,) = (tmp_path / "state" / "goalfsm" / "stops").glob("*/*.json")
    left.with_name("forged.json").write_text("{")
    left.with_name("link.json").symlink_to("/etc/passwd")
    assert cli("status", "t", "--db", "g.db").status == 0
    assert cli("wake", "t", "--db", "g.db").status in {0, 2}
    assert not left.exists()
    assert _status("g.db") == "paused"


def test_an_owner_that_is_well_is_not_replaced_because_somebody_else_holds_the_lock() -> None:
    """Its row looks silent, for it cannot be written; on its socket it answers."""
    goalfsm("set", "t", "x", "--db", "g.db", "--", "sh", "-c", "cat > /dev/null; exec sleep 60")
    with daemon("--db", "g.db", "--grace", "0.1s") as serving:
        _until("turn 1", "status", "t", "--db", "g.db")
        with locked(Path("g.db"), "IMMEDIATE") as holder:
            beaten = 0.0
            while beaten < EXPIRY_MS:
                # As if it was held for long already; a beat may come in between.
                holder.execute("UPDATE owner SET uptime_ms = uptime_ms - ?", (3 * EXPIRY_MS,))
                holder.execute("COMMIT")
                holder.execute("BEGIN IMMEDIATE")
                (last,) = holder.execute("SELECT uptime_ms FROM owner").fetchone()
                beaten = time.clock_gettime(time.CLOCK_BOOTTIME) * 1000 - last
            with terminal("daemon", "--db", "g.db") as second:
                refused = second.end()
        assert refused.status != 0, refused
        assert f"process {serving.process.pid} serves this database already" in refused.err
        done = goalfsm("daemon", "--db", "g.db")
        assert "serves this database already" in done.err
        assert serving.process.poll() is None
        assert "epoch 2, answers" in goalfsm("doctor", "--db", "g.db").out
        assert "turn 1" in goalfsm("status", "t", "--db", "g.db").out
        _stop(serving)
