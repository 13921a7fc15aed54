"""What a process that drives nothing asks of those who decide and drive, wherever they are."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Protocol

from goalfsm.daemon.remote import client

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from goalfsm.daemon.flow.notices import Notice
    from goalfsm.session.events import Event
    from goalfsm.session.state import Reply
    from goalfsm.views.status import Status


class Remote(Protocol):
    """The processes that decide the threads of one database, and drive them."""

    answered: bool
    """Whether one who drives them is known to have answered the last request."""

    def request(self, thread_id: str, event: Event, event_id: str) -> Reply:
        """Have an event decided; return the reply when it is durable.

        The same ``event_id`` again is harmless. Raises GoalError when nothing was written.
        """
        ...

    def status(self, thread_id: str, *, timeout_s: float = client.TIMEOUT_S) -> Status:
        """Return how the thread stands, as those who drive it say; raise `NoEngine`."""
        ...

    def follow(
        self, thread_id: str, *, after_revision: int | None = None
    ) -> Generator[Notice, None, None]:
        """Yield what happens to a thread; closing the iterator stops following.

        With ``after_revision`` what was committed after that one comes first. Raises `NoEngine`
        where nobody drives it.
        """
        ...


class RemoteEngine:
    """The engine that owns a file."""

    def __init__(self, db: Path) -> None:
        """Ask whoever owns ``db``."""
        self._db = db
        self.answered = False

    def request(self, thread_id: str, event: Event, event_id: str) -> Reply:
        """Have an event decided, here where there is no engine; see `client.request`."""
        deadline = time.monotonic() + client.TIMEOUT_S
        reply = client.from_engine(self._db, thread_id, event, event_id, deadline)
        self.answered = reply is not None
        if reply is not None:
            return reply
        return client.through_database(self._db, thread_id, event, event_id, deadline)

    def status(self, thread_id: str, *, timeout_s: float = client.TIMEOUT_S) -> Status:
        """Return how the thread stands, from the engine; raise `NoEngine`."""
        return client.status(self._db, thread_id, timeout_s=timeout_s)

    def follow(
        self, thread_id: str, *, after_revision: int | None = None
    ) -> Generator[Notice, None, None]:
        """Yield what happens to a thread, as the engine tells it; ends after `Ended`."""
        return client.follow(self._db, thread_id, after_revision=after_revision)
