"""The goals that come after a thread's goal: looked at, put in order, taken out, taken up."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final

from rich.text import Text
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import DataTable, Label, Static

from goalfsm.daemon.remote.narrating import limits_in_words
from goalfsm.session import events
from goalfsm.text import line
from goalfsm.ui import asking
from goalfsm.ui.forms import Choice
from goalfsm.views.actions import actions
from goalfsm.views.activity import TAKES_NEXT

if TYPE_CHECKING:
    from collections.abc import Callable

    from textual.app import ComposeResult
    from textual.binding import BindingType

    from goalfsm.session.events import Event
    from goalfsm.views.parts import OpenQueued
    from goalfsm.views.status import Status

_YES: Final = "yes"
_KEYS: Final = (
    ("n", "queue a goal", "add THREAD OBJECTIVE"),
    ("d", "take it out", "drop THREAD {id}"),
    ("[", "earlier", "move THREAD {id} {before}"),
    ("]", "later", "move THREAD {id} {after}"),
    ("t", "take the first one up", "next THREAD"),
)
"""Keys, what they do, and the command of ``goalfsm queue`` that does the same."""


class QueueScreen(ModalScreen[None]):
    """A thread's queue; what is asked is sent by whoever shows it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        ("n", "add", "Queue a goal"),
        ("d", "drop", "Take out"),
        ("left_square_bracket", "move(-1)", "Earlier"),
        ("right_square_bracket", "move(1)", "Later"),
        ("t", "next", "Take up"),
        ("escape,g,q", "dismiss(None)", "Close"),
    ]

    def __init__(
        self,
        status: Status,
        *,
        speak: Callable[[str], str],
        send: Callable[[Event], None],
        add: Callable[[], None],
    ) -> None:
        """Show the queue of ``status``.

        ``speak`` puts the thread's name into a command line, ``send`` has an event decided, ``add``
        asks the person for another goal.
        """
        super().__init__()
        self._status = status
        self._speak, self._send, self._add = speak, send, add
        self._drawn: tuple[OpenQueued, ...] = ()

    def compose(self) -> ComposeResult:
        """Lay out the list, what becomes of it, and the keys."""
        with Vertical(classes="window page"):
            yield Label("Queue", classes="title")
            yield DataTable(id="queue", cursor_type="row")
            yield Static("", id="advancing")
            yield Static("", id="queue-keys")

    def on_mount(self) -> None:
        """Name the columns, and fill them."""
        table = self.query_one(DataTable)
        table.add_columns("", "id", "with", "objective")
        table.focus()
        self._fill(0)

    def on_data_table_row_highlighted(self) -> None:
        """Show the command lines for the goal that the cursor is on."""
        self._tell()

    def show(self, status: Status) -> None:
        """Show the queue as it is by now; the cursor stays with its goal."""
        if not self.query("#queue-keys"):
            return
        here = self._chosen()
        self._status = status
        if status.queue != self._drawn:
            ids = [one.queue_id for one in status.queue]
            row = self.query_one(DataTable).cursor_row
            self._fill(
                row if here is None or here.queue_id not in ids else ids.index(here.queue_id)
            )
        self._tell()

    def _fill(self, row: int) -> None:
        table = self.query_one(DataTable)
        table.clear()
        self._drawn = self._status.queue
        for place, one in enumerate(self._drawn, 1):
            table.add_row(f"{place}.", line(one.queue_id), _terms(one), line(one.objective))
        if self._drawn:
            table.move_cursor(row=min(row, len(self._drawn) - 1))
        self._tell()

    def _tell(self) -> None:
        """Say how the thread goes on, and which key does what now, with its command line."""
        status, chosen = self._status, self._chosen()
        if not self._drawn:
            words = "Nothing is queued."
        elif status.advances:
            words = "The thread goes on to the next one by itself when a goal is complete."
        else:
            words = f"Goes on only when asked to: {self._speak(TAKES_NEXT)}"
        self.query_one("#advancing", Static).update(Text(words, style="italic"))
        place = 0 if chosen is None else self._drawn.index(chosen) + 1
        told = Text(no_wrap=True, overflow="ellipsis")
        for key, does, command in _KEYS:
            if not self._can(key, place):
                continue
            filled = command.format(
                id="" if chosen is None else chosen.queue_id, before=place - 1, after=place + 1
            )
            told.append(f" {key} ", style="reverse").append(f" {does:<22}")
            told.append(f"{self._speak(f'goalfsm queue {filled}')}\n", style="dim")
        told.append(" esc ", style="reverse").append(" back")
        self.query_one("#queue-keys", Static).update(told)

    def _can(self, key: str, place: int) -> bool:
        match key:
            case "d":
                return place > 0
            case "[":
                return place > 1
            case "]":
                return 0 < place < len(self._drawn)
            case "t":
                return any(action.name == "next" for action in actions(self._status))
            case _:
                return True

    def _chosen(self) -> OpenQueued | None:
        """Return the queued goal that the cursor is on; None where there is none."""
        row = self.query_one(DataTable).cursor_row
        return self._drawn[row] if 0 <= row < len(self._drawn) else None

    # What keys do.

    def action_add(self) -> None:
        """Ask for a goal that comes after the others."""
        self._add()

    def action_move(self, by: int) -> None:
        """Have the chosen goal come earlier or later."""
        chosen = self._chosen()
        if chosen is None:
            return
        place = self._drawn.index(chosen) + 1 + by
        if 1 <= place <= len(self._drawn):
            self._send(events.QueueMoved(queue_id=chosen.queue_id, place=place))

    def action_drop(self) -> None:
        """Take the chosen goal out, when that is meant."""
        chosen = self._chosen()
        if chosen is None:
            return

        def answered(meant: str | None) -> None:
            if meant == _YES:
                self._send(events.QueueDropped(queue_id=chosen.queue_id))

        command = self._speak(f"goalfsm queue drop THREAD {chosen.queue_id}")
        choices = (("no", "no, leave it", ""), (_YES, "yes, take it out", command))
        question = f"Take {chosen.queue_id} out of the queue?"
        self.app.push_screen(Choice(question, choices), answered)

    def action_next(self) -> None:
        """Take the first one up, where no goal is unfinished."""
        if self._can("t", 1):
            self._send(asking.event("next", self._status, {}))
        else:
            unfinished = "The goal before it is unfinished: it is completed or cleared first."
            words = unfinished if self._status.queue else "Nothing is queued."
            self.notify(words, severity="warning")


def _terms(queued: OpenQueued) -> Text:
    """Return in words what a queued goal is bound to."""
    parts = [limits_in_words(queued.limits).strip(" []")]
    for count, word, words in (
        (queued.criteria, "criterion", "criteria"),
        (queued.verifiers, "check", "checks"),
    ):
        parts += [f"{count} {words if count > 1 else word}"] if count else []
    return Text(", ".join(part for part in parts if part), style="dim")
