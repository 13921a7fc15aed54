"""What turns answered: `goalfsm logs`."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Final

import click

from goalfsm.cli import asking, options
from goalfsm.cli.output import print_json, say
from goalfsm.errors import GoalError
from goalfsm.text import visible
from goalfsm.views.explain import moment

if TYPE_CHECKING:
    from collections.abc import Iterator

    from goalfsm.cli.places import Place
    from goalfsm.store.reading import Reading
    from goalfsm.store.rows import Transcript

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
        for each in _newest(store, place.thread_id, shown):
            show(each)
        if not shown:
            say("no turn has said anything yet", err=True)
        while follow:
            time.sleep(_POLL_S)
            for each in _newest(store, place.thread_id, shown):
                show(each)


def _newest(store: Reading, thread_id: str, shown: set[str]) -> Iterator[Transcript]:
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
