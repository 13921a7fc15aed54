"""An engine whose socket is taken away, or covered by something else, listens there again."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import socket
import time
from collections.abc import Callable
from pathlib import Path

import apsw
import pytest

from goalfsm.daemon.engine import Engine
from goalfsm.daemon.remote import wire
from goalfsm.daemon.remote.client import from_engine, request
from goalfsm.daemon.remote.listener import Link, Listener
from goalfsm.daemon.remote.socket_path import remove_stale, socket_for
from goalfsm.errors import Fenced
from goalfsm.session import events as e
from goalfsm.store.sqlite import SqliteStore
from tests.daemon.scenes import OBJECTIVE, THREAD, private
from tests.daemon.test_watch import WITHIN_S, until

SAID = e.SteeringReceived(message_id="m", text="look at the tests")


@pytest.fixture(autouse=True)
def looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have an engine look often."""
    monkeypatch.setattr("goalfsm.daemon.guards.ownership.HEARTBEAT_S", 0.01)


def _take(place: Path, how: str) -> None:
    """Take a socket away, at once."""
    other = place.with_suffix(".other")
    match how:
        case "removed":
            place.unlink()
            return
        case "moved":
            place.rename(other)
            return
        case "a file":
            other.touch()
        case "a link":
            other.symlink_to("nowhere")
        case "a socket":
            with socket.socket(socket.AF_UNIX) as bound:
                bound.bind(str(other))
    other.replace(place)


@pytest.mark.parametrize("how", ["removed", "moved", "a file", "a link", "a socket"])
def test_what_was_taken_is_there_again_after_a_look(
    db: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """A command is answered at the door again, and who was connected stays so."""
    monkeypatch.setattr("goalfsm.daemon.guards.ownership.LOOK_S", 0.01)

    def ask() -> None:
        place = socket_for(str(db))
        with socket.socket(socket.AF_UNIX) as connected:
            connected.connect(str(place))
            _take(place, how)
            until(lambda: from_engine(db, THREAD, SAID, "said", _soon()) is not None)
            connected.sendall(wire.encode(wire.Ping(thread_id=THREAD)))
            assert isinstance(wire.decode_answer(connected.recv(1_000)), wire.Pong)

    _engine_meets(db, ask)
    assert not socket_for(str(db)).exists()


def test_a_command_gets_through_meanwhile_and_brings_it_back(
    db: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An engine that rests looks once a minute; a row of the inbox has it look at once."""
    monkeypatch.setattr("goalfsm.daemon.guards.ownership.LOOK_S", 10_000.0)
    monkeypatch.setattr("goalfsm.daemon.remote.direct._RECORDED_S", 0.0)

    def ask() -> None:
        socket_for(str(db)).unlink()
        reply = request(db, THREAD, SAID, "said", timeout_s=0.2)
        assert reply.ok
        until(lambda: from_engine(db, THREAD, SAID, "said", _soon()) is not None)

    _engine_meets(db, ask)


def test_an_engine_that_was_succeeded_binds_nothing(
    db: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The place is its successor's to clear; the one that was succeeded ends."""
    monkeypatch.setattr("goalfsm.daemon.guards.ownership.LOOK_S", 0.01)
    bound: list[int] = []
    monkeypatch.setattr(Listener, "_restore", lambda _: bound.append(1))

    async def main() -> None:
        store = SqliteStore.open(db)
        async with Engine(store, workers={}) as engine:
            with contextlib.closing(apsw.Connection(str(db))) as other:
                other.execute("UPDATE owner SET epoch = epoch + 1")
            socket_for(str(db)).unlink()
            await asyncio.wait_for(engine.wait(), WITHIN_S)

    with pytest.raises(Fenced):
        asyncio.run(main())
    assert not bound


def _engine_meets(db: Path, what: Callable[[], None]) -> None:
    async def main() -> None:
        store = SqliteStore.open(db)
        async with Engine(store, workers={}) as engine:
            await engine.submit(THREAD, OBJECTIVE)
            await engine.submit(THREAD, e.PauseRequested())
            await asyncio.to_thread(what)
        store.close()

    asyncio.run(main())


def _soon() -> float:
    return time.monotonic() + 1.0


@pytest.mark.asyncio
async def test_who_is_just_let_in_is_answered(tmp_path: Path) -> None:
    """A connection that has been taken and is not whole yet when the old socket is closed."""
    place = tmp_path / "s"

    async def answer(_request: wire.Request, link: Link) -> None:
        link.say(wire.Pong())

    listener = Listener(place, answer)
    await listener.start()
    coming = socket.socket(socket.AF_UNIX)
    coming.connect(str(place))
    place.unlink()
    listener.restore()
    assert listener._restoring is not None
    await listener._restoring
    listener.ready()
    reader, writer = await asyncio.open_unix_connection(sock=coming)
    writer.write(wire.encode(wire.Ping()))
    said = await asyncio.wait_for(reader.readline(), WITHIN_S)
    assert isinstance(wire.decode_answer(said), wire.Pong)
    writer.close()
    await listener.close()


@pytest.mark.asyncio
async def test_in_a_directory_of_others_nothing_is_bound(tmp_path: Path) -> None:
    """Where the directory was moved away, and one that others may use is there."""
    home = private(tmp_path / "home")
    listener = Listener(home / "s", _nothing)
    await listener.start()
    home.rename(tmp_path / "elsewhere")
    home.mkdir(mode=0o755)
    listener.restore()
    assert listener._restoring is None
    await listener.close()


@pytest.mark.asyncio
@pytest.mark.parametrize("made", [False, True])
async def test_a_directory_that_has_gone_is_made_again(tmp_path: Path, *, made: bool) -> None:
    """One for the time of a login goes with its end, and the next login makes it."""
    login = private(tmp_path / "login")
    place = private(login / "home") / "s"
    listener = Listener(place, _nothing)
    await listener.start()
    shutil.rmtree(login)
    listener.restore()
    assert listener._restoring is None
    private(login)
    if made:
        private(place.parent)
    listener.restore()
    assert listener._restoring is not None
    await listener._restoring
    assert place.is_socket()
    assert place.parent.stat().st_mode & 0o077 == 0
    await listener.close()


@pytest.mark.asyncio
async def test_what_cannot_be_bound_again_is_tried_again(tmp_path: Path) -> None:
    """And closing waits for it: no socket is left."""
    place = tmp_path / "s"
    listener = Listener(place, _nothing)
    await listener.start()
    place.unlink()
    real, listener._place = listener._place, tmp_path / ("long" * 40)
    listener._bound = (listener._bound[0], listener._found()[1])
    listener.restore()
    assert listener._restoring is not None
    await listener._restoring
    assert not os.listdir(tmp_path)  # noqa: PTH208 - a count
    listener._place = real
    listener.restore()
    await listener.close()
    assert not os.listdir(tmp_path)  # noqa: PTH208 - a count


@pytest.mark.asyncio
async def test_a_directory_in_the_place_of_a_socket_keeps_nobody_from_closing(
    tmp_path: Path,
) -> None:
    """A worker may have made one."""
    place = tmp_path / "s"
    listener = Listener(place, _nothing)
    await listener.start()
    place.unlink()
    (place / "full").mkdir(parents=True)
    await listener.close()
    assert not place.exists()


def test_a_directory_with_the_name_of_an_old_socket_keeps_no_engine_from_starting(
    db: Path,
) -> None:
    """It is removed with what earlier engines left."""
    place = socket_for(str(db))
    old = place.with_name(place.name.replace(place.stem.partition("-")[2], "1"))
    (old / "full").mkdir(parents=True)
    place.mkdir()
    remove_stale(place)
    assert not old.exists()
    assert not place.exists()


async def _nothing(*_: object) -> None:
    """Answer nobody."""
