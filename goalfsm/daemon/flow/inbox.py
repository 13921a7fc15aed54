"""What is left for an engine by those who do not reach one: rows of its inbox, and files.

A pause cannot fail, and a message is not lost. Where the disk is full or read-only, or another
process holds the lock, and no engine answers, they are left in files; whoever owns the database
next takes them before it starts a turn.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import stat
import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import msgspec

from goalfsm.daemon.flow.authority import of_a_row
from goalfsm.daemon.flow.decide import Envelope
from goalfsm.errors import CannotWrite, GoalError
from goalfsm.session import codec
from goalfsm.text import MALFORMED
from goalfsm.workers.supervisor.process_tree import same_database

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterator

    from goalfsm.daemon.flow.ports import Report
    from goalfsm.daemon.host.platform import Platform
    from goalfsm.daemon.host.watch import Place, Watch
    from goalfsm.session import events as e
    from goalfsm.session.state import Reply
    from goalfsm.store.port import Inbox, InboxRow

_MAX_BYTES: Final = 128 * 1024
"""More than the longest message takes here."""
_MOST: Final = 1_000
_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,80}\.json")
PAGE: Final = 1_000
"""Most rows of the inbox that are read at once."""


class _Left(msgspec.Struct, frozen=True):
    thread_id: str
    at_ms: Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)]
    event: bytes


def leave(db: str, thread_id: str, event_id: str, *, at_ms: int, event: bytes) -> None:
    """Keep an event for whoever owns ``db`` next; raise `CannotWrite` where no disk takes it."""
    data = msgspec.json.encode(_Left(thread_id, at_ms, event))
    failure: OSError | None = None
    for place in places(same_database(db)):
        try:
            place.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not _is_ours(place):
                continue
            fd, name = tempfile.mkstemp(dir=place)
            with open(fd, "wb") as file:  # noqa: PTH123 - a descriptor
                file.write(data)
                file.flush()
                os.fsync(fd)
            Path(name).replace(place / f"{event_id}.json")
        except OSError as error:
            failure = error
        else:
            return
    msg = f"this can be written nowhere: {failure.strerror if failure else 'no directory'}"
    raise CannotWrite(msg, hint="Make room on the disk of your state folder, or of TMPDIR.")


def move_into(inbox: Inbox, db: str) -> None:
    """Put what was left for ``db`` into its inbox, oldest first. Raises `StoreError`."""
    for path, left in sorted(_left(db), key=lambda each: each[1].at_ms):
        inbox.put(path.stem, left.thread_id, at_ms=left.at_ms, event=left.event)
        with contextlib.suppress(OSError):
            path.unlink()


def _left(db: str) -> Iterator[tuple[Path, _Left]]:
    for place in places(db):
        if not _is_ours(place):
            continue
        for name in sorted(os.listdir(place))[:_MOST]:  # noqa: PTH208 - names are enough
            if _NAME.fullmatch(name):
                with contextlib.suppress(OSError, *MALFORMED):
                    yield place / name, _read(place / name)


def _read(path: Path) -> _Left:
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    with open(fd, "rb") as file:  # noqa: PTH123 - a descriptor
        facts = os.fstat(fd)
        if not stat.S_ISREG(facts.st_mode) or facts.st_uid != os.getuid():
            msg = "not a file of ours"
            raise OSError(msg)
        return msgspec.json.decode(file.read(_MAX_BYTES), type=_Left)


def places(db: str) -> list[Path]:
    """Return where stops for ``db`` are kept, there or not, the best place first.

    ``db`` is the path of an open store, in which no link is left; there is none of one in memory.
    """
    if not db:
        return []
    from platformdirs import user_state_path  # noqa: PLC0415 - only where something was left

    name = hashlib.sha256(os.fsencode(db)).hexdigest()[:16]
    state = user_state_path("goalfsm", appauthor=False)
    # Not where sockets come and go: an idle engine is woken by what happens beside its stops.
    return [state / "stops" / name, Path(tempfile.gettempdir(), f"goalfsm-{os.getuid()}-{name}")]


def _is_ours(place: Path) -> bool:
    try:
        facts = place.lstat()
    except OSError:
        return False
    private = not stat.S_IMODE(facts.st_mode) & 0o077
    return stat.S_ISDIR(facts.st_mode) and facts.st_uid == os.getuid() and private


class InboxRows(msgspec.Struct, eq=False):
    """Decides each row once, in the order in which they came.

    They are ``rows`` of ``db``, decided by ``decide(thread_id, envelope, event)``.
    """

    rows: Inbox
    decide: Callable[[str, Envelope, e.Event], None]
    report: Report
    db: str = ""
    _seen: int = 0

    def take(self) -> None:
        """Decide what has come since the last time. Raises `StoreError` where it cannot be read."""
        move_into(self.rows, self.db)
        while True:
            rows = self.rows.pending(after=self._seen, limit=PAGE)
            for row in rows:
                self._seen = row.seq
                self._take(row)
            if len(rows) < PAGE:
                return

    def _take(self, row: InboxRow) -> None:
        try:
            event = codec.sealed(of_a_row(codec.decode_event(row.event)))
        except GoalError as error:
            # It stays there: another version may be able to read it. Or somebody forged it.
            message = f"inbox row {row.inbox_id}: {error.message}"
            self.report(row.thread_id, error.code, message, error.hint)
            return
        envelope = Envelope(event, event_id=row.inbox_id, outside=True, from_inbox=True, kept=True)
        envelope.future.add_done_callback(lambda done: _note(row, done))
        self.decide(row.thread_id, envelope, event)


def _note(row: InboxRow, done: asyncio.Future[Reply]) -> None:
    import structlog  # noqa: PLC0415  a command without an engine logs nothing

    if not done.cancelled() and (error := done.exception()) is not None:
        # The quarantine has said so, and its own event takes the row's place.
        log = structlog.get_logger(__name__)
        log.debug("an inbox row was not decided", inbox_id=row.inbox_id, error=repr(error))


def watch_of(db: str, platform: Platform) -> Watch | None:
    """Return what tells of a database that is replaced, of rows and stops that are left for it.

    None where nothing tells it: for goals in memory or on a server too.
    """
    return platform.watch(partial(_watched, db)) if db and "://" not in db else None


def _watched(db: str) -> list[Place]:
    from goalfsm.daemon.host.watch import Place  # noqa: PLC0415  an engine alone watches

    path = Path(db)
    database = Place(path.parent, frozenset({path.name, path.name + "-wal"}))
    return [database, *map(Place, places(db))]
