"""Snapshots, events and effects as bytes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from msgspec.structs import replace

from goalfsm.session import Decision, Reply, Session, codec
from goalfsm.session import effects as f
from goalfsm.session import events as e
from goalfsm.session.codec import CodecError
from tests.session.hosts import started
from tests.session.strategies import events, tries

PAIRS: tuple[tuple[Callable[[Any], bytes], Callable[[bytes], Any], Any, str], ...] = (
    (codec.encode, codec.decode, started().session, "session"),
    (codec.encode_effect, codec.decode_effect, f.StartRun(run_id="r"), "effect"),
    (
        codec.encode_decision,
        codec.decode_decision,
        Decision(decision="wait", guard="wait", reason="x"),
        "decision",
    ),
    (codec.encode_reply, codec.decode_reply, Reply(ok=True), "reply"),
)


@pytest.mark.parametrize(("encode", "decode", "value", "what"), PAIRS, ids=[p[3] for p in PAIRS])
def test_what_is_stored_is_read_again(
    encode: Callable[[Any], bytes], decode: Callable[[bytes], Any], value: Any, what: str
) -> None:
    assert decode(encode(value)) == value
    for damaged in (b"", b"{", b"[]", b'"x"', b'{"goal": 1, "ok": 1}', encode(value)[:-1]):
        with pytest.raises(CodecError, match=f"a stored {what}") as caught:
            decode(damaged)
        assert caught.value.code == "codec_invalid"
        assert caught.value.hint


@given(events)
@tries(150)
def test_every_event_is_read_as_it_was_stored(event: Any) -> None:
    stored = codec.encode_event(event)
    assert codec.encode_event(codec.decode_event(stored)) == stored
    assert type(codec.decode_event(stored)) is type(event)


def test_an_unknown_event_is_refused() -> None:
    with pytest.raises(CodecError, match="a stored event cannot be read"):
        codec.decode_event(b'{"type": "MoonFull"}')


def test_equal_sessions_have_equal_bytes_and_digests() -> None:
    one, other = codec.encode(started().session), codec.encode(started().session)
    assert one == other
    assert codec.digest(one) == codec.digest(other)
    assert len(codec.digest(one)) == 16
    assert codec.digest(one) != codec.digest(codec.encode(Session()))


def test_a_snapshot_of_an_older_version_lacks_what_is_new() -> None:
    """Every field has a default, so that a migration of snapshots is not needed."""
    assert codec.decode(b"{}") == Session()


def test_a_token_from_outside_is_kept_as_its_digest_alone() -> None:
    told = e.ToolCalled(name="get_goal", run_token="secret")
    kept = codec.sealed(told)
    assert kept == replace(told, run_token=codec.token_digest("secret"))
    bare = e.ToolCalled(name="get_goal")
    assert codec.sealed(bare) is bare
    asked = e.PauseRequested()
    assert codec.sealed(asked) is asked
