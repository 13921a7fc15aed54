"""All that a stage may name: what has landed, what is to be done, and whom to tell of it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from goalfsm.session import events as e

if TYPE_CHECKING:
    import asyncio

    from goalfsm.errors import StoreError
    from goalfsm.session.effects import Effect
    from goalfsm.session.state import Reply, Session
    from goalfsm.session.thread import Ready
    from goalfsm.store.port import Commit
    from goalfsm.views.status import Status


class Task(NamedTuple):
    """An effect that is committed; ``key`` is the same when it is done once more."""

    thread_id: str
    key: str
    effect: Effect


class Decided(NamedTuple):
    """One event with what was decided about it, ready to be committed."""

    commit: Commit
    ready: Ready
    outbox: tuple[Task, ...]


class Landed(NamedTuple):
    """Events of one thread that are durable, in order; ``done`` are the effects they report."""

    thread_id: str
    before: Session
    """The thread before the first of the events."""
    session: Session
    decided: tuple[Decided, ...]
    done: tuple[str, ...]


class Undecided(NamedTuple):
    """An event that could not be decided, and who waits for it; None where no event is known."""

    event: e.Event | None
    event_id: str
    outside: bool
    from_inbox: bool

    @property
    def only_asked(self) -> bool:
        """Return whether the event is only a wish, whose sender is told that nothing was done.

        A stop is more than a wish: no turn follows, whatever becomes of the event.
        """
        stops = isinstance(self.event, e.PauseRequested | e.ClearRequested)
        return self.outside and not self.from_inbox and not stops


Events = Generator[e.Event, "Ready", None]
"""Events that are committed as one piece; what was decided about each is sent back."""
EventBatch = Callable[["Session"], Events]
"""Gets the session that the first of its events is decided on; there may be nothing to say."""
Report = Callable[[str, str, str, str], None]
"""Tells a thread's followers and the log of a problem: thread, code, message, hint."""


Outcome = e.Event | None
"""What comes of an effect: the event that reports it, None where nothing is to be told."""


class Spawn(Protocol):
    """The owner of every task of an engine."""

    def __call__(
        self,
        doing: Awaitable[Any],
        name: str,
        ended: Callable[[asyncio.Future[Any]], None] | None = None,
        /,
    ) -> None:
        """Run something in a task called ``name``, which is cancelled when the engine ends.

        What it raises is logged, unless ``ended`` is given, which is called with the task.
        """
        ...


class Inbox(Protocol):
    """The one way in: whatever happens to a thread is sent here, and decided in its order."""

    def send(
        self, thread_id: str, event: e.Event, *, done: tuple[str, ...] = (), event_id: str = ""
    ) -> asyncio.Future[Reply]:
        """Decide an event; the reply is there when the event and the marks ``done`` are durable."""
        ...

    def run(self, thread_id: str, batch: EventBatch) -> asyncio.Future[Reply]:
        """Decide events that belong together; the reply to the last is there when all landed."""
        ...

    def waiting(self, thread_id: str) -> int:
        """Return how many events of the thread wait to be decided."""
        ...


class Sessions(Protocol):
    """The threads as they are committed."""

    def session(self, thread_id: str) -> Session:
        """Return the thread's session; a new one when there is none. Raises `StoreError`."""
        ...

    def known(self, thread_id: str) -> Session | None:
        """Return the session of a thread in memory, None of any other."""
        ...

    def busy(self, thread_id: str) -> bool:
        """Tell whether something of the thread is being decided or made durable."""
        ...


class Threads(Inbox, Sessions, Protocol):
    """The threads as a stage sees them: told of what happens, asked how they stand."""


class Outbox(Protocol):
    """The effects that are still to be done."""

    def done(self, task: Task) -> None:
        """Record that an effect was done; a second time changes nothing."""
        ...


class Stage(Protocol):
    """A part of the daemon that follows every commit."""

    def committed(self, landed: Landed) -> None:
        """Take note of what is durable now."""
        ...


class Performer(Protocol):
    """Does one kind of effect, at least once; the key makes a second time harmless."""

    def perform(self, task: Task, session: Session) -> Awaitable[Outcome] | Outcome:
        """Do the effect, or return what does; then it counts as done.

        An event that comes of it is decided next, in one commit with the mark that it was done.
        What is raised leaves the effect open: a `GoalError` until the next start, anything else
        is a fault that stops the thread until a person resumes it.
        """
        ...


class Serving(Protocol):
    """What other processes and people ask of an engine."""

    async def submit(self, thread_id: str, event: e.Event, event_id: str | None = None) -> Reply:
        """Decide an event from outside; return the reply when both are durable."""
        ...

    def follow(
        self, thread_id: str, *, after_revision: int | None = None, successor: int | None = None
    ) -> AsyncGenerator[Any, None]:
        """Yield what happens to the thread, for a process that may go on with it.

        From now on, or what was committed after a revision too.
        """
        ...

    def status(self, thread_id: str) -> Status | Awaitable[Status]:
        """Return the thread as every surface shows it, or what looks."""
        ...


class Aftermath(Protocol):
    """What the engine does with that which becomes of a decision."""

    def landed(self, landed: Landed) -> None:
        """Have every stage follow what is durable."""
        ...

    def stuck(self, thread_id: str | None, error: StoreError) -> None:
        """Deal with a store that cannot read or commit; the thread goes on by `Mailbox.again`."""
        ...

    def failed(self, thread_id: str, error: Exception, undecided: Undecided | None) -> None:
        """Deal with an event that could not be decided, or an effect that could not be done."""
        ...

    def quiet(self, thread_id: str) -> None:
        """Take note that a thread has nothing more to decide."""
        ...

    def is_needed(self, thread_id: str) -> bool:
        """Tell whether a quiet thread has to stay in memory."""
        ...
