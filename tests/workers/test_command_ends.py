"""How a program's turn ends, and what is said of it."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from typing import Any

import pytest

from goalfsm.workers import lines
from goalfsm.workers.command import CommandWorker
from goalfsm.workers.protocol import (
    ErrorReported,
    Exited,
    Spawned,
    ToolCalled,
    ToolResult,
    TurnEvent,
    UsageReported,
)
from goalfsm.workers.spec import CommandSpec
from goalfsm.workers.supervisor.client import Supervisor
from tests.workers.reading import FOREVER, HOLD, LINES, Python, answer, ending, error, only


def test_another_status_is_an_error_with_the_end_of_stderr(bench: Any) -> None:
    script = "echo answer; echo first >&2; echo 'rate limit: 429' >&2; exit 7"
    events = bench.turn(["sh", "-c", script])
    failed = error(events)
    assert failed.kind == "exit"
    assert failed.code == "exit_7"
    assert failed.message == "sh exited with status 7: first\nrate limit: 429"
    assert (failed.text, failed.source) == ("first\nrate limit: 429", "exit")
    end = ending(events)
    assert (end.ok, end.status, end.stderr_tail) == (False, 7, "first\nrate limit: 429")
    assert answer(events) == "answer\n"


@pytest.mark.parametrize(
    "said",
    [
        "API Error: 429 too many requests",
        '{"type":"result","subtype":"success","is_error":true,"api_error_status":429}',
    ],
)
def test_where_stderr_is_empty_the_end_of_the_answer_says_why(bench: Any, said: str) -> None:
    """Also where it is in a format that is not understood: its words are."""
    events = bench.turn(["sh", "-c", f"echo working; echo '{said}'; exit 1"])
    assert error(events).text == f"working\n{said}"
    events = bench.turn(["sh", "-c", f"echo '{said}'; exit 1"])
    assert (error(events).text, error(events).kind) == (said, "exit")


def test_of_a_turn_that_only_fails_there_are_no_words(bench: Any) -> None:
    failed = error(bench.turn(["sh", "-c", "exit 3"]))
    assert (failed.message, failed.text) == ("sh exited with status 3", None)


def test_long_words_are_told_from_their_end(bench: Any) -> None:
    script = "i=0; while [ $i -lt 2000 ]; do echo line $i >&2; i=$((i+1)); done; exit 1"
    words = error(bench.turn(["sh", "-c", script])).text
    assert words is not None
    assert len(words) <= 4_000
    assert words.endswith("line 1999")


def test_another_format_is_refused_where_the_turn_went_well(bench: Any) -> None:
    said = '{"type":"thread.started","thread_id":"x"}'
    failed = error(bench.turn(["sh", "-c", f"echo '{said}'"]))
    assert (failed.code, failed.failure) == ("other_format", "invalid_request")
    assert "--agent codex" in failed.message


def test_calls_beyond_the_bound_are_answered(
    bench: Any, python: Python, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lines, "MAX_REPORTED", 0)
    source = LINES + (
        'say(type="tool_call", id=7, name="get_goal")\nsys.stdin.readline()\n'
        'say(type="text", text=sys.stdin.readline())'
    )
    events = bench.turn(python(source), spec={"stdin": "lines"})
    assert '"code":"too_much"' in answer(events)


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
