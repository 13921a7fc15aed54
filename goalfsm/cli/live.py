"""Show a run on a terminal: what happens scrolls by, where it stands stays in view."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final, Self

import msgspec
from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from goalfsm.daemon.flow import notices
from goalfsm.daemon.remote.narrating import Narrator, by_guard
from goalfsm.session.continuation import Spent, money
from goalfsm.text import compact_tokens, duration, line, short

if TYPE_CHECKING:
    from collections.abc import Callable

    from goalfsm.views.status import Status

_BAR: Final = 24
_STYLES: Final = {
    "running": "bold green",
    "continuing": "green",
    "verifying": "bold cyan",
    "waiting": "yellow",
    "recovering": "yellow",
    "paused": "bold yellow",
    "blocked": "bold red",
    "limited": "bold magenta",
    "complete": "bold green",
}


class LiveView:
    """A panel that follows the status, under the lines of what happened."""

    def __init__(self, console: Console | None = None) -> None:
        """Show on ``console``, by default the terminal."""
        self._console = console or Console(highlight=False)
        self._narrator = Narrator()
        self._status: Status | None = None
        self._since = time.monotonic()
        self._live = Live(
            get_renderable=self._panel,
            console=self._console,
            refresh_per_second=4,
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def __enter__(self) -> Self:
        """Begin to show."""
        self._live.start(refresh=True)
        return self

    def __exit__(self, *exc: object) -> None:
        """Leave the last panel and give the terminal back."""
        self._live.stop()

    def show(self, notice: notices.Notice) -> None:
        """Print what there is to say, and bring the panel up to date."""
        for row in self._narrator.lines(notice):
            self.say(row)
        if isinstance(notice, notices.StatusChanged | notices.Settled):
            self._status = notice.status
            self._since = time.monotonic()

    def say(self, text: str) -> None:
        """Print a line above the panel."""
        style = "dim" if text.startswith("  |") else "cyan" if text.startswith("→") else ""
        self._console.print(Text(f"{time.strftime('%H:%M:%S')}  {text}", style=style))

    def close(self, status: Status, hint: str) -> None:
        """Leave the last panel as it is, with the hint above it."""
        self._status = status
        if hint:
            self.say(f"Hint: {hint}")

    def _panel(self) -> Group:
        status = self._status
        if status is None or status.goal is None:
            return Group(Rule(style="dim"), Text("starting", style="dim"))
        parts: list[Any] = [Rule(style="dim"), self._headline(status), self._budgets(status)]
        if self._narrator.unfinished:
            said = Text(f"  | {self._narrator.unfinished}", style="dim", no_wrap=True)
            said.truncate(self._console.width, overflow="ellipsis")
            parts.insert(0, said)
        made = status.last_decision
        if made is not None:
            words = f"last decision  {made.decision}: {short(made.reason)}{by_guard(made.guard)}"
            parts.append(Text(words, style="dim", overflow="ellipsis", no_wrap=True))
        return Group(*parts)

    def _headline(self, status: Status) -> Text:
        text = Text(overflow="ellipsis", no_wrap=True)
        text.append(status.activity, style=_STYLES.get(status.activity_kind, ""))
        if status.detail:
            text.append(f"  {short(status.detail)}")
        if status.run is not None:
            passed = status.run.elapsed_seconds + (time.monotonic() - self._since)
            text.append(f", for {duration(passed)}", style="dim")
        if status.until_ms is not None:
            left = status.until_ms / 1000 - time.time()
            text.append(f", {duration(left)} to go", style="yellow")
        if status.goal is not None:
            text.append(f"  {line(status.goal.objective)}", style="italic dim")
        return text

    def _budgets(self, status: Status) -> Table:
        table = Table.grid(padding=(0, 2))
        spent = status.progress
        if spent is None:
            return table
        table.add_row(*_row("tokens", spent.tokens, compact_tokens))
        running = 0 if status.run is None else int(time.monotonic() - self._since)
        table.add_row(*_row("active time", _later(spent.seconds, running), duration))
        table.add_row(*_row("turns", spent.continuations, str))
        if spent.cost.used or spent.cost.budget is not None:
            table.add_row(*_row("cost", spent.cost, money))
        return table


def _later(spent: Spent, seconds: int) -> Spent:
    """Return active time as it stands so many seconds after it was told, with a turn running."""
    return msgspec.structs.replace(spent, used=spent.used + seconds)


def _row(name: str, spent: Spent, show: Callable[[int], str]) -> tuple[Any, ...]:
    if spent.budget is None:
        return Text(name, style="dim"), Text(""), Text(show(spent.used))
    used_up = spent.used >= spent.budget
    bar = ProgressBar(
        total=spent.budget,
        completed=min(spent.used, spent.budget),
        width=_BAR,
        complete_style="red" if used_up else "green",
        finished_style="red",
    )
    return Text(name, style="dim"), bar, Text(f"{show(spent.used)} of {show(spent.budget)}")
