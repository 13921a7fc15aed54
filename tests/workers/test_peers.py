"""Who asks over a socket: told apart by what a process cannot put off."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from goalfsm.workers.supervisor import identity, peers, process_tree
from goalfsm.workers.supervisor.client import Supervisor
from goalfsm.workers.supervisor.peers import Peer, connected, look_up
from tests.workers.daemons import LINUX, spawn
from tests.workers.reading import Python

# Connects, and lives on until it is told to end.
CONNECTS = """
import os, socket, sys
place, how = {place!r}, {how!r}
def connect():
    s = socket.socket(socket.AF_UNIX)
    s.connect(place)
    s.recv(1)
    os._exit(0)
if how == "detached":
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            connect()
        os._exit(0)
    os.wait()
elif how == "cleaned":
    os.execve(sys.executable, [sys.executable, "-I", "-S", {file!r}], {{}})
connect()
"""
CLEANED = """
import socket
s = socket.socket(socket.AF_UNIX)
s.connect({place!r})
s.recv(1)
"""


class Door:
    """A socket that somebody connects to."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(str(path))
        self._listening.listen()
        self._listening.settimeout(60)

    def comes(self, **given: Any) -> Peer:
        """Return who came, and let them go."""
        connection, _ = self._listening.accept()
        with connection:
            return connected(connection, **given)

    def accept(self) -> socket.socket:
        return self._listening.accept()[0]

    def close(self) -> None:
        self._listening.close()


@pytest.fixture
def door(tmp_path: Path) -> Iterator[Door]:
    opened = Door(tmp_path / "door")
    yield opened
    opened.close()


def connecting(door: Door) -> list[str]:
    source = CLEANED.format(place=str(door.path))
    return [sys.executable, "-I", "-S", "-c", source]


@pytest.fixture
def outside() -> dict[str, str]:
    """Return an environment that no run has, also where these tests run in one."""
    return {name: value for name, value in os.environ.items() if not name.startswith("GOALFSM_")}


def test_anybody_else_is_no_run_s(door: Door, outside: dict[str, str]) -> None:
    with subprocess.Popen(connecting(door), env=outside) as process:
        found = door.comes(db="/nowhere")
    assert (found.pid, found.of_a_run, found.why) == (process.pid, False, "")
    assert found.uid == os.getuid()
    assert sys.executable in found.program
    assert len(found.program) <= peers.MAX_PROGRAM
    assert "\n" not in found.program


def test_what_carries_a_run_s_environment_is_that_run_s(
    door: Door, outside: dict[str, str]
) -> None:
    env = {**outside, "GOALFSM_RUN_ID": "run-\x1b[31m7"}
    with subprocess.Popen(["sh", "-c", '"$@"; :', "sh", *connecting(door)], env=env):
        found = door.comes(db="/nowhere")
    assert found.of_a_run
    assert found.run_id.startswith("run-")
    assert "\x1b" not in found.run_id + found.why


def test_what_descends_from_the_engine_is_a_run_s(door: Door, outside: dict[str, str]) -> None:
    engine = (os.getpid(), identity.start_time(os.getpid()))
    with subprocess.Popen(connecting(door), env=outside):
        found = door.comes(db="/nowhere", above=[engine])
    assert found.of_a_run
    assert str(os.getpid()) in found.why
    # The number alone is not the engine's.
    with subprocess.Popen(connecting(door), env=outside):
        assert not door.comes(db="/nowhere", above=[(os.getpid(), "another/1")]).of_a_run


@LINUX
@pytest.mark.parametrize("most", [process_tree.CEILING, 7])
def test_what_may_set_no_more_than_a_run_is_a_run_s(
    door: Door, outside: dict[str, str], most: int
) -> None:
    """Whoever took the mark off cannot take that off: it is asked about when all else is dead."""
    limited = ["prlimit", f"--locks={most}:{most}", *connecting(door)]
    with subprocess.Popen(limited, env=outside):
        found = door.comes(db="/nowhere")
    assert found.of_a_run
    assert "limits of a run" in found.why


@LINUX
@pytest.mark.parametrize("how", ["plain", "cleaned", "detached"])
def test_what_a_run_starts_is_a_run_s(bench: Any, python: Python, door: Door, how: str) -> None:
    """Whatever its session and its environment: it stays below its supervisor."""

    async def main(supervisor: Supervisor) -> Peer:
        place = str(door.path)
        file = python(CLEANED.format(place=place))[-1]
        argv = python(CONNECTS.format(place=place, how=how, file=file))
        await spawn(supervisor, "run-1", argv, bench.db)
        found = await asyncio.to_thread(door.comes, db=bench.db)
        await supervisor.end("run-1")
        return found

    found = bench.run(main)
    assert found.of_a_run
    assert found.why
    assert bool(found.run_id) is (how != "cleaned")


@LINUX
@pytest.mark.parametrize("carries", ["mark", "limits"])
def test_a_mark_outlasts_all_that_looked_after_the_run(
    start_daemon: Any, python: Python, door: Door, lifeline: Any, carries: str
) -> None:
    """Daemon, supervisor and keeper are dead, and nothing above it tells where it came from.

    One that takes its mark off cannot give itself back what every other process may set.
    """
    unmarks = "_, most = resource.getrlimit(10); resource.setrlimit(10, (most, most))\n"
    cleaned = python(CLEANED.format(place=str(door.path)))
    source = (
        "import os, resource, time\nparent = os.getppid()\n"
        f"{unmarks if carries == 'limits' else ''}"
        f"os.write(os.open({str(lifeline.path)!r}, os.O_WRONLY), b'up')\n"
        "while os.getppid() == parent: time.sleep(0.001)\n"
        f"os.execve({cleaned[0]!r}, {cleaned!r}, {{}})\n"
    )
    daemon = start_daemon(python(source))
    lifeline.wait_for(b"up")
    daemon.kill_all()
    found = door.comes(db="/another")
    assert (found.of_a_run, found.run_id) == (True, "")
    assert carries in found.why


def test_who_has_ended_cannot_be_told(door: Door, outside: dict[str, str]) -> None:
    source = (
        f"import os, socket\ns = socket.socket(socket.AF_UNIX)\ns.connect({str(door.path)!r})\n"
        "if os.fork() == 0: s.recv(1)\n"
    )
    process = subprocess.Popen([sys.executable, "-I", "-S", "-c", source], env=outside)
    connection = door.accept()
    process.wait()
    with connection:
        found = connected(connection, db="/nowhere")
    assert (found.pid, found.of_a_run) == (process.pid, True)
    assert found.why


@LINUX
@pytest.mark.parametrize("moment", ["before", "during"])
def test_a_pid_that_was_given_again_is_a_run_s(
    monkeypatch: pytest.MonkeyPatch, door: Door, outside: dict[str, str], moment: str
) -> None:
    """Where the kernel has no handle of who connected: it began at another time by now."""
    monkeypatch.setattr(peers, "_SO_PEERPIDFD", -1)
    start_time = identity.start_time
    given_again = False

    def started(pid: int) -> str:
        found = start_time(pid)
        return f"{found}1" if given_again and pid == process.pid else found

    def link(pid: int, began: str) -> Any:
        nonlocal given_again
        found = walked(pid, began)
        given_again = True
        # All that is read of it from here on is of another process.
        return found._replace(started=started(found.pid))

    walked = peers._link
    monkeypatch.setattr(identity, "start_time", started)
    with subprocess.Popen(connecting(door), env=outside) as process, door.accept() as connection:
        began = peers.begun(connection)
        assert not connected(connection, db="/nowhere", began=began).of_a_run
        with contextlib.closing(peers.Caller(connection, began)) as caller:
            assert caller.is_below((process.pid, began))
            if moment == "during":
                monkeypatch.setattr(peers, "_link", link)
            else:
                given_again = True
            found = connected(connection, db="/nowhere", began=began)
            assert (found.pid, found.of_a_run, found.why) == (process.pid, True, "it has ended")
            assert not caller.is_below((process.pid, started(process.pid)))


LISTENS = """
import os, socket, sys
place, how, held = sys.argv[1:]
if how == "unmarked":
    import resource
    _, most = resource.getrlimit(10)
    resource.setrlimit(10, (most, most))
s = socket.socket(socket.AF_UNIX)
s.bind(place)
s.listen()
if how == "handed on" and os.fork():
    os._exit(0)
os.write(os.open(held, os.O_WRONLY), b"up")
s.accept()[0].recv(1)
"""


def believed(place: Path, db: str = "/nowhere") -> str:
    """Return why what listens there is not believed, "" where it is."""
    with socket.socket(socket.AF_UNIX) as asking:
        asking.connect(str(place))
        with contextlib.closing(peers.Caller(asking)) as listens:
            return listens.not_to_be_believed(db=db)


def test_who_listens_outside_of_any_run_may_be_the_engine(tmp_path: Path) -> None:
    opened = Door(tmp_path / "door")
    assert believed(opened.path) == ""
    opened.close()


@LINUX
@pytest.mark.parametrize("how", ["plain", "cleaned", "unmarked", "handed on"])
def test_what_a_run_listens_with_is_no_engine(
    bench: Any, python: Python, tmp_path: Path, lifeline: Any, how: str
) -> None:
    """Whatever it puts off; and what listened and has ended cannot be told at all."""
    place = tmp_path / "false"

    async def main(supervisor: Supervisor) -> str:
        argv = [*python(LISTENS), str(place), how, str(lifeline.path)]
        argv = ["env", "-i", *argv] if how == "cleaned" else argv
        await spawn(supervisor, "run-1", argv, bench.db)
        await asyncio.to_thread(lifeline.wait_for, b"up")
        why = believed(place, bench.db)
        await supervisor.end("run-1")
        return why

    assert bench.run(main)


@LINUX
def test_what_a_run_started_itself_may_be_its_engine(
    bench: Any, python: Python, tmp_path: Path, lifeline: Any
) -> None:
    """A worker that uses goalfsm for its own work asks an engine of its own run."""
    place, asks = tmp_path / "own", tmp_path / "asks.py"
    asks.write_text(
        "import contextlib, os, socket, time\n"
        "from goalfsm.workers.supervisor import peers\n"
        f"held = os.open({str(lifeline.path)!r}, os.O_WRONLY)\n"
        "with socket.socket(socket.AF_UNIX) as asking:\n"
        f"    while asking.connect_ex({str(place)!r}):\n"
        "        time.sleep(0.01)\n"
        "    with contextlib.closing(peers.Caller(asking)) as listens:\n"
        "        why = listens.not_to_be_believed(db='/another')\n"
        f"open({str(tmp_path / 'said')!r}, 'w').write(f'{{why}}.')\n"
        "os.write(held, b'asked')\n"
    )

    async def main(supervisor: Supervisor) -> None:
        listens = [*python(LISTENS), str(place), "plain", str(lifeline.path)]
        both = '"$@" & "$PY" -P "$ASKS"; kill $!'
        given = ["env", f"PY={sys.executable}", f"ASKS={asks}", "sh", "-c", both, "sh"]
        await spawn(supervisor, "run-1", [*given, *listens], bench.db)
        await asyncio.to_thread(lifeline.wait_for, b"asked")
        await supervisor.end("run-1")

    bench.run(main)
    assert (tmp_path / "said").read_text() == "."


def test_what_another_user_listens_with_is_no_engine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = Door(tmp_path / "door")
    monkeypatch.setattr(peers, "_credentials", lambda _: (os.getpid(), os.getuid() + 1))
    assert f"user {os.getuid() + 1}" in believed(opened.path)
    opened.close()


def test_a_pid_that_nobody_has_is_a_run_s() -> None:
    assert look_up(0, db="").of_a_run
    assert look_up(2**22 + 1, db="").why == "it cannot be looked up"


def test_an_environment_that_cannot_be_read_is_a_run_s(
    monkeypatch: pytest.MonkeyPatch, door: Door, outside: dict[str, str]
) -> None:
    monkeypatch.setattr(peers, "environment", lambda _: None)
    with subprocess.Popen(connecting(door), env=outside):
        found = door.comes(db="/nowhere")
    assert (found.of_a_run, found.why) == (True, "its environment cannot be read")
