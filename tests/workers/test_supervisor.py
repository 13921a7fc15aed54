"""No process of a run outlives its daemon, whichever of them dies first and however."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from goalfsm.errors import GoalError
from goalfsm.workers import processes
from goalfsm.workers import supervisor as supervisor_program
from goalfsm.workers.command import CommandSpec, CommandWorker
from goalfsm.workers.orphans import Orphans, RecordedRun, end_orphans
from goalfsm.workers.protocol import ErrorReported, Exited, Spawned, Text, TurnEvent
from goalfsm.workers.supervision import Child, Supervisor

Python = Callable[[str], list[str]]
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
from goalfsm.workers.command import CommandSpec, CommandWorker
from goalfsm.workers.protocol import Spawned, Work
from goalfsm.workers.supervision import Supervisor

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


# Which costly modules the program in argv[1] imports.
IMPORTED = """
import runpy, sys
runpy.run_path(sys.argv[1])
costly = {"goalfsm", "msgspec", "asyncio", "subprocess", "threading", "psutil"}
print(sorted(costly & {name.split(".")[0] for name in sys.modules}))
"""


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

    def kill(self, number: int = signal.SIGKILL) -> None:
        self.process.send_signal(number)
        self.process.wait()

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()
        end_orphans(self.db, {"run-1"}, recorded=[self.recorded])


@pytest.fixture
def start_daemon(tmp_path: Path) -> Iterator[Callable[..., Daemon]]:
    daemons: list[Daemon] = []

    def start(argv: list[str], **given: Any) -> Daemon:
        daemon = Daemon(str(tmp_path / "goals.db"), argv, **given)
        daemons.append(daemon)
        return daemon

    yield start
    for daemon in daemons:
        daemon.close()


@pytest.fixture
def stubborn(python: Python, lifeline: Any) -> list[str]:
    return python(STUBBORN.format(path=str(lifeline.path)))


def wait_up(lifeline: Any) -> None:
    for letter in (b"a", b"c", b"d"):
        lifeline.wait_for(letter)


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
def test_when_both_are_killed_the_next_daemon_ends_what_is_left(
    start_daemon: Any, stubborn: list[str], lifeline: Any
) -> None:
    daemon = start_daemon(stubborn)
    wait_up(lifeline)
    daemon.process.send_signal(signal.SIGSTOP)
    os.kill(daemon.supervisor, signal.SIGKILL)
    daemon.kill()
    assert lifeline.is_held()
    found = end_orphans(daemon.db, {"run-1"})
    assert found.left == ()
    assert len(found.ended) >= 1
    assert not lifeline.is_held()
    assert end_orphans(daemon.db, {"run-1"}) == Orphans()


@LINUX
def test_the_recorded_session_finds_what_hides_its_environment(
    start_daemon: Any, python: Python, lifeline: Any
) -> None:
    hidden = python(
        f"import os, time\nline = os.open({str(lifeline.path)!r}, os.O_WRONLY)\n"
        "os.write(line, b'up')\nwhile True: time.sleep(3600)\n"
    )
    source = (
        "import os, time\n"
        f"if os.fork() == 0: os.execve({hidden[0]!r}, {hidden!r}, {{}})\n"
        "while True: time.sleep(3600)\n"
    )
    daemon = start_daemon(python(source))
    lifeline.wait_for(b"up")
    daemon.process.send_signal(signal.SIGSTOP)
    os.kill(daemon.supervisor, signal.SIGKILL)
    daemon.kill()
    end_orphans(daemon.db, {"run-1"})
    assert lifeline.is_held()
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
    os.kill(daemon.supervisor, signal.SIGSTOP)
    daemon.kill()
    assert lifeline.is_held()
    assert end_orphans(daemon.db, {"run-1"}).left == ()
    assert not lifeline.is_held()


@pytest.mark.parametrize("other", ["database", "run", "start", "boot"])
def test_what_belongs_to_others_is_left_alone(bench: Any, tmp_path: Path, other: str) -> None:
    """Another database, another run, another process that got the number of ours."""

    async def main(supervisor: Supervisor) -> None:
        child = await _spawn(supervisor, "run-1", ["sleep", "3600"], bench.db)
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
        assert processes.is_running(child.pid, child.start_time)
        await supervisor.end("run-1")

    bench.run(main)


def test_our_own_supervisor_and_verifiers_are_left_alone(bench: Any) -> None:
    async def main(supervisor: Supervisor) -> None:
        child = await _spawn(supervisor, "verify-1", ["sleep", "3600"], bench.db)
        pid = supervisor.pid
        look = (end_orphans, bench.db, {"run-1"})
        assert await asyncio.to_thread(*look, own_supervisor=supervisor.pid) == Orphans()
        assert processes.is_running(child.pid, child.start_time)
        # To anybody else both are orphans.
        found = await asyncio.to_thread(*look)
        assert pid in found.ended
        assert not processes.is_running(child.pid, child.start_time)

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


# The supervisor itself.


def test_ending_a_run_again_can_only_hasten_it(bench: Any, python: Python) -> None:
    source = (
        "import signal, sys, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "print('up', flush=True)\nwhile True: time.sleep(3600)\n"
    )

    async def main(supervisor: Supervisor) -> None:
        reader, writer = os.pipe()
        child = await _spawn(supervisor, "run-1", python(source), bench.db, stdout=writer)
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


def test_a_signal_reaches_the_group(bench: Any) -> None:
    async def main(supervisor: Supervisor) -> int | None:
        child = await _spawn(supervisor, "run-1", ["sleep", "3600"], bench.db)
        supervisor.signal("run-1", signal.SIGUSR1)
        status = await child.exited
        await supervisor.end("run-1")
        return None if status is None else os.waitstatus_to_exitcode(status)

    assert bench.run(main) == -signal.SIGUSR1


def test_a_cancelled_spawn_leaves_nothing(bench: Any) -> None:
    async def main(supervisor: Supervisor) -> None:
        spawning = asyncio.create_task(_spawn(supervisor, "run-1", ["sleep", "3600"], bench.db))
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
        child = await _spawn(supervisor, "run-1", ["sleep", "3600"], bench.db)
        await supervisor.close()
        assert pid is not None
        assert not psutil.pid_exists(pid)
        assert not processes.is_running(child.pid, child.start_time)
        assert supervisor.pid is None
        with pytest.raises(GoalError) as caught:
            await _spawn(supervisor, "run-2", ["true"], bench.db)
        assert caught.value.code == "closed"
        await supervisor.close()

    bench.run(main)


def test_the_supervisor_imports_the_standard_library_only() -> None:
    """It runs isolated, by path, also where goalfsm cannot be imported."""
    checked = subprocess.run(
        [
            *(sys.executable, "-I", "-S", "-c"),
            IMPORTED,
            supervisor_program.__file__,
        ],
        capture_output=True,
        check=True,
        text=True,
    )
    assert checked.stdout.strip() == "[]"


@LINUX
def test_the_supervisor_is_small(bench: Any) -> None:
    async def main(supervisor: Supervisor) -> int:
        await _spawn(supervisor, "run-1", ["true"], bench.db)
        await supervisor.end("run-1")
        return int(psutil.Process(supervisor.pid).memory_info().rss)

    assert bench.run(main) < 24 * 1024 * 1024


def test_a_process_is_told_from_another_with_its_number() -> None:
    started = processes.start_time(os.getpid())
    assert processes.is_running(os.getpid(), started)
    assert not processes.is_running(os.getpid(), started + "0")
    assert not processes.is_running(os.getpid(), "")
    process = subprocess.Popen(["true"])
    pid = process.pid
    process.wait()
    assert processes.start_time(pid) == ""
    asyncio.run(processes.wait_gone(pid, started))


def test_a_zombie_is_gone() -> None:
    process = subprocess.Popen(["sleep", "3600"])
    started = processes.start_time(process.pid)
    try:
        process.kill()
        asyncio.run(processes.wait_gone(process.pid, started))
        assert not processes.is_running(process.pid, started)
    finally:
        process.wait()


def _wait_ended(pid: int) -> None:
    """Return when a process that is not ours has ended."""
    if started := processes.start_time(pid):
        asyncio.run(asyncio.wait_for(processes.wait_gone(pid, started), 60))


async def _spawn(
    supervisor: Supervisor, run_id: str, argv: list[str], db: str, stdout: int | None = None
) -> Child:
    nothing = os.open(os.devnull, os.O_RDWR)
    try:
        return await supervisor.spawn(
            run_id,
            argv,
            cwd=None,
            env={**os.environ, "GOALFSM_DB": db},
            stdin=nothing,
            stdout=nothing if stdout is None else stdout,
            stderr=nothing,
        )
    finally:
        os.close(nothing)
