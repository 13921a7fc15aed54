"""The port of the job engine, and which jobs a thread's state asks for.

A job is a wish that somebody looks at a thread: what is to be done is decided by the state under
the thread's lock. So a job that comes twice, too early or too late does no harm, and one that is
lost is asked for again by the sweep.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Final, Literal, Protocol, TypeVar

import msgspec

from goalfsm.goal.model import ACTIVE
from goalfsm.session import effects as f
from goalfsm.session.work import can_begin, next_wake, queued

if TYPE_CHECKING:
    from goalfsm.daemon.flow.ports import Task
    from goalfsm.session.state import Session

ANY: Final = "any"
"""The place that every node may serve, and that a thread's worker names by default."""

Kind = Literal["turn", "effect", "timer"]

RUN_EFFECTS: Final = (f.EndRun, f.DeliverSteering)
"""Effects that only the node that has the thread's run can do: they are mail, not jobs."""
MAIL: Final = tuple(effect.__name__ for effect in RUN_EFFECTS)
"""Their names."""


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """A wish that somebody looks at a thread; ``key`` is the same when it is wished once more.

    ``at_ms`` is when it is due (unix ms of the database's clock), None for now. ``place`` is who
    may take it; ``rules`` is the oldest version of the rules that knows the thread, 0 for any.
    """

    kind: Kind
    thread_id: str
    key: str
    place: str = ANY
    at_ms: int | None = None
    rules: int = 0


Handler = Callable[[Job], Awaitable[None]]
"""Does a job; when it returns or raises, the job is over."""

TX_contra = TypeVar("TX_contra", contravariant=True)


class Jobs(Protocol[TX_contra]):
    """A job engine.

    A job is delivered at least once after the commit of the transaction that enqueued it, never
    before, and not at all when that was rolled back. A job whose key waits already is not enqueued
    a second time: it becomes due at the earlier of the two times. A job that is being done does
    not keep another of its key from being enqueued.
    """

    async def enqueue(self, tx: TX_contra, jobs: Sequence[Job]) -> None:
        """Enqueue within the transaction."""
        ...

    async def serve(
        self, handler: Handler, *, kinds: Collection[Kind], places: Collection[str], most: int
    ) -> None:
        """Do jobs, ``most`` at once, until cancelled; jobs of a server that died come again.

        Cancelled, it takes no further job and returns when those that it does are over.
        """
        ...

    async def alive(self, keys: Collection[str]) -> set[str]:
        """Return those of the keys of which a job waits, or is done by somebody who lives."""
        ...

    async def waiting(self, places: Collection[str], most: int) -> list[tuple[int, str]]:
        """Return the turns that are due and wait for one of these places: number, and thread.

        They are in the order in which they are given out, ``most`` of them at most.
        """
        ...


def turn_job(thread_id: str, place: str) -> Job:
    """Return the wish for the thread's next turn."""
    return Job(kind="turn", thread_id=thread_id, key=f"turn/{thread_id}", place=place)


def timer_job(thread_id: str, at_ms: int) -> Job:
    """Return the wish to look at the thread at a time."""
    return Job(kind="timer", thread_id=thread_id, key=f"timer/{thread_id}", at_ms=at_ms)


def effect_job(thread_id: str, key: str, place: str) -> Job:
    """Return the wish for an effect that any node of its place can do."""
    return Job(kind="effect", thread_id=thread_id, key=key, place=place)


def host_place(host: str) -> str:
    """Return the place that the nodes of one host serve, besides those that they name."""
    return f"host/{host}"


def place_of(effect: f.Effect, place: str, host: str) -> str:
    """Return who does an effect: a process is watched where it runs, callbacks run anywhere."""
    if isinstance(effect, f.WatchProcess):
        return host_place(host)
    return place


def waits_for_turn(session: Session) -> bool:
    """Tell whether the thread waits for a turn that may begin."""
    return queued(session) is not None and can_begin(session)


def is_over(before: Session, session: Session) -> tuple[str, ...]:
    """Return the kinds of effects of which a change leaves none of a thread to be done.

    Mail for a run that is over, and watches where no process is waited for any more: the host of
    the process may have no node that would find that out.
    """
    over: list[str] = []
    if before.run is not None and (session.run is None or session.run.run_id != before.run.run_id):
        over += MAIL
    if _waits_for_process(before) and not _waits_for_process(session):
        over.append(f.WatchProcess.__name__)
    return tuple(over)


def _waits_for_process(session: Session) -> bool:
    return any(wait.kind == "process" for wait in session.waits)


def is_at_rest(session: Session) -> bool:
    """Tell whether nothing of the thread runs, waits for a turn or is due.

    A goal that is not active any more is at rest even when it resumes by itself one day.
    """
    if session.run is not None or queued(session) is not None:
        return False
    if session.goal is None or session.goal.status != ACTIVE:
        return True
    return next_wake(session) is None


def jobs_of(
    thread_id: str,
    before: Session,
    session: Session,
    tasks: Iterable[tuple[Task, str]],
    *,
    place: str,
    woken: tuple[int | None, int | None],
) -> tuple[Job, ...]:
    """Return what a change of a thread asks for.

    ``tasks`` are its new effects with their places, ``woken`` when it is to be looked at, as it
    was before and as it is now.
    """
    wished = [
        effect_job(thread_id, task.key, where)
        for task, where in tasks
        if not isinstance(task.effect, (*RUN_EFFECTS, *f.LOCAL))
    ]
    if waits_for_turn(session) and not waits_for_turn(before):
        wished.append(turn_job(thread_id, place))
    then, now = woken
    if now is not None and now != then:
        wished.append(timer_job(thread_id, now))
    return tuple(wished)
