"""Commands that sum up: why a thread last went on or stopped, and what its goal came to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click

from goalfsm.cli import asking, options
from goalfsm.cli.places import speak
from goalfsm.cli.reading import now_ms, print_json
from goalfsm.daemon.remote.reading import decisions_of, driver_of, events_of
from goalfsm.errors import GoalError
from goalfsm.views.explain import explain
from goalfsm.views.report import as_json as json_of
from goalfsm.views.report import gather, markdown, record

if TYPE_CHECKING:
    from goalfsm.cli.places import Place


_EVENTS: Final = 20_000
"""How many events are read for decisions that differ: a thread may decide the same for weeks."""


@click.command("explain")
@options.placed_by_argument
@options.JSON
def explain_command(place: Place, as_json: bool) -> None:
    """Say why the thread last continued, waited or stopped: the chain of guards.

    The decisions before that follow, newest first, those of the newest 20,000 events, or fewer
    where these are very large; goalfsm log has all of them.
    """
    with asking.reading(place) as store:
        session = asking.require_thread(store, place)
        newest = store.journal.read(place.thread_id, limit=1, newest=True)
        decisions, seen = decisions_of(store, place.thread_id, _EVENTS)
        older = any(row.revision > seen for row in newest)
        driver, bound = driver_of(store), seen if older else None
        explanation = explain(session, decisions, of_newest=bound, driver=driver)
    if as_json:
        print_json(explanation)
        return
    for row in explanation.words:
        click.echo(speak(row, place))


@click.command("report")
@options.placed_by_argument
@options.JSON
def report_command(place: Place, as_json: bool) -> None:
    """Print the goal's record as Markdown: criteria, evidence, verifiers, usage, final run."""
    with asking.reading(place) as store:
        session = asking.require_thread(store, place)
        if session.goal is None:
            raise GoalError(
                "the thread has no goal to report on",
                code="no_goal",
                hint="goalfsm log shows what happened to it",
            )
        facts = gather(events_of(store, place.thread_id), session.goal)
    found = record(session, facts, now_ms(), thread_id=place.thread_id)
    click.echo(json_of(found) if as_json else markdown(found).rstrip("\n"))
