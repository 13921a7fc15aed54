"""Show what an engine tells about a thread: as plain lines, as JSON lines, or live."""

from __future__ import annotations

import importlib.util
import sys
import time
from typing import TYPE_CHECKING, Protocol, Self

import msgspec

from goalfsm.cli.output import say
from goalfsm.daemon.flow import notices
from goalfsm.daemon.remote.narrating import Narrator
from goalfsm.text import visible
from goalfsm.views.status import summary

if TYPE_CHECKING:
    from goalfsm.views.status import Status


class View(Protocol):
    """Where notices go."""

    def __enter__(self) -> Self:
        """Begin to show."""
        ...

    def __exit__(self, *exc: object) -> None:
        """Leave the terminal as it was."""
        ...

    def show(self, notice: notices.Notice) -> None:
        """Show one notice."""
        ...

    def say(self, text: str) -> None:
        """Show a line that is no notice."""
        ...

    def close(self, status: Status, hint: str) -> None:
        """Show where the goal was left."""
        ...


class JsonLines:
    """One JSON object a line, for programs."""

    def __enter__(self) -> Self:
        """Begin to show."""
        return self

    def __exit__(self, *exc: object) -> None:
        """Do nothing: every line is out already."""

    def show(self, notice: notices.Notice) -> None:
        """Write the notice as it is."""
        sys.stdout.write(msgspec.json.encode(notice).decode() + "\n")
        sys.stdout.flush()

    def say(self, text: str) -> None:
        """Write to stderr: stdout holds notices only."""
        say(f"goalfsm: {text}", err=True)

    def close(self, status: Status, hint: str) -> None:
        """Do nothing: the last notice says it."""


class PlainLines:
    """Lines with the time of day, for pipes and files."""

    def __init__(self) -> None:
        """Start with a fresh narrator."""
        self._narrator = Narrator()
        self._open = False
        """Whether the worker's last line has no end yet."""

    def __enter__(self) -> Self:
        """Begin to show."""
        return self

    def __exit__(self, *exc: object) -> None:
        """End the last line."""
        self._end_line()

    def show(self, notice: notices.Notice) -> None:
        """Write what there is to say."""
        if isinstance(notice, notices.Output):
            self._output(visible(notice.text))
            return
        for row in self._narrator.lines(notice):
            self.say(row)

    def say(self, text: str) -> None:
        """Write a line."""
        self._end_line()
        say(f"{time.strftime('%H:%M:%S')}  {text}")

    def _output(self, text: str) -> None:
        """Write a worker's text as it comes; its lines may come in pieces."""
        for piece in text.splitlines(keepends=True):
            if not self._open:
                say(f"{time.strftime('%H:%M:%S')}    | ", nl=False)
            self._open = not piece.endswith("\n")
            say(piece, nl=False)
        sys.stdout.flush()

    def _end_line(self) -> None:
        if self._open:
            say("")
            self._open = False

    def close(self, status: Status, hint: str) -> None:
        """Write where the goal was left."""
        self.say(summary(status))
        if hint:
            self.say(f"Hint: {hint}")


def view(*, as_json: bool) -> View:
    """Return how to show things here: JSON when asked, live on a terminal, else plain lines.

    The live view draws with rich, which the extra `ui` brings: without it there are plain lines.
    """
    if as_json:
        return JsonLines()
    if sys.stdout.isatty() and importlib.util.find_spec("rich"):
        from goalfsm.cli.live import LiveView  # noqa: PLC0415  only a terminal needs it

        return LiveView()
    return PlainLines()
