"""What a program's run leaves behind: processes, output, and other runs unharmed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from typing import Any

import psutil
import pytest

from goalfsm.workers.command import CommandWorker
from goalfsm.workers.protocol import Exited, Spawned, TurnEvent, WaitDeclared
from goalfsm.workers.spec import CommandSpec
from goalfsm.workers.supervisor import identity
from goalfsm.workers.supervisor.client import Supervisor
from tests.workers.reading import FOREVER, HOLD, LINES, Python, answer, ending, only


def test_a_background_job_does_not_outlive_its_turn(
    bench: Any, python: Python, lifeline: Any
) -> None:
    """Nor does it keep the turn from ending by holding its stdout."""
    source = (
        HOLD.format(path=str(lifeline.path))
        + "if os.fork() == 0:\n    os.write(line, b'up')\n"
        + "    signal.signal(signal.SIGTERM, signal.SIG_IGN)\n    "
        + FOREVER
        + "print('done')\n"
    )
    events = bench.turn(python(source), grace_s=0.1)
    assert answer(events) == "done\n"
    assert ending(events).ok
    lifeline.wait_end()


DETACH = """
reader, writer = os.pipe()
os.set_inheritable(writer, True)
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.execve(sys.executable, [*{program!r}, str(writer)], {environment})
    os._exit(0)
os.wait()
os.close(writer)
os.read(reader, 1)
print('done')
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux adopts detached processes")
@pytest.mark.parametrize("environment", ["os.environ", "{}"])
def test_a_process_that_detaches_itself_does_not_outlive_its_turn(
    bench: Any, python: Python, lifeline: Any, environment: str
) -> None:
    """Neither a double fork nor an empty environment hides it."""
    hold = HOLD.format(path=str(lifeline.path))
    detached = python(hold + "os.write(line, b'up')\nos.write(int(sys.argv[1]), b'x')\n" + FOREVER)
    source = "import os, sys\n" + DETACH.format(program=detached, environment=environment)
    events = bench.turn(python(source), grace_s=0.1)
    assert answer(events) == "done\n"
    lifeline.wait_for(b"up")
    assert not lifeline.is_held()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a group is ended as a whole")
def test_the_process_that_the_goal_waits_for_is_let_go(bench: Any, python: Python) -> None:
    """It goes on after the turn, while its sibling does not."""
    source = (
        LINES
        + """
import os, subprocess
quiet = dict(stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
build, sibling = (subprocess.Popen(["sleep", "3600"], **quiet) for _ in range(2))
say(type="wait", **{"for": "process"}, pid=build.pid, note="the build")
say(type="text", text=str(sibling.pid))
os._exit(0)
"""
    )

    async def main(supervisor: Supervisor) -> None:
        worker = CommandWorker(CommandSpec(argv=tuple(python(source))), supervisor, grace_s=0.1)
        events = [event async for event in worker.run(bench.work())]
        assert ending(events) == Exited(ok=True, status=0)
        waited = only(events, WaitDeclared)
        assert waited.pid is not None
        assert waited.start_time
        assert not psutil.pid_exists(int(answer(events)))
        assert identity.is_running(waited.pid, waited.start_time)
        # Another run, and the end of the supervisor, are none of its business either.
        again = bench.work(run_id="run-2")
        assert ending([event async for event in worker.run(again)]).ok
        await supervisor.close()
        assert identity.is_running(waited.pid, waited.start_time)
        gone = asyncio.create_task(identity.wait_gone(waited.pid, waited.start_time))
        os.kill(waited.pid, signal.SIGKILL)
        await gone
        assert not identity.is_running(waited.pid, waited.start_time)
        # The second run left a build of its own.
        for child in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if child.environ().get("GOALFSM_DB") == bench.db:
                    child.kill()

    bench.run(main)


def test_200_mb_of_output_are_read_in_bounded_memory(bench: Any) -> None:
    process = psutil.Process()
    sizes: list[int] = []

    async def main(supervisor: Supervisor) -> list[TurnEvent]:
        spec = CommandSpec(argv=("head", "-c", str(200 * 1024 * 1024), "/dev/zero"))
        worker = CommandWorker(spec, supervisor)
        before = process.memory_info().rss
        events = []
        async for event in worker.run(bench.work()):
            events.append(event)
            sizes.append(process.memory_info().rss - before)
        return events

    events = bench.run(main)
    assert ending(events).ok
    text = answer(events)
    assert "209,584,128 characters left out" in text
    assert len(text) < 2 * 64 * 1024 + 100
    assert max(sizes) < 32 * 1024 * 1024


def test_a_worker_waits_for_a_reader_that_is_slow(bench: Any, python: Python) -> None:
    """Events wait in the pipe, not in the daemon's memory, and none is lost."""
    source = LINES + 'for i in range(30000): say(type="tool_end", name=str(i))'

    async def main(supervisor: Supervisor) -> tuple[int, list[str]]:
        worker = CommandWorker(CommandSpec(argv=tuple(python(source))), supervisor)
        run = worker.run(bench.work())
        assert isinstance(await anext(run), Spawned)
        inner = worker._runs["run-1"]
        stdout = inner._program._stdout
        assert stdout is not None
        while not stdout._paused:  # noqa: ASYNC110
            await asyncio.sleep(0)
        waiting = len(inner._events)
        return waiting, [event.name async for event in run if hasattr(event, "name")]

    waiting, names = bench.run(main)
    assert waiting < 8_000
    assert names == [str(i) for i in range(30000)]


def test_runs_side_by_side_do_not_meet(bench: Any) -> None:
    async def main(supervisor: Supervisor) -> list[str]:
        spec = CommandSpec(argv=("sh", "-c", 'read x; echo "$GOALFSM_RUN_ID $x"'))
        worker = CommandWorker(spec, supervisor)

        async def one(number: int) -> str:
            work = bench.work(run_id=f"run-{number}", prompt=f"p{number}\n")
            return answer([event async for event in worker.run(work)])

        return await asyncio.gather(*(one(number) for number in range(8)))

    assert bench.run(main) == [f"run-{number} p{number}\n" for number in range(8)]
