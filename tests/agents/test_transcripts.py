"""What each version of an agent really said, played to its dialect: needs no agent."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from goalfsm.workers.agents.run import dialect_of
from goalfsm.workers.agents.spec import AGENTS
from goalfsm.workers.protocol import SessionSaved, Skipped, TurnEvent
from tests.agents.recording import FOLDER, Difference, begun, played

NOTHING = (b"", b"no json", b"[]", b"3", b'"x"', b"\xff\xfe", b'{"type": 3}', b"[" * 5_000)
TRANSCRIPTS = sorted(FOLDER.glob("*/*.jsonl"))


def read(path: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return the head of a transcript and its steps."""
    head, *steps = (json.loads(line) for line in path.read_text("utf-8").splitlines())
    return head, steps


@pytest.mark.parametrize("path", TRANSCRIPTS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_dialect_does_as_recorded_and_charges_what_was_counted(path: Path) -> None:
    head, steps = read(path)
    events = played(dialect_of(head["agent"]), steps)
    usage = [event for event in events if event["type"] == "usage"]
    for name, counted in head["charged"].items():
        assert sum(event[name] for event in usage) == counted


@pytest.mark.parametrize("name", [name for name in AGENTS if AGENTS[name].tested])
def test_the_tested_version_of_each_agent_is_recorded(name: str) -> None:
    version = AGENTS[name].tested  # type: ignore[index]
    assert len(list((FOLDER / f"{name}-{version}").glob("*.jsonl"))) >= 10


@pytest.mark.parametrize("path", TRANSCRIPTS[::7], ids=lambda path: path.stem)
def test_a_dialect_that_does_something_else_is_noticed(path: Path) -> None:
    head, steps = read(path)
    heard = next(step for step in steps if step["do"] == "hear" and step["events"])
    heard["events"] = []
    with pytest.raises(Difference):
        played(dialect_of(head["agent"]), steps)


@pytest.mark.parametrize("path", TRANSCRIPTS[::18], ids=lambda path: path.parent.name)
@pytest.mark.parametrize(
    "line",
    [b"", b"no json", b"[]", b"3", b'"x"', b"\xff\xfe", b'{"type": 3}', b"[" * 5_000],
    ids=repr,
)
def test_a_line_that_means_nothing_means_nothing(path: Path, line: bytes) -> None:
    head, steps = read(path)
    dialect = begun(dialect_of(head["agent"]), steps[0])
    dialect.launch()
    events = dialect.hear(line, 0.0)
    assert all(isinstance(event, Skipped | SessionSaved) for event in events)
    assert not dialect.over
    assert dialect.take_lines() == b""


@pytest.mark.parametrize(
    "path", TRANSCRIPTS[::3], ids=lambda path: f"{path.parent.name}/{path.stem}"
)
def test_a_line_with_fields_of_other_kinds_never_raises(path: Path) -> None:
    head, steps = read(path)
    kind = dialect_of(head["agent"])
    for step in steps:
        if step["do"] != "hear":
            continue
        message = json.loads(step["line"])
        for key in message:
            for odd in (None, 3, "x", [], {}):
                dialect = begun(kind, steps[0])
                dialect.launch()
                line = json.dumps({**message, key: odd}).encode()
                for event in dialect.hear(line, 0.0):
                    assert isinstance(event, TurnEvent)
