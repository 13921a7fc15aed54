"""Where the interface gets what it shows, and where what people ask goes; all of it may block."""

from __future__ import annotations

import contextlib
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

import msgspec

from goalfsm.daemon.remote.reading import asked_driver, explained, many
from goalfsm.daemon.remote.seeing import seen_status
from goalfsm.errors import GoalError, NoDatabase
from goalfsm.session import codec
from goalfsm.store.opening import open_to_read
from goalfsm.views.report import CompletionRecord, record
from goalfsm.views.status import project

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from goalfsm.daemon.flow.notices import Notice
    from goalfsm.daemon.remote.face import Remote
    from goalfsm.session.events import Event
    from goalfsm.session.state import Reply
    from goalfsm.store.address import Address
    from goalfsm.store.reading import Reading
    from goalfsm.store.rows import Transcript
    from goalfsm.views.status import Status

Link = Literal["nobody", "answers", "silent"]
"""Whether an engine serves the database; ``silent``: it is there and says nothing."""


class Look(NamedTuple):
    """One thread as it stands, None where there is no such thread, and who serves it."""

    status: Status | None
    link: Link = "nobody"


class Source(Protocol):
    """Where the interface reads threads and sends commands: an engine, or a database."""

    def now_ms(self) -> int:
        """Return the time in unix milliseconds."""
        ...

    def names(self) -> tuple[str, ...]:
        """Return the names of all threads, in order."""
        ...

    def rows(self, names: Sequence[str]) -> tuple[Status, ...]:
        """Return how these threads stand, as far as they are there."""
        ...

    def problems(self) -> tuple[str, ...]:
        """Return what could not be read the last time."""
        ...

    def look(self, thread_id: str) -> Look:
        """Return how a thread stands, and whether its engine answers."""
        ...

    def why(self, thread_id: str) -> tuple[str, ...]:
        """Return why the thread last went on, waited or stopped, in lines."""
        ...

    def report(self, thread_id: str) -> CompletionRecord:
        """Return the goal's record; raise GoalError where there is no goal."""
        ...

    def revision(self, thread_id: str) -> int:
        """Return the number of the thread's newest event, 0 where there is none."""
        ...

    def said(self, thread_id: str, run_id: str) -> Transcript | None:
        """Return what a run that is over has said, None where nothing is kept of it."""
        ...

    def follow(self, thread_id: str, after: int) -> Iterator[Notice]:
        """Yield what an engine tells of the thread since revision ``after``.

        Raises GoalError where there is no engine.
        """
        ...

    def send(self, thread_id: str, event: Event) -> Reply:
        """Have an event decided; raise GoalError where nothing was written."""
        ...


class Database(msgspec.Struct, eq=False):
    """The threads of one database, with somebody who drives them or without.

    ``place`` need not exist yet; ``remote`` is who is asked and followed.
    """

    place: Address
    remote: Remote

    def now_ms(self) -> int:
        """Return the time in unix milliseconds."""
        return time.time_ns() // 1_000_000

    def names(self) -> tuple[str, ...]:
        """Return the names of all threads, in order."""
        with self._opened() as store:
            return () if store is None else tuple(row.thread_id for row in store.sessions.threads())

    def rows(self, names: Sequence[str]) -> tuple[Status, ...]:
        """Return how these threads stand, as far as they are there."""
        if not names:
            return ()
        with self._opened() as store:
            now = self.now_ms()
            return tuple(
                project(codec.decode(stored.state), now, thread_id=stored.thread_id, driver=driver)
                for stored, driver in (() if store is None else many(store, names))
            )

    def problems(self) -> tuple[str, ...]:
        """Return nothing: what cannot be read here is raised."""
        return ()

    def look(self, thread_id: str) -> Look:
        """Return how a thread stands; an engine is asked whether it answers."""
        with self._opened() as store:
            stored = None if store is None else store.sessions.load(thread_id)
            if store is None or stored is None:
                return Look(None)
            session, driver = codec.decode(stored.state), asked_driver(store, thread_id)
            status = seen_status(session, self.now_ms(), thread_id, driver, store)
        if not driver.alive:
            return Look(status)
        return Look(status, "answers" if driver.answers else "silent")

    def why(self, thread_id: str) -> tuple[str, ...]:
        """Return why the thread last went on, waited or stopped, in lines."""
        with self._required() as store:
            stored = store.sessions.load(thread_id)
            if stored is None:
                return ("There is no such thread yet.",)
            return explained(store, codec.decode(stored.state), thread_id).words

    def report(self, thread_id: str) -> CompletionRecord:
        """Return the goal's record; raise GoalError where there is no goal."""
        with self._required() as store:
            stored = store.sessions.load(thread_id)
            session = None if stored is None else codec.decode(stored.state)
            if session is None or session.goal is None:
                raise GoalError("the thread has no goal to report on", code="no_goal")
            driver = asked_driver(store, thread_id)
        return record(session, self.now_ms(), thread_id=thread_id, driver=driver)

    def revision(self, thread_id: str) -> int:
        """Return the number of the thread's newest event, 0 where there is none."""
        with self._opened() as store:
            stored = None if store is None else store.sessions.load(thread_id)
            return 0 if stored is None else stored.revision

    def said(self, thread_id: str, run_id: str) -> Transcript | None:
        """Return what a run that is over has said, None where nothing is kept of it."""
        del thread_id
        with self._required() as store:
            return store.transcripts.of_run(run_id)

    def follow(self, thread_id: str, after: int) -> Iterator[Notice]:
        """Yield what an engine tells of the thread since revision ``after``."""
        return self.remote.follow(thread_id, after_revision=after)

    def send(self, thread_id: str, event: Event) -> Reply:
        """Have an event decided; raise GoalError where nothing was written."""
        return self.remote.request(thread_id, event, uuid.uuid4().hex)

    @contextlib.contextmanager
    def _opened(self) -> Iterator[Reading | None]:
        """Open the database to read it; None where there is none yet."""
        try:
            store = open_to_read(self.place)
        except NoDatabase:
            yield None
            return
        with contextlib.closing(store):
            yield store

    @contextlib.contextmanager
    def _required(self) -> Iterator[Reading]:
        """Open the database to read it; raise GoalError where there is none yet."""
        with self._opened() as store:
            if store is None:
                hint = "n gives the first one"
                raise GoalError("there is no goal yet", code="no_goal", hint=hint)
            yield store


class Everywhere:
    """The threads of several databases; those of others than the first are named with theirs."""

    def __init__(
        self, databases: Callable[[], Sequence[Address]], remote: Callable[[Address], Remote]
    ) -> None:
        """Look at what ``databases`` names each time: there may be more by then."""
        self._databases = databases
        self._remote = remote
        self._places: dict[str, tuple[Address, str]] = {}
        self._unreadable: tuple[str, ...] = ()

    def place_of(self, name: str) -> tuple[Address, str]:
        """Return the database of a thread that was shown, and the thread's own name."""
        return self._places.get(name) or (self._databases()[0], name)

    def now_ms(self) -> int:
        """Return the time in unix milliseconds."""
        return time.time_ns() // 1_000_000

    def names(self) -> tuple[str, ...]:
        """Return the names of all threads of all databases; what cannot be read is a problem."""
        places: dict[str, tuple[Address, str]] = {}
        unreadable = []
        for place in self._databases():
            try:
                found = self._of(place).names()
            except (GoalError, OSError) as error:
                unreadable.append(f"{place}: {error}")
                continue
            for own in found:
                short = place.stem if isinstance(place, Path) else str(place)
                names = (own, f"{own} in {short}", f"{own} in {place}")
                name = next(name for name in names if name not in places)
                places[name] = (place, own)
        self._places, self._unreadable = places, tuple(unreadable)
        return tuple(places)

    def rows(self, names: Sequence[str]) -> tuple[Status, ...]:
        """Return how these threads stand, under the names that they were shown with."""
        asked: dict[Address, dict[str, str]] = {}
        for name in names:
            place, own = self.place_of(name)
            asked.setdefault(place, {})[own] = name
        found: list[Status] = []
        for place, shown in asked.items():
            try:
                statuses = self._of(place).rows(tuple(shown))
            except (GoalError, OSError) as error:
                self._unreadable = (*self._unreadable, f"{place}: {error}")
                continue
            found += (
                msgspec.structs.replace(status, thread_id=shown[status.thread_id])
                for status in statuses
            )
        return tuple(found)

    def _of(self, place: Address) -> Database:
        return Database(place, self._remote(place))

    def problems(self) -> tuple[str, ...]:
        """Return which databases could not be read the last time, and why."""
        return self._unreadable

    def look(self, thread_id: str) -> Look:
        """Return how a thread stands, under the name that it was shown with."""
        place, own = self.place_of(thread_id)
        seen = self._of(place).look(own)
        if seen.status is None:
            return seen
        return seen._replace(status=msgspec.structs.replace(seen.status, thread_id=thread_id))

    def why(self, thread_id: str) -> tuple[str, ...]:
        """Return why the thread last went on, waited or stopped, in lines."""
        place, own = self.place_of(thread_id)
        return self._of(place).why(own)

    def report(self, thread_id: str) -> CompletionRecord:
        """Return the goal's record; raise GoalError where there is no goal."""
        place, own = self.place_of(thread_id)
        return self._of(place).report(own)

    def revision(self, thread_id: str) -> int:
        """Return the number of the thread's newest event, 0 where there is none."""
        place, own = self.place_of(thread_id)
        return self._of(place).revision(own)

    def said(self, thread_id: str, run_id: str) -> Transcript | None:
        """Return what a run that is over has said, None where nothing is kept of it."""
        place, own = self.place_of(thread_id)
        return self._of(place).said(own, run_id)

    def follow(self, thread_id: str, after: int) -> Iterator[Notice]:
        """Yield what an engine tells of the thread since revision ``after``."""
        place, own = self.place_of(thread_id)
        return self._of(place).follow(own, after)

    def send(self, thread_id: str, event: Event) -> Reply:
        """Have an event decided; raise GoalError where nothing was written."""
        place, own = self.place_of(thread_id)
        return self._of(place).send(own, event)
