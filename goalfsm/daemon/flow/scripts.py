"""Events that belong together: one script is decided in one go and committed as one piece."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import NamedTuple

from goalfsm.session.effects import Effect
from goalfsm.session.events import Event
from goalfsm.session.state import Session, Step


class Marked(NamedTuple):
    """An event that reports effects as done, in the very commit that holds it.

    ``done`` are their keys. ``takes`` are effects of earlier events of the same script: they are
    done before anybody could see them, so they never get into the outbox.
    """

    event: Event
    done: tuple[str, ...] = ()
    takes: tuple[Effect, ...] = ()


Said = Event | Marked
Script = Callable[[Session], Generator[Said, Step, None]]
"""Yields each event, and is sent what was decided about it; nothing, where nothing is to say."""


def single(event: Event, done: tuple[str, ...] = ()) -> Script:
    """Return the script of one event, which reports ``done``."""

    def script(_: Session) -> Generator[Said, Step, None]:
        yield Marked(event, done) if done else event

    return script


def following(script: Generator[Said, Step, None], step: Step) -> Said | None:
    """Tell a script what was decided; return what it says next, None at its end."""
    try:
        return script.send(step)
    except StopIteration:
        return None
