"""Start the terminal interface, where the extra that brings it is installed."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from typing import TYPE_CHECKING

import click

from goalfsm.cli import exits, options
from goalfsm.cli.places import Place, speak, working_directory
from goalfsm.errors import GoalError

if TYPE_CHECKING:
    from collections.abc import Sequence


@click.command("ui")
@options.placed_by_argument
def ui_command(place: Place) -> int:
    """Look at goals and talk to them in the terminal; nothing is driven from here."""
    if importlib.util.find_spec("textual") is None:
        raise GoalError(
            "the terminal interface is not installed",
            code="extra_missing",
            hint="pip install 'goalfsm[ui]'",
        )
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise GoalError(
            "the interface needs a terminal",
            code="no_terminal",
            hint="goalfsm status and goalfsm list work in a pipe",
        )
    from goalfsm.ui.app import GoalsApp, Surroundings  # noqa: PLC0415  an extra, and heavy
    from goalfsm.ui.source import Database  # noqa: PLC0415  the same

    def said(hint: str, thread_id: str) -> str:
        given = place.given or thread_id != place.thread_id
        return speak(hint, place._replace(thread_id=thread_id, given=given))

    def give(thread_id: str, words: Sequence[str]) -> tuple[bool, str]:
        there = ("--db", str(place.db), "--thread", thread_id or place.thread_id)
        return _set((*there, *words))

    around = Surroundings(working_directory(), said, give)
    app = GoalsApp(Database(place.db), around, _shown(place))
    app.run()
    return app.return_code or exits.OK


def _shown(place: Place) -> str | None:
    """Return the thread that is shown first; None shows all, where this directory has no goal."""
    from goalfsm.cli.asking import is_thread  # noqa: PLC0415  it opens the database

    return place.thread_id if place.given or is_thread(place.db, place.thread_id) else None


def _set(words: Sequence[str]) -> tuple[bool, str]:
    """Run ``goalfsm set`` as a person would, and return whether it worked, and what it said."""
    ran = subprocess.run(  # noqa: S603  this very program
        [sys.executable, "-m", "goalfsm.cli", "set", *words],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    return ran.returncode == exits.OK, (ran.stdout + ran.stderr).strip()
