"""Goals of Codex: the table ``thread_goals`` of its database, directories from that of its threads.

Read as codex-cli 0.171 writes them: ``goals_1.sqlite``, ``state_5.sqlite`` in its home.
"""

from __future__ import annotations

import contextlib
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, get_args

from goalfsm.importers.foreign import Foreign, ImportUnreadable, Standing, count, home, text

_COLUMNS: Final = (
    "thread_id",
    "goal_id",
    "objective",
    "status",
    "token_budget",
    "tokens_used",
    "time_used_seconds",
    "created_at_ms",
)
_NUMBER: Final = re.compile(r"_(\d+)\.sqlite$")


def read(path: Path | None) -> list[Foreign | ImportUnreadable]:
    """Return the goals of a database, of Codex's folder, or of its home; the oldest first."""
    named = home("CODEX_HOME", ".codex") if path is None else path
    database = named
    if named.is_dir():
        found = _newest(named, "goals")
        if found is None:
            raise ImportUnreadable(
                f"{named} has no goals of Codex: there is no goals_1.sqlite",
                hint="Codex writes it with the first goal; CODEX_HOME or the path names its home",
            )
        database = found
    with _opened(database) as db:
        rows = _rows(db, database)
    folders = _folders(database.parent)
    return [_goal(row, database, folders) for row in rows]


def _newest(folder: Path, kind: str) -> Path | None:
    """Return the database of the highest version: Codex counts it in the file's name."""
    numbered = [
        (int(match[1]), path)
        for path in folder.glob(f"{kind}_*.sqlite")
        if (match := _NUMBER.search(path.name))
    ]
    return max(numbered)[1] if numbered else None


@contextlib.contextmanager
def _opened(database: Path) -> Iterator[sqlite3.Connection]:
    """Open a database to read; Codex may be at work on it."""
    if not database.is_file():
        raise ImportUnreadable(f"there is no file {database}")
    try:
        db = sqlite3.connect(f"{database.resolve().as_uri()}?mode=ro", uri=True, timeout=5)
    except sqlite3.Error as error:
        raise ImportUnreadable(f"{database} cannot be opened: {error}") from error
    try:
        db.row_factory = sqlite3.Row
        yield db
    except sqlite3.Error as error:
        raise ImportUnreadable(f"{database} cannot be read: {error}") from error
    finally:
        db.close()


def _rows(db: sqlite3.Connection, database: Path) -> list[sqlite3.Row]:
    known = {row["name"] for row in db.execute("PRAGMA table_info(thread_goals)")}
    missing = [name for name in _COLUMNS if name not in known]
    if missing:
        what = "no table thread_goals" if not known else f"no {missing[0]} in thread_goals"
        raise ImportUnreadable(
            f"{database} is no database of goals that is known: it has {what}",
            hint="this reads goals_1.sqlite of codex-cli 0.171; another version may differ",
        )
    columns = ", ".join(_COLUMNS)
    query = f"SELECT {columns} FROM thread_goals ORDER BY created_at_ms, thread_id"  # noqa: S608  names of our own
    return db.execute(query).fetchall()


def _folders(home_of_codex: Path) -> dict[str, str]:
    """Return the directory of each thread, as far as Codex's other database tells."""
    database = _newest(home_of_codex, "state")
    if database is None:
        return {}
    with contextlib.suppress(ImportUnreadable), _opened(database) as db:
        return {row["id"]: row["cwd"] for row in db.execute("SELECT id, cwd FROM threads")}
    return {}


def _goal(row: Any, database: Path, folders: dict[str, str]) -> Foreign:
    thread = text(row["thread_id"], "a thread", database)
    status = row["status"]
    if status not in get_args(Standing):
        raise ImportUnreadable(f"{database}: the goal of thread {thread} has the status {status!r}")
    budget = row["token_budget"]
    return Foreign(
        source=f"codex:{thread}/{row['goal_id']}",
        name=f"codex-{thread}",
        objective=text(row["objective"], "an objective", database),
        status=status,
        token_budget=count(budget) or None,
        tokens=count(row["tokens_used"]),
        seconds=count(row["time_used_seconds"]),
        created_at=count(row["created_at_ms"]) // 1000,
        cwd=folders.get(thread),
    )
