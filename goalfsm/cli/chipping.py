"""The status as one line for a prompt or a terminal's bar, which is shown all the time."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from goalfsm.cli import asking, options
from goalfsm.errors import NoDatabase
from goalfsm.store.opening import open_to_read

if TYPE_CHECKING:
    from goalfsm.cli.places import Place
    from goalfsm.views.status import Status


@click.command("chip")
@options.placed_by_argument
@click.option(
    "--format",
    "form",
    type=click.Choice(("plain", "tmux", "starship")),
    default="plain",
    show_default=True,
    help="For tmux with its colour; tmux and starship show nothing where there is no goal.",
)
def chip_command(place: Place, form: str) -> None:
    """Say on one line where the thread is, for a prompt or the bar of a terminal."""
    from goalfsm.views.chip import MARKS, chip, tmux  # noqa: PLC0415  only where it is shown

    now_ms = time.time_ns() // 1_000_000
    status = _status(place, now_ms)
    if status is None or status.goal is None:
        if form == "plain":
            click.echo(f"{MARKS['none']} no goal")
        return
    shown = chip(status, now_ms)
    click.echo(tmux(shown) if form == "tmux" else shown.text)


def _status(place: Place, now_ms: int) -> Status | None:
    """Return how the thread stands; None where there is no database, or no such thread in it."""
    from goalfsm.daemon.remote.reading import asked_driver  # noqa: PLC0415  only for what exists
    from goalfsm.views.status import project  # noqa: PLC0415  the same

    try:
        store = open_to_read(place.db)
    except NoDatabase:
        return None
    try:
        stored = store.sessions.load(place.thread_id)
        if stored is None:
            return None
        session, driver = asking.session_of(stored), asked_driver(store, place.thread_id)
    finally:
        store.close()
    return project(session, now_ms, thread_id=place.thread_id, driver=driver)
