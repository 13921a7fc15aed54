"""Programs that speak JSON lines: what their lines become, and what they are answered."""

from __future__ import annotations

import json
from typing import Any

import pytest

from goalfsm.workers.command import CommandWorker
from goalfsm.workers.protocol import (
    Skipped,
    SteeringAcknowledged,
    Text,
    ToolCalled,
    ToolResult,
    TurnEvent,
    UsageReported,
)
from goalfsm.workers.spec import CommandSpec
from goalfsm.workers.supervisor.client import Supervisor
from tests.workers.reading import LINES, Python, answer, ending, only


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
