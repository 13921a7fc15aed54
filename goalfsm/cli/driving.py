"""Drive one thread until its goal leaves active: here, or by following the engine that owns it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, Final

from goalfsm.cli.errand import Errand
from goalfsm.cli.following import OthersTurn, follow
from goalfsm.cli.owning import Host
from goalfsm.daemon.guards.ownership import Owned
from goalfsm.daemon.remote import client
from goalfsm.daemon.remote.link import FalseEngine, NoEngine
from goalfsm.errors import NoDatabase
from goalfsm.store.address import Server

if TYPE_CHECKING:
    from goalfsm.store.port import Owner

_ATTEMPTS: Final = 40
_PAUSE_S: Final = 0.25
_OTHERS_S: Final = 5.0
"""How long another follower, whose turn it is to go on, may take to do so."""


def carry_out(errand: Errand) -> int:
    """Drive the thread to where its goal stops; return the exit status.

    Raises GoalError where it is refused; then nothing was written.
    """
    if isinstance(errand.place.db, Server):
        from goalfsm.cli import following_nodes  # noqa: PLC0415  it loads the driver

        return following_nodes.follow(errand, errand.place.db).exit_status
    reachable = True
    for _ in range(_ATTEMPTS):
        owner = _owner(errand) if reachable else None
        try:
            over = asyncio.run(Host(errand).carry_out()) if owner is None else follow(errand, owner)
        except Owned:
            # Somebody took it meanwhile, or is about to answer: follow them.
            reachable = True
            time.sleep(_PAUSE_S)
        except OthersTurn:
            errand.view.say("the engine that was followed has ended; another terminal goes on")
            _await_owner(errand)
        except FalseEngine:
            raise  # whoever it is, the engine is there, and is asked by the inbox
        except NoEngine:
            if errand.begun:
                errand.view.say("the engine that was followed is gone; going on here")
            reachable = False
        else:
            return over.exit_status
    raise NoEngine(
        "another process holds the database, but does not answer",
        hint="goalfsm doctor names it",
    )


def _owner(errand: Errand) -> Owner | None:
    """Return the engine that can be followed, None where there is none."""
    with contextlib.suppress(NoDatabase):
        owner = client.serving(errand.file)
        # A command that owns the database for a moment has no socket.
        return owner if owner is not None and owner.socket else None
    return None


def _await_owner(errand: Errand) -> None:
    """Wait a moment for the process that was there first to own the database."""
    deadline = time.monotonic() + _OTHERS_S
    while _owner(errand) is None and time.monotonic() < deadline:
        time.sleep(_PAUSE_S)
