"""What is told of a thread as it happens: to its followers, bounded, and to the log, in lines."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final, Literal

import structlog

from goalfsm.daemon.flow.notices import (
    Ended,
    Happened,
    Missed,
    Notice,
    Output,
    Problem,
    Settled,
    StatusChanged,
    public,
)
from goalfsm.goal.model import ACTIVE, BLOCKED, COMPLETE, LIMITED, PAUSED
from goalfsm.session import events as e
from goalfsm.views.activity import suspended_by
from goalfsm.views.status import Status, project

if TYPE_CHECKING:
    from goalfsm.daemon.flow.ports import Decided, Landed
    from goalfsm.daemon.host.platform import Clock
    from goalfsm.goal.model import Goal
    from goalfsm.session.state import Session
    from goalfsm.session.thread import Ready


BACKLOG: Final = 1_000
"""Most notices that wait for one follower; text that it is too slow for is dropped first."""

WAITING_BYTES: Final = 16 * 1024 * 1024
"""Most bytes of them, as events are stored."""
_SMALL: Final = 4_096
"""What a notice weighs whose words are bounded elsewhere."""

_log = structlog.get_logger(__name__)


def happened(thread_id: str, decided: Decided) -> Happened:
    """Return the notice of a committed event."""
    commit, ready = decided.commit, decided.ready
    return Happened(
        thread_id=thread_id,
        revision=commit.expected_revision + 1,
        at_ms=commit.at_ms,
        event=public(ready.event),
        reply=ready.reply,
        decision=ready.decision,
    )


class Follower:
    """What waits for one follower; an async iterator that ends after `Ended`."""

    def __init__(
        self, thread_id: str, *, backlog: int = BACKLOG, successor: int | None = None
    ) -> None:
        """Follow ``thread_id``; ``successor`` is the pid of a process that goes on afterwards."""
        self.thread_id = thread_id
        self.successor = successor
        self._backlog = backlog
        self._waiting: deque[tuple[Notice, int]] = deque()
        self._bytes = 0
        self._missed = 0
        self._wake = asyncio.Event()
        self._over = False

    def give(self, notice: Notice, size: int = _SMALL) -> None:
        """Keep a notice of so many bytes until it is asked for."""
        if self._over:
            return
        self._bytes += size
        while self._waiting and (
            len(self._waiting) >= self._backlog or self._bytes > WAITING_BYTES
        ):
            self._drop()
        self._waiting.append((notice, size))
        self._over = isinstance(notice, Ended)
        self._wake.set()

    def close(self) -> None:
        """End the iteration after what waits already."""
        self._over = True
        self._wake.set()

    def __aiter__(self) -> AsyncIterator[Notice]:
        """Return itself."""
        return self

    async def __anext__(self) -> Notice:
        """Return the next notice, as soon as there is one."""
        while True:
            if self._missed:
                count, self._missed = self._missed, 0
                return Missed(thread_id=self.thread_id, count=count)
            if self._waiting:
                notice, size = self._waiting.popleft()
                self._bytes -= size
                return notice
            if self._over:
                raise StopAsyncIteration
            self._wake.clear()
            await self._wake.wait()

    def _drop(self) -> None:
        """Make room: by the oldest text, or else by the oldest of all."""
        texts = (at for at, (notice, _) in enumerate(self._waiting) if isinstance(notice, Output))
        index = next(texts, 0)
        self._bytes -= self._waiting[index][1]
        del self._waiting[index]
        self._missed += 1


class Subscriptions:
    """The followers of each thread, and the notices that each of them has not read yet."""

    def __init__(self, clock: Clock, suspended: Callable[[], str] = str) -> None:
        """Start without any; ``suspended`` returns the code of what keeps us from writing."""
        self._clock = clock
        self._suspended = suspended
        self._of: dict[str, set[Follower]] = {}
        self._successors: dict[Follower, None] = {}
        """Those who go on with the work when the engine ends, in the order in which they asked."""
        self._left = asyncio.Event()

    def committed(self, landed: Landed) -> None:
        """Tell the thread's followers of each event, and where the thread stands now."""
        thread_id = landed.thread_id
        if self.has(thread_id):
            for decided in landed.decided:
                self.give(happened(thread_id, decided), len(decided.commit.event))
            self.give(
                StatusChanged(thread_id=thread_id, status=self._status(landed.session, thread_id))
            )

    def settled(self, thread_id: str, session: Session) -> None:
        """Tell the thread's followers that nothing more happens by itself."""
        status = self._status(session, thread_id)
        self.give(Settled(thread_id=thread_id, status=status))

    def _status(self, session: Session, thread_id: str) -> Status:
        now_ms, held = self._clock.now_ms(), suspended_by(self._suspended())
        return project(session, now_ms, thread_id=thread_id, held=held)

    def restate(self, thread_id: str, session: Session) -> None:
        """Tell the thread's followers where it stands, though nothing has happened to it."""
        status = self._status(session, thread_id)
        self.give(StatusChanged(thread_id=thread_id, status=status))

    def follow(self, thread_id: str, *, successor: int | None = None) -> Follower:
        """Add a follower; `leave` removes it."""
        follower = Follower(thread_id, successor=successor)
        self._of.setdefault(thread_id, set()).add(follower)
        if successor is not None:
            self._successors[follower] = None
        return follower

    def followed(self) -> frozenset[str]:
        """Return the threads whose followers go on with them when the engine ends."""
        return frozenset(follower.thread_id for follower in self._successors)

    async def somebody_leaves(self) -> None:
        """Return when the next follower has left."""
        self._left.clear()
        await self._left.wait()

    def leave(self, follower: Follower) -> None:
        """Remove a follower; one that is not there is no error."""
        follower.close()
        self._successors.pop(follower, None)
        self._left.set()
        others = self._of.get(follower.thread_id)
        if others is not None:
            others.discard(follower)
            if not others:
                del self._of[follower.thread_id]

    def has(self, thread_id: str) -> bool:
        """Tell whether anybody follows the thread: otherwise no notice has to be made."""
        return thread_id in self._of

    def threads(self) -> list[str]:
        """Return the threads that somebody follows."""
        return list(self._of)

    def give(self, notice: Notice, size: int = _SMALL) -> None:
        """Tell all who follow the notice's thread; ``size`` is about how many bytes it has."""
        for follower in self._of.get(notice.thread_id, ()):
            follower.give(notice, size)

    def report(self, thread_id: str, code: str, message: str, hint: str = "") -> None:
        """Tell the log and the thread's followers of something that went wrong."""
        _log.warning(message, thread_id=thread_id, code=code)
        self.give(Problem(thread_id=thread_id, code=code, message=message, hint=hint))

    def problem(self, code: str, message: str, hint: str = "") -> None:
        """Tell all followers of all threads of a problem of the engine's."""
        for thread_id in list(self._of):
            self.give(Problem(thread_id=thread_id, code=code, message=message, hint=hint))

    def end(self, reason: Literal["stopped", "fenced", "failed"], message: str = "") -> None:
        """Tell all followers that the engine has stopped."""
        first = next((follower.successor for follower in self._successors), None)
        for thread_id in list(self._of):
            ended = Ended(thread_id=thread_id, reason=reason, message=message, successor=first)
            self.give(ended)


_ENTERED: Final = {
    ACTIVE: "goal goes on",
    PAUSED: "goal paused",
    BLOCKED: "goal blocked",
    LIMITED: "goal limited",
    COMPLETE: "goal completed",
}

_STANDING: Final = attrgetter("goal_id", "status", "pause_reason", "limited_by")


class DecisionLog:
    """The stage that logs what ends or stops a goal; a line names thread, goal, run and turn."""

    def committed(self, landed: Landed) -> None:
        """Write what the events of a commit have ended, stopped or refused, in order."""
        before = landed.before
        for decided in landed.decided:
            ready = decided.ready
            if _is_told(before.goal, ready):
                _tell(landed.thread_id, before, ready)
            before = ready.state


def _is_told(before: Goal | None, ready: Ready) -> bool:
    refused = ready.reply is not None and not ready.reply.ok
    return refused or isinstance(ready.event, e.ToolCalled) or not _stands(before, ready.state.goal)


def _tell(thread_id: str, before: Session, ready: Ready) -> None:
    event, reply = ready.event, ready.reply
    log = _log.bind(thread_id=thread_id, **_place(before, ready.state), **_asked(event))
    if isinstance(event, e.ToolCalled) and reply is not None:
        log.info("goal tool", tool=event.name, ok=reply.ok, code=reply.code)
    elif reply is not None and not reply.ok:
        log.info("refused", code=reply.code, reason=reply.message)
    old, new = before.goal, ready.state.goal
    if old is not None and new is None:
        log.bind(goal_id=old.goal_id).info("goal cleared", was=old.status)
    elif old is not None and new is not None and new.goal_id != old.goal_id:
        if old.status != COMPLETE:
            log.bind(goal_id=old.goal_id).info("goal replaced", was=old.status, by=new.goal_id)
        old = None
    if new is None or _stands(old, new) or (old is None and new.status == ACTIVE):
        return
    log.bind(goal_id=new.goal_id).info(
        _ENTERED[new.status],
        why=new.pause_reason or new.limited_by,
        reason=project(ready.state, 0, thread_id=thread_id).detail,
    )


def _stands(before: Goal | None, after: Goal | None) -> bool:
    """Tell whether nothing of a goal has changed that a line is written for."""
    if before is None or after is None:
        return before is after
    return bool(_STANDING(before) == _STANDING(after))


def _place(before: Session, after: Session) -> dict[str, Any]:
    """Return which goal, run and turn a line is about; a run that has just ended is one still."""
    run = after.run or before.run
    goal = after.goal or before.goal
    return {
        "goal_id": None if goal is None else goal.goal_id,
        "run_id": None if run is None else run.run_id,
        "turn": run.turn if run is not None else 0 if goal is None else goal.continuations,
    }


def _asked(event: e.Event) -> dict[str, Any]:
    """Return what led to a line, and who said it, where somebody did."""
    asked: dict[str, Any] = {"asked": type(event).__name__}
    if isinstance(event, e.Expecting):
        asked["origin"] = event.origin
        if event.by is not None and event.by.pid is not None:
            asked["pid"] = event.by.pid
    return asked
