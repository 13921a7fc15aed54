"""An async function as a worker: same events, same limits, same end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from goalfsm.workers import inprocess
from goalfsm.workers.inprocess import CallableWorker
from goalfsm.workers.protocol import (
    Compaction,
    ErrorReported,
    Exited,
    ModelTurnStarted,
    Probe,
    RunOnly,
    Text,
    ToolEnded,
    ToolResult,
    TurnEvent,
    UsageReported,
    Work,
)
from tests.work import make_work


def work(**changes: Any) -> Work:
    return make_work(**{"run_id": "r"} | changes)


def turn(function: Any, *, keep_output: int = 1000, **changes: Any) -> list[TurnEvent]:
    """Run one turn of a function and return all its events."""

    async def main() -> list[TurnEvent]:
        worker = CallableWorker(function, keep_output=keep_output)
        async with asyncio.timeout(60):
            return [event async for event in worker.run(work(**changes))]

    return asyncio.run(main())


def test_a_coroutine_returns_the_answer() -> None:
    async def function(given: Work) -> str:
        return f"turn {given.turn}: {given.prompt}"

    assert turn(function) == [Text(text="turn 1: go on"), Exited(ok=True)]


def test_a_coroutine_may_return_nothing() -> None:
    async def function(_: Work) -> None:
        return None

    assert turn(function) == [Exited(ok=True)]


def test_a_generator_yields_events_and_texts() -> None:
    async def function(_: Work) -> AsyncIterator[TurnEvent | str]:
        yield "a"
        yield UsageReported(input_tokens=1)
        yield UsageReported(key="mine", input_tokens=2)
        yield UsageReported(input_tokens=3)
        yield ToolEnded(name="x")
        yield Exited(ok=False)
        yield Text(text="b")

    assert turn(function) == [
        Text(text="a"),
        UsageReported(key="1", input_tokens=1),
        UsageReported(key="mine", input_tokens=2),
        UsageReported(key="3", input_tokens=3),
        ToolEnded(name="x"),
        Text(text="b"),
        Exited(ok=True),
    ]


def test_a_plain_function_may_return_an_iterator() -> None:
    async def generate() -> AsyncIterator[str]:
        yield "a"

    assert turn(lambda _: generate()) == [Text(text="a"), Exited(ok=True)]


def test_a_long_answer_is_bounded() -> None:
    async def function(_: Work) -> AsyncIterator[str]:
        for _ in range(1000):
            yield "x" * 100
        yield "end"

    events = turn(function, keep_output=50)
    assert [type(event) for event in events] == [Text, Text, Exited]
    text = "".join(event.text for event in events if isinstance(event, Text))
    assert text.startswith("x" * 50 + "\n[... 99,903 characters left out ...]\n")
    assert text.endswith("xend")


@pytest.mark.parametrize("where", ["before", "within"])
def test_an_exception_fails_the_turn(where: str) -> None:
    def function(_: Work) -> AsyncIterator[str]:
        if where == "before":
            raise raised

        async def generate() -> AsyncIterator[str]:
            yield "a"
            raise raised

        return generate()

    raised = ValueError("no key")
    *_, failed, exited = turn(function)
    assert failed == ErrorReported(
        message="ValueError: no key", kind="exception", code="ValueError", exception=raised
    )
    assert exited == Exited(ok=False)


def test_an_error_that_it_reports_fails_the_turn_unless_another_call_follows() -> None:
    async def failing(_: Work) -> AsyncIterator[TurnEvent]:
        yield ErrorReported(message="m")

    async def recovering(_: Work) -> AsyncIterator[TurnEvent]:
        yield ErrorReported(message="m")
        yield ModelTurnStarted()

    assert turn(failing)[-1] == Exited(ok=False)
    assert turn(recovering)[-1] == Exited(ok=True)


@pytest.mark.parametrize("given", [1, None, b"x"])
def test_what_is_no_event_fails_the_turn(given: Any) -> None:
    async def function(_: Work) -> AsyncIterator[Any]:
        yield given

    failed, exited = turn(function)
    assert isinstance(failed, ErrorReported)
    assert failed.code == "worker_invalid"
    assert exited == Exited(ok=False)


def test_a_function_that_is_not_async_fails_the_turn() -> None:
    failed, exited = turn(lambda _: "text")
    assert isinstance(failed, ErrorReported)
    assert failed.code == "worker_invalid"
    assert "async def" in failed.message
    assert exited == Exited(ok=False)


@pytest.mark.parametrize(
    ("limits", "code"),
    [
        ({"turn_timeout_s": 0.05}, "turn_timeout"),
        ({"silence_timeout_s": 0.05}, "silence_timeout"),
        ({"turn_timeout_s": 60.0, "silence_timeout_s": 0.05}, "silence_timeout"),
    ],
)
def test_the_time_limits_cancel_the_function(limits: dict[str, float], code: str) -> None:
    cleaned = []

    async def function(_: Work) -> AsyncIterator[str]:
        yield "begun"
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            cleaned.append(True)

    events = turn(function, **limits)
    assert events[0] == Text(text="begun")
    failed = events[1]
    assert isinstance(failed, ErrorReported)
    assert (failed.kind, failed.code) == ("timeout", code)
    assert "timed out" in failed.message
    assert events[2:] == [Exited(ok=False)]
    assert cleaned == [True]


def test_a_function_that_resists_is_cancelled_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The turn is not over before it has given in: no second one may run beside it."""
    monkeypatch.setattr(inprocess, "_CANCEL_AGAIN_S", 0.01)
    resisted = []

    async def function(_: Work) -> str:
        while len(resisted) < 3:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                resisted.append(True)
        return "at last"

    failed, exited = turn(function, turn_timeout_s=0.01)
    assert isinstance(failed, ErrorReported)
    assert failed.code == "turn_timeout"
    assert exited == Exited(ok=False)
    assert len(resisted) == 3


def test_an_abort_cancels_the_function_and_is_no_error() -> None:
    async def main() -> list[TurnEvent]:
        begun = asyncio.Event()
        cleaned = []

        async def function(_: Work) -> str:
            begun.set()
            try:
                await asyncio.Event().wait()
            finally:
                cleaned.append(True)
            return "never"

        worker = CallableWorker(function)
        assert not await worker.abort("r")

        async def drive() -> list[TurnEvent]:
            return [event async for event in worker.run(work())]

        running = asyncio.create_task(drive())
        await begun.wait()
        assert await worker.abort("r")
        assert cleaned == [True]
        return await running

    assert asyncio.run(main()) == [Exited(ok=False, aborted=True)]


def test_cancelling_the_reader_cancels_the_function() -> None:
    async def main() -> None:
        begun = asyncio.Event()
        cleaned = []

        async def function(_: Work) -> str:
            begun.set()
            try:
                await asyncio.Event().wait()
            finally:
                cleaned.append(True)
            return "never"

        async def drive() -> None:
            async for _ in CallableWorker(function).run(work()):
                pass

        running = asyncio.create_task(drive())
        await begun.wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert cleaned == [True]

    asyncio.run(main())


def test_a_function_that_cancels_itself_fails_its_turn_only() -> None:
    async def function(_: Work) -> str:
        raise asyncio.CancelledError

    failed, exited = turn(function)
    assert isinstance(failed, ErrorReported)
    assert "cancelled itself" in failed.message
    assert exited == Exited(ok=False)


def test_closing_early_closes_the_generator() -> None:
    async def main() -> None:
        closed = []

        async def function(_: Work) -> AsyncIterator[str]:
            try:
                yield "a"
                yield "b"
            finally:
                closed.append(True)

        run = CallableWorker(function).run(work())
        assert await anext(run) == Text(text="a")
        await run.aclose()
        assert closed == [True]

    asyncio.run(main())


def test_it_can_do_what_it_was_given_a_function_for() -> None:
    async def main() -> None:
        heard: list[object] = []

        async def function(_: Work) -> AsyncIterator[str]:
            yield "a"

        async def steer(*given: object) -> bool:
            heard.append(given)
            return True

        async def yes(*_: object) -> bool:
            return True

        async def probe(_: str) -> Probe:
            return Probe(state="finished")

        bare = CallableWorker(function)
        assert bare.capabilities == {"abort"}
        full = CallableWorker(function, steer=steer, compact=yes, probe=probe, tool_result=yes)
        assert full.capabilities == {"abort", "steer", "compact", "probe", "tool_result"}
        for worker, able in ((bare, False), (full, True)):
            run = worker.run(work())
            assert not await worker.steer("r", "m", "before it runs")
            await anext(run)
            assert await worker.steer("r", "m", "text") is able
            assert await worker.tool_result("r", "c", ToolResult(ok=True)) is able
            assert await worker.compact(work()) == Compaction(changed=able)
            await run.aclose()
        assert (await bare.probe("r")).state == "unknown"
        assert (await full.probe("r")).state == "finished"
        assert heard == [("r", "m", "text")]

    asyncio.run(main())


def test_a_compaction_says_what_it_consumed() -> None:
    spent = Compaction(changed=True, usage=(UsageReported(key="c", input_tokens=9),), session=b"s")

    async def function(_: Work) -> AsyncIterator[str]:
        yield "a"

    async def compact(_: Work) -> Compaction:
        return spent

    assert asyncio.run(CallableWorker(function, compact=compact).compact(work())) is spent


def test_a_worker_that_only_runs_refuses_the_rest() -> None:
    async def main() -> None:
        worker = RunOnly()
        assert worker.capabilities == frozenset()
        assert not await worker.steer("r", "m", "x")
        assert not await worker.abort("r")
        assert await worker.compact(work()) == Compaction(changed=False)
        assert not await worker.tool_result("r", 1, ToolResult(ok=True))
        assert await worker.probe("r") == Probe(state="unknown")

    asyncio.run(main())
