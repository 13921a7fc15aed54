"""No process of a run outlives its daemon, whichever of them dies first and however."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from goalfsm.workers.command import CommandWorker
from goalfsm.workers.protocol import ErrorReported, Exited, Spawned, Text, TurnEvent
from goalfsm.workers.spec import CommandSpec
from goalfsm.workers.supervisor import identity
from goalfsm.workers.supervisor.client import Supervisor
from goalfsm.workers.supervisor.orphans import Orphans, RecordedRun, end_orphans
from tests.workers.daemons import DAEMON, LINUX, spawn, wait_up
from tests.workers.reading import Python

# The daemon dies.


@LINUX
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_daemon_that_dies_takes_everything_with_it(
    start_daemon: Any, stubborn: list[str], lifeline: Any, number: int
) -> None:
    daemon = start_daemon(stubborn)
    wait_up(lifeline)
    daemon.kill(number)
    lifeline.wait_end()
    _wait_ended(daemon.supervisor)


@LINUX
def test_a_stopped_run_dies_as_well(start_daemon: Any, stubborn: list[str], lifeline: Any) -> None:
    daemon = start_daemon(stubborn)
    wait_up(lifeline)
    os.killpg(daemon.pid, signal.SIGSTOP)
    daemon.kill()
    lifeline.wait_end()


def test_a_run_may_be_given_time_to_clean_up(
    start_daemon: Any, python: Python, lifeline: Any
) -> None:
    source = (
        "import os, signal, sys, time\n"
        f"line = os.open({str(lifeline.path)!r}, os.O_WRONLY)\n"
        "def stop(*_): os.write(line, b'cleaned'); sys.exit(0)\n"
        "signal.signal(signal.SIGTERM, stop)\nos.write(line, b'up')\n"
        "while True: time.sleep(3600)\n"
    )
    daemon = start_daemon(python(source), grace_s=60.0)
    lifeline.wait_for(b"up")
    daemon.kill()
    lifeline.wait_for(b"cleaned")
    lifeline.wait_end()


@LINUX
def test_a_daemon_whose_socket_was_inherited_is_still_seen_to_die(
    tmp_path: Path, python: Python, lifeline: Any
) -> None:
    """Somebody else's copy of the socket does not keep the runs alive."""
    holder = DAEMON.replace(
        "    worker =",
        "    import os\n    if os.fork() == 0:\n        import time\n        time.sleep(3600)\n"
        "    worker =",
    )
    argv = python(
        f"import os, time\nline = os.open({str(lifeline.path)!r}, os.O_WRONLY)\n"
        "os.write(line, b'up')\nwhile True: time.sleep(3600)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", holder, str(tmp_path / "db"), "0", *argv],
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        lifeline.wait_for(b"up")
        process.kill()
        process.wait()
        lifeline.wait_end()
    finally:
        os.killpg(process.pid, signal.SIGKILL)


def test_a_terminal_s_interrupt_reaches_neither_supervisor_nor_run(
    start_daemon: Any, python: Python, lifeline: Any
) -> None:
    """Both are in sessions of their own; only the daemon decides what Ctrl-C means."""
    argv = python(
        f"import os, time\nline = os.open({str(lifeline.path)!r}, os.O_WRONLY)\n"
        "os.write(line, b'up')\nwhile True: time.sleep(3600)\n"
    )
    daemon = start_daemon(argv)
    lifeline.wait_for(b"up")
    here = os.getsid(0)
    assert len({here, os.getsid(daemon.supervisor), os.getsid(daemon.pid)}) == 3
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        os.kill(daemon.supervisor, number)
    # It still does its work after them.
    daemon.kill()
    lifeline.wait_end()


# The supervisor dies.


@LINUX
def test_when_all_are_killed_the_next_daemon_ends_what_is_left(
    start_daemon: Any, stubborn: list[str], lifeline: Any
) -> None:
    daemon = start_daemon(stubborn)
    wait_up(lifeline)
    daemon.kill_all()
    assert lifeline.is_held()
    found = end_orphans(daemon.db, {"run-1"})
    assert found.left == ()
    assert len(found.ended) >= 1
    assert not lifeline.is_held()
    assert end_orphans(daemon.db, {"run-1"}) == Orphans()


@LINUX
@pytest.mark.parametrize("unmarked", [False, True])
def test_what_hides_its_environment_is_found_by_its_mark_or_session(
    start_daemon: Any, python: Python, lifeline: Any, unmarked: bool
) -> None:
    hidden = python(
        f"import os, resource, time\nline = os.open({str(lifeline.path)!r}, os.O_WRONLY)\n"
        f"if {unmarked}: resource.setrlimit(10, (7, resource.getrlimit(10)[1]))\n"
        "os.write(line, b'up')\nwhile True: time.sleep(3600)\n"
    )
    source = (
        "import os, time\nparent = os.getppid()\n"
        f"if os.fork() == 0: os.execve({hidden[0]!r}, {hidden!r}, {{}})\n"
        "while os.getppid() == parent: time.sleep(0.001)\n"
    )
    daemon = start_daemon(python(source))
    lifeline.wait_for(b"up")
    daemon.kill_all()
    _wait_ended(daemon.pid)
    end_orphans(daemon.db, {"run-1"})
    assert lifeline.is_held() is unmarked
    assert end_orphans(daemon.db, {"run-1"}, recorded=[daemon.recorded]).left == ()
    assert not lifeline.is_held()


@LINUX
def test_a_successor_ends_the_runs_of_a_daemon_that_is_stopped(
    start_daemon: Any, stubborn: list[str], lifeline: Any
) -> None:
    """Its supervisor lives and would go on; it is told to finish."""
    daemon = start_daemon(stubborn)
    wait_up(lifeline)
    daemon.process.send_signal(signal.SIGSTOP)
    found = end_orphans(daemon.db, {"run-1"})
    assert found.left == ()
    assert daemon.supervisor in found.ended
    assert not lifeline.is_held()


@LINUX
def test_a_supervisor_that_does_not_react_is_killed(
    start_daemon: Any, stubborn: list[str], lifeline: Any
) -> None:
    daemon = start_daemon(stubborn)
    wait_up(lifeline)
    # Its keeper would let it go on, so that it could do its work.
    for pid in (daemon.keeper, daemon.supervisor):
        os.kill(pid, signal.SIGSTOP)
    daemon.kill()
    assert lifeline.is_held()
    assert end_orphans(daemon.db, {"run-1"}).left == ()
    assert not lifeline.is_held()


def test_a_keeper_that_our_own_supervisor_forks_meanwhile_is_left_alone(
    bench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It carries the same environment as the supervisor of an earlier engine."""

    async def main(supervisor: Supervisor) -> None:
        await spawn(supervisor, "run-1", ["sleep", "3600"], bench.db)
        with monkeypatch.context() as patched:
            # As if it was not there yet when the supervisor's children were asked for.
            patched.setattr(psutil.Process, "children", lambda *_, **__: [])
            found = await asyncio.to_thread(
                end_orphans, bench.db, [], own_supervisor=supervisor.pid
            )
        assert found == Orphans()
        await supervisor.end("run-1")

    bench.run(main)


@pytest.mark.parametrize("other", ["database", "run", "start", "boot"])
def test_what_belongs_to_others_is_left_alone(bench: Any, tmp_path: Path, other: str) -> None:
    """Another database, another run, another process that got the number of ours."""

    async def main(supervisor: Supervisor) -> None:
        child = await spawn(supervisor, "run-1", ["sleep", "3600"], bench.db)
        boot, _, ticks = child.start_time.partition("/")
        started = {"start": f"{boot}/{int(float(ticks)) + 1}", "boot": f"other/{ticks}"}
        recorded = RecordedRun(
            run_id="run-2", pid=child.pid, pgid=child.pid, start_time=started.get(other, "")
        )
        found = await asyncio.to_thread(
            end_orphans,
            str(tmp_path / "other.db") if other == "database" else bench.db,
            {"run-1"} if other == "database" else {"run-2"},
            recorded=[recorded],
            own_supervisor=supervisor.pid,
        )
        assert found == Orphans()
        assert identity.is_running(child.pid, child.start_time)
        await supervisor.end("run-1")

    bench.run(main)


def test_our_own_supervisor_and_verifiers_are_left_alone(bench: Any) -> None:
    async def main(supervisor: Supervisor) -> None:
        child = await spawn(supervisor, "verify-1", ["sleep", "3600"], bench.db)
        pid = supervisor.pid
        look = (end_orphans, bench.db, {"run-1"})
        assert await asyncio.to_thread(*look, own_supervisor=supervisor.pid) == Orphans()
        assert identity.is_running(child.pid, child.start_time)
        # To anybody else both are orphans.
        found = await asyncio.to_thread(*look)
        assert pid in found.ended
        assert not identity.is_running(child.pid, child.start_time)

    bench.run(main)


@LINUX
def test_a_daemon_survives_the_death_of_its_supervisor(
    bench: Any, stubborn: list[str], lifeline: Any
) -> None:
    """The run ends with an error, nothing is left, and the next run has a new supervisor."""

    async def main(supervisor: Supervisor) -> list[TurnEvent]:
        worker = CommandWorker(CommandSpec(argv=tuple(stubborn)), supervisor)
        events: list[TurnEvent] = []
        async for event in worker.run(bench.work()):
            events.append(event)
            if isinstance(event, Spawned):
                await asyncio.to_thread(wait_up, lifeline)
                assert supervisor.pid is not None
                os.kill(supervisor.pid, signal.SIGKILL)
        assert not lifeline.is_held()
        assert supervisor.runs == frozenset()
        again = CommandWorker(CommandSpec(argv=("cat",)), supervisor)
        events += [event async for event in again.run(bench.work(run_id="run-2", prompt="hi"))]
        return events

    events = bench.run(main)
    kinds = [event.kind for event in events if isinstance(event, ErrorReported)]
    assert kinds == ["lost"]
    assert [event.ok for event in events if isinstance(event, Exited)] == [False, True]
    assert Text(text="hi") in events


def _wait_ended(pid: int) -> None:
    """Return when a process that is not ours has ended."""
    if started := identity.start_time(pid):
        asyncio.run(asyncio.wait_for(identity.wait_gone(pid, started), 60))
