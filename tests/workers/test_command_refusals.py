"""Programs that cannot be started or ended, and how that is told."""

from __future__ import annotations

import asyncio
import errno
import os
import shlex
import signal
import sys
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest

from goalfsm.errors import GoalError
from goalfsm.workers import piped
from goalfsm.workers.command import CommandWorker
from goalfsm.workers.protocol import ErrorReported, Exited, Spawned, TurnEvent
from goalfsm.workers.spec import CommandSpec
from goalfsm.workers.supervisor.client import Supervisor
from goalfsm.workers.supervisor.spawning import split_command
from tests.workers.daemons import spawn
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


@pytest.mark.parametrize("stdin", ["auto", "close"])
def test_a_prompt_that_is_too_long_for_an_argument_goes_to_stdin(bench: Any, stdin: str) -> None:
    """Counted in bytes as they are sent; up to there it stays an argument."""
    script = 'printf "%s/%s" "${#1}" "$(wc -c)"'
    spec = {"prompt_arg": True, "stdin": stdin}
    argv = ["sh", "-c", script, "sh"]
    whole = 128 * 1024 - 1
    if stdin == "close":
        assert answer(bench.turn(argv, prompt="x" * whole, spec=spec)) == f"{whole}/0"
    told, read = answer(bench.turn(argv, prompt="é" * (whole // 2 + 1), spec=spec)).split("/")
    assert int(told) < 200
    assert int(read) == 2 * (whole // 2 + 1)


def test_a_prompt_that_is_too_long_is_the_first_line_where_lines_are_read(bench: Any) -> None:
    spec = {"prompt_arg": True, "stdin": "lines"}
    first = answer(bench.turn(["sh", "-c", "head -c 27"], prompt="x" * 200_000, spec=spec))
    assert first == '{"type":"prompt","text":"xx'


def test_an_argument_of_the_command_itself_that_is_too_long_says_what_to_do(bench: Any) -> None:
    failed = error(bench.turn(["echo", "x" * 200_000]))
    assert (failed.code, failed.source) == ("arguments_too_long", "spawn")
    assert "stdin" in failed.message


def test_a_lack_of_descriptors_passes(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def lacking() -> tuple[int, int]:
        raise OSError(errno.EMFILE, "Too many open files")

    async def main(supervisor: Supervisor) -> list[TurnEvent]:
        monkeypatch.setattr(piped.os, "pipe", lacking)
        worker = CommandWorker(CommandSpec(argv=("true",)), supervisor)
        events = [event async for event in worker.run(bench.work())]
        monkeypatch.undo()
        return events

    failed = error(bench.run(main))
    assert (failed.code, failed.failure) == ("spawn_unavailable", "transient")


def test_a_lack_of_processes_passes(bench: Any) -> None:
    """The system's answer to a process too many, as the supervisor meets it."""

    async def main(supervisor: Supervisor) -> list[TurnEvent]:
        child = await spawn(supervisor, "run-0", ["sleep", "3600"], bench.db)
        limited = psutil.Process(supervisor.pid)
        before = limited.rlimit(psutil.RLIMIT_NOFILE)
        limited.rlimit(psutil.RLIMIT_NOFILE, (limited.num_fds() + 1, before[1]))
        worker = CommandWorker(CommandSpec(argv=("true",)), supervisor)
        events = [event async for event in worker.run(bench.work())]
        limited.rlimit(psutil.RLIMIT_NOFILE, before)
        events += [event async for event in worker.run(bench.work(run_id="run-2"))]
        await supervisor.end(child.run_id)
        return events

    events = bench.run(main)
    assert (error(events).code, error(events).failure) == ("spawn_unavailable", "transient")
    assert [event.ok for event in events if isinstance(event, Exited)] == [False, True]


def test_a_path_that_is_not_utf_8_is_no_obstacle(bench: Any, tmp_path: Path) -> None:
    place = os.fsdecode(os.fsencode(tmp_path) + b"/\xff")
    Path(place).mkdir()
    script = Path(place, "do\udcfe.sh")
    script.write_text('#!/bin/sh\nprintf "%s" "$PWD $GOALFSM_DB"\n')
    script.chmod(0o755)
    spec = CommandSpec(argv=(str(script),), cwd=place)
    spec.validate()
    db = f"{place}/goals.db"
    events = bench.turn([str(script)], spec={"cwd": place}, db=db)
    assert ending(events).ok
    assert answer(events).count("/\N{REPLACEMENT CHARACTER}") == 2


@pytest.mark.parametrize("argv", [(), ("",), ("a\0b",)])
def test_what_is_no_command_is_refused(argv: tuple[str, ...]) -> None:
    with pytest.raises(GoalError):
        CommandSpec(argv=argv).validate()


def test_a_command_line_is_split_as_a_shell_would_and_not_run_by_one() -> None:
    quoted = """make 'a b; $c' "d && e" f\\;g h=i 3~ x! '' """
    words = ("make", "a b; $c", "d && e", "f;g", "h=i", "3~", "x!", "")
    assert split_command(quoted) == words
    for bad in ("", "   ", "echo 'open"):
        with pytest.raises(GoalError):
            split_command(bad)


@pytest.mark.parametrize(
    "line",
    [
        "true && false",
        "echo build ok ; exit 1",
        "echo 3 failed | grep -q passed",
        "make test&",
        "true > /dev/null",
        "sort <words",
        "(make test)",
        "test $COUNT = 3",
        "`which make` test",
        "PYTHONPATH=. python3 -m pytest",
        "! true",
        "~/check.sh",
        "make\ntest",
    ],
)
def test_what_only_a_shell_understands_is_refused(line: str) -> None:
    """Quoted, it is an argument like any other; bare, a shell was expected, and there is none."""
    with pytest.raises(GoalError) as caught:
        split_command(line)
    assert caught.value.code == "command_needs_shell"
    assert caught.value.hint is not None
    assert caught.value.hint.endswith(f"sh -c {shlex.quote(line)}")
    assert split_command(f"sh -c {shlex.quote(line)}") == ("sh", "-c", line)


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
