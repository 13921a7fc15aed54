"""Ask the engine that serves a database, from another process; without one, do it here."""

from __future__ import annotations

import os
import time
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from goalfsm.daemon.flow.authority import admitted_here, is_recordable
from goalfsm.daemon.flow.notices import Ended, Notice
from goalfsm.daemon.flow.stops import leave
from goalfsm.daemon.remote import wire
from goalfsm.daemon.remote.link import POLL_S, Link, NoEngine, again
from goalfsm.errors import (
    Busy,
    CannotWrite,
    DiskFull,
    GoalError,
    NoDatabase,
    StoreUnavailable,
)
from goalfsm.session import codec
from goalfsm.session.events import GIVING, ClearRequested, Event, PauseRequested, ToolCalled
from goalfsm.session.policy import Policy
from goalfsm.session.state import Reply
from goalfsm.session.tools import CREATE_GOAL
from goalfsm.store.owner import is_alive
from goalfsm.store.port import BUSY_MS, Held, Owner, Store

if TYPE_CHECKING:
    from goalfsm.views.status import Status
    from goalfsm.views.tool_answers import ToolResponse

TIMEOUT_S: Final = 5.0
"""How long an engine may take to answer before it counts as silent."""

_STOP_BUSY_MS: Final = 100
"""How long a stop waits for another process's lock before it is kept elsewhere."""
_RECORDED_S: Final = 2.5
_GONE: Final = frozenset({"store_closed", "fenced"})


class _Leaving(Exception):
    """The store changes hands at this moment: look again who owns it."""


def request(
    db: str | Path,
    thread_id: str,
    event: Event,
    event_id: str,
    *,
    policy: Policy | None = None,
    timeout_s: float = TIMEOUT_S,
) -> Reply:
    """Have an event decided; return the reply when it is durable.

    By the engine that serves ``db``; where it is silent the event is recorded for it, and the
    reply's code is ``recorded``; where there is none it is decided here, and a later engine goes
    on from there. Sending the same ``event_id`` again is harmless. Raises GoalError when nothing
    was written: also where what is asked for is not this process's to ask for. A pause or a clear
    that no engine answers and no database takes is kept beside it, and the reply's code is
    ``suspended``.
    """
    if not isinstance(event, PauseRequested | ClearRequested):
        return _request(db, thread_id, event, event_id, policy, timeout_s, BUSY_MS)
    try:
        return _request(db, thread_id, event, event_id, policy, timeout_s, _STOP_BUSY_MS)
    except (Busy, CannotWrite, DiskFull, StoreUnavailable) as error:
        allowed = admitted_here(event, db)
        at_ms = time.time_ns() // 1_000_000
        stop = codec.encode_event(allowed)
        leave(os.fspath(db), thread_id, event_id, at_ms=at_ms, event=stop)
        return Reply(
            ok=True,
            code="suspended",
            message=f"no turn follows; the database cannot be written now ({error.message}), "
            "and whoever writes it next records this first",
        )


def _request(
    db: str | Path,
    thread_id: str,
    event: Event,
    event_id: str,
    policy: Policy | None,
    timeout_s: float,
    busy_ms: int,
) -> Reply:
    starts = isinstance(event, (*GIVING, ToolCalled))
    creates = isinstance(event, GIVING) or (
        isinstance(event, ToolCalled) and event.name == CREATE_GOAL.name
    )
    # What could make a file is looked at before; else whoever decides it finds out who asks.
    allowed = admitted_here(event, db) if creates else None
    deadline = time.monotonic() + timeout_s
    with _Opened(Path(db), busy_ms, create=creates) as opened:
        store = opened.to_read()

        def decided() -> Reply:
            nonlocal allowed
            if not starts and not _is_known(store, thread_id):
                return _unknown(thread_id)
            owner = store.owner.current()
            if owner is not None and is_alive(owner.identity):
                reply = _ask(owner, thread_id, event, event_id, deadline)
                if reply is None:
                    allowed = allowed or admitted_here(event, db)
                    reply = _record(opened.to_write(), owner, thread_id, event, event_id)
                if reply is None:
                    raise _Leaving
                return reply
            # Only a command that no engine answers needs the rules.
            from goalfsm.daemon.remote import offline  # noqa: PLC0415

            allowed = allowed or admitted_here(event, db)
            answer = offline.apply(opened.to_write(), thread_id, allowed, event_id, policy)
            if not isinstance(answer, Held):
                return answer
            # Somebody took it meanwhile: another command like this one, or an engine that starts.
            impatient = answer.locked and busy_ms < BUSY_MS
            if impatient or time.monotonic() >= deadline:
                raise StoreUnavailable(
                    "the database stays locked",
                    hint="Try again in a moment; goalfsm doctor names the owner.",
                )
            raise _Leaving

        return again(decided, (_Leaving,))


class _Opened:
    """A database that is read first: most commands are answered by an engine, and write nothing."""

    def __init__(self, path: Path, busy_ms: int, *, create: bool) -> None:
        self._path = path
        self._busy_ms = busy_ms
        self._create = create
        self._reads: Store | None = None
        self._writes: Store | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for store in (self._reads, self._writes):
            if store is not None:
                store.close()

    def to_read(self) -> Store:
        """Return what to read: where there is no database yet and one may be made, the new one."""
        from goalfsm.store.sqlite import SqliteStore  # noqa: PLC0415 - an embedder may have another

        try:
            self._reads = SqliteStore.open(self._path, read_only=True, busy_ms=self._busy_ms)
        except NoDatabase:
            if not self._create:
                raise
            return self.to_write()
        return self._reads

    def to_write(self) -> Store:
        """Return what may be written."""
        from goalfsm.store.sqlite import SqliteStore  # noqa: PLC0415 - as above

        if self._writes is None:
            path, create = self._path, self._create
            self._writes = SqliteStore.open(path, create=create, busy_ms=self._busy_ms)
        return self._writes


def call_own(
    place: Path,
    name: str,
    arguments: Mapping[str, Any],
    *,
    thread_id: str = "",
    token: str = "",
    timeout_s: float = TIMEOUT_S,
) -> ToolResponse:
    """Have a tool's call decided at a run's own socket, and return what the model is told.

    At a node's socket ``thread_id`` says whose tool it is, and ``token`` which run calls it.
    """
    given = {key: value for key, value in arguments.items() if value not in (None, [])}
    call = wire.CallTool(name=name, arguments=given, thread_id=thread_id, run_token=token)
    with Link(str(place), time.monotonic() + timeout_s) as link:
        answer = link.ask(call)
    if isinstance(answer, wire.ToolTold):
        return answer.response
    raise _refused(answer)


def status(db: str | Path, thread_id: str, *, timeout_s: float = TIMEOUT_S) -> Status:
    """Return how the thread stands, from the engine that serves it; raise `NoEngine`."""
    with Link(_living(db).socket, time.monotonic() + timeout_s) as link:
        answer = link.ask(wire.AskStatus(thread_id=thread_id))
    if isinstance(answer, wire.Told):
        return answer.status
    raise _refused(answer)


def held(place: str, thread_id: str, *, timeout_s: float = TIMEOUT_S) -> str:
    """Return what the engine at a socket keeps turns of the thread from starting for.

    "" where nothing does. Raises `NoEngine` where it does not answer.
    """
    with Link(place, time.monotonic() + timeout_s) as link:
        answer = link.ask(wire.Ping(thread_id=thread_id))
    if isinstance(answer, wire.Pong):
        return answer.held
    raise _refused(answer)


def follow(
    db: str | Path, thread_id: str, *, succeeds: bool = False, timeout_s: float = TIMEOUT_S
) -> Generator[Notice, None, None]:
    """Yield what happens to a thread, as the engine tells it; ends after `Ended`.

    Who ``succeeds`` is ready to go on with the thread when that engine ends.

    Raises `NoEngine` when there is none, or when it ends without a word. Closing the iterator
    stops following.
    """
    with Link(_living(db).socket, time.monotonic() + timeout_s) as link:
        answer = link.ask(wire.Follow(thread_id=thread_id, succeeds=succeeds))
        link.wait_forever()
        while isinstance(answer, wire.Noticed):
            yield answer.notice
            if isinstance(answer.notice, Ended):
                return
            answer = link.hear()
    raise _refused(answer)


def serving(db: str | Path) -> Owner | None:
    """Return the living owner of a database, None when there is none."""
    from goalfsm.store.sqlite import SqliteStore  # noqa: PLC0415 - as above

    store = SqliteStore.open(Path(db), read_only=True)
    try:
        owner = store.owner.current()
    finally:
        store.close()
    return owner if owner is not None and is_alive(owner.identity) else None


def _living(db: str | Path) -> Owner:
    owner = serving(db)
    if owner is None or not owner.socket:
        raise NoEngine(f"no engine serves {db}")
    return owner


def _is_known(store: Store, thread_id: str) -> bool:
    """Tell whether the thread exists, or what would begin it waits in the inbox."""
    if store.sessions.load(thread_id) is not None:
        return True
    return any(row.thread_id == thread_id for row in store.inbox.pending())


def _unknown(thread_id: str) -> Reply:
    return Reply(
        ok=False,
        code="unknown_thread",
        message=f"there is no thread {thread_id}",
        hint="goalfsm list shows the threads",
    )


def _ask(
    owner: Owner, thread_id: str, event: Event, event_id: str, deadline: float
) -> Reply | None:
    """Return the engine's reply, None when it is silent; raise what it could not do."""
    if not owner.socket:
        return None
    submit = wire.Submit(thread_id=thread_id, event_id=event_id, event=event)
    try:
        with Link(owner.socket, deadline) as link:
            answer = link.ask(submit)
    except NoEngine:
        return None
    if isinstance(answer, wire.Replied):
        return answer.reply
    if isinstance(answer, wire.Failed) and answer.code == wire.CROWDED:
        return None
    if isinstance(answer, wire.Failed) and answer.code in _GONE and time.monotonic() < deadline:
        raise _Leaving(answer.message)
    raise _refused(answer)


def _record(
    store: Store, owner: Owner, thread_id: str, event: Event, event_id: str
) -> Reply | None:
    """Leave the event in the inbox, and the reply to an owner that may yet wake up.

    None where the owner is gone before it did: a command that owned the store for a moment. Raises
    `NoEngine` for what an engine takes from nobody that it cannot look at.
    """
    if not is_recordable(event):
        raise NoEngine(
            f"process {owner.identity.pid} serves the database and does not answer; "
            "nothing was written",
            hint="Try again in a moment; goalfsm pause is taken in any case.",
        )
    at_ms = time.time_ns() // 1_000_000
    store.inbox.put(event_id, thread_id, at_ms=at_ms, event=codec.encode_event(event))
    deadline = time.monotonic() + _RECORDED_S
    while time.monotonic() < deadline:
        answer = store.inbox.answer(event_id)
        if answer is not None and answer.revision is not None:
            # Where no reply was kept the event was accepted.
            return Reply(ok=True) if answer.reply is None else codec.decode_reply(answer.reply)
        holder = store.owner.current()
        if holder is None or not is_alive(holder.identity):
            return None
        time.sleep(POLL_S)
    return Reply(
        ok=True,
        code="recorded",
        message=f"process {owner.identity.pid} serves the database and does not answer; "
        "it is recorded and will be decided when an engine does",
    )


def _refused(answer: wire.Answer) -> GoalError:
    if isinstance(answer, wire.Failed):
        return GoalError(
            answer.message, code=answer.code, hint=answer.hint, remedies=answer.remedies
        )
    return NoEngine("the engine answered something else than it was asked")
