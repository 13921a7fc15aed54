"""Ask through the database: where its engine is found out there, is silent, or does not exist."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from goalfsm.daemon.flow.authority import (
    admitted_here,
    is_recordable,
    may_be_kept,
    require_own_run_here,
)
from goalfsm.daemon.flow.inbox import leave
from goalfsm.daemon.remote import wire
from goalfsm.daemon.remote.link import FalseEngine, Link, NoEngine, again, refused
from goalfsm.errors import (
    NAMES_OWNER,
    Busy,
    CannotWrite,
    DiskFull,
    GoalError,
    NoDatabase,
    StoreUnavailable,
)
from goalfsm.session import codec
from goalfsm.session.events import (
    GIVING,
    ClearRequested,
    Event,
    PauseRequested,
    ToolCalled,
    WaitDeclared,
)
from goalfsm.session.policy import Policy
from goalfsm.session.state import Reply, Session
from goalfsm.session.tools import CREATE_GOAL
from goalfsm.store.owner import is_alive
from goalfsm.store.port import BUSY_MS, Held, Owner, Store

if TYPE_CHECKING:
    from goalfsm.store.reading import Reading

_STOP_BUSY_MS: Final = 100
"""How long a word or a stop waits for another process's lock before it is kept elsewhere."""
_RECORDED_S: Final = 2.5


class _TakesNobody(NoEngine):
    """The owner of the store takes nobody at a socket now."""


class _Leaving(Exception):
    """The store changes hands at this moment: look again who owns it."""


class _Unanswered(Exception):
    """What lies in the inbox has not been decided yet."""


def ask(
    db: str | Path,
    thread_id: str,
    event: Event,
    event_id: str,
    policy: Policy | None,
    deadline: float,
) -> Reply:
    """Have an event decided; see `goalfsm.daemon.remote.client.request`."""
    if not may_be_kept(event):
        return _ask(db, thread_id, event, event_id, policy, deadline, BUSY_MS)
    try:
        return _ask(db, thread_id, event, event_id, policy, deadline, _STOP_BUSY_MS)
    except (Busy, CannotWrite, DiskFull, StoreUnavailable) as error:
        allowed = admitted_here(event, db)
        at_ms = time.time_ns() // 1_000_000
        kept = codec.encode_event(allowed)
        leave(os.fspath(db), thread_id, event_id, at_ms=at_ms, event=kept)
        why = f"the database cannot be written now ({error.message}), and whoever writes it next"
        if isinstance(event, PauseRequested | ClearRequested):
            told = f"no turn follows; {why} records this first"
            return Reply(ok=True, code="suspended", message=told)
        return Reply(ok=True, code="recorded", message=f"it is kept; {why} decides it first")


def call(
    db: Path, thread_id: str, event: ToolCalled | WaitDeclared, event_id: str, deadline: float
) -> wire.ToolTold:
    """Have a tool's call decided; return what the model is told."""
    from goalfsm.views.tool_answers import respond  # noqa: PLC0415  only for a model

    if not _creates(event):
        with _Opened(db, BUSY_MS, create=False) as opened:
            if not _is_known(opened.to_read(), thread_id):
                no = wire.unknown(thread_id)
                raise GoalError(no.message, code=no.code, hint=no.hint)
    reply = ask(db, thread_id, event, event_id, None, deadline)
    with _Opened(db, BUSY_MS, create=False) as opened:
        session = session_of(opened.to_read(), thread_id)
    return wire.tool_told(respond(reply, session, time.time_ns() // 1_000_000))


def _creates(event: Event) -> bool:
    made = isinstance(event, ToolCalled) and event.name == CREATE_GOAL.name
    return made or isinstance(event, GIVING)


def _ask(
    db: str | Path,
    thread_id: str,
    event: Event,
    event_id: str,
    policy: Policy | None,
    deadline: float,
    busy_ms: int,
) -> Reply:
    starts = isinstance(event, (*GIVING, ToolCalled))
    creates = _creates(event)
    # What could make a file is looked at before; else whoever decides it finds out who asks.
    allowed = admitted_here(event, db) if creates else None
    with _Opened(Path(db), busy_ms, create=creates) as opened:
        store = opened.to_read()

        def decided() -> Reply:
            nonlocal allowed
            if not starts and not _is_known(store, thread_id):
                return wire.unknown(thread_id)
            owner = store.owner.current()
            if owner is not None and is_alive(owner.identity):
                try:
                    return _asked(db, owner, thread_id, event, event_id, deadline)
                except NoEngine as error:
                    if _may_pass(error, event) and time.monotonic() < deadline:
                        raise _Leaving from error
                    silent = error
                allowed = allowed or admitted_here(event, db)
                if not is_recordable(event):
                    raise _untold(silent, owner)
                return _record(opened.to_write(), silent, owner, thread_id, event, event_id)
            # Only a command that no engine answers needs the rules.
            from goalfsm.daemon.remote import offline  # noqa: PLC0415

            allowed = allowed or admitted_here(event, db)
            require_own_run_here(event, db, lambda: session_of(store, thread_id).run)
            answer = offline.apply(opened.to_write(), thread_id, allowed, event_id, policy)
            if not isinstance(answer, Held):
                return answer
            # Somebody took it meanwhile: another command like this one, or an engine that starts.
            impatient = answer.locked and busy_ms < BUSY_MS
            if impatient or time.monotonic() >= deadline:
                raise StoreUnavailable(
                    "the database stays locked",
                    hint="Try again in a moment; goalfsm doctor names the owner.",
                    remedies=(NAMES_OWNER,),
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
        """Return the store, opened for writing."""
        from goalfsm.store.sqlite import SqliteStore  # noqa: PLC0415 - as above

        if self._writes is None:
            path, create = self._path, self._create
            self._writes = SqliteStore.open(path, create=create, busy_ms=self._busy_ms)
        return self._writes


def session_of(store: Reading, thread_id: str) -> Session:
    """Return the thread's session, a new one where there is none."""
    stored = store.sessions.load(thread_id)
    return Session() if stored is None else codec.decode(stored.state)


def _is_known(store: Store, thread_id: str) -> bool:
    """Tell whether the thread exists, or what would begin it waits in the inbox."""
    if store.sessions.load(thread_id) is not None:
        return True
    return any(row.thread_id == thread_id for row in store.inbox.pending())


def _asked(
    db: str | Path, owner: Owner, thread_id: str, event: Event, event_id: str, deadline: float
) -> Reply:
    """Return the engine's reply; raise `NoEngine` where none answers, and what it could not do."""
    if not owner.socket:
        raise _TakesNobody(f"process {owner.identity.pid} does not listen")
    submit = wire.Submit(thread_id=thread_id, event_id=event_id, event=wire.raw(event))
    with Link(owner.socket, deadline, db=os.fspath(db), starting=False) as link:
        answer = link.ask(submit)
    if isinstance(answer, wire.Replied):
        return answer.reply
    if isinstance(answer, wire.Failed) and answer.code == wire.CROWDED:
        raise _TakesNobody(answer.message)
    raise refused(answer)


def _may_pass(silent: NoEngine, event: Event) -> bool:
    """Tell whether the silence may pass: an engine begins or ends, or a command is at the database.

    An owner that takes nobody at its socket finds in the inbox what may lie there.
    """
    if isinstance(silent, FalseEngine):
        return False
    return not (isinstance(silent, _TakesNobody) and is_recordable(event))


def _untold(silent: NoEngine, owner: Owner) -> NoEngine:
    """Return the error for what an engine takes from nobody that it cannot look at."""
    if isinstance(silent, FalseEngine):
        return silent
    does = "serves" if owner.socket else "owns"
    return NoEngine(
        f"process {owner.identity.pid} {does} the database and does not answer; "
        "nothing was written",
        hint="Try again in a moment; goalfsm pause is taken in any case.",
    )


def _record(
    store: Store, silent: NoEngine, owner: Owner, thread_id: str, event: Event, event_id: str
) -> Reply:
    """Leave the event in the inbox, and the reply to an owner that may yet wake up.

    Raises `_Leaving` where it is gone before it did: a command that owned the store for a moment.
    """
    at_ms = time.time_ns() // 1_000_000
    store.inbox.put(event_id, thread_id, at_ms=at_ms, event=codec.encode_event(event))
    deadline = time.monotonic() + _RECORDED_S

    def answered() -> Reply:
        if time.monotonic() >= deadline:
            why = f"process {owner.identity.pid} serves the database and does not answer"
            if isinstance(silent, FalseEngine):
                why = silent.message
            told = f"{why}; it is recorded and will be decided when an engine does"
            return Reply(ok=True, code="recorded", message=told)
        answer = store.inbox.answer(event_id)
        if answer is not None and answer.revision is not None:
            # Where no reply was kept the event was accepted.
            return Reply(ok=True) if answer.reply is None else codec.decode_reply(answer.reply)
        holder = store.owner.current()
        raise _Leaving if holder is None or not is_alive(holder.identity) else _Unanswered

    return again(answered, (_Unanswered,))
