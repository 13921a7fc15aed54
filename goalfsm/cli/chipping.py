"""The status as one line for a prompt or a terminal's bar, which is shown all the time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from goalfsm.cli import asking, options
from goalfsm.cli.output import say
from goalfsm.errors import NoDatabase
from goalfsm.views.chip import MARKS, Chip, tmux

if TYPE_CHECKING:
    from goalfsm.cli.places import Place


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
    try:
        seen = asking.look(place)
    except NoDatabase:
        seen = None
    if seen is None or seen.chip is None:
        if form == "plain":
            say(f"{MARKS['none']} no goal")
        return
    shown = Chip(*seen.chip)
    say(tmux(shown) if form == "tmux" else shown.text)
