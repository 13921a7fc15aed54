"""The command that tells what happened: log."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import click

from goalfsm.cli import asking, options
from goalfsm.cli.arguments import count
from goalfsm.cli.output import json_text, say
from goalfsm.daemon.remote.narrating import is_quiet, told, why
from goalfsm.daemon.remote.reading import newest
from goalfsm.session import codec
from goalfsm.views.explain import moment

if TYPE_CHECKING:
    from collections.abc import Iterator

    from goalfsm.cli.places import Place
    from goalfsm.store.reading import Reading
    from goalfsm.store.rows import JournalRow


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
    from goalfsm.daemon.flow.notices import notice_of  # noqa: PLC0415  only for programs

    with asking.reading(place) as store:
        if not store.journal.read(place.thread_id, limit=1):
            raise asking.unknown_thread(place)
        # A line is kept of each row, not the row: one may carry megabytes.
        rows = _newest(store, place.thread_id, limit, quiet_too=everything or as_json)
        lines = [json_text(notice_of(row)) if as_json else row_text(row) for row in rows]
    for line in reversed(lines):
        say(line)


def _newest(store: Reading, thread_id: str, limit: int, *, quiet_too: bool) -> Iterator[JournalRow]:
    """Yield the newest ``limit`` rows, newest first."""
    rows = newest(store, thread_id)
    told_of = (row for row in rows if quiet_too or not is_quiet(codec.decode_event(row.event)))
    return itertools.islice(told_of, limit)


def row_text(row: JournalRow) -> str:
    """Return a journal row as a line; a decision is told where the event made one.

    On a server the node that decided is named; what a command decided has none.
    """
    event = codec.decode_event(row.event)
    words = f"{type(event).__name__:<20} {told(event)}"
    where = f"{row.node}  " if row.node else ""
    text = f"{row.revision:>5}  {moment(row.at_ms)}  {where}{words}"
    if row.decision is None:
        return text
    decision = codec.decode_decision(row.decision)
    return f"{text} → {why(decision)}" if decision.at_ms == row.at_ms else text
