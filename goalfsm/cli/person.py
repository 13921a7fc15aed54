"""What a person may ask of a goal: each command builds one event and sends it."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any, cast

import click

from goalfsm.cli import arguments, describing, options, settings
from goalfsm.cli.arguments import NO_LIMIT, HintedError
from goalfsm.cli.asking import ask
from goalfsm.goal.model import Evidence, Limits
from goalfsm.session import events

if TYPE_CHECKING:
    from goalfsm.cli.options import Expected
    from goalfsm.cli.places import Place


_EXPECT_CLAIM = click.option(
    "--expect-claim", metavar="ID", help="Refuse when the open claim is another one by now."
)


@click.command("pause")
@options.placed_by_argument
@click.option("--now", is_flag=True, help="End the running turn at once.")
@options.expecting
def pause_command(place: Place, now: bool, expected: Expected) -> None:
    """Start no further turn; the running one may end by itself, or is ended by --now."""
    ask(place, events.PauseRequested(now=now, **expected))


@click.command("interrupt")
@options.placed_with_text("text", required=False, lone_thread=True)
@options.expecting
def interrupt_command(place: Place, text: str | None, expected: Expected) -> None:
    """End the running turn at once; the next one starts with TEXT, and the goal stays active."""
    said = "" if text is None else arguments.text(text, "text")
    message_id = uuid.uuid4().hex if said else ""
    ask(place, events.InterruptRequested(text=said, message_id=message_id, **expected))


@click.command("resume")
@options.placed_by_argument
@options.expecting
def resume_command(place: Place, expected: Expected) -> None:
    """Take a paused or blocked goal up again.

    Work goes on where a daemon or a run serves the thread, or with the next one.
    """
    ask(place, events.ResumeRequested(**expected))


@click.command("clear")
@options.placed_by_argument
@options.expecting
def clear_command(place: Place, expected: Expected) -> None:
    """Give the goal up; a running turn is ended."""
    ask(place, events.ClearRequested(**expected))


@click.command("edit")
@options.placed_with_text("objective", required=False)
@options.editing
@options.expecting
def edit_command(place: Place, text: str | None, expected: Expected, **given: Any) -> None:
    """Change the objective, its criteria, or what completion is checked by; the rest stays.

    A turn that has not read it cannot claim completion, and an open claim is set aside.
    """
    objective = None if text is None else arguments.objective(text)
    ask(place, events.EditRequested(objective=objective, **describing.edited(given), **expected))


@click.command("steer")
@options.placed_with_text("text", required=False)
@click.option("--drop", metavar="ID", help="Take a message back that no turn has got yet.")
@options.expecting
def steer_command(place: Place, text: str | None, drop: str | None, expected: Expected) -> None:
    """Tell the work something that it should take into account.

    It goes into the running turn where the worker can take it, else to the head of the next.
    """
    if (text is None) == (drop is None):
        raise HintedError("a message, or --drop and which one", "say what the work should know")
    if drop is not None or text is None:
        ask(place, events.SteeringDropped(message_id=drop or "", **expected))
        return
    ask(
        place,
        events.SteeringReceived(
            message_id=uuid.uuid4().hex,
            text=arguments.text(text, "text"),
            **expected,
        ),
    )


@click.command("wake")
@options.placed_by_argument
@click.option("--note", default="", help="What has happened; the next turn is told.")
@options.expecting
def wake_command(place: Place, note: str, expected: Expected) -> None:
    """Say that what the goal waits for has happened."""
    note = arguments.text(note, "note") if note else ""
    ask(
        place,
        events.WakeRequested(note=note, **expected),
    )


@click.command("accept")
@options.placed_by_argument
@_EXPECT_CLAIM
@options.expecting
def accept_command(place: Place, expect_claim: str | None, expected: Expected) -> None:
    """Accept the open completion claim."""
    ask(place, events.ClaimAccepted(expected_claim=expect_claim, **expected))


@click.command("reject")
@options.placed_by_argument
@_EXPECT_CLAIM
@click.option("--feedback", default="", help="What is missing; the next turn is told.")
@options.expecting
def reject_command(
    place: Place, feedback: str, expect_claim: str | None, expected: Expected
) -> None:
    """Reject the open completion claim; the goal stays active."""
    feedback = arguments.text(feedback, "feedback") if feedback else ""
    ask(
        place,
        events.ClaimRejected(feedback=feedback, expected_claim=expect_claim, **expected),
    )


@click.command("complete")
@options.placed_by_argument
@click.option("--evidence", multiple=True, metavar="TEXT", help="What shows it; repeatable.")
@options.expecting
def complete_command(
    place: Place,
    evidence: tuple[str, ...],
    expected: Expected,
) -> None:
    """Declare the goal complete, on your word: no verifier runs."""
    shown = tuple(Evidence(text=arguments.text(text, "evidence")) for text in evidence)
    ask(
        place,
        events.CompletionRequested(evidence=shown, **expected),
    )


@click.command("block")
@options.placed_by_argument
@click.option("--reason", default="", help="What stands in the way.")
@options.expecting
def block_command(place: Place, reason: str, expected: Expected) -> None:
    """Declare the goal blocked; resume takes it up again."""
    reason = arguments.text(reason, "reason") if reason else ""
    ask(
        place,
        events.BlockRequested(reason=reason, **expected),
    )


@click.command("budget")
@options.placed_by_argument
@click.option(
    "--tokens",
    type=arguments.or_none(arguments.count("token budget")),
    metavar="N|none",
    help="Token budget, like 20000 or 200k.",
)
@click.option(
    "--time",
    "seconds",
    type=arguments.or_none(arguments.seconds),
    metavar="DURATION|none",
    help="Budget of active time, like 90s, 5m or 1h30m.",
)
@click.option(
    "--cost", type=arguments.or_none(arguments.cost), metavar="AMOUNT|none", help="Like 2.50."
)
@click.option(
    "--max-continuations",
    "continuations",
    type=arguments.or_none(arguments.count("number of continuations", minimum=0)),
    metavar="N|none",
    help="Turns in all; 0 and none are unlimited.",
)
@options.expecting
def budget_command(
    place: Place,
    expected: Expected,
    **given: int | str | None,
) -> None:
    """Change budgets; those not named stay, and raising one reopens a limited goal.

    Without any option the budgets are shown, with what is used of them.
    """
    if all(value is None for value in given.values()):
        settings.show_budgets(place)
        return
    limits = {name: value for name, value in given.items() if isinstance(value, int)}
    unlimited = cast("Any", tuple(name for name, value in given.items() if value == NO_LIMIT))
    ask(
        place,
        events.BudgetChanged(
            limits=Limits(**limits),
            unlimited=unlimited,
            **expected,
        ),
    )


@click.command("policy")
@options.placed_by_argument
@click.option(
    "--set",
    "changes",
    type=arguments.setting,
    multiple=True,
    metavar="NAME=VALUE",
    help="Like blocked_after=5; repeatable. A wrong name lists all there are.",
)
@options.expecting
def policy_command(
    place: Place, changes: tuple[tuple[str, events.Setting], ...], expected: Expected
) -> None:
    """Change what a thread is run by: thresholds, retries, what happens at a start.

    Without --set the settings are shown.
    """
    if not changes:
        settings.show_policy(place)
        return
    ask(place, events.PolicyChanged(changes=dict(changes), **expected))
