"""The two screens that stay: all goals, and one goal as it is worked on."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual import events
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.screen import Screen
from textual.widgets import DataTable, Input, RichLog, Static

from goalfsm.text import line
from goalfsm.ui import drawing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from textual.app import ComposeResult
    from textual.binding import BindingType

    from goalfsm.ui.source import Look
    from goalfsm.views.status import Status

_KEPT = 2_000
"""How many lines of what happened are kept."""
_PAGE = 40
"""How many threads are read before and behind those in sight, at least."""


class GoalsScreen(Screen[None]):
    """All threads of the database; Enter opens one."""

    BINDINGS: ClassVar[list[BindingType]] = [("escape", "unfind", "")]

    def __init__(self) -> None:
        """List no thread before `show` is called."""
        super().__init__()
        self._names: tuple[str, ...] = ()
        self._listed: list[str] = []
        self._statuses: dict[str, Status] = {}
        self._problems: tuple[str, ...] = ()

    def compose(self) -> ComposeResult:
        """Lay out the list, a line to find with, and the keys."""
        yield Static("goals", id="name")
        yield Input(placeholder="find", id="find", classes="hidden")
        yield DataTable(id="goals", cursor_type="row")
        yield Static("", id="none")
        yield Static(_keys("enter open · n new · / find · w why · r report · ? help · q quit"))

    def on_mount(self) -> None:
        """Name the columns."""
        self.query_one(DataTable).add_columns("", "thread", "used", "objective")
        self.query_one(DataTable).focus()

    @property
    def is_drawn(self) -> bool:
        """Return whether the list is there to be filled."""
        return bool(self.query("#none"))

    def knows(self, name: str | None) -> bool:
        """Tell whether it has been read how a thread stands."""
        return name is None or name in self._statuses

    def wanted(self, names: Sequence[str]) -> tuple[str, ...]:
        """Return of which threads it has to be read how they stand: those in sight.

        Where something is looked for, also those that nothing is known of yet: it may be in them.
        """
        table = self.query_one(DataTable)
        page = max(_PAGE, table.size.height)
        listed = self._listed if self._sought or self._names == tuple(names) else list(names)
        near: dict[str, None] = {}
        for row in (table.scroll_offset.y, table.cursor_row):
            near.update(dict.fromkeys(listed[max(0, row - page) : row + 2 * page]))
        if self._sought:
            near.update((name, None) for name in names if name not in self._statuses)
        return tuple(near)

    @property
    def _sought(self) -> str:
        return self.query_one("#find", Input).value.lower()

    def show(
        self, names: Sequence[str], statuses: Sequence[Status], problems: Sequence[str] = ()
    ) -> None:
        """Show all threads, how some of them stand, and what could not be read; the cursor stays.

        How the others stood when they were last read is kept.
        """
        there = set(names)
        kept = {name: status for name, status in self._statuses.items() if name in there}
        self._names, self._problems = tuple(names), tuple(problems)
        self._statuses = kept | {status.thread_id: status for status in statuses}
        self._fill(statuses)

    def _fill(self, changed: Sequence[Status] = ()) -> None:
        table, sought = self.query_one(DataTable), self._sought
        shown = [name for name in self._names if not sought or sought in self._words(name)]
        if shown == self._listed:
            for status in changed:
                if status.thread_id in table.rows:
                    self._update(table, status)
        else:
            here = self.chosen()
            table.clear()
            for name in shown:
                known = self._statuses.get(name)
                row = ("", line(name), "", "") if known is None else drawing.short_row(known)
                table.add_row(*row, key=name)
            self._listed = shown
            if here in self._statuses and here in shown:
                table.move_cursor(row=shown.index(here))
        none = "" if shown else "No thread here. Press n to give the first goal."
        text = Text(none, style="dim")
        for problem in self._problems:
            text.append(f"\n! {line(problem)}", style="red")
        self.query_one("#none", Static).update(text)

    def _update(self, table: DataTable[Text | str], status: Status) -> None:
        before = table.get_row(status.thread_id)
        for column, was, cell in zip(table.columns, before, drawing.short_row(status), strict=True):
            if was != cell:
                table.update_cell(status.thread_id, column, cell, update_width=True)

    def _words(self, name: str) -> str:
        status = self._statuses.get(name)
        return name.lower() if status is None else _words(status)

    def chosen(self) -> str | None:
        """Return the thread that the cursor is on; None where there is none."""
        table = self.query_one(DataTable)
        if not table.row_count:
            return None
        return table.coordinate_to_cell_key(table.cursor_coordinate).row_key.value

    def action_find(self) -> None:
        """Open the line to find with."""
        self.query_one("#find").remove_class("hidden").focus()

    def action_unfind(self) -> None:
        """Show all threads again."""
        find = self.query_one("#find", Input)
        find.value = ""
        find.add_class("hidden")
        self.query_one(DataTable).focus()

    def on_input_changed(self) -> None:
        """Show what fits what was typed."""
        self._fill()

    def on_input_submitted(self) -> None:
        """Go from the line to the list."""
        self.query_one(DataTable).focus()


def _words(status: Status) -> str:
    goal = "" if status.goal is None else status.goal.objective
    return f"{status.thread_id} {status.activity} {goal}".lower()


class GoalScreen(Screen[None]):
    """One goal: where it stands, its budgets, what is open, what happens."""

    VERTICAL_BREAKPOINTS = [(0, "-short"), (30, "-tall")]  # noqa: RUF012  as Textual declares it

    def __init__(self, thread_id: str) -> None:
        """Say nothing of the goal before `show` is called."""
        super().__init__()
        self.thread_id = thread_id
        self.look: Look | None = None
        self._now_ms = 0

    def compose(self) -> ComposeResult:
        """Lay out the status, the budgets beside what is open, and what happens below."""
        with Horizontal(id="top"):
            yield Static(Text(line(self.thread_id)), id="name")
            yield Static("", id="link")
        with VerticalScroll(id="body"):
            with VerticalScroll(id="what"):
                yield Static("", id="headline")
                yield Static("", id="objective")
            with Vertical(id="figures"):
                yield Static("", id="budgets")
            with VerticalScroll(id="open"):
                yield Static("", id="rows")
            yield RichLog(id="live", max_lines=_KEPT, wrap=True, min_width=20)
        yield Static("", id="hint")
        yield Static("", id="keys")
        keys = "enter menu · w why · r report · g queue · l goals · ! command · ? help · q quit"
        yield Static(_keys(keys), id="more")

    def on_mount(self) -> None:
        """Name the parts."""
        for name, words in (
            ("#what", "goal"), ("#figures", "budgets"), ("#open", "open"), ("#live", "live"),
        ):  # fmt: skip
            self.query_one(name).border_title = words
        self.query_one(RichLog).can_focus = False

    def on_resize(self, _: events.Resize) -> None:
        """Draw the bars as wide as there is room."""
        if self.look is not None:
            self.call_after_refresh(self._draw)

    @property
    def is_drawn(self) -> bool:
        """Return whether the parts are there to be filled."""
        return bool(self.query("#more"))

    def show(self, look: Look, now_ms: int, hint: str) -> None:
        """Show how the thread stands."""
        self.look, self._now_ms = look, now_ms
        self.query_one("#hint", Static).update(Text(hint, style="italic", overflow="fold"))
        self._draw()

    def _draw(self) -> None:
        look = self.look
        if look is None or look.status is None:
            self.query_one("#headline", Static).update(Text("○ no goal", style="bold"))
            self.query_one("#objective", Static).update(
                Text("Press n to give the thread one.", style="dim")
            )
            return
        status = look.status
        self.query_one("#link", Static).update(drawing.driven(look.link))
        self.query_one("#headline", Static).update(drawing.headline(status, self._now_ms))
        self.query_one("#objective", Static).update(drawing.objective(status))
        width = self.query_one("#figures").content_size.width
        self.query_one("#budgets", Static).update(drawing.budgets(status, width))
        self.query_one("#rows", Static).update(drawing.rows(status))
        self.query_one("#keys", Static).update(drawing.possible(status))

    def tell(self, row: str) -> None:
        """Add a line to what happens."""
        style = "dim" if row.startswith("  |") else "cyan" if row.startswith("→") else ""
        self.query_one(RichLog).write(Text(row, style=style))


def _keys(words: str) -> Text:
    return Text(words, style="dim", no_wrap=True, overflow="ellipsis")
