"""Hold what Python code in this process hands over to the types that it states.

A struct checks nothing when it is made, and lines of a program are checked when they are read. What
a worker of the embedder's makes is checked here, before any of it is decided: a value of another
type could not be written or not be read again, and would look like trouble of the store.
"""

from __future__ import annotations

from typing import TypeVar, cast, get_args

import msgspec

from goalfsm.errors import GoalError
from goalfsm.text import storable
from goalfsm.workers.protocol import ErrorReported, Text, TurnEvent

_EVENTS = get_args(TurnEvent)
_Told = TypeVar("_Told", bound=msgspec.Struct)


def checked_event(event: object) -> TurnEvent:
    """Return a worker's event; raises `GoalError` where it is none, or holds what it cannot."""
    if type(event) not in _EVENTS:
        raise GoalError(
            f"the worker yielded {type(event).__name__}, which is no turn event",
            code="worker_invalid",
            hint="yield events of goalfsm.workers.protocol, or plain text",
        )
    if isinstance(event, Text):
        _check_text(event.text)
        return event if event.text.isascii() else Text(text=storable(event.text))
    if isinstance(event, ErrorReported):
        # The exception is judged as an object, and never written.
        checked(msgspec.structs.replace(event, exception=None))
    else:
        checked(cast("msgspec.Struct", event))
    return cast("TurnEvent", event)


def checked(told: _Told) -> _Told:
    """Return ``told``; raises `GoalError` where its values are not of the types that it states."""
    try:
        msgspec.json.decode(msgspec.json.encode(told), type=type(told))
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise GoalError(
            f"the worker's {type(told).__name__} cannot be used: {error}",
            code="worker_invalid",
            hint="goalfsm.workers.protocol states the type of each value",
        ) from error
    return told


def _check_text(text: object) -> None:
    if not isinstance(text, str):
        raise GoalError(
            f"the worker's Text holds {type(text).__name__} where text was expected",
            code="worker_invalid",
            hint="decode it first",
        )
