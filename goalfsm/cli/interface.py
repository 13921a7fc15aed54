"""Start the terminal interface, where the extra that brings it is installed."""

from __future__ import annotations

import importlib.util
import os
import select
import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import click

from goalfsm.cli import exits, options
from goalfsm.cli.asking import remote
from goalfsm.cli.loading import THIS_PROGRAM
from goalfsm.cli.places import Place, known, speak, working_directory
from goalfsm.errors import GoalError
from goalfsm.store.address import Server

if TYPE_CHECKING:
    from collections.abc import Sequence

    from goalfsm.store.address import Address


@click.command("ui")
@options.placed_by_argument
@click.option("--everywhere", is_flag=True, help="Every goal of yours, in every database.")
def ui_command(place: Place, everywhere: bool) -> int:
    """Look at goals and talk to them in the terminal; nothing is driven from here."""
    if importlib.util.find_spec("textual") is None:
        raise GoalError(
            "the terminal interface is not installed",
            code="extra_missing",
            hint="pip install 'goalfsm[ui]'",
        )
    # Textual draws on stderr, so that what is printed can be kept apart.
    if not all(stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr)):
        raise GoalError(
            "the interface needs a terminal",
            code="no_terminal",
            hint="goalfsm status and goalfsm list work in a pipe",
        )
    from goalfsm.ui.app import GoalsApp, Surroundings  # noqa: PLC0415  an extra, and heavy
    from goalfsm.ui.source import Database, Everywhere  # noqa: PLC0415  the same

    source = Everywhere(lambda: known(place.db) or [place.db], remote) if everywhere else None

    def placed(name: str) -> Place:
        """Return the place of a thread by the name that it is shown with."""
        if source is None:
            given = place.given or name != place.thread_id
            return place._replace(thread_id=name, given=given)
        db, thread_id = source.place_of(name)
        return Place(db, thread_id, given=True, db_given=True)

    def give(command: str, name: str, words: Sequence[str]) -> tuple[bool, str]:
        chosen = placed(name or place.thread_id)
        return _give(command, chosen.db, ("--thread", chosen.thread_id, *words))

    around = Surroundings(working_directory(), lambda hint, name: speak(hint, placed(name)), give)
    first = None if everywhere else _shown(place)
    app = GoalsApp(source or Database(place.db, remote(place.db)), around, first)
    threading.Thread(target=_end_with_terminal, args=(sys.stdin.fileno(),), daemon=True).start()
    app.run()
    return app.return_code or exits.OK


def _end_with_terminal(fileno: int) -> None:
    """End this process as soon as the terminal behind ``fileno`` is gone.

    The kernel tells only a session's leader and its foreground group of it. The interface reads
    an endless nothing then, and its writes are never taken: nothing is left that could leave.
    """
    gone = select.poll()
    gone.register(fileno, 0)  # Nothing but a hang-up is reported, and the wait costs nothing.
    gone.poll()
    os.kill(os.getpid(), signal.SIGKILL)  # SIGHUP may be ignored, as under nohup.


def _shown(place: Place) -> str | None:
    """Return the thread that is shown first; None shows all, where this directory has no goal."""
    from goalfsm.cli.asking import is_thread  # noqa: PLC0415  it opens the database

    return place.thread_id if place.given or is_thread(place.db, place.thread_id) else None


def _give(command: str, db: Address, words: Sequence[str]) -> tuple[bool, str]:
    """Run ``goalfsm COMMAND`` as a person would, and return whether it worked, and what it said."""
    environment = dict(os.environ)
    if isinstance(db, Server):
        # Everybody may list a program's arguments, and an address may hold a password.
        environment["GOALFSM_DB"] = db.url
    else:
        words = ("--db", str(db), *words)
    ran = subprocess.run(  # noqa: S603  this very program
        [*THIS_PROGRAM, *command.split(), *words],
        capture_output=True,
        text=True,
        env=environment,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    return ran.returncode == exits.OK, (ran.stdout + ran.stderr).strip()
