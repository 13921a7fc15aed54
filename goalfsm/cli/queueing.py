"""The goals that come after a thread's goal: queue them, look at them, put them in order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from goalfsm.cli import arguments, asking, describing, exits, options, places
from goalfsm.cli.arguments import HintedError
from goalfsm.cli.output import say
from goalfsm.cli.places import speak
from goalfsm.cli.program_command import ProgramCommand, program_of
from goalfsm.session import events
from goalfsm.text import short

if TYPE_CHECKING:
    from goalfsm.cli.options import Expected
    from goalfsm.cli.places import Place


@click.group("queue")
def queue_command() -> None:
    """Goals that come after the thread's goal, in their order.

    The thread goes on to the next one only when the goal before it is complete, and only with
    goalfsm run --advance, or where its policy says so: goalfsm policy --set advance=true.
    """


@queue_command.command("add", cls=ProgramCommand)
@arguments.thread_and_text("objective")
@options.THREAD
@options.DB
@click.option("--first", is_flag=True, help="Before the goals that are queued already.")
@describing.objective_options
@click.pass_context
def add(
    ctx: click.Context,
    /,
    thread_and_text: tuple[str | None, str],
    thread_option: str | None,
    db: str | None,
    first: bool,
    **given: Any,
) -> None:
    """Queue a goal, described as for goalfsm run; the thread's own program works on it."""
    if program_of(ctx):
        raise HintedError(
            "a queued goal has no program of its own",
            "the thread's works on it; goalfsm set --thread NAME -- PROGRAM stores that one",
        )
    thread, text = thread_and_text
    place = places.find(db, options.one_thread(thread, thread_option))
    wanted = describing.objective(text, {**given, "replace": False})
    goal = {
        name: getattr(wanted, name)
        for name in ("objective", "limits", "criteria", "verifiers", "until", "policy")
    }
    describing.warn(wanted)
    places.remember(place.db)
    reply = asking.send(place, events.GoalQueued(**goal, first=first))
    say(asking.told(place, reply))
    for row in describing.sealed_lines(wanted):
        say(row)


@queue_command.command("list")
@options.placed_by_argument
@options.JSON
def list_queue(place: Place, as_json: bool) -> int:
    """Show what is queued, the next goal first, and whether the thread goes on by itself."""
    from goalfsm.cli.output import print_json  # noqa: PLC0415  it loads what tells of events
    from goalfsm.daemon.remote.narrating import limits_in_words  # noqa: PLC0415  the same
    from goalfsm.views.parts import open_queue  # noqa: PLC0415  the same

    with asking.reading(place) as store:
        session = asking.require_thread(store, place)
    queue = open_queue(session)
    if as_json:
        print_json(
            {"thread_id": place.thread_id, "advance": session.policy.advance, "queue": queue}
        )
        return exits.OK
    for number, one in enumerate(queue, 1):
        budgets = limits_in_words(one.limits)
        say(f"{number}. {one.queue_id}  {short(one.objective)}{budgets}")
    if not queue:
        say("nothing is queued")
        say(f"Hint: {speak('goalfsm queue add THREAD OBJECTIVE queues a goal', place)}", err=True)
    elif session.policy.advance:
        say("the thread goes on to the next one by itself when a goal is complete")
    else:
        say(
            "Hint: " + speak("goalfsm run --advance --thread THREAD goes on to the next one", place)
        )
    return exits.OK


@queue_command.command("move")
@click.argument("words", nargs=-1, metavar="[THREAD] ID PLACE")
@options.THREAD
@options.DB
@options.expecting
def move(
    words: tuple[str, ...], thread_option: str | None, db: str | None, expected: Expected
) -> None:
    """Give a queued goal another place, counted from 1."""
    place, (queue_id, number) = _named(words, 2, "ID and PLACE", thread_option, db)
    where = arguments.count("place")(number)
    asking.ask(place, events.QueueMoved(queue_id=queue_id, place=where, **expected))


@queue_command.command("drop")
@click.argument("words", nargs=-1, metavar="[THREAD] ID")
@options.THREAD
@options.DB
@options.expecting
def drop(
    words: tuple[str, ...], thread_option: str | None, db: str | None, expected: Expected
) -> None:
    """Take a goal out of the queue."""
    place, (queue_id,) = _named(words, 1, "the ID", thread_option, db)
    asking.ask(place, events.QueueDropped(queue_id=queue_id, **expected))


def _named(
    words: tuple[str, ...], count: int, what: str, thread_option: str | None, db: str | None
) -> tuple[Place, tuple[str, ...]]:
    """Return the place and the last ``count`` words; the thread may stand before them."""
    if not count <= len(words) <= count + 1:
        raise HintedError(
            f"expected: {what} of the queued goal",
            "goalfsm queue list shows what is queued",
        )
    thread = words[0] if len(words) > count else None
    return places.find(db, options.one_thread(thread, thread_option)), words[-count:]


@queue_command.command("next")
@options.placed_by_argument
@options.expecting
def next_goal(place: Place, expected: Expected) -> None:
    """Take the next queued goal up now; refused while the goal before it is unfinished."""
    asking.ask(place, events.NextGoalRequested(**expected))
