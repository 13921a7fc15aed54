"""The note of a turn that no engine started, beside the database, for the tools that it calls.

Only the same user can read it, as the database itself.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING

import msgspec

from goalfsm import files
from goalfsm.text import MALFORMED
from goalfsm.workers.supervisor.identity import is_running

if TYPE_CHECKING:
    from pathlib import Path


class HostedTurn(msgspec.Struct, frozen=True, kw_only=True):
    """A hosted turn: its run with its token, and whose it is.

    ``host`` names the program's own session, ``pid`` and ``begun`` the process that has it.
    """

    run_id: str
    token: str
    host: str
    pid: int
    begun: str

    @property
    def lives(self) -> bool:
        """Tell whether the process that does the turn is there."""
        return is_running(self.pid, self.begun)


def noted(db: Path, thread_id: str) -> HostedTurn | None:
    """Return the thread's hosted turn, None where there is none."""
    try:
        return msgspec.json.decode(files.read_bytes(_place(db, thread_id)), type=HostedTurn)
    except (OSError, *MALFORMED):
        return None


def note(db: Path, thread_id: str, turn: HostedTurn) -> None:
    """Note a hosted turn, in place of the one before."""
    files.write_bytes(_place(db, thread_id), msgspec.json.encode(turn))


def forget(db: Path, thread_id: str) -> None:
    """Forget the thread's hosted turn: it is over."""
    _place(db, thread_id).unlink(missing_ok=True)


def _place(db: Path, thread_id: str) -> Path:
    name = blake2b(thread_id.encode("utf-8", "surrogateescape"), digest_size=8).hexdigest()
    return db.with_name(f"{db.name}.{name}.turn")
