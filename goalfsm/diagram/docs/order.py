"""What a document asks to be drawn: a machine and options, written on one line."""

from __future__ import annotations

import shlex
from typing import Any, Final

import msgspec

from goalfsm.diagram.model import DiagramError, Direction, Drawing
from goalfsm.diagram.ours.machines import named
from goalfsm.diagram.render import DIRECTIONS, FORMATS, Format, render

_YES_NO: Final = {"yes": True, "true": True, "on": True, "no": False, "false": False, "off": False}
_LISTS: Final = frozenset({"highlight"})
_FLAGS: Final = frozenset({"guards", "effects"})


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """A machine by name and how to draw it; None leaves what ``render()`` does without it."""

    machine: str
    format: Format = "mermaid"
    direction: Direction | None = None
    guards: bool = True
    effects: bool = False
    highlight: tuple[str, ...] = ()
    title: str | None = None


OPTIONS: Final = tuple(name for name in Order.__struct_fields__ if name != "machine")


def read_order(text: str, *, default_format: Format = "mermaid") -> Order:
    """Return what ``text`` asks for: ``goal direction=LR effects=yes title="A title"``.

    Raises ``DiagramError`` for an unknown option, or a value that the option cannot have.
    """
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise DiagramError(
            f"cannot read {text.strip()!r}: {error}", hint='quote as a shell does: title="A b"'
        ) from error
    if not words:
        raise DiagramError("no machine was named", hint="name one, such as: goal")
    machine, *options = words
    values: dict[str, Any] = {"format": default_format}
    for option in options:
        name, equals, value = option.partition("=")
        if not equals or name not in OPTIONS:
            raise DiagramError(
                f"unknown option {option!r}", hint=f"use {', '.join(f'{o}=' for o in OPTIONS)}"
            )
        values[name] = _value(name, value)
    for name, known in (("format", FORMATS), ("direction", DIRECTIONS)):
        if name in values and values[name] not in known:
            raise DiagramError(
                f"unknown {name} {values[name]!r}", hint=f"use one of {', '.join(known)}"
            )
    return Order(machine=machine, **values)


def _value(name: str, value: str) -> object:
    if name in _LISTS:
        return tuple(part.strip() for part in value.split(",") if part.strip())
    if name not in _FLAGS:
        return value
    if value not in _YES_NO:
        raise DiagramError(f"{name}={value} is neither yes nor no", hint=f"write {name}=yes")
    return _YES_NO[value]


def fulfil(order: Order, *, drawings: dict[str, Drawing] | None = None) -> str:
    """Return the text of the ordered drawing; ``drawings`` keeps machines by name."""
    kept = {} if drawings is None else drawings
    if order.machine not in kept:
        kept[order.machine] = named(order.machine)
    return render(
        kept[order.machine],
        format=order.format,
        guards=order.guards,
        effects=order.effects,
        highlight=order.highlight or None,
        direction=order.direction,
        title=order.title,
    )
