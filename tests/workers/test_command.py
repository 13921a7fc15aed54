"""Programs as workers: what they are given, what their output and their end mean."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import psutil
import pytest

from goalfsm.errors import GoalError
from goalfsm.workers import processes
from goalfsm.workers.command import CommandSpec, CommandWorker
from goalfsm.workers.protocol import (
    ErrorReported,
    Exited,
    Skipped,
    Spawned,
    SteeringAcknowledged,
    Text,
    ToolCalled,
    ToolResult,
    TurnEvent,
    UsageReported,
    WaitDeclared,
)
from goalfsm.workers.spawning import split_command
from goalfsm.workers.supervision import Supervisor

E = TypeVar("E")
Python = Callable[[str], list[str]]

HOLD = "import os, signal, sys, time\nline = os.open({path!r}, os.O_WRONLY)\n"
FOREVER = "while True: time.sleep(3600)\n"


def answer(events: list[TurnEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, Text))


def ending(events: list[TurnEvent]) -> Exited:
    """Return the last event, after checking that a run has exactly one end."""
    assert [type(event) for event in events].count(Exited) == 1
    assert isinstance(events[-1], Exited)
    return events[-1]


def only(events: list[TurnEvent], kind: type[E]) -> E:
    found = [event for event in events if isinstance(event, kind)]
    assert len(found) == 1, events
    return found[0]


def error(events: list[TurnEvent]) -> ErrorReported:
    return only(events, ErrorReported)


def descriptors() -> int:
    """Return how many descriptors this process has open."""
    return len(list(Path("/dev/fd").iterdir()))


# What a program is given.


def test_a_program_reads_its_prompt_to_the_end_and_answers_in_text(bench: Any) -> None:
    events = bench.turn(["cat"], prompt="line one\nline two\n")
    assert isinstance(events[0], Spawned)
    assert answer(events) == "line one\nline two\n"
    assert ending(events) == Exited(ok=True, status=0)


def test_a_shell_script_without_any_protocol_is_a_worker(bench: Any) -> None:
    script = 'prompt=$(cat); echo "turn $GOALFSM_TURN of $GOALFSM_THREAD: $prompt"'
    events = bench.turn(["sh", "-c", script], prompt="hello", turn=3)
    assert answer(events) == "turn 3 of thread: hello\n"


def test_the_environment_names_the_run(bench: Any) -> None:
    named = {"run_id": "r9", "run_token": "t9", "objective": "a\0b", "thread_id": "main"}
    events = bench.turn(["env"], prompt="", **named)
    told = dict(line.split("=", 1) for line in answer(events).splitlines() if "=" in line)
    assert told["GOALFSM_DB"] == bench.db
    assert told["GOALFSM_THREAD"] == "main"
    assert (told["GOALFSM_RUN_ID"], told["GOALFSM_RUN_TOKEN"]) == ("r9", "t9")
    assert told["GOALFSM_OBJECTIVE"] == "a\N{REPLACEMENT CHARACTER}b"


def test_it_runs_where_it_is_told_and_otherwise_here(bench: Any, tmp_path: Path) -> None:
    assert answer(bench.turn(["pwd", "-P"], spec={"cwd": str(tmp_path)})).strip() == str(
        tmp_path.resolve()
    )
    assert answer(bench.turn(["pwd", "-P"])).strip() == str(Path.cwd().resolve())


def test_the_prompt_can_be_the_last_argument(bench: Any) -> None:
    events = bench.turn(
        ["sh", "-c", 'printf "%s" "$1"', "sh"], prompt="a 'b' $c", spec={"prompt_arg": True}
    )
    assert answer(events) == "a 'b' $c"


def test_an_argument_prompt_without_lines_gives_an_empty_stdin(bench: Any) -> None:
    """A program that reads stdin to its end does not hang."""
    spec = {"prompt_arg": True, "stdin": "close"}
    assert answer(bench.turn(["sh", "-c", "cat; echo done"], spec=spec)) == "done\n"


def test_stdin_ends_when_the_answer_turns_out_to_be_text(bench: Any) -> None:
    spec = {"prompt_arg": True}
    assert answer(bench.turn(["sh", "-c", "echo one; cat; echo two"], spec=spec)) == "one\ntwo\n"


def test_a_prompt_that_nobody_reads_is_no_error(bench: Any) -> None:
    events = bench.turn(["true"], prompt="x" * 1_000_000)
    assert ending(events).ok


def test_a_prompt_larger_than_a_pipe_arrives_whole(bench: Any) -> None:
    events = bench.turn(["wc", "-c"], prompt="é" * 500_000)
    assert answer(events).strip() == "1000000"


def test_descriptors_of_the_daemon_do_not_leak_into_workers(bench: Any, python: Python) -> None:
    source = "import os\nprint(sorted(os.listdir('/dev/fd')))"
    with Path(__file__).open("rb") as held:
        os.set_inheritable(held.fileno(), True)  # noqa: FBT003
        told = answer(bench.turn(python(source)))
    # The fourth is the directory that is being listed.
    assert told.strip() == "['0', '1', '2', '3']"


def test_signals_have_their_usual_meaning_in_a_worker(bench: Any, python: Python) -> None:
    """What the supervisor ignores for itself is not ignored by what it starts."""
    source = (
        "import signal\n"
        "for name in 'SIGINT SIGTERM SIGHUP SIGQUIT SIGCHLD SIGUSR2'.split():\n"
        "    print(name, signal.getsignal(getattr(signal, name)) is signal.SIG_IGN)\n"
    )
    assert "True" not in answer(bench.turn(python(source)))


# JSON lines.


LINES = """
import json, sys
def say(**fields): print(json.dumps(fields), flush=True)
def hear(): return json.loads(sys.stdin.readline())
"""


def test_json_lines_become_events(bench: Any, python: Python) -> None:
    source = (
        LINES
        + """
say(type="text", text="Hello, ")
say(type="usage", input_tokens=10, output_tokens=5, cost=0.5)
print("noise")
say(type="mystery")
say(type="usage", input_tokens=-1, output_tokens=5)
say(type="text", text="world")
"""
    )
    events = bench.turn(python(source))
    assert answer(events) == "Hello, world"
    assert only(events, UsageReported) == UsageReported(
        key="1", input_tokens=10, output_tokens=5, cost=500_000
    )
    assert [event.reason.split(":")[0] for event in events if isinstance(event, Skipped)] == [
        "not JSON",
        "unknown type",
        "invalid usage",
    ]
    assert ending(events).ok


@pytest.mark.parametrize("spec", [{"prompt_arg": True}, {"stdin": "lines"}])
def test_a_tool_call_is_answered_on_stdin(bench: Any, python: Python, spec: dict[str, Any]) -> None:
    source = (
        LINES
        + """
prompt = sys.argv[1] if len(sys.argv) > 1 else hear()["text"]
say(type="tool_call", id="c1", name="get_goal", arguments={})
say(type="text", text=prompt + json.dumps(hear(), sort_keys=True))
say(type="tool_call", id=2, name="update_goal")
say(type="text", text=json.dumps(hear(), sort_keys=True))
"""
    )
    results: dict[str | int, ToolResult] = {
        "c1": ToolResult(ok=True, result={"status": "active"}),
        2: ToolResult(ok=False, error="no evidence", code="evidence_missing"),
    }

    async def main(supervisor: Supervisor) -> list[TurnEvent]:
        worker = CommandWorker(CommandSpec(argv=tuple(python(source)), **spec), supervisor)
        assert worker.capabilities == {"abort", "steer", "tool_result"}
        events = []
        async for event in worker.run(bench.work(prompt="P")):
            events.append(event)
            if isinstance(event, ToolCalled):
                assert not await worker.tool_result("run-1", "other", results["c1"])
                assert await worker.tool_result("run-1", event.id, results[event.id])
                assert not await worker.tool_result("run-1", event.id, results[event.id])
        return events

    events = bench.run(main)
    assert ending(events).ok
    first, second = answer(events).replace("}{", "}\n{").split("\n")
    assert json.loads(first.removeprefix("P")) == {
        "type": "tool_result",
        "id": "c1",
        "ok": True,
        "result": {"status": "active"},
    }
    assert json.loads(second) == {
        "type": "tool_result",
        "id": 2,
        "ok": False,
        "error": "no evidence",
        "code": "evidence_missing",
    }


def test_without_lines_a_tool_call_is_reported_but_cannot_be_answered(
    bench: Any, python: Python
) -> None:
    source = LINES + 'sys.stdin.read(); say(type="tool_call", id="c1", name="get_goal")'

    async def main(supervisor: Supervisor) -> list[TurnEvent]:
        worker = CommandWorker(CommandSpec(argv=tuple(python(source))), supervisor)
        assert worker.capabilities == {"abort"}
        events = []
        async for event in worker.run(bench.work()):
            events.append(event)
            if isinstance(event, ToolCalled):
                assert not await worker.tool_result("run-1", event.id, ToolResult(ok=True))
                assert not await worker.steer("run-1", "m", "text")
        return events

    events = bench.run(main)
    assert only(events, ToolCalled).name == "get_goal"
    assert ending(events).ok


def test_steering_reaches_a_running_turn(bench: Any, python: Python) -> None:
    source = (
        LINES
        + """
assert hear() == {"type": "prompt", "text": "go on"}
say(type="text", text="ready ")
message = hear()
say(type="steer_ack", id=message["id"])
say(type="text", text=message["type"] + " " + message["text"])
"""
    )

    async def main(supervisor: Supervisor) -> list[TurnEvent]:
        worker = CommandWorker(CommandSpec(argv=tuple(python(source)), stdin="lines"), supervisor)
        assert not await worker.steer("run-1", "m1", "too early")
        events = []
        async for event in worker.run(bench.work()):
            events.append(event)
            if isinstance(event, Text) and event.text == "ready ":
                assert await worker.steer("run-1", "m1", "left, not right")
        assert not await worker.steer("run-1", "m2", "too late")
        return events

    events = bench.run(main)
    assert only(events, SteeringAcknowledged).id == "m1"
    assert answer(events) == "ready steer left, not right"


# How a turn ends.


def test_another_status_is_an_error_with_the_end_of_stderr(bench: Any) -> None:
    script = "echo answer; echo first >&2; echo 'rate limit: 429' >&2; exit 7"
    events = bench.turn(["sh", "-c", script])
    failed = error(events)
    assert failed.kind == "exit"
    assert failed.code == "exit_7"
    assert failed.message == "sh exited with status 7: first\nrate limit: 429"
    end = ending(events)
    assert (end.ok, end.status, end.stderr_tail) == (False, 7, "first\nrate limit: 429")
    assert answer(events) == "answer\n"


def test_a_good_turn_may_write_to_stderr(bench: Any) -> None:
    end = ending(bench.turn(["sh", "-c", "echo warning >&2"]))
    assert end == Exited(ok=True, status=0, stderr_tail="warning")


def test_only_the_end_of_stderr_is_kept(bench: Any) -> None:
    script = "i=0; while [ $i -lt 4000 ]; do echo line $i >&2; i=$((i+1)); done; exit 1"
    end = ending(bench.turn(["sh", "-c", script]))
    assert end.stderr_tail.startswith("...")
    assert end.stderr_tail.endswith("line 3999")
    assert len(end.stderr_tail) <= 16 * 1024 + 3


def test_an_error_line_says_more_than_the_status(bench: Any, python: Python) -> None:
    source = LINES + 'say(type="error", message="quota", status=429, retry_after=9); sys.exit(1)'
    events = bench.turn(python(source))
    assert error(events) == ErrorReported(message="quota", status=429, retry_after=9.0)
    assert ending(events).status == 1


def test_an_error_line_fails_the_turn_also_with_status_0(bench: Any, python: Python) -> None:
    assert not ending(bench.turn(python(LINES + 'say(type="error", message="m")'))).ok


def test_an_error_of_an_earlier_model_call_does_not_fail_the_turn(
    bench: Any, python: Python
) -> None:
    source = LINES + 'say(type="error", message="m"); say(type="turn_start"); say(type="turn_end")'
    assert ending(bench.turn(python(source))).ok


def test_a_signal_is_named(bench: Any) -> None:
    events = bench.turn(["sh", "-c", "kill -KILL $$"])
    assert error(events).message == "sh was ended by SIGKILL"
    assert error(events).kind == "signal"
    assert ending(events).signal == signal.SIGKILL


def test_a_turn_that_takes_too_long_is_ended_with_all_its_processes(
    bench: Any, python: Python, lifeline: Any
) -> None:
    """Also when SIGTERM is ignored, by it and by a child of its own."""
    source = (
        HOLD.format(path=str(lifeline.path))
        + "signal.signal(signal.SIGTERM, signal.SIG_IGN)\nos.fork()\n"
        + "print('working', flush=True)\nos.write(line, b'up')\n"
        + FOREVER
    )
    events = bench.turn(python(source), turn_timeout_s=3.0, grace_s=0.1)
    failed = error(events)
    assert (failed.kind, failed.code) == ("timeout", "turn_timeout")
    assert failed.message == "the turn timed out after 3 s"
    end = ending(events)
    assert (end.ok, end.signal, end.left) == (False, signal.SIGKILL, ())
    assert "working" in answer(events)
    lifeline.wait_for(b"up")
    assert not lifeline.is_held()


def test_a_worker_can_report_its_usage_when_it_is_told_to_stop(bench: Any, python: Python) -> None:
    source = (
        LINES
        + """
import signal, time
def stop(*_):
    say(type="usage", input_tokens=5, output_tokens=1)
    sys.exit(0)
signal.signal(signal.SIGTERM, stop)
say(type="turn_start")
while True: time.sleep(3600)
"""
    )
    events = bench.turn(python(source), turn_timeout_s=3.0, grace_s=60.0)
    assert only(events, UsageReported).input_tokens == 5
    assert error(events).kind == "timeout"
    assert (ending(events).ok, ending(events).status) == (False, 0)


def test_a_silent_worker_times_out(bench: Any) -> None:
    events = bench.turn(["sleep", "3600"], silence_timeout_s=0.3)
    failed = error(events)
    assert (failed.kind, failed.code) == ("timeout", "silence_timeout")
    assert failed.message == "the turn timed out: no output for 0.3 s"


def test_a_sign_of_life_on_stderr_is_enough(bench: Any, python: Python) -> None:
    source = (
        "import sys, time\n"
        "for _ in range(12):\n"
        "    print('.', end='', file=sys.stderr, flush=True); time.sleep(0.25)\n"
    )
    assert ending(bench.turn(python(source), silence_timeout_s=2.0)).ok


def test_silence_while_an_answer_of_ours_is_due_is_not_held_against_it(
    bench: Any, python: Python
) -> None:
    source = LINES + 'say(type="tool_call", id=1, name="get_goal"); hear(); hear()'

    async def main(supervisor: Supervisor) -> list[TurnEvent]:
        spec = CommandSpec(argv=tuple(python(source)), stdin="lines")
        worker = CommandWorker(spec, supervisor, grace_s=0.0)
        events: list[TurnEvent] = []
        answering: list[asyncio.Task[bool]] = []

        async def answer_late() -> bool:
            await asyncio.sleep(3.0)
            return await worker.tool_result("run-1", 1, ToolResult(ok=True))

        async for event in worker.run(bench.work(silence_timeout_s=2.0)):
            events.append(event)
            if isinstance(event, ToolCalled):
                answering.append(asyncio.create_task(answer_late()))
        assert await answering[0]
        return events

    events = bench.run(main)
    # `hear` twice: the prompt and the answer. It ended by itself.
    assert ending(events).ok


def test_an_abort_ends_the_run_and_is_no_error(bench: Any, python: Python, lifeline: Any) -> None:
    source = HOLD.format(path=str(lifeline.path)) + "os.fork()\nos.write(line, b'up')\n" + FOREVER

    async def main(supervisor: Supervisor) -> list[TurnEvent]:
        worker = CommandWorker(CommandSpec(argv=tuple(python(source))), supervisor)
        assert not await worker.abort("run-1")
        events: list[TurnEvent] = []

        async def drive() -> None:
            events.extend([event async for event in worker.run(bench.work())])

        task = asyncio.create_task(drive())
        await asyncio.to_thread(lifeline.wait_for, b"up")
        assert await worker.abort("run-1")
        assert not lifeline.is_held()
        await task
        return events

    events = bench.run(main)
    assert not [event for event in events if isinstance(event, ErrorReported)]
    assert (ending(events).ok, ending(events).aborted) == (False, True)


@pytest.mark.parametrize("how", ["aclose", "cancel"])
def test_giving_up_on_a_run_ends_it(bench: Any, python: Python, lifeline: Any, how: str) -> None:
    source = (
        HOLD.format(path=str(lifeline.path))
        + "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        + "print('x' * 100, flush=True)\nos.fork()\nos.write(line, b'up')\n"
        + FOREVER
    )

    async def main(supervisor: Supervisor) -> None:
        worker = CommandWorker(CommandSpec(argv=tuple(python(source))), supervisor)
        run = worker.run(bench.work())
        assert isinstance(await anext(run), Spawned)
        await asyncio.to_thread(lifeline.wait_for, b"up")
        if how == "aclose":
            await run.aclose()
        else:
            heard = asyncio.Event()

            async def drain() -> None:
                async for _ in run:
                    heard.set()

            task = asyncio.create_task(drain())
            await heard.wait()
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            assert task.cancelled()
        assert supervisor.runs == frozenset()
        assert not lifeline.is_held()

    bench.run(main)


# What a run leaves behind.


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
        assert processes.is_running(waited.pid, waited.start_time)
        # Another run, and the end of the supervisor, are none of its business either.
        again = bench.work(run_id="run-2")
        assert ending([event async for event in worker.run(again)]).ok
        await supervisor.close()
        assert processes.is_running(waited.pid, waited.start_time)
        gone = asyncio.create_task(processes.wait_gone(waited.pid, waited.start_time))
        os.kill(waited.pid, signal.SIGKILL)
        await gone
        assert not processes.is_running(waited.pid, waited.start_time)
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
        while inner._stdout is None or not inner._stdout._paused:  # noqa: ASYNC110
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


# What cannot be started.


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
