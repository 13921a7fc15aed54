"""The status in a few words, for a prompt or the bar of a terminal: never more than one line.

Nothing that people, models or programs wrote is in it, so that it needs no escaping anywhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from goalfsm.text import duration

if TYPE_CHECKING:
    from goalfsm.views.activity import ActivityKind
    from goalfsm.views.status import Status

COLOURS: Final[dict[ActivityKind, str]] = {
    "none": "default",
    "continuing": "green",
    "running": "green",
    "verifying": "cyan",
    "recovering": "yellow",
    "waiting": "yellow",
    "paused": "yellow",
    "blocked": "red",
    "limited": "magenta",
    "complete": "green",
    "unattended": "red",
}
"""The colour of each kind of activity, by the names that every terminal knows."""
MARKS: Final[dict[ActivityKind, str]] = {
    "none": "○",
    "continuing": "▶",
    "running": "▶",
    "verifying": "◆",
    "recovering": "↻",
    "waiting": "…",
    "paused": "‖",
    "blocked": "■",
    "limited": "■",
    "complete": "✓",
    "unattended": "!",
}
"""The sign of each kind of activity: one column wide, and told apart without colour."""


class Chip(NamedTuple):
    """One line, and the name of the colour that it is shown in."""

    text: str
    colour: str


def chip(status: Status, now_ms: int) -> Chip:
    """Return what goes on at ``now_ms``, until when or what takes it on, and the fullest budget.

    The fullest budget is the one of whose limit most is used.
    """
    words = [status.activity]
    if status.run is not None:
        words = [f"turn {status.run.turn}"]
        if status.driver is not None and status.driver.held:
            words.append("suspended")
    if status.until_ms is not None and status.until_ms > now_ms:
        words.append(f"{duration((status.until_ms - now_ms) / 1000)} to go")
    elif status.goal is not None and status.hint:
        words.append(_command(status.hint))
    if status.activity_kind != "complete" and (used := _fullest(status)):
        words.append(used)
    kind = status.activity_kind
    return Chip(f"{MARKS[kind]} {' · '.join(words)}", COLOURS[kind])


def _command(hint: str) -> str:
    """Return the first command of a hint alone: a chip is shown where its thread is known."""
    return " ".join(hint.split()[:2])


def _fullest(status: Status) -> str:
    spent = status.progress
    if spent is None:
        return ""
    rows = (
        ("tokens", spent.tokens),
        ("time", spent.seconds),
        ("cost", spent.cost),
        ("turns", spent.continuations),
    )
    shares = [(row.used * 100 // row.budget, name) for name, row in rows if row.budget]
    if not shares:
        return ""
    percent, name = max(shares, key=lambda share: share[0])
    return f"{percent} % of {name}"


def tmux(shown: Chip) -> str:
    """Return the chip for a status line of tmux, which draws its colour."""
    return f"#[fg={shown.colour}]{shown.text}#[default]"
