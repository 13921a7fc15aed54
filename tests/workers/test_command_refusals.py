"""Programs that cannot be started or ended, and how that is told."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from goalfsm.errors import GoalError
from goalfsm.workers.command import CommandWorker
from goalfsm.workers.protocol import ErrorReported, Exited, Spawned, TurnEvent
from goalfsm.workers.spec import CommandSpec
from goalfsm.workers.supervisor.client import Supervisor
from goalfsm.workers.supervisor.spawning import split_command
from tests.workers.reading import answer, ending, error, only


def descriptors() -> int:
    """Return how many descriptors this process has open."""
    return len(list(Path("/dev/fd").iterdir()))


def test_a_program_that_does_not_exist_is_refused_and_reported(bench: Any, tmp_path: Path) -> None:
    missing = CommandSpec(argv=("no-such-program-here",))
    with pytest.raises(GoalError) as caught:
        missing.validate()
    assert caught.value.code == "program_not_found"
    assert caught.value.hint
    events = bench.turn(["no-such-program-here"])
    assert error(events).kind == "spawn"
    assert error(events).code == "program_not_found"
    assert ending(events) == Exited(ok=False)
    assert [type(event) for event in events] == [ErrorReported, Exited]
    events = bench.turn([str(tmp_path / "missing")])
    assert error(events).code == "program_not_found"


def test_a_file_that_is_no_program_is_refused_and_reported(bench: Any, tmp_path: Path) -> None:
    path = tmp_path / "worker"
    path.write_text("echo hello\n")
    with pytest.raises(GoalError) as caught:
        CommandSpec(argv=(str(path),)).validate()
    assert caught.value.code == "program_not_executable"
    assert "chmod +x" in caught.value.hint
    assert error(bench.turn([str(path)])).code == "program_not_executable"
    path.chmod(0o755)
    CommandSpec(argv=(str(path),)).validate()
    assert "#!" in error(bench.turn([str(path)])).message
    path.write_text("#!/no/such/interpreter\n")
    assert "interpreter" in error(bench.turn([str(path)])).message


def test_a_program_relative_to_its_directory_is_found_there(bench: Any, tmp_path: Path) -> None:
    path = tmp_path / "worker"
    path.write_text("#!/bin/sh\necho here\n")
    path.chmod(0o755)
    spec = {"cwd": str(tmp_path)}
    CommandSpec(argv=("./worker",), cwd=str(tmp_path)).validate()
    assert answer(bench.turn(["./worker"], spec=spec)) == "here\n"


@pytest.mark.parametrize("kind", ["missing", "file"])
def test_a_directory_that_cannot_be_entered_is_refused_and_reported(
    bench: Any, tmp_path: Path, kind: str
) -> None:
    place = tmp_path / kind
    if kind == "file":
        place.write_text("")
    with pytest.raises(GoalError) as caught:
        CommandSpec(argv=("cat",), cwd=str(place)).validate()
    assert caught.value.code == "directory_unusable"
    assert error(bench.turn(["cat"], spec={"cwd": str(place)})).code == "directory_unusable"


def test_an_argument_that_is_too_long_says_what_to_do(bench: Any) -> None:
    failed = error(bench.turn(["echo"], prompt="x" * 4_000_000, spec={"prompt_arg": True}))
    assert failed.code == "arguments_too_long"
    assert "stdin" in failed.message


@pytest.mark.parametrize("argv", [(), ("",), ("a\0b",)])
def test_what_is_no_command_is_refused(argv: tuple[str, ...]) -> None:
    with pytest.raises(GoalError):
        CommandSpec(argv=argv).validate()


def test_a_command_line_is_split_as_a_shell_would_and_not_run_by_one() -> None:
    assert split_command("make 'a b' $HOME ;x") == ("make", "a b", "$HOME", ";x")
    for bad in ("", "   ", "echo 'open"):
        with pytest.raises(GoalError):
            split_command(bad)


def test_a_run_id_is_used_once_at_a_time(bench: Any) -> None:
    async def main(supervisor: Supervisor) -> list[TurnEvent]:
        worker = CommandWorker(CommandSpec(argv=("cat",), stdin="lines"), supervisor)
        run = worker.run(bench.work())
        await anext(run)
        second = CommandWorker(CommandSpec(argv=("cat",)), supervisor)
        events = [event async for event in second.run(bench.work())]
        await run.aclose()
        return events

    assert error(bench.run(main)).code == "run_exists"


def test_a_spec_can_be_stored() -> None:
    spec = CommandSpec(argv=("a", "b"), cwd="/x", env_names=("KEY",), prompt_arg=True)
    assert msgspec.json.decode(msgspec.json.encode(spec), type=CommandSpec) == spec


def test_a_run_that_is_aborted_before_it_starts_does_not_run(bench: Any, tmp_path: Path) -> None:
    mark = tmp_path / "mark"

    async def main(supervisor: Supervisor) -> list[TurnEvent]:
        worker = CommandWorker(
            CommandSpec(argv=("sh", "-c", f"trap '' TERM; sleep 3600; touch {mark}")),
            supervisor,
            grace_s=0.0,
        )
        events: list[TurnEvent] = []

        async def drive() -> None:
            events.extend([event async for event in worker.run(bench.work())])

        driving = asyncio.create_task(drive())
        while not supervisor.runs:  # noqa: ASYNC110 - until the request has left
            await asyncio.sleep(0)
        assert await worker.abort("run-1")
        await driving
        return events

    end = ending(bench.run(main))
    assert (end.ok, end.aborted) == (False, True)
    assert not mark.exists()


def test_processes_that_cannot_be_ended_are_named(bench: Any) -> None:
    """While they are there, the daemon must not dispatch; and it hears it as often as it asks."""

    async def main(supervisor: Supervisor) -> list[TurnEvent]:
        worker = CommandWorker(CommandSpec(argv=("sleep", "3600")), supervisor, grace_s=0.0)
        events: list[TurnEvent] = []
        async for event in worker.run(bench.work()):
            events.append(event)
            if isinstance(event, Spawned):
                # What a supervisor says after it gave up on a process that ignores SIGKILL.
                supervisor._heard({"tell": "gone", "run": "run-1", "left": [event.pid]})
        return events

    events = bench.run(main)
    spawned = only(events, Spawned)
    assert ending(events) == Exited(ok=False, left=(spawned.pid,))
    assert error(events).code == "processes_left"


@pytest.mark.parametrize("where", ["pipe", "dup"])
def test_a_lack_of_descriptors_is_an_error_of_the_run(
    bench: Any, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    async def main(supervisor: Supervisor) -> list[TurnEvent]:
        worker = CommandWorker(CommandSpec(argv=("cat",)), supervisor)
        before = descriptors()
        with monkeypatch.context() as patched:
            patched.setattr(os, where, refuse)
            events = [event async for event in worker.run(bench.work())]
        assert descriptors() == before
        assert supervisor.runs == frozenset()
        assert ending([event async for event in worker.run(bench.work())]).ok
        return events

    failed = error(bench.run(main))
    assert (failed.kind, failed.code) == ("spawn", "spawn_unavailable")


def test_no_supervisor_is_an_error_of_the_run(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main(supervisor: Supervisor) -> list[TurnEvent]:
        assert supervisor.pid is not None
        os.kill(supervisor.pid, signal.SIGKILL)
        while supervisor.pid is not None:  # noqa: ASYNC110 - until it is noticed
            await asyncio.sleep(0)
        monkeypatch.setattr(sys, "executable", "/no/such/python")
        worker = CommandWorker(CommandSpec(argv=("cat",)), supervisor)
        return [event async for event in worker.run(bench.work())]

    events = bench.run(main)
    assert error(events).code == "supervisor_unavailable"
    assert ending(events) == Exited(ok=False)


def test_a_program_that_does_not_read_cannot_fill_the_daemon(bench: Any) -> None:
    async def main(supervisor: Supervisor) -> tuple[int, int]:
        spec = CommandSpec(argv=("sleep", "3600"), stdin="lines")
        worker = CommandWorker(spec, supervisor, grace_s=0.0)
        run = worker.run(bench.work())
        await anext(run)
        text = "x" * 100_000
        sent = [await worker.steer("run-1", str(number), text) for number in range(100)]
        await run.aclose()
        return sent.index(False), sent.count(True)

    first_refused, sent = bench.run(main)
    assert first_refused == sent
    assert 30 < sent < 50
