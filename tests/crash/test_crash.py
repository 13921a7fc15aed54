"""Real processes that are killed and stopped; the long form is ``python -m tests.crash.run``."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import apsw
import psutil
import pytest

from goalfsm.store.sqlite import SqliteStore
from tests.crash.checks import check
from tests.crash.run import BIRTH_S, ROOT, Daemon, crash, moments, take_back

PATIENCE_S = 40.0


def until(what: str, reached: object) -> None:
    """Wait for something that other processes do; fail when it takes too long."""
    assert callable(reached)
    deadline = time.monotonic() + PATIENCE_S
    while not reached():
        assert time.monotonic() < deadline, f"{what} did not happen"
        time.sleep(0.02)


def test_a_goal_survives_sigkill_at_any_moment(tmp_path: Path) -> None:
    """Complete, exact, once, and nothing left behind."""
    findings = crash(tmp_path, kills=5, seed=20_260_101)
    assert findings.faults == []
    assert findings.turns >= 1


def test_kills_hit_the_making_and_the_migration_of_the_database(tmp_path: Path) -> None:
    """Some are as early as that; an older schema loses nothing by being taken further again."""
    drawn = list(moments(seed=1, kills=200))
    assert all(moment.delay < BIRTH_S for moment in drawn[:20])
    assert 20 < sum(moment.older for moment in drawn) < 60
    path = tmp_path / "goals.db"
    assert not take_back(path)
    SqliteStore.open(path).close()
    assert take_back(path)
    assert not take_back(path)
    SqliteStore.open(path).close()
    assert take_back(path)


def begun(place: Path) -> bool:
    log = place / "runs.log"
    return log.exists() and '"begin"' in log.read_text()


def _stop_between_commits(daemon: Daemon, db: Path) -> None:
    """Stop a daemon where it does not hold the database: there its successor would kill it."""
    process = psutil.Process(daemon.process.pid)
    while True:
        daemon.process.send_signal(signal.SIGSTOP)
        until("that it stands still", lambda: process.status() == psutil.STATUS_STOPPED)
        beside = apsw.Connection(str(db))
        try:
            beside.execute("BEGIN IMMEDIATE; ROLLBACK")
        except apsw.BusyError:
            daemon.process.send_signal(signal.SIGCONT)
        else:
            return
        finally:
            beside.close()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc of other processes")
def test_a_stopped_daemon_is_replaced_and_gives_up_when_it_goes_on(tmp_path: Path) -> None:
    """Two databases at once: one owner stopped during a turn, one while it holds the lock."""
    running, locked = tmp_path / "running", tmp_path / "locked"
    running.mkdir()
    locked.mkdir()
    (running / "slow").touch()
    first = Daemon(running)
    until("the first turn", lambda: begun(running))
    supervisor = first.supervisors()[0]
    workers = supervisor.children(recursive=True)
    _stop_between_commits(first, running / "goals.db")
    holder = subprocess.Popen(
        [sys.executable, "-m", "tests.crash.holder", str(locked / "goals.db")],
        stdout=subprocess.PIPE,
        cwd=ROOT,
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"
    (running / "slow").unlink()
    for place in (running, locked):
        (place / "finish").touch()
    begun_at = time.monotonic()
    second, third = Daemon(running), Daemon(locked)
    assert second.wait(PATIENCE_S) == 0
    assert third.wait(PATIENCE_S) == 0
    assert 7 < time.monotonic() - begun_at < PATIENCE_S
    assert not any(process.is_running() for process in workers)
    assert holder.wait(5) == -signal.SIGKILL
    holder.stdout.close()

    first.process.send_signal(signal.SIGCONT)
    assert first.wait(PATIENCE_S) != 0
    assert not supervisor.is_running() or supervisor.status() == psutil.STATUS_ZOMBIE
    assert "another engine has taken over" in (running / "daemon.log").read_text()
    for place in (running, locked):
        findings = check(place, kills=0, status=0, seconds=0)
        assert findings.faults == []
