"""What an enemy says at the engine's socket: it is answered, and so is whoever comes next."""

from __future__ import annotations

import array
import base64
import contextlib
import json
import os
import select
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from goalfsm.daemon.flow import inbox
from goalfsm.daemon.flow.replay import replay, undecidable
from goalfsm.daemon.host.platform import SystemClock, own_identity
from goalfsm.daemon.remote import wire
from goalfsm.daemon.remote.client import request
from goalfsm.daemon.remote.link import NoEngine
from goalfsm.goal.model import Limits
from goalfsm.session import events as e
from goalfsm.store.sqlite import SqliteStore
from goalfsm.workers.supervisor import identity
from tests.daemon.scenes import OBJECTIVE, THREAD, beside, connect

PLACE = "@here@"
REQUESTS: tuple[dict[str, Any], ...] = (
    {"op": PLACE},
    {"op": "ping", "thread_id": PLACE},
    {"op": "status", "thread_id": PLACE},
    {"op": "look", "thread_id": PLACE},
    {"op": "submit", "thread_id": PLACE, "event_id": "e", "event": {"type": "PauseRequested"}},
    {"op": "submit", "thread_id": "t", "event_id": PLACE, "event": {"type": "PauseRequested"}},
    {"op": "submit", "thread_id": "t", "event_id": "e", "event": PLACE},
    {"op": "submit", "thread_id": "t", "event_id": "e", "event": {"type": PLACE}},
    {
        "op": "submit",
        "thread_id": THREAD,
        "event_id": "e1",
        "event": {"type": "SteeringReceived", "message_id": "m", "text": PLACE},
    },
    {
        "op": "submit",
        "thread_id": THREAD,
        "event_id": "e2",
        "event": {"type": "BudgetChanged", "limits": {"tokens": PLACE}},
    },
    {
        "op": "submit",
        "thread_id": THREAD,
        "event_id": "e3",
        "event": {"type": "PolicyChanged", "changes": {"no_progress": PLACE}},
    },
    {
        "op": "submit",
        "thread_id": THREAD,
        "event_id": "e4",
        "event": {"type": "PauseRequested", "unknown": PLACE},
    },
    {"op": "tool", "thread_id": THREAD, "name": PLACE, "event_id": "e5"},
    {"op": "tool", "thread_id": THREAD, "name": "get_goal", "arguments": PLACE},
    {
        "op": "tool",
        "thread_id": THREAD,
        "name": "create_goal",
        "arguments": {"objective": PLACE},
        "event_id": "e6",
    },
    {"op": "tool", "thread_id": THREAD, "name": "get_goal", "run_token": PLACE},
    {"op": "tool", "thread_id": THREAD, "name": "get_goal", "event_id": PLACE},
)
VALUES: dict[str, bytes] = {
    "a NUL": b'"a\\u0000b"',
    "half a character": b'"a\\ud800b"',
    "no UTF-8": b'"a\xffb"',
    "infinite": b"1e400",
    "no number": b"NaN",
    "deep": b"[" * 50_000 + b"]" * 50_000,
    "as deep as can be read": b"[" * 900 + b"]" * 900,
    "huge": b"9" * 4_000,
    "larger than 64 bits": b"9" * 30,
    "negative": b"-9223372036854775809",
    "two of a name": b'{"a": 1, "a": 2}',
    "not whole": b'"',
}


def lines(value: bytes) -> Iterator[bytes]:
    for asked in REQUESTS:
        yield json.dumps(asked).encode().replace(json.dumps(PLACE).encode(), value)
    yield b'{"op": "ping", ' + (value if value.startswith(b'"') else b'"x"') + b": 1}"
    yield b'{"op": "ping", "thread_id": "a", "thread_id": ' + value + b"}"
    yield value
    yield b'{"op": "follow", "thread_id": "t", "succeeds": ' + value + b"}"
    yield b'{"op": "follow", "thread_id": "thread", "after_revision": ' + value + b"}"


@pytest.mark.parametrize("value", VALUES)
def test_whatever_stands_in_whatever_field_is_answered(db: Path, value: str) -> None:
    """On one connection, which goes on; and what was kept of it is decided again as it was."""
    request(db, THREAD, OBJECTIVE, "one")
    unanswered: list[bytes] = []

    def ask() -> None:
        with connect(db) as link, link.makefile("rwb") as both:
            for line in lines(VALUES[value]):
                both.write(line + b"\n")
                both.flush()
                answer = both.readline()
                if not answer:
                    unanswered.append(line[:120])
                    return
                wire.decode_answer(answer)
                if b'"answer":"notice"' in answer:
                    return  # what follows is told from now on, and nothing else
        assert request(db, THREAD, e.PauseRequested(), "last").ok

    beside(db, ask)
    assert not unanswered
    store = SqliteStore.open(db, read_only=True)
    assert list(undecidable(store)) == []
    assert replay(store, THREAD).ok
    store.close()


def test_descriptors_that_are_sent_along_are_nobody_s(db: Path) -> None:
    """The engine takes none, however many come with however little of a request."""
    request(db, THREAD, OBJECTIVE, "one")

    def ask() -> None:
        reading, writing = os.pipe()
        rights = array.array("i", [writing] * 50)
        with connect(db) as link:
            for part in (b'{"op":', b'"ping"}\n'):
                link.sendmsg([part], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
            assert wire.decode_answer(link.recv(65_536)) == wire.Pong(brings_workers=True)
            os.close(writing)
            # Nobody holds the other end any more: this is the end of what it says.
            assert select.select([reading], [], [], 30)[0]
            assert os.read(reading, 1) == b""
        os.close(reading)

    beside(db, ask)


def test_a_request_without_an_end_is_not_heard_to_its_end(
    db: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever length it names for itself; others are answered meanwhile."""
    monkeypatch.setattr("goalfsm.daemon.remote.wire.MAX_LINE", 200_000)
    request(db, THREAD, OBJECTIVE, "one")

    def ask() -> None:
        with connect(db) as link:
            link.sendall(b"\x00\x00\x00\x80Content-Length: 2147483648\r\n\r ")
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                for _ in range(1_000):
                    link.sendall(b"x" * 65_536)
                pytest.fail("64 MB of one request were heard")
        assert request(db, THREAD, e.PauseRequested(), "two").ok

    beside(db, ask)


def test_who_has_said_all_is_still_answered(db: Path) -> None:
    """It closes its own half and listens; and one that closes in the middle is let go."""
    request(db, THREAD, OBJECTIVE, "one")

    def ask() -> None:
        for asked, told in ((b'{"op":"ping"}\n', b'"pong"'), (b'{"op":"pi', b"")):
            with connect(db) as link:
                link.sendall(asked)
                link.shutdown(socket.SHUT_WR)
                heard = b"".join(iter(lambda: link.recv(65_536), b""))
                assert told in heard
                assert bool(told) is bool(heard)

    beside(db, ask)


@pytest.mark.skipif(not identity.LINUX, reason="elsewhere who connects is not kept waiting")
def test_where_nobody_can_get_in_a_message_goes_to_the_inbox(
    db: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Strangers fill the line before the engine's door while the engine stands still."""
    monkeypatch.setattr("goalfsm.daemon.remote.direct._RECORDED_S", 0.1)
    request(db, THREAD, OBJECTIVE, "one")
    place = db.with_name("door")
    door = socket.socket(socket.AF_UNIX)
    door.bind(str(place))
    door.listen(1)
    store = SqliteStore.open(db)
    store.owner.acquire(own_identity(), socket=str(place), uptime_ms=SystemClock().uptime_ms())
    crowd = [socket.socket(socket.AF_UNIX) for _ in range(8)]
    for link in crowd:
        link.settimeout(0)
        with contextlib.suppress(BlockingIOError):
            link.connect(str(place))
    said = e.SteeringReceived(message_id="m", text="on")
    assert request(db, THREAD, said, "two", timeout_s=0.3).code == "recorded"
    with pytest.raises(NoEngine, match="nothing was written"):
        request(db, THREAD, e.BudgetChanged(limits=Limits(tokens=5)), "three", timeout_s=0.3)
    assert [row.inbox_id for row in store.inbox.pending()] == ["two"]
    for link in (*crowd, door):
        link.close()
    store.owner.release()
    store.close()


DEEP = b"[" * 20_000 + b"]" * 20_000


@pytest.mark.parametrize(
    "left",
    [
        DEEP,
        b'{"thread_id": "a\xffb", "at_ms": 1, "event": ""}',
        b'{"thread_id": "thread", "at_ms": %d, "event": ""}' % 10**30,
        b'{"thread_id": "thread", "at_ms": 1, "event": "%s"}' % base64.b64encode(DEEP),
    ],
    ids=["deep", "no UTF-8", "never", "a deep event"],
)
def test_what_is_left_beside_the_database_stops_nobody(
    db: Path, monkeypatch: pytest.MonkeyPatch, left: bytes
) -> None:
    """Whoever writes next takes what is left there first; not what nobody can read."""
    monkeypatch.setenv("XDG_STATE_HOME", str(db.parent / "state"))
    request(db, THREAD, OBJECTIVE, "one")
    place = inbox.places(str(db))[0]
    place.mkdir(mode=0o700, parents=True)
    (place / "forged.json").write_bytes(left)
    assert request(db, THREAD, e.PauseRequested(), "two").ok
    beside(db, lambda: request(db, THREAD, e.ResumeRequested(), "three"))
    store = SqliteStore.open(db, read_only=True)
    assert [name for name, _ in undecidable(store)] == (
        ["forged"] if left.endswith(b'"}') and len(left) > 9_999 else []
    )
    store.close()
