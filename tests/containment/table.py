"""The table of all scenarios: for a terminal, and for the docs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from tests.containment import (
    budgeting,
    driving,
    heeding,
    printing,
    progressing,
    providing,
    stopping,
    waiting,
)
from tests.containment.scenario import SCENARIOS, TURN, Row, Scenario

DOC: Final = Path(__file__).parents[2] / "docs" / "containment.md"
HEADINGS: Final = {
    waiting.__name__: "Waiting",
    stopping.__name__: "Stopping",
    heeding.__name__: "The person's word, and what is over",
    progressing.__name__: "Getting nowhere",
    providing.__name__: "Providers",
    budgeting.__name__: "Budgets",
    driving.__name__: "Engines and turns",
    printing.__name__: "Output",
}
_COLUMNS: Final = ("", "continuations", "runs", "tokens", "ended as")
_INTRO: Final = f"""\
# What a goal may cost

What people report of goals that run on their own, each as a scenario with a hard cap: turns that
poll for hours, stops that are refused, budgets that end in nothing, goals that never come back.
Every row was played on frozen time by the engine itself, with scripted turns of {TURN:,} tokens
each, by

    make containment

and the tests fail where a row is above its cap or ends as something else. `3 ≤ 3` reads: it took
3, and 3 are the cap.

- **continuations** are turns of the goal, as they count against `max_continuations`.
- **runs** are all starts of a worker: attempts after an error are runs of the same turn.
- **ended as** is what `goalfsm status` says at the end of the row.

Thresholds are the defaults of [the goal contract](goal-contract.md) unless a row says otherwise.
"""


class Played(NamedTuple):
    """A scenario with its rows."""

    scenario: Scenario
    rows: tuple[Row, ...]


def play(scenarios: Iterable[Scenario]) -> tuple[Played, ...]:
    """Play scenarios, in order."""
    return tuple(Played(one, tuple(one.play())) for one in scenarios)


def ordered() -> list[Scenario]:
    """Return every scenario in the order of the page."""
    homes = list(HEADINGS)
    return sorted(SCENARIOS, key=lambda one: homes.index(one.home))


def failures(played: Iterable[Played]) -> list[str]:
    """Return what is above its cap, or ended as something else, in words."""
    return [
        f"{one.scenario.name}, {row.part}: {row}"
        for one in played
        for row in one.rows
        if not row.contained
    ]


def markdown(played: Sequence[Played]) -> str:
    """Return the page for the docs."""
    parts = [_INTRO]
    for home, heading in HEADINGS.items():
        mine = [one for one in played if one.scenario.home == home]
        parts.append(f"## {heading}\n\n{_markdown_table(mine)}\n")
    return "\n".join(parts)


def _markdown_table(played: Sequence[Played]) -> str:
    lines = ["| " + " | ".join(_COLUMNS) + " |", "|---|--:|--:|--:|---|"]
    for one in played:
        lines.append(f"| **{one.scenario.name}**: {one.scenario.complaint} | | | | |")
        lines += ["| " + " | ".join((f"· {row.part}", *_cells(row))) + " |" for row in one.rows]
    return "\n".join(lines)


def plain(played: Sequence[Played]) -> str:
    """Return the table for a terminal."""
    rows = [(row.part, *_cells(row)) for one in played for row in one.rows]
    widths = [max(len(cells[at]) for cells in (_COLUMNS, *rows)) for at in range(len(_COLUMNS))]
    lines = [_line("", _COLUMNS, widths)]
    for one in played:
        lines.append(one.scenario.name)
        for row in one.rows:
            mark = "" if row.contained else "   NOT CONTAINED"
            lines.append(_line("  ", (row.part, *_cells(row)), widths) + mark)
    return "\n".join(lines)


def _line(indent: str, cells: Sequence[str], widths: Sequence[int]) -> str:
    part, *numbers, ended = cells
    shown = [f"{text:>{width}}" for text, width in zip(numbers, widths[1:], strict=False)]
    return "   ".join((f"{indent + part:<{widths[0] + 2}}", *shown, ended))


def _cells(row: Row) -> tuple[str, str, str, str]:
    pairs = (
        (row.continuations, row.most_continuations),
        (row.runs, row.most_runs),
        (row.tokens, row.most_tokens),
    )
    continuations, runs, tokens = (f"{cost:,} ≤ {most:,}" for cost, most in pairs)
    return continuations, runs, tokens, row.ended
