"""What a worker of the embedder's hands over in another type fails its turn, and nothing else."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from goalfsm.testing import MemoryGoals
from goalfsm.workers.inprocess import CallableWorker
from goalfsm.workers.protocol import (
    Compaction,
    ErrorReported,
    SessionSaved,
    Text,
    ToolCalled,
    TurnEvent,
    UsageReported,
    Work,
)

WRONG: Any = None
BAD: dict[str, Callable[[], TurnEvent]] = {
    "no count": lambda: UsageReported(input_tokens=WRONG),
    "a fraction": lambda: UsageReported(input_tokens=1.5),  # type: ignore[arg-type]
    "a count as text": lambda: UsageReported(input_tokens="12"),  # type: ignore[arg-type]
    "bytes as text": lambda: Text(text=b"done"),  # type: ignore[arg-type]
    "nothing as text": lambda: Text(text=WRONG),
    "a call without a name": lambda: ToolCalled(id="1", name=WRONG),
    "what is no JSON": lambda: ToolCalled(id="1", name="get_goal", arguments={"a": object()}),
    "a session as text": lambda: SessionSaved(session="mine"),  # type: ignore[arg-type]
    "half a character": lambda: ToolCalled(id="1", name="\ud800"),
}


@pytest.mark.parametrize("bad", BAD)
def test_a_value_of_another_type_fails_the_turn(memory_goals: MemoryGoals, bad: str) -> None:
    async def turn(_: Work) -> AsyncIterator[TurnEvent]:
        yield BAD[bad]()

    async def other(_: Work) -> str:
        return "fine"

    memory_goals.configure(worker={"bad": CallableWorker(turn), "good": CallableWorker(other)})
    memory_goals.give("bad", "Make the tests pass")
    memory_goals.settle("bad", within=3_600)
    assert memory_goals.goal("bad").status == "paused"
    memory_goals.give("good", "Make the tests pass", continuations=1)
    memory_goals.settle("good", within=3_600)
    assert memory_goals.goal("good").status == "budgetLimited"


@pytest.mark.parametrize("told", [WRONG, "yes", Compaction(changed=WRONG)])
def test_a_compaction_that_tells_nothing_is_none(memory_goals: MemoryGoals, told: Any) -> None:
    async def turn(_: Work) -> AsyncIterator[TurnEvent]:
        yield ErrorReported(message="prompt is too long", failure="overflow")

    async def compact(_: Work) -> Any:
        return told

    memory_goals.configure(worker=CallableWorker(turn, compact=compact))
    memory_goals.give("ci", "Make the tests pass")
    memory_goals.settle("ci", within=3_600)
    assert memory_goals.goal("ci").status == "paused"


@pytest.mark.parametrize("text", ["a \ud800 b", "\x00"])
def test_text_that_cannot_be_written_as_it_is_does_no_harm(
    memory_goals: MemoryGoals, text: str
) -> None:
    async def turn(_: Work) -> AsyncIterator[str]:
        yield text

    memory_goals.configure(worker=CallableWorker(turn))
    memory_goals.give("ci", "Make the tests pass", continuations=2)
    memory_goals.settle("ci", within=3_600)
    assert memory_goals.goal("ci").status == "budgetLimited"


def test_an_exception_may_say_what_cannot_be_written(memory_goals: MemoryGoals) -> None:
    async def turn(_: Work) -> str:
        raise FileNotFoundError("no such file: \udcff.txt")

    memory_goals.configure(worker=CallableWorker(turn))
    memory_goals.give("ci", "Make the tests pass")
    memory_goals.settle("ci", within=3_600)
    assert memory_goals.goal("ci").status == "paused"
