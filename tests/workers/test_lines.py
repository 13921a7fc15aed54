"""What a program writes becomes events; nothing that it writes can break the reader."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from goalfsm.workers.line_shapes import MAX_LINE, parse_line
from goalfsm.workers.lines import OutputReader
from goalfsm.workers.protocol import (
    MAX_SESSION,
    ErrorReported,
    ModelTurnEnded,
    ModelTurnStarted,
    ProgressReported,
    RetryReported,
    SessionSaved,
    Skipped,
    SteeringAcknowledged,
    Text,
    ToolCalled,
    ToolEnded,
    TurnEvent,
    UsageReported,
    WaitDeclared,
)
from tests.workers.outputs import answer, line, read


@pytest.mark.parametrize(
    ("raw", "event"),
    [
        (line(type="text", text="hé"), Text(text="hé")),
        (
            line(type="usage", input_tokens=3, output_tokens=2, cached_tokens=1, cost=0.0125),
            UsageReported(input_tokens=2, output_tokens=2, cached_tokens=1, cost=12_500),
        ),
        (
            line(type="usage", input_tokens=15000.0, output_tokens="15000", cached_tokens="1e3"),
            UsageReported(input_tokens=14_000, output_tokens=15_000, cached_tokens=1_000),
        ),
        (
            line(type="usage", input_tokens=1, output_tokens=1, cached_tokens=2, cost="0.5"),
            UsageReported(output_tokens=1, cached_tokens=2, cost=500_000),
        ),
        (
            line(type="usage", input_tokens=0, output_tokens=2**53 - 1),
            UsageReported(output_tokens=2**53 - 1),
        ),
        (line(type="tool_end", name="bash"), ToolEnded(name="bash")),
        (line(type="tool_end", name="bash", ok=False), ToolEnded(name="bash", ok=False)),
        (line(type="progress"), ProgressReported()),
        (line(type="progress", text="4 of 9"), ProgressReported(text="4 of 9")),
        (line(type="session", id="é1"), SessionSaved(session="é1".encode())),
        (line(type="session", id=None), SessionSaved(session=None)),
        (
            line(type="retry", message="429", seconds=2, attempt=3),
            RetryReported(message="429", seconds=2.0, attempt=3),
        ),
        (line(type="retry"), RetryReported(message="")),
        (line(type="turn_start"), ModelTurnStarted()),
        (line(type="turn_end", stop_reason="toolUse"), ModelTurnEnded(stop_reason="toolUse")),
        (
            line(type="tool_call", id=7, name="get_goal", arguments={"a": [1]}),
            ToolCalled(id=7, name="get_goal", arguments={"a": [1]}),
        ),
        (line(type="tool_call", id="x", name="get_goal"), ToolCalled(id="x", name="get_goal")),
        (
            line(type="error", message="slow down", status=429, code=12, retry_after="30"),
            ErrorReported(message="slow down", status=429, code="12", retry_after=30.0),
        ),
        (
            line(type="error", message="m", source="provider", kind="quota"),
            ErrorReported(message="m", source="provider", failure="quota"),
        ),
        (line(type="error", message="m", source="sun", kind="odd"), ErrorReported(message="m")),
        (line(type="error", message="m", retry_after="soon"), ErrorReported(message="m")),
        (line(type="error", message="m", retry_after="nan"), ErrorReported(message="m")),
        (line(type="wait", **{"for": "timer"}, seconds=2), WaitDeclared(for_="timer", seconds=2)),
        (line(type="wait", **{"for": "timer"}, until=9.5), WaitDeclared(for_="timer", until=9.5)),
        (
            line(type="wait", **{"for": "process"}, pid=12, note="build"),
            WaitDeclared(for_="process", pid=12, note="build"),
        ),
        (line(type="wait", **{"for": "person"}), WaitDeclared(for_="person")),
        (line(type="steer_ack", id="m1"), SteeringAcknowledged(id="m1")),
        (line(type="text", text="x", later="field"), Text(text="x")),
    ],
)
def test_each_type_becomes_its_event(raw: bytes, event: TurnEvent) -> None:
    assert parse_line(raw) == event


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"not json", "not JSON"),
        (b'{"type":"text","text":"\xff"}', "not JSON"),
        (b'{"type":"text"', "not JSON"),
        (b"[" * 200_000, "not an object"),
        (b'{"type":"text","text":"x","deep":' + b"[" * 300_000, "not JSON"),
        (b"[1]", "not an object"),
        (b"{}", "no type"),
        (b'{"type":1}', "no type"),
        (line(type="dance"), "unknown type: dance"),
        (line(type="text"), "invalid text"),
        (line(type="text", text=1), "invalid text"),
        (line(type="usage", input_tokens=-1, output_tokens=0), "invalid usage"),
        (line(type="usage", input_tokens="many", output_tokens=0), "invalid usage"),
        (line(type="usage", input_tokens=1.5, output_tokens=0), "invalid usage"),
        (line(type="session"), "invalid session"),
        (line(type="session", id=""), "invalid session"),
        (line(type="session", id="x" * (MAX_SESSION + 1)), "invalid session"),
        (line(type="retry", seconds=-1), "invalid retry"),
        (line(type="usage", input_tokens=True, output_tokens=0), "invalid usage"),
        (line(type="usage", input_tokens=2**53, output_tokens=0), "invalid usage"),
        (line(type="usage", input_tokens=1), "invalid usage"),
        (line(type="usage", input_tokens=1, output_tokens=1, cost=-0.1), "invalid usage"),
        (b'{"type":"usage","input_tokens":1,"output_tokens":1,"cost":1e400}', "invalid usage"),
        (line(type="tool_call", id="", name="x"), "invalid tool_call"),
        (line(type="tool_call", id="x" * 300, name="x"), "invalid tool_call"),
        (line(type="tool_call", id="x", name="x", arguments=[]), "invalid tool_call"),
        (line(type="error", message="m", status=-1), "invalid error"),
        (line(type="wait", **{"for": "godot"}), "invalid wait"),
        (line(type="wait", **{"for": "timer"}), "invalid wait"),
        (line(type="wait", **{"for": "timer"}, seconds=0), "invalid wait"),
        (line(type="wait", **{"for": "timer"}, seconds=1, until=1), "invalid wait"),
        (line(type="wait", **{"for": "process"}), "invalid wait"),
        (line(type="wait", **{"for": "process"}, pid=0), "invalid wait"),
        (line(type="wait", **{"for": "process"}, pid=1), "invalid wait"),
        (line(type="wait", **{"for": "person"}, pid=7), "invalid wait"),
        (line(type="wait", **{"for": "person"}, seconds=7), "invalid wait"),
        (b'"' + b"x" * MAX_LINE, "too long"),
    ],
)
def test_bad_lines_are_skipped_with_a_reason(raw: bytes, reason: str) -> None:
    event = parse_line(raw)
    assert isinstance(event, Skipped)
    assert event.reason.startswith(reason)
    assert len(event.excerpt) <= 200


def test_an_excerpt_cannot_control_a_terminal() -> None:
    event = parse_line(b"\x1b[2J\x1b]0;title\x07bad\x00 \xc2\x9b5n\r")
    assert isinstance(event, Skipped)
    assert event.excerpt == "bad 5n"


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_parse_line_never_raises(raw: bytes) -> None:
    assert parse_line(raw) is not None


_ANYTHING = st.one_of(
    st.sampled_from(["timer", "process", "person", "stop", "x"]),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.none(),
    st.booleans(),
    st.lists(st.integers(), max_size=2),
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.fixed_dictionaries(
        {"type": st.sampled_from(["text", "usage", "tool_end", "tool_call", "error", "wait"])},
        optional=dict.fromkeys(
            ["text", "input_tokens", "output_tokens", "cost", "name", "id", "message", "for"],
            _ANYTHING,
        ),
    )
)
def test_whatever_an_object_holds_its_event_can_be_stored(fields: dict[str, Any]) -> None:
    """Every event that comes of a line survives encoding and decoding."""
    event = parse_line(json.dumps(fields).encode())
    assert msgspec.json.decode(msgspec.json.encode(event), type=TurnEvent) == event
    if isinstance(event, UsageReported):
        assert min(event.input_tokens, event.output_tokens, event.cost) >= 0


def test_the_first_line_that_is_not_blank_decides_for_lines() -> None:
    out = b"\n  \r\n" + line(type="text", text="a") + b"\r\noops\n\n" + line(type="text", text="b")
    events = read(out)
    assert answer(events) == "ab"
    assert [event.reason.split(":")[0] for event in events if isinstance(event, Skipped)] == [
        "not JSON"
    ]


def test_the_first_line_that_is_not_blank_decides_for_text() -> None:
    """A JSON line inside a plain answer is a part of the answer, not an instruction."""
    usage = line(type="usage", input_tokens=1, output_tokens=1)
    events = read(b"Done:\n" + usage + b"\n", keep=1000)
    told, hint = events
    assert told == Text(text="Done:\n" + usage.decode() + "\n")
    assert isinstance(hint, Skipped)
    assert "--output lines" in hint.reason
    assert read(b"Done: " + usage, keep=1000) == [Text(text="Done: " + usage.decode())]
    assert len(read(b"Done:\n" + usage, "text", keep=1000)) == 1


def test_text_is_shown_as_it_comes() -> None:
    reader = OutputReader()
    assert reader.feed(b" \n\xef\xbb") == []
    assert reader.feed(b"\xbf Think") == [Text(text="\ufeff Think")]
    assert OutputReader().feed(b"\n \n Think") == [Text(text=" Think")]
    assert reader.feed(b"ing") == [Text(text="ing")]
    assert OutputReader().feed(b'\xef\xbb\xbf{"type"') == []


@pytest.mark.parametrize(
    "first", [b'{"answer": 1}', b"[]", b'{"type": 3}', b'{"type":"text"', b"\xff\xfe", b"42"]
)
def test_an_object_without_a_type_is_plain_text(first: bytes) -> None:
    events = read(first + b"\n")
    assert answer(events) == first.decode("utf-8", "replace") + "\n"


def test_a_first_line_of_an_unknown_type_means_lines() -> None:
    events = read(line(type="system") + b"\n" + line(type="text", text="x"))
    assert [type(event) for event in events] == [Skipped, Text]


def test_a_byte_order_mark_is_not_a_reason_to_misread() -> None:
    assert answer(read(b"\xef\xbb\xbf" + line(type="text", text="x"))) == "x"


def test_modes_can_be_fixed() -> None:
    noisy = b"Starting ...\n" + line(type="text", text="x") + b"\n"
    assert answer(read(noisy, "lines")) == "x"
    assert answer(read(line(type="text", text="x"), "text")) == '{"type": "text", "text": "x"}'


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_pieces_do_not_matter(data: st.DataObject) -> None:
    """The same bytes give the same answer and the same other events, however they arrive."""
    lines = st.sampled_from(
        [
            line(type="text", text="héllo"),
            line(type="usage", input_tokens=1, output_tokens=2),
            b"noise \xe2\x82",
            b"",
            b'{"no":1}',
            line(type="tool_end", name="x", ok=False),
        ]
    )
    out = b"\n".join(data.draw(st.lists(lines, max_size=12)))
    pieces = data.draw(st.integers(1, 40))
    mode = data.draw(st.sampled_from(["auto", "lines", "text"]))
    whole, split = read(out, mode), read(out, mode, pieces)
    assert answer(whole) == answer(split)
    assert [e for e in whole if not isinstance(e, Text)] == [
        e for e in split if not isinstance(e, Text)
    ]
