"""Stops and words that no database could take: kept in files until somebody writes it again.

A pause cannot fail, and a message is not lost. Where the disk is full or read-only, or another
process holds the lock, and no engine answers, they are left here; whoever owns the database next
takes them before it starts a turn.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import stat
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import msgspec

from goalfsm.errors import CannotWrite
from goalfsm.text import MALFORMED
from goalfsm.workers.supervisor.process_tree import same_database

if TYPE_CHECKING:
    from collections.abc import Iterator

    from goalfsm.store.port import Inbox

_MAX_BYTES: Final = 128 * 1024
"""More than the longest message takes here."""
_MOST: Final = 1_000
_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,80}\.json")


class _Left(msgspec.Struct, frozen=True):
    thread_id: str
    at_ms: Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)]
    event: bytes


def leave(db: str, thread_id: str, event_id: str, *, at_ms: int, event: bytes) -> None:
    """Keep an event for whoever owns ``db`` next; raise `CannotWrite` where no disk takes it."""
    data = msgspec.json.encode(_Left(thread_id, at_ms, event))
    failure: OSError | None = None
    for place in places(db):
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

    There is none for a store in memory.
    """
    if not db:
        return []
    from platformdirs import user_state_path  # noqa: PLC0415 - only where something was left

    name = hashlib.sha256(os.fsencode(same_database(db))).hexdigest()[:16]
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
