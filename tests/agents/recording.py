"""Record what an agent and a dialect say to each other, and play it to a dialect again."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

import goalfsm
from goalfsm.workers.agents.dialect import Dialect, Launch, Task
from goalfsm.workers.protocol import ToolResult, TurnEvent, Work

FOLDER: Final = Path(__file__).parent / "transcripts"
_SOURCES: Final = str(Path(goalfsm.__file__).parents[1])
PADDING: Final = "An apple tree stands there. " * 4_000
"""What makes a context long; a transcript keeps a word for it."""
_SOCKET: Final = re.compile(r"/tmp/[\w./-]+")  # noqa: S108 - where an agent has put something
_LONG: Final = 2_000
"""Longer lines that mean nothing to us are left out: they are prompts and lists of the agent's."""


def recorded(  # noqa: C901 - one method for each step
    kind: type[Dialect], steps: list[dict[str, Any]], place: str
) -> type[Dialect]:
    """Return a dialect that does as ``kind`` and notes each step and what came of it."""

    def scrubbed(text: str) -> str:
        text = text.replace(PADDING, "(padding)").replace(place, "/place")
        return _SOCKET.sub("/place/socket", text.replace(_SOURCES, "/goalfsm"))

    class Recorded(kind):  # type: ignore[valid-type, misc]
        def __init__(self, task: Task) -> None:
            super().__init__(task)
            work = msgspec.to_builtins(task.work)
            given = {"args": task.args, "compact": task.compact, "attempt": task.attempt}
            self._note("begin", work=work, **given, lost=task.lost)

        def _note(self, what: str, *, wrote: bytes = b"", **more: Any) -> None:
            step = {"do": what, **more, "wrote": wrote.decode().splitlines()}
            steps.append(json.loads(scrubbed(json.dumps(step))))

        def launch(self) -> Launch:
            launch: Launch = super().launch()
            lines = b"".join(launch.lines)
            self._note("launch", argv=launch.argv, wrote=lines)
            return launch

        def hear(self, raw: bytes, now: float) -> tuple[TurnEvent, ...]:
            before = len(self._lines)
            events: tuple[TurnEvent, ...] = super().hear(raw, now)
            wrote = b"".join(self._lines[before:])
            if events or wrote or self.over or len(raw) < _LONG:
                told = msgspec.to_builtins(events)
                self._note("hear", line=raw.decode(), now=now, events=told, wrote=wrote)
            return events

        def steer(self, message_id: str, text: str) -> bool:
            before = len(self._lines)
            taken: bool = super().steer(message_id, text)
            wrote = b"".join(self._lines[before:])
            self._note("steer", id=message_id, text=text, taken=taken, wrote=wrote)
            return taken

        def interrupt(self) -> None:
            before = len(self._lines)
            super().interrupt()
            self._note("interrupt", wrote=b"".join(self._lines[before:]))

        def answer(self, call_id: str | int, result: ToolResult) -> None:
            before = len(self._lines)
            super().answer(call_id, result)
            wrote = b"".join(self._lines[before:])
            self._note("answer", id=call_id, result=msgspec.to_builtins(result), wrote=wrote)

        def ended(self, messages: str) -> None:
            super().ended(messages)
            self._note("ended", messages=messages, lost=self.lost, over=self.over)

    return Recorded


def begun(kind: type[Dialect], step: Mapping[str, Any]) -> Dialect:
    """Return a dialect that begins as recorded."""
    task = Task(
        work=msgspec.convert(dict(step["work"]), Work),
        args=tuple(step["args"]),
        cwd="/place/work",
        compact=step["compact"],
        attempt=step["attempt"],
        lost=step["lost"],
    )
    return kind(task)


class Difference(AssertionError):
    """A dialect did something else than what was recorded."""


def played(kind: type[Dialect], steps: list[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Do the recorded steps with a dialect; return its events, or raise `Difference`."""
    dialect: Dialect | None = None
    told: list[Mapping[str, Any]] = []
    for number, step in enumerate(steps):
        if step["do"] == "begin":
            dialect = begun(kind, step)
            continue
        assert dialect is not None
        lines = b""
        match step["do"]:
            case "launch":
                launch = dialect.launch()
                lines = b"".join(launch.lines)
                argv = [word.replace(_SOURCES, "/goalfsm") for word in launch.argv]
                _same(number, argv, step["argv"])
            case "hear":
                events = msgspec.to_builtins(dialect.hear(step["line"].encode(), step["now"]))
                _same(number, json.loads(json.dumps(events)), step["events"])
                told += step["events"]
            case "steer":
                _same(number, dialect.steer(step["id"], step["text"]), step["taken"])
            case "interrupt":
                dialect.interrupt()
            case "answer":
                dialect.answer(step["id"], msgspec.convert(step["result"], ToolResult))
            case "ended":
                dialect.ended(step["messages"])
                _same(number, (dialect.lost, dialect.over), (step["lost"], step["over"]))
        wrote = (lines + dialect.take_lines()).decode().splitlines()
        _same(number, wrote, step["wrote"])
    return told


def _same(number: int, found: Any, expected: Any) -> None:
    if found != expected:
        msg = f"step {number}: {found!r}, but recorded was {expected!r}"
        raise Difference(msg)
