"""What happened, and what turns answered: `goalfsm log` and `goalfsm logs`."""

from __future__ import annotations

import itertools
import sys
import time
from typing import TYPE_CHECKING, Final

import click

from goalfsm.cli import asking, options
from goalfsm.cli.arguments import count
from goalfsm.cli.output import json_text, print_json, say
from goalfsm.daemon.remote.narrating import is_quiet, told, why
from goalfsm.daemon.remote.reading import newest
from goalfsm.errors import GoalError
from goalfsm.session import codec
from goalfsm.text import visible
from goalfsm.views.explain import moment

if TYPE_CHECKING:
    from collections.abc import Iterator

    from goalfsm.cli.places import Place
    from goalfsm.store.reading import Reading
    from goalfsm.store.rows import JournalRow, Transcript


@click.command("log")
@options.placed_by_argument
@click.option("-n", "--limit", type=count("number of events"), default="50", show_default=True,
              metavar="N", help="The newest N events.")  # fmt: skip
@click.option("--all", "everything", is_flag=True, help="Every event, bookkeeping included.")
@options.JSON
def log_command(place: Place, limit: int, everything: bool, as_json: bool) -> None:
    """Show what happened, event by event, and what was decided.

    With --json every event is shown, one object a line.
    """
    from goalfsm.daemon.flow.notices import notice_of  # noqa: PLC0415  only for programs

    with asking.reading(place) as store:
        if not store.journal.read(place.thread_id, limit=1):
            raise asking.unknown_thread(place)
        # A line is kept of each row, not the row: one may carry megabytes.
        rows = _newest(store, place.thread_id, limit, quiet_too=everything or as_json)
        lines = [json_text(notice_of(row)) if as_json else row_text(row) for row in rows]
    for line in reversed(lines):
        say(line)


def _newest(store: Reading, thread_id: str, limit: int, *, quiet_too: bool) -> Iterator[JournalRow]:
    """Yield the newest ``limit`` rows, newest first."""
    rows = newest(store, thread_id)
    told_of = (row for row in rows if quiet_too or not is_quiet(codec.decode_event(row.event)))
    return itertools.islice(told_of, limit)


def row_text(row: JournalRow) -> str:
    """Return a journal row as a line; a decision is told where the event made one.

    On a server the node that decided is named; what a command decided has none.
    """
    event = codec.decode_event(row.event)
    words = f"{type(event).__name__:<20} {told(event)}"
    where = f"{row.node}  " if row.node else ""
    text = f"{row.revision:>5}  {moment(row.at_ms)}  {where}{words}"
    if row.decision is None:
        return text
    decision = codec.decode_decision(row.decision)
    return f"{text} → {why(decision)}" if decision.at_ms == row.at_ms else text


_SHOWN: Final = 10
_POLL_S: Final = 0.5


@click.command("logs")
@options.placed_by_argument
@click.option("-f", "--follow", is_flag=True, help="Go on with what later turns say; Ctrl-C ends.")
@click.option("--turn", type=click.IntRange(min=1), metavar="N", help="That turn alone.")
@options.JSON
def logs_command(place: Place, follow: bool, turn: int | None, as_json: bool) -> None:
    """Show what the newest turns answered, and the end of their standard error.

    The ends of the newest 100 turns of a thread are kept, 8 MiB at most. With --json each turn is
    one object on a line.
    """
    show = _show_json if as_json else _show
    with asking.reading(place) as store:
        asking.require_thread(store, place)
        if turn is not None:
            found = store.transcripts.read(place.thread_id, before_turn=turn + 1, limit=1)
            if not found or found[0].turn != turn:
                raise GoalError(
                    f"nothing is kept of turn {turn}",
                    code="no_transcript",
                    hint="goalfsm logs THREAD shows the newest turns",
                )
            show(found[0])
            return
        shown: set[str] = set()
        for each in _newest_answers(store, place.thread_id, shown):
            show(each)
        if not shown:
            say("no turn has said anything yet", err=True)
        while follow:
            time.sleep(_POLL_S)
            for each in _newest_answers(store, place.thread_id, shown):
                show(each)


def _newest_answers(store: Reading, thread_id: str, shown: set[str]) -> Iterator[Transcript]:
    """Yield what is not in ``shown``, oldest first, and add it."""
    for each in reversed(store.transcripts.read(thread_id, limit=_SHOWN)):
        if each.run_id not in shown:
            shown.add(each.run_id)
            yield each


def _show_json(said: Transcript) -> None:
    """Write a turn as one object; of a text that was too long its end, and how long it was."""
    texts = {name: getattr(said, name).decode("utf-8", "replace") for name in ("answer", "stderr")}
    facts = {
        name: getattr(said, name)
        for name in ("thread_id", "run_id", "turn", "at_ms", "answer_bytes", "stderr_bytes")
    }
    print_json(facts | texts)
    sys.stdout.flush()


def _show(said: Transcript) -> None:
    say(f"== turn {said.turn}, {moment(said.at_ms)}")
    for text, total, name in (
        (said.answer, said.answer_bytes, ""),
        (said.stderr, said.stderr_bytes, "-- standard error"),
    ):
        if not text:
            continue
        if name:
            say(name)
        if total > len(text):
            say(f"... (the last {len(text):,} of {total:,} bytes)")
        say(visible(text.decode("utf-8", "replace")).rstrip("\n"))
