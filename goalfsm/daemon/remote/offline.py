"""Decide an event where no engine is: own the store for a moment, commit, let it go.

Nothing is dispatched and no effect is done; the next engine does what was committed. When the owner
before died, every thread that it worked on is told so: whoever owns the store next cannot know any
more when that owner was last seen.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from goalfsm.daemon.flow.authority import of_a_row
from goalfsm.daemon.flow.decide import (
    ACCEPTED,
    decode_reply,
    failure_of,
    prepare,
    rules_changed,
)
from goalfsm.daemon.flow.inbox import move_into
from goalfsm.daemon.flow.ports import Undecided
from goalfsm.daemon.host.platform import SystemClock, SystemEntropy, own_identity
from goalfsm.daemon.host.zones import zone
from goalfsm.daemon.remote.hosted_turn import noted
from goalfsm.errors import GoalError, OutcomeUnknown, StoreUnavailable
from goalfsm.session import codec
from goalfsm.session.codec import sealed
from goalfsm.session.effects import StartRun
from goalfsm.session.events import EngineLost, EngineStarted, RunDispatched
from goalfsm.session.policy import Policy
from goalfsm.session.state import RULES_VERSION, Reply
from goalfsm.session.thread import GoalThread
from goalfsm.session.work import NEED_ENGINE
from goalfsm.store.port import Committed, Conflict, Duplicate, Held, Invalid

if TYPE_CHECKING:
    from goalfsm.session.effects import Effect
    from goalfsm.session.events import Event
    from goalfsm.session.state import Session
    from goalfsm.store.port import Commit, InboxRow, Outcome, Owner, Store

_ATTEMPTS: Final = 3


def apply(
    store: Store, thread_id: str, event: Event, event_id: str, policy: Policy | None = None
) -> Reply | Held:
    """Return the reply when it is durable, or who owns the store.

    What waits in the inbox is decided first: it was sent earlier.
    """
    claimed = store.owner.acquire(own_identity(), socket="", uptime_ms=SystemClock().uptime_ms())
    if isinstance(claimed, Held):
        return claimed
    try:
        if isinstance(path := getattr(store, "path", None), Path):
            move_into(store.inbox, str(path))
        rows = store.inbox.pending()
        _say_lost(store, claimed.previous, {thread_id, *(row.thread_id for row in rows)}, policy)
        for row in rows:
            _decide_row(store, row, policy)
        return _decide(store, thread_id, sealed(event), event_id, policy)
    finally:
        store.owner.release()


def settle(store: Store, previous: Owner | None) -> None:
    """Decide what an owner that moves its threads elsewhere would leave to the next engine here.

    What waits in the inbox is decided, and every thread that an engine has let go is begun again,
    as the engine does that it goes to. The handle owns the store.
    """
    rows = store.inbox.pending()
    _say_lost(store, previous, {row.thread_id for row in rows}, None)
    for row in rows:
        _decide_row(store, row, None)
    for thread in store.sessions.threads():
        stored = store.sessions.load(thread.thread_id)
        if stored is not None and codec.decode(stored.state).stopping:
            _decide(store, thread.thread_id, EngineStarted(), new_event_id(), None)


def _say_lost(
    store: Store, previous: Owner | None, concerned: set[str], policy: Policy | None
) -> None:
    """Stop the clocks that an engine left running, at its last sign, before anything is decided.

    An owner that let the store go left none but by a fault, so there only the threads are looked at
    that are ``concerned``.
    """
    threads = concerned
    if previous is not None:
        threads = concerned | {row.thread_id for row in store.sessions.threads(NEED_ENGINE)}
    seen_ms = 0 if previous is None else previous.seen_ms
    for thread_id in sorted(threads):
        stored = store.sessions.load(thread_id)
        try:
            session = None if stored is None else codec.decode(stored.state)
        except codec.CodecError:
            continue  # another version may be able to read it
        if (
            session is None
            or session.clock.last_ms is None
            or _is_hosted(store, thread_id, session)
        ):
            continue
        _decide(store, thread_id, EngineLost(seen_ms=seen_ms), new_event_id(), policy)


def _is_hosted(store: Store, thread_id: str, session: Session) -> bool:
    """Tell whether the open turn is done by a program that lives, and that is no engine."""
    path, run = getattr(store, "path", None), session.run
    turn = noted(path, thread_id) if isinstance(path, Path) and run is not None else None
    return turn is not None and run is not None and turn.run_id == run.run_id and turn.lives


def _decide_row(store: Store, row: InboxRow, policy: Policy | None) -> None:
    """Decide what waits in the inbox; what cannot be keeps nobody else from being answered."""
    try:
        event = sealed(of_a_row(codec.decode_event(row.event)))
    except GoalError:
        return  # it stays where it is: another version may read it, or somebody forged it
    try:
        _decide(store, row.thread_id, event, row.inbox_id, policy)
    except GoalError:
        raise
    except Exception as error:  # noqa: BLE001 - a fault takes its place, and tells of it
        failed = failure_of(Undecided(event, row.inbox_id, outside=True, from_inbox=True), error)
        _decide(store, row.thread_id, failed, row.inbox_id, policy)


def _decide(
    store: Store, thread_id: str, event: Event, event_id: str, policy: Policy | None
) -> Reply:
    for _ in range(_ATTEMPTS):
        stored = store.sessions.load(thread_id)
        thread = GoalThread.new(policy, thread_id=thread_id, zones=zone)
        revision = 0
        at_ms = SystemClock().wall_ms()
        commits: list[Commit] = []
        if stored is not None:
            thread = GoalThread.load(stored.state, thread_id=thread_id, zones=zone)
            revision = stored.revision
            if stored.rules_version < RULES_VERSION:
                began = rules_changed(thread, revision, thread_id, id=new_event_id(), at_ms=at_ms)
                commits = [each.commit for each in began]
                revision += len(commits)
        ready = thread.step(event, id=event_id, at_ms=at_ms)
        if isinstance(event, RunDispatched):
            # Whoever says so where no engine is does the turn: an engine has nothing to start.
            ready = ready._replace(effects=_without_start(ready.effects))
        reply = ready.reply or ACCEPTED
        if revision == 0 and not reply.ok and store.inbox.answer(event_id) is None:
            return reply
        decided = prepare(thread_id, revision, ready, event_id=event_id, at_ms=at_ms, outside=True)
        match _commit(store, [*commits, decided.commit]):
            case Committed():
                return reply
            case Duplicate(revision=known, reply=kept):
                return reply if known == revision + 1 else decode_reply(kept)
            case Invalid(reason=reason):
                return Reply(ok=False, code="too_large", message=reason)
            case Conflict():
                continue
    raise StoreUnavailable(f"thread {thread_id} changes while it is being changed")


def _without_start(effects: tuple[Effect, ...]) -> tuple[Effect, ...]:
    return tuple(effect for effect in effects if not isinstance(effect, StartRun))


def _commit(store: Store, commits: list[Commit]) -> Outcome:
    """Write ``commits``, which follow one another; return what became of the last."""
    try:
        return store.commit(commits)[-1]
    except OutcomeUnknown:
        store.reopen()
        # The very same commits again: when they are there already they say so.
        return store.commit(commits)[-1]


def new_event_id() -> str:
    """Return an id for an event that is sent for the first time."""
    return SystemEntropy().new_id()
