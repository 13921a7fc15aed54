"""Telling processes apart, with real ones."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import msgspec
import psutil
import pytest

from goalfsm.daemon.host.platform import SystemClock, identity_of, own_identity
from goalfsm.store import owner
from goalfsm.store.port import EXPIRY_MS, Held, Identity, Owner
from goalfsm.workers.supervisor import identity as identity_reader


@pytest.fixture
def child() -> Iterator[subprocess.Popen[str]]:
    """Return a process that lives until its standard input ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", "import sys; print('up', flush=True); sys.stdin.read()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    process.stdout.readline()
    yield process
    process.kill()
    process.communicate()


def _identity(pid: int) -> Identity:
    identity = identity_of(pid)
    assert identity is not None
    return identity


def _held(
    identity: Identity,
    *,
    silent: int = EXPIRY_MS,
    locked: bool = True,
    holder: int | None = None,
) -> Held:
    row = Owner(identity=identity, epoch=1, socket="", uptime_ms=0)
    holder = identity.pid if holder is None else holder
    return Held(owner=row, silent_for_ms=silent, locked=locked, holder=holder)


def _exited_but_unreaped(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGKILL)
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)


def test_this_process_is_alive() -> None:
    """A process recognises itself, always by the same identity."""
    mine = own_identity()
    assert mine.pid == os.getpid()
    assert mine == own_identity()
    assert owner.is_alive(mine)


def test_living_child_is_alive_stopped_or_not(child: subprocess.Popen[str]) -> None:
    """A stopped process is alive: only silence ends its ownership."""
    identity = _identity(child.pid)
    assert owner.is_alive(identity)
    child.send_signal(signal.SIGSTOP)
    assert owner.is_alive(identity)
    child.send_signal(signal.SIGCONT)


def test_zombie_is_dead(child: subprocess.Popen[str]) -> None:
    """A process that nobody has reaped yet does nothing any more."""
    identity = _identity(child.pid)
    _exited_but_unreaped(child)
    assert not owner.is_alive(identity)
    assert identity_of(child.pid) is None


def test_gone_process_is_dead(child: subprocess.Popen[str]) -> None:
    """A pid that no process has is dead."""
    identity = _identity(child.pid)
    child.communicate("")
    assert not owner.is_alive(identity)


@pytest.mark.parametrize(
    ("change", "alive"),
    [
        ({"start_time": 1}, False),
        ({"boot_id": "another boot"}, False),
        ({"boot_id": "another boot", "machine": ""}, False),
        ({"boot_id": "another boot", "machine": "another"}, True),
        ({"namespace": "pid:[1]"}, True),
        ({"namespace": "pid:[1]", "boot_id": "another boot"}, False),
    ],
)
def test_another_process_under_the_same_pid(change: dict[str, object], *, alive: bool) -> None:
    """Another start or boot is another process; another namespace cannot be judged from here."""
    assert owner.is_alive(msgspec.structs.replace(own_identity(), **change)) is alive


def test_command_name_with_parentheses_is_read_past() -> None:
    """What a process calls itself does not move the fields behind it."""
    script = (
        "import sys; open('/proc/self/comm', 'w').write('a) Z (b');"
        "from goalfsm.daemon.host.platform import own_identity;"
        "from goalfsm.store.owner import is_alive; me = own_identity();"
        "print(is_alive(me), me.start_time)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    alive, started = done.stdout.split()
    assert alive == "True"
    assert int(started) > 1


def test_identity_agrees_with_psutil(
    child: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where there is no /proc, the same questions are answered by psutil."""
    monkeypatch.setattr(identity_reader, "LINUX", False)
    identity = _identity(child.pid)
    assert identity.start_time == int(psutil.Process(child.pid).create_time() * 1000)
    assert owner.is_alive(identity)
    _exited_but_unreaped(child)
    assert not owner.is_alive(identity)
    child.communicate()
    assert identity_of(child.pid) is None


def test_uptime_goes_on() -> None:
    """The clock of ownership never goes back."""
    first = SystemClock().uptime_ms()
    assert 0 < first <= SystemClock().uptime_ms()


def test_stalled_owner_is_killed(child: subprocess.Popen[str]) -> None:
    """Stopped inside a transaction, silent beyond expiry: it is ended."""
    child.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, child.pid, os.WSTOPPED | os.WNOWAIT)
    assert owner.end_stalled(_held(_identity(child.pid)))
    assert child.wait(timeout=30) == -signal.SIGKILL


@pytest.mark.parametrize(
    ("silent", "locked", "change", "holder"),
    [
        (EXPIRY_MS - 1, True, {}, None),
        (EXPIRY_MS, False, {}, None),
        (EXPIRY_MS, True, {"start_time": 1}, None),
        (EXPIRY_MS, True, {"boot_id": "another"}, None),
        (EXPIRY_MS, True, {"namespace": "another"}, None),
        (EXPIRY_MS, True, {}, 1),
    ],
)
def test_nobody_else_is_killed(
    child: subprocess.Popen[str],
    silent: int,
    change: dict[str, object],
    holder: int | None,
    *,
    locked: bool,
) -> None:
    """Not before expiry, not without the lock in its own hand, not on a guess."""
    identity = msgspec.structs.replace(_identity(child.pid), **change)
    child.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, child.pid, os.WSTOPPED | os.WNOWAIT)
    held = _held(identity, silent=silent, locked=locked, holder=holder)
    assert not owner.end_stalled(held)
    assert child.poll() is None


def test_owner_that_runs_is_never_killed(child: subprocess.Popen[str]) -> None:
    """Whatever it does with the lock: it will end its transaction by itself."""
    assert not owner.end_stalled(_held(_identity(child.pid)))
    assert child.poll() is None


def test_own_process_and_unknown_owner_are_never_killed() -> None:
    """A daemon does not end itself, nor an owner that nobody can name."""
    assert not owner.end_stalled(_held(own_identity()))
    assert not owner.end_stalled(Held(owner=None, silent_for_ms=EXPIRY_MS, locked=True))


def test_gone_owner_is_not_killed(child: subprocess.Popen[str]) -> None:
    """A pid that is free by now is left alone."""
    identity = _identity(child.pid)
    child.communicate("")
    assert not owner.end_stalled(_held(identity))
