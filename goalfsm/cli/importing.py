"""Goals of other programs brought here: each a thread, paused, with what it has used."""

from __future__ import annotations

import contextlib
import importlib
import os
import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import click

from goalfsm.cli import asking, exits, options, places
from goalfsm.cli.arguments import HintedError
from goalfsm.cli.output import say
from goalfsm.errors import GoalError, NoDatabase
from goalfsm.goal.model import COMPLETE, Limits
from goalfsm.importers.foreign import Foreign, Standing
from goalfsm.session.events import GoalImported
from goalfsm.store.opening import open_to_read
from goalfsm.text import line, short

if TYPE_CHECKING:
    from goalfsm.session.state import Session
    from goalfsm.store.address import Address

TOOLS: Final = ("codex", "pi", "claude")
_NAMED: Final = 5
"""How many goals a refusal names."""
_HERE: Final[dict[Standing, dict[str, Any]]] = {
    "active": {"note": "it was being worked on where it came from"},
    "paused": {},
    "usage_limited": {"pause_reason": "usage_limit"},
    "blocked": {"status": "blocked"},
    "budget_limited": {"status": "budgetLimited"},
    "complete": {"status": COMPLETE},
}
"""How a goal stands here that stood so there: nobody works on it before somebody says so."""


class _Bound(NamedTuple):
    """A goal, and where it is to go."""

    goal: Foreign
    db: Address
    thread_id: str


@click.command("import")
@click.argument("tool", type=click.Choice(TOOLS))
@click.argument("path", required=False, type=click.Path(path_type=Path))
@click.option("--dry-run", is_flag=True, help="Say what would be brought here, and bring nothing.")
@click.option(
    "--only",
    multiple=True,
    metavar="NAME",
    help="Of several goals those whose names, as --dry-run shows them, begin so; repeatable.",
)
@click.option("--thread", metavar="NAME", help="The thread that a single goal becomes.")
@click.option(
    "--db",
    metavar="PATH",
    help="Database for all; default: that of the directory that each was worked on in.",
)
@options.JSON
def import_command(
    tool: str,
    path: Path | None,
    dry_run: bool,
    only: tuple[str, ...],
    thread: str | None,
    db: str | None,
    as_json: bool,
) -> int:
    """Bring goals of another program here: from a file, a folder, or the program's home.

    They arrive paused, with what they have used; what is here already stays as it is.
    """
    read = importlib.import_module(f"goalfsm.importers.{tool}").read
    # All is read before anything is written.
    found: list[Foreign | GoalError] = read(path)
    goals = _chosen([one for one in found if isinstance(one, Foreign)], only)
    if thread is not None and len(goals) != 1:
        raise HintedError(
            f"{len(goals)} goals, and one thread is named",
            "--only NAME chooses one, --dry-run shows their names; or leave --thread out",
        )
    failed = 0
    for one in found:
        if isinstance(one, GoalError):
            failed += 1
            say(f"goalfsm: {line(one.message)}\nHint: {line(one.hint)}", err=True)
    if not found:
        say(f"no goal of {tool} there")
    rows = _brought(goals, thread, db, dry_run=dry_run)
    for row in rows:
        failed += not row["ok"]
        if as_json:
            from goalfsm.cli.output import print_json  # noqa: PLC0415  it loads what tells of events

            print_json(row)
        else:
            say(_told(row), err=not row["ok"])
    return exits.FAILED if failed else exits.OK


def _chosen(goals: list[Foreign], only: tuple[str, ...]) -> list[Foreign]:
    """Return the goals whose names begin with one of ``only``; raise where one begins none."""
    for name in only:
        if not any(goal.name.startswith(name) for goal in goals):
            there = ", ".join(line(goal.name) for goal in goals[:_NAMED]) or "no goal at all"
            raise HintedError(f"no goal's name begins with {line(name)}", f"there is {there}")
    return [goal for goal in goals if not only or goal.name.startswith(only)]


def _brought(
    goals: list[Foreign], thread: str | None, db: str | None, *, dry_run: bool
) -> Iterable[dict[str, Any]]:
    """Bring each goal to its place; yield what came of it."""
    for goal in goals:
        bound = _Bound(goal, _database(goal, db), places.check_thread(thread or goal.name))
        try:
            code, message, hint = _trial(bound) if dry_run else _send(bound)
            ok, hint = True, hint or _takes_up(bound, code)
        except GoalError as error:
            ok, code, message, hint = False, error.code, error.message, error.hint
        yield {
            "ok": ok,
            "code": code,
            "thread_id": bound.thread_id,
            "db": places.named(bound.db),
            "source": goal.source,
            "status": goal.status,
            "objective": goal.objective,
            "tokens": goal.tokens,
            "seconds": goal.seconds,
            "cwd": goal.cwd,
            "message": message,
            "hint": hint,
        }


def _database(goal: Foreign, db: str | None) -> Address:
    """Return the database of the directory that a goal was worked on in, unless one is named."""
    if db is not None or os.environ.get("GOALFSM_DB") or goal.cwd is None:
        return places.database(db)
    return places.own_database(Path(goal.cwd).resolve())


def _event(goal: Foreign) -> GoalImported:
    return GoalImported(
        source=goal.source,
        digest=goal.digest,
        objective=goal.objective,
        limits=Limits(tokens=goal.token_budget),
        tokens=goal.tokens,
        seconds=goal.seconds,
        created_at=goal.created_at,
        **{"note": goal.note} | _HERE[goal.status],
    )


def _place(bound: _Bound) -> places.Place:
    elsewhere = bound.db != places.own_database()
    return places.Place(bound.db, bound.thread_id, given=True, db_given=elsewhere)


def _send(bound: _Bound) -> tuple[str, str, str]:
    reply = asking.send(_place(bound), _event(bound.goal))
    places.remember(bound.db)
    return reply.code, reply.message, reply.hint


def _trial(bound: _Bound) -> tuple[str, str, str]:
    """Return what would come of it; nothing is written. Raises what it would be refused with."""
    reply = asking.rehearsed(_place(bound), _stored(bound), _event(bound.goal))
    if reply.code == "imported":
        return "would_import", "it would be brought here", ""
    return reply.code, reply.message, reply.hint


def _stored(bound: _Bound) -> Session | None:
    try:
        store = open_to_read(bound.db)
    except NoDatabase:
        return None
    with contextlib.closing(store):
        stored = store.sessions.load(bound.thread_id)
        return None if stored is None else asking.session_of(stored)


def _takes_up(bound: _Bound, code: str) -> str:
    """Return the command that takes a goal up that has just come; "" where there is none."""
    goal = bound.goal
    if code != "imported" or goal.status == "complete":
        return ""
    where = f"cd {shlex.quote(goal.cwd)} && " if goal.cwd else ""
    thread, db = shlex.quote(bound.thread_id), shlex.quote(places.named(bound.db))
    limited = goal.status == "budget_limited"
    raises = f"goalfsm budget {thread} --tokens N --db {db}, then " if limited else ""
    agent = goal.source.partition(":")[0]
    return f"{raises}{where}goalfsm run --thread {thread} --db {db} --agent {agent}"


def _told(row: dict[str, Any]) -> str:
    """Return what became of one goal, and the command that takes it up."""
    used = f"{row['tokens']:,} tokens, {row['seconds']} s"
    text = f"{row['thread_id']}: {row['message']} ({row['status']} there, {used}): "
    text += short(row["objective"])
    return f"{text}\nHint: {row['hint']}" if row["hint"] else text
