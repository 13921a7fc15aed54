"""The rows that other processes left in the store's inbox while nobody answered them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import structlog

from goalfsm.daemon.flow.authority import of_a_row
from goalfsm.daemon.flow.decide import Envelope
from goalfsm.daemon.flow.stops import move_into
from goalfsm.errors import GoalError
from goalfsm.session import codec
from goalfsm.session.codec import sealed

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from goalfsm.daemon.flow.ports import Report
    from goalfsm.session.events import Event
    from goalfsm.session.state import Reply
    from goalfsm.store.port import Inbox as Rows
    from goalfsm.store.port import InboxRow

PAGE: Final = 1_000

_log = structlog.get_logger(__name__)


class InboxRows:
    """Decides each row once, in the order in which they came."""

    def __init__(
        self,
        rows: Rows,
        take: Callable[[str, Envelope, Event], None],
        report: Report,
        *,
        db: str = "",
    ) -> None:
        """Read ``rows`` of ``db``; have them decided by ``take(thread_id, envelope, event)``."""
        self._db = db
        self._rows = rows
        self._decide = take
        self._report = report
        self._seen = 0

    def take(self) -> None:
        """Decide what has come since the last time. Raises `StoreError` where it cannot be read."""
        move_into(self._rows, self._db)
        while True:
            rows = self._rows.pending(after=self._seen, limit=PAGE)
            for row in rows:
                self._seen = row.seq
                self._take(row)
            if len(rows) < PAGE:
                return

    def _take(self, row: InboxRow) -> None:
        try:
            event = sealed(of_a_row(codec.decode_event(row.event)))
        except GoalError as error:
            # It stays there: another version may be able to read it. Or somebody forged it.
            message = f"inbox row {row.inbox_id}: {error.message}"
            self._report(row.thread_id, error.code, message, error.hint)
            return
        envelope = Envelope(event, event_id=row.inbox_id, outside=True, from_inbox=True, kept=True)
        envelope.future.add_done_callback(lambda done: _note(row, done))
        self._decide(row.thread_id, envelope, event)


def _note(row: InboxRow, done: asyncio.Future[Reply]) -> None:
    if not done.cancelled() and (error := done.exception()) is not None:
        # The quarantine has said so, and its own event takes the row's place.
        _log.debug("an inbox row was not decided", inbox_id=row.inbox_id, error=repr(error))
