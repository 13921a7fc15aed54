"""Commands that look and change nothing: status, list, log."""

from __future__ import annotations

import itertools
import shlex
import sys
import time
from typing import TYPE_CHECKING

import click
import msgspec

from goalfsm.cli import asking, options, places
from goalfsm.cli.arguments import count
from goalfsm.cli.showing import status_lines
from goalfsm.daemon.remote.narrating import is_quiet, told, why
from goalfsm.daemon.remote.reading import driver_of, newest
from goalfsm.errors import GoalError
from goalfsm.goal.model import ACTIVE
from goalfsm.session import codec
from goalfsm.views.explain import moment
from goalfsm.views.status import project, summary

if TYPE_CHECKING:
    from collections.abc import Iterator

    from goalfsm.cli.places import Place
    from goalfsm.daemon.flow.notices import Happened
    from goalfsm.store.address import Address
    from goalfsm.store.reading import Reading
    from goalfsm.store.rows import JournalRow
    from goalfsm.views.status import Status

_WIDTH = 40
"""Most columns of a list that a thread's name widens for all."""


def print_json(value: object) -> None:
    """Write a value as one line of JSON."""
    sys.stdout.write(json_text(value) + "\n")


def json_text(value: object) -> str:
    """Return a value as one line of JSON."""
    return msgspec.json.encode(value).decode()


def now_ms() -> int:
    """Return the time in unix milliseconds."""
    return time.time_ns() // 1_000_000


@click.command("status")
@options.placed_by_argument
@options.JSON
def status_command(place: Place, as_json: bool) -> None:
    """Show where a thread is: goal, budgets, activity, the last decision."""
    with asking.reading(place) as store:
        session = asking.require_thread(store, place)
        has_program = store.workers.get(place.thread_id) is not None
        driver = driver_of(store, place.thread_id)
    status = project(session, now_ms(), thread_id=place.thread_id, driver=driver)
    if as_json:
        print_json(status)
        return
    for row in status_lines(status, place):
        click.echo(row)
    goal = status.goal
    if goal is not None and goal.status == ACTIVE and not goal.continuations and not has_program:
        # Once it was worked on, an embedder's engine may do that without a stored program.
        again = shlex.join(("goalfsm", "set", *place.options()))
        click.echo(f"Hint: no program is stored for it: {again} -- PROGRAM ARGS")


@click.command("list")
@options.database_only
@click.option("--everywhere", is_flag=True, help="Every goal of yours, by database.")
@options.JSON
def list_command(db: Address, everywhere: bool, as_json: bool) -> None:
    """List the threads of the database, one a line.

    With --everywhere those of every database that you gave a goal in.
    """
    if everywhere:
        _list_everywhere(db, as_json=as_json)
        return
    rows = _threads_of(db)
    if as_json:
        print_json(rows)
        return
    if not rows:
        click.echo(f"no threads in {db}")
    _show(rows)


def _list_everywhere(db: Address, *, as_json: bool) -> None:
    """List the threads of all known databases; one that cannot be read is told on stderr."""
    for place in places.known(db):
        try:
            rows = _threads_of(place)
        except GoalError as error:
            click.echo(f"goalfsm: {place}: {error.message}", err=True)
            continue
        if as_json:
            print_json({"db": str(place), "threads": rows})
        elif rows:
            click.echo(f"{place}:")
            _show(rows)


def _threads_of(db: Address) -> list[Status]:
    store = asking.open_existing(db)
    try:
        return [
            project(
                codec.decode(stored.state),
                now_ms(),
                thread_id=row.thread_id,
                driver=driver_of(store, row.thread_id),
            )
            for row in store.sessions.threads()
            if (stored := store.sessions.load(row.thread_id)) is not None
        ]
    finally:
        store.close()


def _show(rows: list[Status]) -> None:
    width = min(_WIDTH, max((len(row.thread_id) for row in rows), default=0))
    for row in rows:
        click.echo(f"{row.thread_id:<{width}}  {summary(row)}")


@click.command("log")
@options.placed_by_argument
@click.option("-n", "--limit", type=count("number of events"), default="50", show_default=True,
              metavar="N", help="The newest N events.")  # fmt: skip
@click.option("--all", "everything", is_flag=True, help="Every event, bookkeeping included.")
@options.JSON
def log_command(place: Place, limit: int, everything: bool, as_json: bool) -> None:
    """Show what happened, event by event, and what was decided.

    With --json every event is shown, one object a line.
    """
    with asking.reading(place) as store:
        if not store.journal.read(place.thread_id, limit=1):
            raise asking.unknown_thread(place)
        # A line is kept of each row, not the row: one may carry megabytes.
        rows = _newest(store, place.thread_id, limit, quiet_too=everything or as_json)
        lines = [json_text(notice_of(row)) if as_json else row_text(row) for row in rows]
    for line in reversed(lines):
        click.echo(line)


def _newest(store: Reading, thread_id: str, limit: int, *, quiet_too: bool) -> Iterator[JournalRow]:
    """Yield the newest ``limit`` rows, newest first."""
    rows = newest(store, thread_id)
    told_of = (row for row in rows if quiet_too or not is_quiet(codec.decode_event(row.event)))
    return itertools.islice(told_of, limit)


def notice_of(row: JournalRow) -> Happened:
    """Return a journal row in the form in which an engine tells its followers."""
    from goalfsm.daemon.flow.decide import public  # noqa: PLC0415  only for programs
    from goalfsm.daemon.flow.notices import Happened  # noqa: PLC0415  the same

    return Happened(
        thread_id=row.thread_id,
        revision=row.revision,
        at_ms=row.at_ms,
        event=public(codec.decode_event(row.event)),
        decision=None if row.decision is None else codec.decode_decision(row.decision),
    )


def row_text(row: JournalRow) -> str:
    """Return a journal row as a line; a decision is told where the event made one."""
    event = codec.decode_event(row.event)
    words = f"{type(event).__name__:<20} {told(event)}"
    text = f"{row.revision:>5}  {moment(row.at_ms)}  {words}"
    if row.decision is None:
        return text
    decision = codec.decode_decision(row.decision)
    return f"{text} → {why(decision)}" if decision.at_ms == row.at_ms else text
