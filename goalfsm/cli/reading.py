"""Commands that look at threads and change nothing: status, list."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import click

from goalfsm.cli import asking, options, places
from goalfsm.cli.output import now_ms, print_json, say
from goalfsm.errors import GoalError, NoDatabase

if TYPE_CHECKING:
    from goalfsm.cli.places import Place
    from goalfsm.store.address import Address
    from goalfsm.views.status import Status

_WIDTH = 40
"""Most columns of a list that a thread's name widens for all."""


@click.command("status")
@options.placed_by_argument
@options.JSON
def status_command(place: Place, as_json: bool) -> None:
    """Show where a thread is: goal, budgets, activity, the last decision."""
    try:
        seen = asking.look(place)
    except NoDatabase as error:
        raise asking.no_database(place.db, error) from None
    if seen is None:
        raise asking.unknown_thread(place)
    if as_json:
        print_json(seen.status)
        return
    asking.show(seen.lines, seen.hint, place)


@click.command("list")
@options.database_only
@click.option("--everywhere", is_flag=True, help="Every goal of yours, by database.")
@options.JSON
def list_command(db: Address, everywhere: bool, as_json: bool) -> None:
    """List the threads of the database, one a line; below it the command that takes one on.

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
        say(f"no threads in {db}")
    _show(rows, db)


def _list_everywhere(db: Address, *, as_json: bool) -> None:
    """List the threads of all known databases; one that cannot be read is told on stderr."""
    for place in places.known(db):
        try:
            rows = _threads_of(place)
        except GoalError as error:
            say(f"goalfsm: {place}: {error.message}", err=True)
            continue
        if as_json:
            print_json({"db": str(place), "threads": rows})
        elif rows:
            say(f"{place}:")
            _show(rows, place)


def _threads_of(db: Address) -> list[Status]:
    from goalfsm.daemon.remote.reading import many  # noqa: PLC0415  a single thread is not listed
    from goalfsm.session import codec  # noqa: PLC0415  as above
    from goalfsm.views.status import project  # noqa: PLC0415  as above

    with contextlib.closing(asking.open_existing(db)) as store:
        names = [row.thread_id for row in store.sessions.threads()]
        return [
            project(codec.decode(stored.state), now_ms(), thread_id=stored.thread_id, driver=driver)
            for stored, driver in many(store, names)
        ]


def _show(rows: list[Status], db: Address) -> None:
    from goalfsm.views.status import summary  # noqa: PLC0415  as above

    elsewhere = db != places.database(None)
    width = min(_WIDTH, max((len(row.thread_id) for row in rows), default=0))
    for row in rows:
        say(f"{row.thread_id:<{width}}  {summary(row)}")
        place = places.Place(db, row.thread_id, given=True, db_given=elsewhere)
        if row.goal is not None and row.hint:
            say(f"{'':<{width}}  {places.speak(row.hint, place)}")
