"""Show what an engine tells about a thread: as plain lines, as JSON lines, or live."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Final, Protocol, Self

import click
import msgspec

from goalfsm import events
from goalfsm.cli.narrating import event_of, is_quiet, told, why
from goalfsm.daemon import notices
from goalfsm.escape import visible
from goalfsm.status import summary

if TYPE_CHECKING:
    from goalfsm.session.state import Decision
    from goalfsm.status import Status

_HELD: Final = 4_000
"""Most characters of an unfinished line of output that are held back for its end."""


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
        click.echo(f"goalfsm: {text}", err=True)

    def close(self, status: Status, hint: str) -> None:
        """Do nothing: the last notice says it."""


class Narrator:
    """Turns notices into lines; knows which turn it is and which decision was told last."""

    def __init__(self) -> None:
        """Start before the first turn."""
        self._turn = 0
        self._starting: events.RunDispatched | None = None
        self._decision: Decision | None = None
        self._held = ""

    def lines(self, notice: notices.Notice) -> list[str]:
        """Return what there is to say of a notice, often nothing."""
        match notice:
            case notices.Happened():
                return self._happened(notice)
            case notices.StatusChanged() | notices.Settled():
                return self._place(notice.status)
            case notices.Output():
                return self._output(notice.text)
            case notices.Problem():
                hint = f" ({notice.hint})" if notice.hint else ""
                return [f"{visible(notice.message)}{hint}"]
            case notices.Missed():
                return [f"({notice.count} notices came too fast to be shown)"]
            case notices.Ended():
                return [*self._rest(), *([visible(notice.message)] if notice.message else [])]

    def _place(self, status: Status) -> list[str]:
        """Take note of the turn; only the status knows which one a run is an attempt at."""
        before = self._turn
        if status.goal is not None:
            self._turn = status.goal.continuations if status.run is None else status.run.turn
        started, self._starting = self._starting, None
        if started is None:
            return []
        again = " again" if self._turn == before else ""
        return [told(started, self._turn) + again]

    def _happened(self, notice: notices.Happened) -> list[str]:
        event = event_of(notice.event)
        lines: list[str] = []
        if isinstance(event, events.RunFinished | events.RunInterrupted):
            lines += self._rest()
        if isinstance(event, events.ObjectiveGiven) and notice.reply and notice.reply.ok:
            self._turn = 0
        if isinstance(event, events.RunDispatched):
            self._starting = event
        elif not is_quiet(event):
            refused = notice.reply is not None and not notice.reply.ok
            suffix = f" (refused: {notice.reply.message})" if notice.reply and refused else ""
            lines.append(told(event, self._turn) + suffix)
        if notice.decision is not None and notice.decision.at_ms == notice.at_ms:
            lines += self._decided(notice.decision)
        return lines

    def _decided(self, decision: Decision) -> list[str]:
        before, self._decision = self._decision, decision
        same = before is not None and (before.guard, before.reason, before.until_ms) == (
            decision.guard,
            decision.reason,
            decision.until_ms,
        )
        quiet = decision.guard in {"queued", "host_busy"} or (
            same and decision.decision != "continue"
        )
        return [] if quiet else [f"→ {why(decision)}"]

    def _output(self, text: str) -> list[str]:
        """Return the whole lines of a worker's text; the rest is held back."""
        *whole, self._held = (self._held + visible(text)).split("\n")
        if len(self._held) > _HELD:
            whole.append(self._held)
            self._held = ""
        return [f"  | {row}" for row in whole]

    def _rest(self) -> list[str]:
        held, self._held = self._held, ""
        return [f"  | {held}"] if held else []


class PlainLines:
    """Lines with the time of day, for pipes and files."""

    def __init__(self) -> None:
        """Start with a fresh narrator."""
        self._narrator = Narrator()

    def __enter__(self) -> Self:
        """Begin to show."""
        return self

    def __exit__(self, *exc: object) -> None:
        """Do nothing: every line is out already."""

    def show(self, notice: notices.Notice) -> None:
        """Write what there is to say."""
        for row in self._narrator.lines(notice):
            self.say(row)

    def say(self, text: str) -> None:
        """Write a line."""
        click.echo(f"{time.strftime('%H:%M:%S')}  {text}")

    def close(self, status: Status, hint: str) -> None:
        """Write where the goal was left."""
        self.say(summary(status))
        if hint:
            self.say(f"Hint: {hint}")


def view(*, as_json: bool) -> View:
    """Return how to show things here: JSON when asked, live on a terminal, else plain lines."""
    if as_json:
        return JsonLines()
    if sys.stdout.isatty():
        from goalfsm.cli.live import LiveView  # noqa: PLC0415  only a terminal needs it

        return LiveView()
    return PlainLines()
