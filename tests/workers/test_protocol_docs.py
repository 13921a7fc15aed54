"""The documentation's workers run as printed, and it names what there is."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any, get_args

import pytest

from goalfsm.workers import line_shapes, lines
from goalfsm.workers.command import CommandWorker
from goalfsm.workers.output import KEEP_TAIL, KEEP_TEXT
from goalfsm.workers.protocol import (
    ErrorReported,
    Exited,
    SteeringAcknowledged,
    Text,
    ToolCalled,
    ToolResult,
    TurnEvent,
    UsageReported,
)
from goalfsm.workers.spec import CommandSpec, worker_environment
from goalfsm.workers.supervisor.client import Supervisor
from recovery import Kind

PAGE = Path(__file__).parents[2] / "docs" / "worker-protocol.md"


@pytest.fixture
def page() -> str:
    return PAGE.read_text(encoding="utf-8")


def example(page: str, language: str) -> str:
    """Return the one example in a language."""
    (found,) = re.findall(rf"^```{language}\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    return found  # type: ignore[no-any-return]


def test_the_sh_worker_completes_its_goal_in_three_turns(
    bench: Any, page: str, tmp_path: Path
) -> None:
    worker = tmp_path / "worker.sh"
    worker.write_text(example(page, "sh"))
    worker.chmod(0o755)
    tools = tmp_path / "tools"
    tools.mkdir()
    tool = tools / "goalfsm"
    # Stands for the command line, which has tests of its own: it notes how it was called.
    tool.write_text('#!/bin/sh\nprintf "%s\\n" "$GOALFSM_RUN_ID" "$@" >> "$GOALFSM_DB.calls"\n')
    tool.chmod(0o755)

    async def main(supervisor: Supervisor) -> list[list[TurnEvent]]:
        spec = CommandSpec(argv=("./worker.sh",), cwd=str(tmp_path))
        spec.validate()
        command = CommandWorker(spec, supervisor, tool_directory=str(tools))
        return [
            [
                event
                async for event in command.run(
                    bench.work(run_id=f"run-{turn}", turn=turn, prompt="Write steps.\n")
                )
            ]
            for turn in (1, 2, 3)
        ]

    turns = bench.run(main)
    assert [events[-1] for events in turns] == [Exited(ok=True, status=0)] * 3
    answers = ["".join(e.text for e in events if isinstance(e, Text)) for events in turns]
    assert answers == [
        "Wrote step 1; there is more to do.\n",
        "Wrote step 2; there is more to do.\n",
        "All three steps are written.\n",
    ]
    assert Path(f"{bench.db}.calls").read_text().splitlines() == [
        *("run-3", "tool", "update_goal", "--status", "complete"),
        *("--evidence", "steps.txt has 3 lines"),
    ]
    assert len(example(page, "sh").splitlines()) <= 10


def test_the_sh_worker_fails_when_its_claim_is_refused(
    bench: Any, page: str, tmp_path: Path
) -> None:
    (tmp_path / "steps.txt").write_text("1\n2\n3\n")
    tool = tmp_path / "goalfsm"
    tool.write_text("#!/bin/sh\necho 'refused: no such goal' >&2\nexit 1\n")
    tool.chmod(0o755)

    async def main(supervisor: Supervisor) -> list[TurnEvent]:
        spec = CommandSpec(argv=("sh", "-c", example(page, "sh")), cwd=str(tmp_path))
        command = CommandWorker(spec, supervisor, tool_directory=str(tmp_path))
        return [event async for event in command.run(bench.work())]

    *_, failed, exited = bench.run(main)
    assert isinstance(failed, ErrorReported)
    assert failed.message.endswith("refused: no such goal")
    assert not exited.ok


@pytest.mark.parametrize("accepted", [True, False])
def test_the_python_worker_claims_completion_and_hears_the_answer(
    bench: Any, page: str, tmp_path: Path, accepted: bool
) -> None:
    worker = tmp_path / "worker.py"
    worker.write_text(example(page, "python"))
    answers = {
        "get_goal": ToolResult(ok=True, result={"status": "active"}),
        "update_goal": ToolResult(ok=True)
        if accepted
        else ToolResult(ok=False, error="not yet", code="refused"),
    }

    async def main(supervisor: Supervisor) -> list[TurnEvent]:
        spec = CommandSpec(argv=(sys.executable, str(worker)), prompt_arg=True)
        command = CommandWorker(spec, supervisor)
        events: list[TurnEvent] = []
        async for event in command.run(bench.work(prompt="x" * 40)):
            events.append(event)
            if isinstance(event, ToolCalled):
                if event.name == "get_goal":
                    assert await command.steer("run-1", "m1", "hurry")
                assert await command.tool_result("run-1", event.id, answers[event.name])
        return events

    events = bench.run(main)
    calls = {event.name: event.arguments for event in events if isinstance(event, ToolCalled)}
    assert calls == {
        "get_goal": {},
        "update_goal": {
            "status": "complete",
            "evidence": [{"text": "counted every character"}],
        },
    }
    assert SteeringAcknowledged(id="m1") in events
    assert UsageReported(key="1", input_tokens=10, output_tokens=12) in events
    exited = events[-1]
    assert isinstance(exited, Exited)
    assert exited.ok is accepted
    errors = [event.message for event in events if isinstance(event, ErrorReported)]
    assert errors == ([] if accepted else ["the claim was refused: not yet"])


def test_every_line_type_and_variable_is_documented(bench: Any, page: str) -> None:
    types = set(re.findall(r"^\| `([a-z_]+)` \|", page, re.MULTILINE))
    assert types == set(line_shapes._DECODERS) | {"tool_result", "steer", "prompt"}
    variables = set(re.findall(r"^\| `(GOALFSM_[A-Z_]+)` \|", page, re.MULTILINE))
    assert variables == {
        name
        for name in worker_environment(bench.work(session=b"s", fence=1), inherited={})
        if "GOALFSM" in name
    }


def test_every_bound_is_as_documented(page: str) -> None:
    assert f"last {KEEP_TEXT:,} characters" in page
    assert f"last {KEEP_TAIL // 1024} KiB" in page
    assert f"{lines.MAX_EVENTS:,} events" in page
    assert f"{line_shapes.MAX_LINE // 1024**2} MiB" in page
    assert lines.MAX_SKIPS == 20
    assert "twenty at most" in page
    assert f"{lines.MAX_REPORTED // 1024**2} MiB of lines besides text" in page
    assert set(get_args(Kind)) - {"unknown"} <= set(re.findall("`([a-z_]+)`", page))
