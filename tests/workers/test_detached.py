"""What a run detaches from itself ends with its turn, and with whatever looks after it."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from typing import Any

import psutil
import pytest

from goalfsm.workers.command import CommandWorker
from goalfsm.workers.protocol import ErrorReported, Exited, Spawned, TurnEvent
from goalfsm.workers.spec import CommandSpec
from goalfsm.workers.supervisor import client, identity, process_tree
from goalfsm.workers.supervisor.client import Supervisor
from tests.workers.daemons import LINUX, keeper_of, keepers_of, spawn
from tests.workers.reading import Python

pytestmark = LINUX

# Holds the lifeline from a process that nothing connects with its run but what it cannot change:
# no parent, no session, no group, none of the run's environment.
HIDING = """
import os, resource, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        if {unmarked}: resource.setrlimit(10, (7, resource.getrlimit(10)[1]))
        code = "import os, time; os.write(os.open({path!r}, os.O_WRONLY), b'h'); time.sleep(3600)"
        os.execve({python!r}, [{python!r}, "-I", "-S", "-c", code], {env})
    os._exit(0)
line = os.open({path!r}, os.O_RDWR)
os.wait()
{then}
"""
WAITS = "import time; time.sleep(3600)"


def hiding(
    python: Python, lifeline: Any, then: str = "", *, env: str = "{}", unmarked: bool = False
) -> list[str]:
    """Return a program that leaves a hidden process behind and then does what ``then`` says."""
    argv = python("")
    source = HIDING.format(
        path=str(lifeline.path), python=argv[0], then=then, env=env, unmarked=unmarked
    )
    return python(source)


@pytest.mark.parametrize("env", ["{}", "{'GOALFSM_RUN_ID': 'nobodys'}"])
@pytest.mark.parametrize("unmarked", [False, True])
def test_what_hides_ends_with_its_turn_while_another_goes_on(
    bench: Any, python: Python, lifeline: Any, env: str, unmarked: bool
) -> None:
    argv = hiding(python, lifeline, "sys.stdin.read()", env=env, unmarked=unmarked)

    async def main(supervisor: Supervisor) -> bool:
        other = await spawn(supervisor, "other", ["sleep", "3600"], bench.db)
        # The turn ends when the hidden process has said that it is up.
        reader, writer = os.pipe()
        child = await spawn(supervisor, "run-1", argv, bench.db, stdin=reader)
        os.close(reader)
        await asyncio.to_thread(lifeline.wait_for, b"h")
        os.close(writer)
        await child.exited
        assert await supervisor.end("run-1") == ()
        await asyncio.to_thread(lifeline.wait_end)
        return identity.is_running(other.pid, other.start_time)

    assert bench.run(main)


@pytest.mark.skipif(shutil.which("tmux") is None, reason="needs tmux")
def test_a_terminal_server_that_a_turn_starts_ends_with_it(bench: Any, tmp_path: Any) -> None:
    tmux = f"tmux -S {tmp_path}/tmux"
    panes = "list-panes -F '#{pid} #{pane_pid}'"
    script = f"{tmux} new-session -d 'sleep 3600' && {tmux} {panes}"
    events = bench.turn(
        [
            "sh",
            "-c",
            script,
        ],
    )
    text = "".join(event.text for event in events if hasattr(event, "text"))
    pids = [int(number) for number in text.split()]
    assert len(pids) == 2, events
    assert not any(psutil.pid_exists(pid) for pid in pids)


def test_when_the_supervisor_is_killed_its_keeper_leaves_nothing(
    start_daemon: Any, python: Python, lifeline: Any
) -> None:
    daemon = start_daemon(hiding(python, lifeline, WAITS))
    lifeline.wait_for(b"h")
    # So that it can do nothing about it.
    daemon.process.send_signal(signal.SIGSTOP)
    keeper = daemon.keeper
    started = identity.start_time(keeper)
    os.kill(daemon.supervisor, signal.SIGKILL)
    lifeline.wait_end()
    asyncio.run(asyncio.wait_for(identity.wait_gone(keeper, started), 60))


def test_a_stopped_supervisor_does_not_outlive_its_daemon(
    start_daemon: Any, python: Python, lifeline: Any
) -> None:
    daemon = start_daemon(hiding(python, lifeline, WAITS))
    lifeline.wait_for(b"h")
    os.kill(daemon.supervisor, signal.SIGSTOP)
    daemon.kill()
    lifeline.wait_end()


@pytest.mark.parametrize("how", ["stopped", "silent"])
def test_a_silent_supervisor_counts_as_dead(
    bench: Any, python: Python, lifeline: Any, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """Its runs end with an error, nothing of them is left, and the next run goes well."""
    monkeypatch.setattr(client, "PING_EVERY_S", 0.02)
    if how == "silent":
        monkeypatch.setattr(Supervisor, "_is_stopped", lambda _: False)
    argv = hiding(python, lifeline, WAITS)

    async def main(supervisor: Supervisor) -> list[TurnEvent]:
        worker = CommandWorker(CommandSpec(argv=tuple(argv)), supervisor)
        events: list[TurnEvent] = []
        async for event in worker.run(bench.work()):
            events.append(event)
            if isinstance(event, Spawned):
                await asyncio.to_thread(lifeline.wait_for, b"h")
                assert supervisor.pid is not None
                os.kill(supervisor.pid, signal.SIGSTOP)
        await asyncio.to_thread(lifeline.wait_end)
        again = CommandWorker(CommandSpec(argv=("cat",)), supervisor)
        events += [event async for event in again.run(bench.work(run_id="run-2", prompt="hi"))]
        return events

    events = bench.run(main)
    assert [event.kind for event in events if isinstance(event, ErrorReported)] == ["lost"]
    assert [event.ok for event in events if isinstance(event, Exited)] == [False, True]


def test_a_supervisor_that_answers_is_left_alone(
    bench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "PING_EVERY_S", 0.001)
    monkeypatch.setattr(client, "SILENT_PINGS", 400)
    heard: list[str] = []
    hear = Supervisor._heard

    def hearing(self: Supervisor, packet: Any) -> None:
        heard.append(packet["tell"])
        hear(self, packet)

    monkeypatch.setattr(Supervisor, "_heard", hearing)

    async def main(supervisor: Supervisor) -> None:
        child = await spawn(supervisor, "run-1", ["sleep", "3600"], bench.db)
        while heard.count("pong") < 420:  # noqa: ASYNC110 - until it has answered
            await asyncio.sleep(0.001)
        assert identity.is_running(child.pid, child.start_time)
        assert await supervisor.end("run-1") == ()

    bench.run(main)


@pytest.mark.parametrize("who", ["supervisor", "keeper", "both"])
def test_closing_does_not_wait_for_the_stopped(bench: Any, who: str) -> None:
    async def main(supervisor: Supervisor) -> None:
        child = await spawn(supervisor, "run-1", ["sleep", "3600"], bench.db)
        serving = supervisor.pid
        assert serving is not None
        keeper = keeper_of(serving)
        for name, pid in (("supervisor", serving), ("keeper", keeper)):
            if who in {name, "both"}:
                os.kill(pid, signal.SIGSTOP)
        await supervisor.close()
        assert not any(psutil.pid_exists(pid) for pid in (serving, keeper))
        assert not identity.is_running(child.pid, child.start_time)

    bench.run(main)


def test_a_run_s_processes_carry_its_mark(bench: Any) -> None:
    async def main(supervisor: Supervisor) -> None:
        child = await spawn(supervisor, "run-1", ["sleep", "3600"], bench.db)
        part = process_tree.mark_of(supervisor._db, "run-1")
        assert process_tree.run_part(process_tree.marked(child.pid)) == part
        assert psutil.Process(child.pid).ppid() == supervisor.pid
        assert psutil.Process(supervisor.pid).ppid() == os.getpid()
        await supervisor.end("run-1")

    bench.run(main)


def test_a_keeper_that_is_killed_is_replaced(bench: Any) -> None:
    async def main(supervisor: Supervisor) -> None:
        await spawn(supervisor, "run-1", ["sleep", "3600"], bench.db)
        assert supervisor.pid is not None
        first = keeper_of(supervisor.pid)
        os.kill(first, signal.SIGKILL)
        await identity.wait_gone(first, identity.start_time(first))
        while not (now := keepers_of(supervisor.pid) - {first}):  # noqa: ASYNC110 - until it is there
            await asyncio.sleep(0.001)
        assert len(now) == 1
        assert await supervisor.end("run-1") == ()

    bench.run(main)
