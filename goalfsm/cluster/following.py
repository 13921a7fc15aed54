"""What happens to a thread on a server, as whoever follows it is told: what was committed.

A node need not be reached for that. What a running turn says comes as its node writes it down.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from goalfsm.cluster.jobs import is_at_rest
from goalfsm.daemon.flow.notices import Heard, Notice, Output, Settled, StatusChanged, notice_of
from goalfsm.daemon.remote.reading import driver_of
from goalfsm.session import codec
from goalfsm.session.events import RunFinished, RunInterrupted

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from goalfsm.store.postgres.store import PostgresReading
    from goalfsm.views.parts import Driver
    from goalfsm.views.status import Status

_LOOK_S: Final = 0.1
"""How often a thread that is followed is looked at: one short query."""
_SAYING_S: Final = 0.3
"""How often it is looked at what its turn says."""
_REST_S: Final = 0.3
"""How often it is looked at whether anything follows, where something still may."""
_DRIVERS_S: Final = 1.0
"""How often it is looked at who works on it."""
_WORDS_S: Final = 1.0
"""How long after its end what a turn said may take to be there."""


class Followed:
    """A thread that is looked at again and again."""

    def __init__(
        self,
        thread_id: str,
        status: Callable[[PostgresReading, str], Status],
        after_revision: int | None,
    ) -> None:
        self._thread_id = thread_id
        self._status = status
        self._after = after_revision
        self.begun = False
        self._told = 0
        """The revision of the last event that was told."""
        self._drivers: object = None
        """Who worked on the thread when that was last told."""
        self._heard = Heard()
        self._unsaid: dict[str, float] = {}
        """Runs that are over and whose words are still to be told, and until when they may come."""
        self._settled: object = None
        self._rested = False
        """Whether nothing follows, and nothing has happened since that was found out."""
        self._rest_due = self._drivers_due = self._words_due = 0.0

    def tell(self, store: PostgresReading) -> Generator[Notice, None, None]:
        """Yield notices for ever; begun again on another handle, go on from there."""
        thread_id = self._thread_id
        if not self.begun:
            newest = store.journal.read(thread_id, limit=1, newest=True)
            self._told = newest[0].revision if newest else 0
            if self._after is not None:
                self._told = min(self._told, self._after)
            self.begun = True
        yield self._stands(store)
        while True:
            rows = store.journal.read(thread_id, after=self._told)
            for row in rows:
                self._told = row.revision
                event = codec.decode_event(row.event)
                if isinstance(event, RunFinished | RunInterrupted):
                    self._unsaid[event.run_id] = time.monotonic() + _WORDS_S
                    yield from self._last_words(store)
                yield notice_of(row)
            yield from self._last_words(store)
            if time.monotonic() >= self._words_due:
                self._words_due = time.monotonic() + _SAYING_S
                yield from self._words(store)
            self._rested = self._rested and not rows
            if rows or self._is_driven_otherwise(store):
                yield self._stands(store)
                continue
            if not self._rested and time.monotonic() >= self._rest_due:
                self._rest_due = time.monotonic() + _REST_S
                yield from self._rest(store)
            time.sleep(_LOOK_S)

    def _is_driven_otherwise(self, store: PostgresReading) -> bool:
        if time.monotonic() < self._drivers_due:
            return False
        self._drivers_due = time.monotonic() + _DRIVERS_S
        return _who(driver_of(store, self._thread_id)) != self._drivers

    def _stands(self, store: PostgresReading) -> StatusChanged:
        status = self._status(store, self._thread_id)
        self._drivers = None if status.driver is None else _who(status.driver)
        self._drivers_due, self._rest_due = time.monotonic() + _DRIVERS_S, 0.0
        return StatusChanged(thread_id=self._thread_id, status=status)

    def _words(self, store: PostgresReading) -> Generator[Notice, None, None]:
        """Yield what the running turn has said since."""
        if (saying := store.transcripts.saying(self._thread_id)) is not None:
            yield from self._unheard(*saying)

    def _unheard(self, run_id: str, total: int, tail: bytes) -> Generator[Notice, None, None]:
        # The first bytes may be the end of a character.
        text = tail.decode("utf-8", "ignore")
        left_out = max(0, total - len(text.encode()))
        said = Output(
            thread_id=self._thread_id, run_id=run_id, text=text, again=True, left_out=left_out
        )
        if (left := self._heard.unheard(said)) is not None:
            yield left

    def _last_words(self, store: PostgresReading) -> Generator[Notice, None, None]:
        """Yield what turns that are over have said, as far as it was not told while they ran."""
        for run_id, until in list(self._unsaid.items()):
            transcript = store.transcripts.of_run(run_id)
            if transcript is None and time.monotonic() < until:
                continue
            del self._unsaid[run_id]
            if transcript is not None and transcript.answer:
                yield from self._unheard(run_id, transcript.answer_bytes, transcript.answer)

    def _rest(self, store: PostgresReading) -> Generator[Notice, None, None]:
        """Yield, once for each time, that nothing follows by itself."""
        stored = store.sessions.load(self._thread_id)
        session = None if stored is None else codec.decode(stored.state)
        if (
            session is None
            or self._unsaid
            or not is_at_rest(session)
            or store.outbox.open(self._thread_id, limit=1)
            # What was open when the session was read may have been done, and decided, since.
            or store.sessions.load(self._thread_id) != stored
        ):
            self._settled = None
            return
        self._rested = True
        goal = session.goal
        now = (None, None) if goal is None else (goal.goal_id, goal.status)
        if now != self._settled:
            self._settled = now
            status = self._status(store, self._thread_id)
            yield Settled(thread_id=self._thread_id, status=status)


def _who(driver: Driver) -> object:
    """Return what of those who work on a thread is told when it changes: not how busy they are."""
    return (driver.pid, driver.alive, driver.node, driver.host, driver.place, driver.nodes)
