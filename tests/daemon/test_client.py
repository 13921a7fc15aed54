"""Other processes: over the engine's socket, by its inbox, or without an engine."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar
from unittest.mock import patch

import pytest

from goalfsm.daemon.engine import Engine
from goalfsm.daemon.flow.notices import Ended, Happened, Output, Settled, StatusChanged
from goalfsm.daemon.flow.replay import replay
from goalfsm.daemon.host.platform import SystemClock, own_identity
from goalfsm.daemon.remote import wire
from goalfsm.daemon.remote.client import follow, request, serving, status
from goalfsm.daemon.remote.link import NoEngine
from goalfsm.daemon.remote.socket_path import MAX_PATH, socket_for
from goalfsm.errors import GoalError, NoDatabase, StoreClosed
from goalfsm.session import codec
from goalfsm.session import events as e
from goalfsm.session.policy import Policy
from goalfsm.session.state import Reply
from goalfsm.store.port import Answer
from goalfsm.store.sqlite import SqliteStore
from goalfsm.views.status import Status
from tests.daemon.scenes import COMPLETE, OBJECTIVE, THREAD, inside, private, steps, worker

T = TypeVar("T")


@pytest.fixture
def db(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(private(tmp_path / "r")))
    monkeypatch.setattr("goalfsm.daemon.remote.direct._RECORDED_S", 0.1)
    return tmp_path / "goals.db"


def beside(db: Path, turns: Any, ask: Callable[[Engine], T], **options: Any) -> T:
    """Run an engine on a real loop, and ``ask`` in a thread beside it."""

    async def main() -> T:
        store = SqliteStore.open(db)
        try:
            async with Engine(store, workers=turns, grace_s=0.0, **options) as engine:
                return await asyncio.to_thread(ask, engine)
        finally:
            store.close()

    return asyncio.run(main())


def is_complete(shown: Status) -> bool:
    return shown.goal is not None and shown.goal.status == "complete"


def stored(db: Path) -> Any:
    store = SqliteStore.open(db, read_only=True)
    try:
        row = store.sessions.load(THREAD)
        return None if row is None else codec.decode(row.state)
    finally:
        store.close()


def test_an_engine_answers_once_for_each_event_id(db: Path) -> None:
    def ask(engine: Engine) -> None:
        first = request(db, THREAD, OBJECTIVE, "one")
        assert (first.ok, first.code) == (True, "created")
        assert request(db, THREAD, OBJECTIVE, "one") == first
        refused = request(db, THREAD, OBJECTIVE, "two")
        assert (refused.ok, refused.code) == (False, "goal_exists")
        assert status(db, THREAD).activity == engine.status(THREAD).activity
        owner = serving(db)
        assert owner is not None
        assert owner.identity.pid == os.getpid()

    beside(db, {}, ask)
    assert serving(db) is None


def test_the_socket_is_the_users_alone_and_gone_afterwards(db: Path) -> None:
    def ask(_: Engine) -> Path:
        owner = serving(db)
        assert owner is not None
        place = Path(owner.socket)
        assert stat.S_IMODE(place.stat().st_mode) == 0o600
        assert stat.S_IMODE(place.parent.stat().st_mode) == 0o700
        assert len(os.fsencode(place)) <= MAX_PATH
        return place

    place = beside(db, {}, ask)
    assert not place.exists()


def test_following_shows_everything_until_the_engine_ends(db: Path) -> None:
    seen: list[Any] = []

    def watch() -> None:
        seen.extend(follow(db, THREAD))

    def ask(_: Engine) -> threading.Thread:
        watching = threading.Thread(target=watch)
        notices = follow(db, THREAD)
        assert isinstance(next(notices), StatusChanged)
        watching.start()
        request(db, THREAD, OBJECTIVE, "one")
        kinds = []
        for notice in notices:
            kinds.append(type(notice))
            if isinstance(notice, Settled):
                assert notice.status.activity == "complete"
                break
        notices.close()
        assert Happened in kinds
        assert Output in kinds
        return watching

    beside(db, worker(steps(["working on it", 0.01, COMPLETE])), ask).join(10)
    assert isinstance(seen[-1], Ended)
    text = json.dumps([repr(notice) for notice in seen])
    assert "run_token='" not in text


def test_without_an_engine_the_event_is_decided_here(db: Path) -> None:
    """The next engine goes on from there."""
    reply = request(db, THREAD, OBJECTIVE, "one", policy=Policy(no_progress=0))
    assert (reply.ok, reply.code) == (True, "created")
    assert request(db, THREAD, OBJECTIVE, "one") == reply
    session = stored(db)
    assert session.policy == Policy(no_progress=0)
    assert session.run is None

    def ask(_: Engine) -> None:
        for notice in follow(db, THREAD):
            if isinstance(notice, StatusChanged | Settled) and is_complete(notice.status):
                return

    beside(db, worker(steps(["a", COMPLETE])), ask)
    store = SqliteStore.open(db, read_only=True)
    assert replay(store, THREAD).ok
    store.close()


def test_an_unknown_thread_or_file_is_refused_before_anything_is_written(db: Path) -> None:
    with pytest.raises(NoDatabase):
        request(db, THREAD, e.PauseRequested(), "one")
    assert not db.exists()
    request(db, "other", OBJECTIVE, "one")
    reply = request(db, THREAD, e.PauseRequested(), "two")
    assert (reply.ok, reply.code) == (False, "unknown_thread")
    refused = request(db, THREAD, e.ObjectiveGiven(objective=" "), "three")
    assert (refused.ok, refused.code) == (False, "objective_empty")
    assert stored(db) is None


@pytest.fixture
def silent_owner(db: Path) -> Iterator[SqliteStore]:
    """Own the database and do not listen."""
    store = SqliteStore.open(db)
    store.owner.acquire(own_identity(), socket="", uptime_ms=SystemClock().uptime_ms())
    yield store
    store.close()


def test_a_silent_owner_gets_a_row_in_its_inbox(db: Path, silent_owner: SqliteStore) -> None:
    """What is recorded is decided before anything newer."""
    first = request(db, THREAD, OBJECTIVE, "one", timeout_s=0.2)
    assert (first.ok, first.code) == (True, "recorded")
    assert str(os.getpid()) in first.message
    assert [row.inbox_id for row in silent_owner.inbox.pending()] == ["one"]
    silent_owner.owner.release()
    second = request(db, THREAD, e.PauseRequested(), "two")
    assert second.ok
    assert silent_owner.inbox.pending() == ()
    assert stored(db).goal.status == "paused"


def test_an_owner_that_lets_go_before_it_decides_leaves_it_to_us(
    db: Path, silent_owner: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another command owned the store for a moment, and never looks into the inbox again."""
    put = type(silent_owner.inbox).put

    def let_go(self: Any, inbox_id: str, thread_id: str, **row: Any) -> bool:
        done = put(self, inbox_id, thread_id, **row)
        silent_owner.owner.release()
        return done

    monkeypatch.setattr(type(silent_owner.inbox), "put", let_go)
    reply = request(db, THREAD, OBJECTIVE, "one", timeout_s=0.2)
    assert (reply.ok, reply.code) == (True, "created")
    assert silent_owner.inbox.pending() == ()
    assert request(db, THREAD, OBJECTIVE, "one", timeout_s=0.2) == reply


@pytest.mark.parametrize("socket", ["", "/nowhere/engine.sock"], ids=["command", "engine"])
def test_who_may_not_leave_a_row_waits_for_who_is_at_the_database_only_for_a_moment(
    db: Path, monkeypatch: pytest.MonkeyPatch, socket: str
) -> None:
    """Another command decides something, or an engine ends and has closed its socket."""
    request(db, THREAD, OBJECTIVE, "one")
    with contextlib.closing(SqliteStore.open(db)) as other:
        other.owner.acquire(own_identity(), socket=socket, uptime_ms=SystemClock().uptime_ms())
        monkeypatch.setattr(
            "goalfsm.daemon.remote.link.time.sleep", lambda _: other.owner.release()
        )
        reply = request(db, THREAD, e.EditRequested(objective="Plant two"), "two")
    assert reply.code == "edited", reply
    assert stored(db).goal.objective == "Plant two"


def test_a_row_that_is_decided_meanwhile_brings_its_reply(
    db: Path, silent_owner: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    answered = codec.encode_reply(Reply(ok=True, code="created"))
    put = type(silent_owner.inbox).put

    def decide_at_once(self: Any, inbox_id: str, thread_id: str, **row: Any) -> bool:
        done = put(self, inbox_id, thread_id, **row)
        monkeypatch.setattr(
            type(silent_owner.inbox),
            "answer",
            lambda _self, _id: Answer(revision=1, reply=answered),
        )
        return done

    monkeypatch.setattr(type(silent_owner.inbox), "put", decide_at_once)
    assert request(db, THREAD, OBJECTIVE, "one", timeout_s=0.2).code == "created"


def test_an_owner_whose_socket_does_not_answer_counts_as_silent(db: Path) -> None:
    store = SqliteStore.open(db)
    place = socket_for(str(db))
    with socket.socket(socket.AF_UNIX) as deaf:
        deaf.bind(str(place))
        deaf.listen()
        store.owner.acquire(own_identity(), socket=str(place), uptime_ms=SystemClock().uptime_ms())
        assert request(db, THREAD, OBJECTIVE, "one", timeout_s=0.3).code == "recorded"
        with pytest.raises(NoEngine):
            status(db, THREAD, timeout_s=0.2)
    place.unlink()
    store.close()


def test_without_an_engine_nobody_can_be_followed(db: Path) -> None:
    request(db, THREAD, OBJECTIVE, "one")
    with pytest.raises(NoEngine):
        next(follow(db, THREAD))
    with pytest.raises(NoEngine):
        status(db, THREAD)


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b"not json\n", "request_invalid"),
        (b'{"op": "explode"}\n', "request_invalid"),
        (b'{"op": "submit", "thread_id": "t"}\n', "request_invalid"),
    ],
)
def test_what_the_engine_does_not_understand_is_refused(db: Path, line: bytes, code: str) -> None:
    def ask(_: Engine) -> None:
        owner = serving(db)
        assert owner is not None
        with socket.socket(socket.AF_UNIX) as link:
            link.connect(owner.socket)
            link.sendall(line)
            answer = wire.decode_answer(link.makefile("rb").readline())
            assert isinstance(answer, wire.Failed)
            assert answer.code == code
            link.sendall(wire.encode(wire.AskStatus(thread_id=THREAD)))
            assert isinstance(wire.decode_answer(link.makefile("rb").readline()), wire.Told)

    beside(db, {}, ask)


def test_a_line_without_end_is_cut_off(db: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "MAX_LINE", 10_000)

    def ask(_: Engine) -> None:
        owner = serving(db)
        assert owner is not None
        with socket.socket(socket.AF_UNIX) as link:
            link.settimeout(10)
            link.connect(owner.socket)
            with pytest.raises((BrokenPipeError, ConnectionResetError)):
                link.sendall(b"x" * 10_000_000)
        assert status(db, THREAD).activity == "no goal"

    beside(db, {}, ask)


def test_what_fails_in_the_engine_is_told_with_its_hint(db: Path) -> None:
    def ask(engine: Engine) -> None:
        async def fail(*_: object, **__: object) -> None:
            raise GoalError("no", code="some_code", hint="do this")

        service = type(inside(engine).service)
        with patch.object(service, "submit", fail), pytest.raises(GoalError, match="no") as raised:
            request(db, THREAD, OBJECTIVE, "one")
        assert (raised.value.code, raised.value.hint) == ("some_code", "do this")

    beside(db, {}, ask)


def test_an_engine_that_is_leaving_is_none_to_who_looks(db: Path) -> None:
    """Whoever follows it goes on as if it had ended."""

    def ask(engine: Engine) -> None:
        def gone(*_: object, **__: object) -> None:
            raise StoreClosed("the engine has stopped")

        service = type(inside(engine).service)
        with (
            patch.object(service, "status", gone),
            pytest.raises(NoEngine, match="has stopped"),
        ):
            status(db, THREAD)

    beside(db, {}, ask)


def test_an_engine_that_is_leaving_is_asked_again(db: Path) -> None:
    """Its refusal means that nothing was written."""
    asked: list[str] = []

    def ask(engine: Engine) -> None:
        real = inside(engine).service.submit

        async def leaving(_: Any, thread_id: str, event: Any, event_id: str) -> Any:
            asked.append(event_id)
            if len(asked) == 1:
                raise GoalError("the engine has stopped", code="store_closed")
            return await real(thread_id, event, event_id)

        with patch.object(type(inside(engine).service), "submit", leaving):
            assert request(db, THREAD, OBJECTIVE, "one").code == "created"

    beside(db, {}, ask)
    assert asked == ["one", "one"]
