"""Questions to the person, each in a window over what it is about."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, NamedTuple

from rich.text import Text
from textual.actions import SkipAction
from textual.binding import Binding
from textual.containers import Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Input, Label, OptionList, Static
from textual.widgets.option_list import Option

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType
    from textual.app import ComposeResult
    from textual.binding import BindingType


class Field(NamedTuple):
    """One thing to fill in; ``hint`` stands in it while it is empty."""

    name: str
    words: str
    hint: str = ""
    value: str = ""


class Form(ModalScreen[dict[str, str] | None]):
    """A few fields: Enter in the last one sends, Escape gives up, None then."""

    BINDINGS: ClassVar[list[BindingType]] = [
        ("escape", "give_up", "Give up"),
        Binding("enter", "go_on", "Next", priority=True),
    ]

    def __init__(self, title: str, fields: Sequence[Field], *, command: str = "") -> None:
        """Ask for ``fields``; ``command`` is the command line that does the same."""
        super().__init__()
        self._title, self._fields, self._command = title, tuple(fields), command

    def compose(self) -> ComposeResult:
        """Lay the fields out under each other."""
        with Vertical(classes="window"):
            yield Label(self._title, classes="title")
            with VerticalScroll(classes="fields"):
                for field in self._fields:
                    yield Label(Text(field.words), classes="field")
                    yield Input(field.value, placeholder=field.hint, id=field.name)
            keys = "enter: next, at the end send · esc: give up"
            yield Static(Text(f"{keys}\n{self._command}".strip(), style="dim"))

    def on_mount(self) -> None:
        """Begin in the first field."""
        self.query(Input).first().focus()

    def action_go_on(self) -> None:
        """Go to the next field, at once: what is typed meanwhile belongs there."""
        inputs = list(self.query(Input))
        if self.focused is inputs[-1]:
            # The field itself knows when all that was typed has arrived.
            raise SkipAction
        at = inputs.index(self.focused) if isinstance(self.focused, Input) else -1
        self.set_focus(inputs[at + 1])

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Send the values of all fields."""
        event.stop()
        self.dismiss({str(each.id): each.value.strip() for each in self.query(Input)})

    def action_give_up(self) -> None:
        """Close without an answer."""
        self.dismiss(None)


class Choice(ModalScreen[str | None]):
    """One of several: a menu, or whether something is really meant; None when given up."""

    BINDINGS: ClassVar[list[BindingType]] = [("escape", "give_up", "Give up")]

    def __init__(self, title: str, choices: Sequence[tuple[str, str, str]]) -> None:
        """Offer ``choices``: an id, the words, and the command line that does the same."""
        super().__init__()
        self._title, self._choices = title, tuple(choices)

    def compose(self) -> ComposeResult:
        """Lay the choices out under each other."""
        with Vertical(classes="window"):
            yield Label(self._title, classes="title")
            yield OptionList(
                *(Option(_offer(words, command), name) for name, words, command in self._choices)
            )

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Answer with the chosen option."""
        self.dismiss(event.option.id)

    def action_give_up(self) -> None:
        """Close without an answer."""
        self.dismiss(None)


class Page(ModalScreen[None]):
    """Something to read; any of Escape, q or Enter closes it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        ("escape,q,enter,question_mark", "dismiss(None)", "Close"),
    ]

    def __init__(self, title: str, text: RenderableType) -> None:
        """Show ``text``."""
        super().__init__()
        self._title, self._text = title, text

    def compose(self) -> ComposeResult:
        """Lay the text out, with a bar where it is long."""
        with Vertical(classes="window page"):
            yield Label(self._title, classes="title")
            with VerticalScroll():
                yield Static(self._text)


def _offer(words: str, command: str) -> Text:
    text = Text(words)
    return text.append(f"\n  {command}", style="dim") if command else text
