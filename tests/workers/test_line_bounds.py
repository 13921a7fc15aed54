"""What one turn may report: long lines, floods, formats of other programs."""

from __future__ import annotations

import tracemalloc
from typing import Any

import msgspec
import pytest

from goalfsm.workers.line_shapes import MAX_LINE
from goalfsm.workers.lines import MAX_EVENTS, MAX_REPORTED, MAX_SKIPS, OutputReader
from goalfsm.workers.protocol import (
    Skipped,
    ToolCalled,
    UsageReported,
)
from tests.workers.outputs import answer, line, read


def test_usage_lines_are_numbered_so_that_each_is_charged_once() -> None:
    usage = line(type="usage", input_tokens=1, output_tokens=1) + b"\n"
    keys = [event.key for event in read(usage * 3) if isinstance(event, UsageReported)]
    assert keys == ["1", "2", "3"]


def test_a_line_that_is_too_long_is_reported_once_and_the_next_is_read() -> None:
    out = (
        line(type="text", text="a")
        + b"\n"
        + b"x" * (3 * MAX_LINE)
        + b"\n"
        + line(type="text", text="b")
        + b"\n"
    )
    events = read(out)
    assert answer(events) == "ab"
    skipped = [event for event in events if isinstance(event, Skipped)]
    assert [event.reason.split(":")[0] for event in skipped] == ["too long"]


def test_a_longest_line_is_still_read() -> None:
    frame = len(line(type="text", text=""))
    text = "y" * (MAX_LINE - frame)
    assert answer(read(line(type="text", text=text) + b"\n", keep=MAX_LINE)) == text


def test_a_first_line_that_is_too_long_is_plain_text() -> None:
    assert answer(read(b"z" * (MAX_LINE + 9), keep=2 * MAX_LINE)) == "z" * (MAX_LINE + 9)


def test_a_long_answer_keeps_its_ends_and_says_what_is_missing() -> None:
    for out in (
        b"plain:" + b"m" * 1000 + b"end",
        line(type="text", text="plain:" + "m" * 500)
        + b"\n"
        + line(type="text", text="m" * 500 + "end"),
    ):
        text = answer(read(out, keep=64))
        assert text.startswith("plain:mmm")
        assert text.endswith("mmmend")
        assert "[... 881 characters left out ...]" in text


def test_many_bad_lines_are_counted() -> None:
    first = line(type="turn_start") + b"\n"
    other = b"".join(line(type=f"t{number}") + b"\n" for number in range(MAX_SKIPS + 5))
    events = read(first + b"bad\nworse\n" * 3 + other * 2)
    skipped = [event for event in events if isinstance(event, Skipped)]
    assert len(skipped) == MAX_SKIPS + 1
    assert sum(event.count for event in skipped) == 6 + 2 * (MAX_SKIPS + 5)
    assert [event.reason.split(": ")[:2] for event in skipped[1:3]] == [
        ["unknown type", "t0"],
        ["unknown type", "t1"],
    ]


@pytest.mark.parametrize(
    ("said", "agent"),
    [
        ({"type": "thread.started", "thread_id": "x"}, "codex"),
        ({"type": "system", "subtype": "init"}, "claude"),
        ({"type": "result", "subtype": "success", "is_error": False}, "claude"),
        ({"type": "session", "version": 3, "cwd": "/x"}, "pi"),
        ({"type": "message_start", "message": {}}, "pi"),
        ({"type": "dance", "subtype": "init"}, None),
        ({"type": "system"}, None),
    ],
)
def test_another_program_s_format_is_named_once(said: dict[str, Any], agent: str | None) -> None:
    reader = OutputReader()
    events = reader.feed((line(**said) + b"\n") * 3) + reader.finish()
    assert (None if reader.tongue is None else reader.tongue.agent) == agent
    first = events[0]
    assert isinstance(first, Skipped)
    assert (f"--agent {agent} " in first.reason) is (agent is not None)
    assert sum(event.count for event in events if isinstance(event, Skipped)) == 3
    assert len(events) == 2
    assert reader.words.startswith('{"type": ')


def test_json_rpc_is_named_where_lines_are_expected() -> None:
    reader = OutputReader("lines")
    reader.feed(b'{"jsonrpc":"2.0","id":1}\n[1]\n{"a":1}\n{"type":[]}\n')
    assert reader.tongue is not None
    assert reader.tongue.agent == "acp"


def test_what_one_turn_reports_is_bounded_in_bytes() -> None:
    """A flood of calls is cut off, and its calls are known, so that nobody waits for an answer."""
    call = line(type="tool_call", id=1, name="x", arguments={"a": "y" * 1_000_000}) + b"\n"
    usage = line(type="usage", input_tokens=1, output_tokens=1) + b"\n"
    reader = OutputReader()
    events = [event for _ in range(50) for event in reader.feed(call)]
    size = sum(len(msgspec.json.encode(event)) for event in events)
    assert MAX_REPORTED - 2 * len(call) < size < MAX_REPORTED + len(call)
    assert reader.unanswered == [1] * (50 - sum(isinstance(e, ToolCalled) for e in events))
    assert sum(isinstance(event, Skipped) for event in events) == 1
    rest = reader.feed(usage * 3 + line(type="text", text="end") + b"\n") + reader.finish()
    assert sum(e.input_tokens for e in rest if isinstance(e, UsageReported)) == 3
    assert reader.words.endswith("end")


def test_a_flood_of_usage_loses_no_token() -> None:
    usage = line(type="usage", input_tokens=2, output_tokens=1) + b"\n"
    count = MAX_EVENTS + 2_500
    events = [event for event in read(usage * count) if isinstance(event, UsageReported)]
    assert len(events) == MAX_EVENTS + 3
    assert sum(event.input_tokens for event in events) == 2 * count
    assert len({event.key for event in events}) == len(events)


def test_a_flood_of_events_is_bounded() -> None:
    out = line(type="turn_start") + b"\n"
    events = read(out * (MAX_EVENTS + 10))
    assert len(events) == MAX_EVENTS + 2
    assert events[-1] == Skipped(reason="more that was not taken", count=9)


@pytest.mark.parametrize("first", [b"", line(type="turn_start") + b"\n"])
def test_memory_does_not_grow_with_the_output(first: bytes) -> None:
    """64 MB of text, or of one endless line, are read in less than 8 MB."""
    reader = OutputReader("auto")
    chunk = b"x" * 65536
    tracemalloc.start()
    reader.feed(first)
    for _ in range(1000):
        reader.feed(chunk)
    reader.finish()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8 * 1024 * 1024
