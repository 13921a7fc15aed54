"""A crowd at the socket: who asks nothing, half of something, or never to its end."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from goalfsm.daemon.remote import wire
from goalfsm.daemon.remote.client import request
from goalfsm.session import events as e
from tests.daemon.scenes import OBJECTIVE, THREAD, beside, connect


def test_a_crowd_that_asks_nothing_keeps_nobody_out(
    db: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Idle connections and half a request: who has kept a place for longest loses it."""
    monkeypatch.setattr("goalfsm.daemon.remote.listener.MAX_CONNECTIONS", 8)
    request(db, THREAD, OBJECTIVE, "one")

    def ask() -> None:
        crowd = []
        for _ in range(20):
            crowd.append(connect(db))
            crowd[-1].sendall(b'{"op": "sub')
        reply = request(db, THREAD, e.SteeringReceived(message_id="m", text="on"), "two")
        assert reply.message == "the next turn takes it into account"
        for link in crowd:
            link.close()

    beside(db, ask)


def test_followers_that_have_gone_keep_nobody_out(
    db: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing happens to what they followed, so that nothing told the engine of their end."""
    monkeypatch.setattr("goalfsm.daemon.remote.listener.MAX_CONNECTIONS", 8)
    request(db, THREAD, OBJECTIVE, "one")
    request(db, THREAD, e.PauseRequested(), "two")

    def ask() -> None:
        crowd = [connect(db) for _ in range(8)]
        for link in crowd:
            link.sendall(wire.encode(wire.Follow(thread_id=THREAD)))
            assert link.recv(1)
        for link in crowd:
            link.close()
        # What no inbox takes: nobody could tell there who wrote it.
        assert request(db, THREAD, e.EditRequested(objective="another"), "three").ok

    beside(db, ask)


def test_who_does_not_read_what_was_asked_for_keeps_nobody_out(
    db: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("goalfsm.daemon.remote.listener.MAX_CONNECTIONS", 8)
    request(db, THREAD, OBJECTIVE, "one")

    def ask() -> None:
        crowd = [connect(db) for _ in range(8)]
        asked = wire.encode(wire.AskStatus(thread_id=THREAD)) * 100
        for link in crowd:
            link.settimeout(0.2)
            with contextlib.suppress(TimeoutError):
                while True:
                    link.sendall(asked)
        assert request(db, THREAD, e.EditRequested(objective="another"), "two").ok
        for link in crowd:
            link.close()

    beside(db, ask)


def test_requests_that_are_not_whole_have_a_budget(
    db: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("goalfsm.daemon.remote.listener.MAX_HELD", 400_000)
    request(db, THREAD, OBJECTIVE, "one")

    def ask() -> None:
        crowd = [connect(db) for _ in range(4)]
        ended = 0
        for link in crowd:
            try:
                link.sendall(b"x" * 300_000)
            except OSError:
                ended += 1
        assert request(db, THREAD, e.PauseRequested(), "two").ok
        for link in crowd:
            link.settimeout(0)
            try:
                ended += link.recv(1) == b""
            except BlockingIOError:
                continue
            except OSError:
                ended += 1
        assert ended >= 2
        for link in crowd:
            link.close()

    beside(db, ask)


def test_a_request_that_is_never_whole_is_given_up(
    db: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("goalfsm.daemon.remote.listener.IDLE_S", 0.05)
    request(db, THREAD, OBJECTIVE, "one")

    def ask() -> None:
        with connect(db) as link:
            link.sendall(b"{")
            with contextlib.suppress(ConnectionResetError):
                assert link.recv(1) == b""

    beside(db, ask)
