"""The errors that goalfsm raises on purpose: a code for programs, a hint for people."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

REFUSED_STATUS: Final = 10
"""What ``goalfsm tool`` exits with when a call was refused: a turn that ends so has not failed."""


@dataclass(frozen=True, slots=True)
class Remedy:
    """What can be done about something, for programs; a hint says it in words, and maybe more.

    ``action`` is the name of the command that does it (``budget``, ``resume``, ``queue next``).
    ``arguments`` are what it takes beside the thread, by name (``tokens``, ``time``, ``cost``,
    ``continuations``, ``objective``, ``text``, ``id``, ``feedback``, ``file``); None is for the
    caller to choose. ``does`` says in words what comes of it. Some commands are about the database
    and take no thread: ``doctor``, ``daemon``, ``backup``, ``node``, ``list``.
    """

    action: str
    arguments: Mapping[str, str | int | None] = field(default_factory=dict)
    does: str = ""

    def __str__(self) -> str:
        """Return the command line and what comes of it; THREAD stands for a thread's name."""
        words = ["goalfsm", self.action]
        if self.action not in _OF_NO_THREAD:
            words.append("THREAD")
        for name, value in self.arguments.items():
            if name not in _BY_PLACE:
                words.append(f"--{_OPTIONS.get(name, name)}")
            words.append(_CHOSEN.get(name, name.upper()) if value is None else str(value))
        return " ".join((*words, self.does) if self.does else words)


_OF_NO_THREAD: Final = frozenset({"backup", "daemon", "doctor", "list", "node"})
_BY_PLACE: Final = frozenset({"objective", "text", "id", "file"})
_OPTIONS: Final = {"continuations": "max-continuations"}
_CHOSEN: Final = {
    "tokens": "N",
    "continuations": "N",
    "time": "DURATION",
    "cost": "AMOUNT",
    "feedback": "TEXT",
}


NAMES_OWNER: Final = Remedy("doctor", does="names the owner")


def told(remedies: tuple[Remedy, ...]) -> str:
    """Return the hint that says ``remedies`` in words."""
    return ", or ".join(map(str, remedies))


class GoalError(Exception):
    """Something was refused; ``hint`` says what to do about it, ``code`` is stable.

    ``remedies`` are what can be done about it as data, where a command does it.
    """

    code: str = "goal_error"
    hint: str = ""
    remedies: tuple[Remedy, ...] = ()

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        hint: str = "",
        remedies: tuple[Remedy, ...] = (),
    ) -> None:
        super().__init__(message)
        if code is not None:
            self.code = code
        if hint or remedies:
            self.hint = hint or told(remedies)
            self.remedies = remedies
        if self.hint:
            # For whoever meets it as a traceback, as in a test: commands print the hint themselves.
            self.add_note(f"Hint: {self.hint}")

    @property
    def message(self) -> str:
        """Return the text without the hint."""
        return str(self.args[0])


def described(error: BaseException) -> str:
    """Return the class and the words of any exception, one whose ``__str__`` raises included."""
    try:
        return f"{type(error).__name__}: {error}"
    except Exception:  # noqa: BLE001 - words that cannot be had must not hide what happened
        return type(error).__name__


class StoreError(GoalError):
    """The store could not do what was asked. Nothing was written, unless a child says otherwise."""

    code = "store_error"


class StoreClosed(StoreError):
    """The handle was closed."""

    code = "store_closed"


class StoreUnavailable(StoreError):
    """The device or the file failed before anything was committed."""

    code = "store_unavailable"
    hint = "Look at the disk and the system log, then try again."


class CannotWrite(StoreError):
    """The place, the permissions or the handle do not allow writing."""

    code = "cannot_write"


class NoDatabase(StoreError):
    """There is no file at the path, or an empty one, and it was not to be created."""

    code = "no_database"


class UnsafeDatabase(StoreError):
    """Others own the database or its directory, or may write them, or the file has two names."""

    code = "unsafe_database"
    hint = (
        "Programs stored in it would run as you: use a database of your own, "
        "in a directory that only you may write to."
    )


class NotOurDatabase(StoreError):
    """The file is not a goalfsm database."""

    code = "not_our_database"
    hint = "--db names another file; this one was left as it is."


class NewerDatabase(StoreError):
    """A newer version of goalfsm has migrated the file."""

    code = "newer_database"
    hint = "Upgrade goalfsm; the file was left as it is."


class OlderDatabase(StoreError):
    """The file waits for a migration, and this handle is read-only or an owner is using it."""

    code = "older_database"
    hint = "Stop the running daemon, then let the new version migrate it: goalfsm daemon."
    remedies = (Remedy("daemon", does="migrates it"),)


class Busy(StoreError):
    """Another process held the database's lock for longer than this one waits."""

    code = "busy"
    hint = "Try again; `goalfsm doctor` names the owner."
    remedies = (NAMES_OWNER,)


class Corrupt(StoreError):
    """The file holds pages that cannot be right."""

    code = "corrupt"
    hint = "Stop the daemon, run `goalfsm doctor`, and restore a backup."
    remedies = (Remedy("doctor", does="says what is wrong"),)


class DiskFull(StoreError):
    """There is no room for the commit; nothing of it was written."""

    code = "disk_full"
    hint = "Free some space on the disk that holds the database."


class DatabaseReplaced(StoreError):
    """The file at the path is no longer the one that was opened: deleted, or another one."""

    code = "database_replaced"
    hint = "Put the file back, or stop the daemon and start goalfsm daemon on the new one."
    remedies = (Remedy("daemon", does="serves the new one"),)


class OutcomeUnknown(StoreError):
    """The commit failed half-way: it may be there or not. Reopen the store and read by key."""

    code = "outcome_unknown"
    hint = "Reopen the store and look for the event by its id; goalfsm log shows the newest."
    remedies = (Remedy("log", does="shows the newest events"),)


class Fenced(StoreError):
    """The handle does not own the store: it never claimed it, or there is a successor."""

    code = "fenced"
    hint = (
        "Another daemon has taken over, goalfsm doctor names it; end this one's workers and stop."
    )
    remedies = (NAMES_OWNER,)


class TooLarge(StoreError):
    """The bytes exceed what one row may carry."""

    code = "too_large"
