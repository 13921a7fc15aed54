"""From what SQLite says to what goalfsm's callers can act on."""

from __future__ import annotations

from typing import Final

import apsw

from goalfsm.errors import (
    Busy,
    CannotWrite,
    Corrupt,
    DatabaseReplaced,
    DiskFull,
    OutcomeUnknown,
    StoreClosed,
    StoreError,
    StoreUnavailable,
)

_KINDS: Final[tuple[tuple[type[apsw.Error], type[StoreError]], ...]] = (
    (apsw.FullError, DiskFull),
    (apsw.BusyError, Busy),
    (apsw.LockedError, Busy),
    (apsw.CorruptError, Corrupt),
    (apsw.NotADBError, Corrupt),
    (apsw.ReadOnlyError, CannotWrite),
    (apsw.PermissionsError, CannotWrite),
    (apsw.ConnectionClosedError, StoreClosed),
)

_NO_ERROR: Final = "not an error"
"""What a connection says when a step of a backup fails: the failure is not its own."""


def translated(error: apsw.Error, doing: str) -> StoreError:
    """Return the error for a failure before COMMIT: nothing was written."""
    message = f"{doing}: {_words(error)}"
    if getattr(error, "extendedresult", 0) == apsw.SQLITE_READONLY_DBMOVED:
        return DatabaseReplaced(message)
    if getattr(error, "extendedresult", 0) == apsw.SQLITE_IOERR_SHMSIZE:
        # The index of the log cannot grow, which SQLite calls an I/O error.
        return DiskFull(f"{doing}: database or disk is full")
    for theirs, ours in _KINDS:
        if isinstance(error, theirs):
            return ours(message)
    return StoreUnavailable(message)


def translated_at_commit(error: apsw.Error) -> StoreError:
    """Return the error for a failed COMMIT.

    A full disk and a lock are refusals before the commit frame is complete. Anything else may
    have happened after it: a failed sync leaves the frame in the log, whole or not.
    """
    if isinstance(error, apsw.FullError | apsw.BusyError):
        return translated(error, "committing")
    return OutcomeUnknown(f"committing: {_words(error)}")


def _words(error: apsw.Error) -> str:
    """Return what happened; where the connection has no words left, those for the error's code."""
    said = str(error)
    if said != _NO_ERROR:
        return said
    return str(apsw.mapping_result_codes.get(getattr(error, "result", -1), type(error).__name__))
