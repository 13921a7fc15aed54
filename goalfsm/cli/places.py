"""Which database and which thread a command speaks of when it is not told."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shlex
import unicodedata
from pathlib import Path
from typing import Final, NamedTuple

from goalfsm.errors import GoalError
from goalfsm.store.address import Address, Server, address

MAX_THREAD_LENGTH: Final = 200
_NOTED: Final = "databases"
_MOST: Final = 1_000
"""Most databases elsewhere that are remembered: the newest."""
_SLUG_LENGTH: Final = 40
_DIGEST_LENGTH: Final = 8


class Place(NamedTuple):
    """A thread in a database; ``given`` tells whether somebody named the thread."""

    db: Address
    thread_id: str
    given: bool
    db_given: bool = False

    def options(self) -> tuple[str, ...]:
        """Return the options that a command in this directory needs to mean the same."""
        db = ("--db", named(self.db)) if self.db_given else ()
        return (*db, "--thread", self.thread_id) if self.given else db


def named(db: Address) -> str:
    """Return how a command names a database: a path, or a URL without its password."""
    return db.named() if isinstance(db, Server) else os.fspath(db)


def file(db: Address, what: str, hint: str) -> Path:
    """Return the path of a database that is a file.

    Raises GoalError for one on a server: ``what`` needs a file, ``hint`` is what to do.
    """
    if isinstance(db, Server):
        raise GoalError(f"{what} a file, not {db}", code="not_a_file", hint=hint)
    return db


def find(db: str | None, thread: str | None) -> Place:
    """Return the place that these options, the environment and the directory name, in this order.

    Inside a turn the environment names both: the thread is taken from it together with the
    database, never alone.
    """
    path = database(db)
    if thread is not None:
        return Place(path, check_thread(thread), given=True, db_given=db is not None)
    inherited = os.environ.get("GOALFSM_THREAD")
    if inherited and db is None and os.environ.get("GOALFSM_DB"):
        return Place(path, check_thread(inherited), given=True)
    name = default_name(working_directory())
    return Place(path, name, given=False, db_given=db is not None)


def database(db: str | None) -> Address:
    """Return the database: as given, else GOALFSM_DB, else this directory's own file."""
    if db is not None and not db.strip():
        raise GoalError(
            "the database's name is empty",
            code="database_invalid",
            hint="name a file or a server, or leave --db out",
        )
    given = db or os.environ.get("GOALFSM_DB")
    if given:
        given.encode()  # SQLite's names are UTF-8
    return address(given) if given else own_database()


def own_database(directory: Path | None = None) -> Path:
    """Return the path of a directory's own database, by default the working directory's."""
    folder = working_directory() if directory is None else directory
    return _state_folder() / f"{default_name(folder)}.db"


def _state_folder() -> Path:
    from platformdirs import user_state_path  # noqa: PLC0415  most commands know their file

    return user_state_path("goalfsm", appauthor=False)


def remember(db: Address) -> None:
    """Note a database that has its place elsewhere than in the state folder, for `known`.

    It is a convenience: where it cannot be written, nothing else is the worse for it. No password
    is noted.
    """
    folder = _state_folder()
    text = named(db)
    if (isinstance(db, Path) and db.parent == folder) or "\n" in text:
        return
    with contextlib.suppress(OSError, UnicodeError):
        noted = _noted(folder)
        if text not in noted:
            from goalfsm.files import write_bytes  # noqa: PLC0415  a database is noted once

            # Moved into its place: two commands at once lose one line at most, never the file.
            rows = "".join(f"{row}\n" for row in [*noted, text][-_MOST:])
            write_bytes(folder / _NOTED, rows.encode())


def known(db: Address) -> list[Address]:
    """Return ``db``, the databases of the state folder, and those noted.

    Files that do not exist are left out. Whether a server has one is told by looking.
    """
    folder = _state_folder()
    noted = [address(text) for text in _noted(folder)]
    # A server that was noted without its password is the one that is named with it.
    others = [place for place in noted if isinstance(place, Path) or named(place) != named(db)]
    found = dict.fromkeys([db, *sorted(folder.glob("*.db")), *others])
    return [place for place in found if isinstance(place, Server) or place.is_file()]


def _noted(folder: Path) -> list[str]:
    from goalfsm.files import read_bytes  # noqa: PLC0415  few commands look beyond one database

    try:
        return read_bytes(folder / _NOTED).decode().splitlines()
    except (OSError, UnicodeError):
        return []


def working_directory() -> Path:
    """Return the current directory with its links resolved."""
    try:
        return Path.cwd().resolve()
    except FileNotFoundError:
        raise GoalError(
            "the working directory does not exist any more",
            code="no_directory",
            hint="cd to another one",
        ) from None


def default_name(directory: Path) -> str:
    """Return the name that stands for a directory: readable, and its own."""
    ascii_name = unicodedata.normalize("NFKD", directory.name).encode("ascii", "ignore").decode()
    slug = re.sub(r"[^A-Za-z0-9_.]+", "-", ascii_name).strip("-.")[:_SLUG_LENGTH] or "root"
    digest = hashlib.sha256(os.fsencode(directory)).hexdigest()[:_DIGEST_LENGTH]
    return f"{slug}-{digest}"


def check_thread(name: str) -> str:
    """Return a thread's name as it is, or raise GoalError: it has to fit on a line."""
    if not name or name != name.strip():
        raise GoalError(
            "the thread's name is empty or begins or ends with a space",
            code="thread_invalid",
            hint="name it with a word, as in --thread release",
        )
    if len(name) > MAX_THREAD_LENGTH or not name.isprintable():
        raise GoalError(
            f"a thread's name has at most {MAX_THREAD_LENGTH} printable characters",
            code="thread_invalid",
            hint="shorten it, and leave out control characters",
        )
    return name


def speak(hint: str, place: Place) -> str:
    """Return a hint with the thread's name and the database in it, where they have to be said."""
    words = []
    option = ["--thread"] if " --thread THREAD" in hint and place.given else []
    hint = hint.replace(" --thread THREAD", " THREAD")
    if place.given:
        # A name that begins with a dash would be taken for an option.
        dash = "--thread=" if place.thread_id.startswith("-") else ""
        words.append(dash + shlex.quote(place.thread_id))
    if option and not words[0].startswith("--thread="):
        words = [*option, *words]
    if place.db_given:
        words += ["--db", shlex.quote(named(place.db))]
    hint = hint.replace(" DATABASE", f" {shlex.quote(named(place.db))}")
    return hint.replace(" THREAD", "".join(f" {word}" for word in words))
