"""A status as text with colours; nothing here decides what is said."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.table import Table
from rich.text import Text

from goalfsm.session.continuation import Spent, money
from goalfsm.text import compact_tokens, duration, line, visible
from goalfsm.views.actions import actions
from goalfsm.views.chip import COLOURS, MARKS
from goalfsm.views.rows import open_rows

if TYPE_CHECKING:
    from collections.abc import Callable

    from goalfsm.ui.source import Link
    from goalfsm.views.status import Status

_NEARLY: Final = 0.8
"""The share of a budget from which on its bar warns."""
_LINKS: Final[dict[Link, tuple[str, str]]] = {
    "nobody": ("○ nobody drives this; what is stored is shown", "yellow"),
    "answers": ("● following the engine", "green"),
    "silent": ("◌ the engine does not answer: suspended, or hung", "bold red"),
}


def headline(status: Status, now_ms: int) -> Text:
    """Return what goes on, why, and until when."""
    kind = status.activity_kind
    text = Text()
    text.append(f"{MARKS[kind]} {status.activity}", style=f"bold {COLOURS[kind]}")
    if status.run is not None:
        text.append(f"  {duration((now_ms - status.run.started_ms) / 1000)}", style="dim")
    if status.until_ms is not None and status.until_ms > now_ms:
        left = duration((status.until_ms - now_ms) / 1000)
        text.append(f"  {left} to go", style="yellow")
    if status.detail:
        text.append(f"\n{line(status.detail)}")
    return text


def objective(status: Status) -> Text:
    """Return what is to be achieved, and by what it is recognised."""
    if status.goal is None:
        return Text("No goal yet. Press n to give the thread one.", style="dim")
    text = Text(visible(status.goal.objective).strip())
    for criterion in status.goal.criteria:
        text.append(f"\n  · {line(criterion.text)}", style="dim")
    return text


def driven(link: Link) -> Text:
    """Return in words whether an engine is there."""
    words, style = _LINKS[link]
    return Text(words, style=style)


def rows(status: Status) -> Table:
    """Return what is open: who drives it, the run, the claim, waits, messages."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, words in open_rows(status):
        table.add_row(name, Text(words))
    made = status.last_decision
    if made is not None:
        table.add_row("decided", Text(f"{made.decision}: {line(made.reason)}"))
    return table


def budgets(status: Status, width: int) -> Table:
    """Return a bar for each budget, and the bare use where there is no limit."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    spent = status.progress
    if spent is None:
        return table
    bar = max(8, width - 46)
    table.add_row(*_row("tokens", spent.tokens, compact_tokens, bar))
    table.add_row(*_row("active time", spent.seconds, duration, bar))
    table.add_row(*_row("turns", spent.continuations, str, bar))
    if spent.cost.used or spent.cost.budget is not None:
        table.add_row(*_row("cost", spent.cost, money, bar))
    return table


def _row(name: str, spent: Spent, show: Callable[[int], str], width: int) -> tuple[Text, ...]:
    if spent.budget is None:
        return Text(name), Text("no limit", style="dim"), Text(show(spent.used))
    share = min(1.0, spent.used / spent.budget) if spent.budget else 1.0
    filled = round(share * width)
    colour = "red" if share >= 1 else "yellow" if share >= _NEARLY else "green"
    bar = Text("━" * filled, style=colour).append("─" * (width - filled), style="dim")
    return Text(name), bar, Text(f"{show(spent.used)} of {show(spent.budget)}")


def possible(status: Status) -> Text:
    """Return the keys of what may be asked now."""
    text = Text(no_wrap=True, overflow="ellipsis")
    for action in actions(status):
        if action.key:
            text.append(f" {action.key} ", style="reverse").append(f" {action.name}  ")
    return text


def short_row(status: Status) -> tuple[Text, Text, Text, Text]:
    """Return a thread as a row of the list of goals."""
    kind = status.activity_kind
    spent = status.progress
    used = "" if spent is None else f"{compact_tokens(spent.tokens.used)} tokens"
    goal = "" if status.goal is None else line(status.goal.objective)
    return (
        Text(f"{MARKS[kind]} {status.activity}", style=COLOURS[kind]),
        Text(line(status.thread_id)),
        Text(used, style="dim"),
        Text(goal),
    )
