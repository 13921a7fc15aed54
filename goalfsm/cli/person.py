"""What a person may ask of a goal: a table of commands, each of which sends one event."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

import click
from msgspec.structs import replace

from goalfsm.cli import arguments
from goalfsm.cli import options as shared
from goalfsm.cli.arguments import NO_LIMIT, HintedError
from goalfsm.cli.asking import ask
from goalfsm.goal.model import Evidence, Limits
from goalfsm.session import commands

if TYPE_CHECKING:
    from collections.abc import Callable

    from goalfsm.cli.places import Place


class Asked(NamedTuple):
    """One command: ``event`` makes what is sent, from the values of its options by their names.

    ``text`` is what `placed_with_text` is told where a text may follow the thread. A command that
    ``shows`` something does so where nothing is given to change, and sends nothing.
    """

    name: str
    event: Callable[..., commands.Command]
    help: str
    options: tuple[Any, ...] = ()
    text: dict[str, Any] | None = None
    shows: Callable[[Place], None] | None = None


def _shown(name: str) -> Callable[[Place], None]:
    """Return what shows settings; most commands show none, and do not wait for it to load."""

    def show(place: Place) -> None:
        from goalfsm.cli import policy_settings  # noqa: PLC0415  the same

        getattr(policy_settings, name)(place)

    return show


def _text(what: str, said: str) -> Any:
    """Return an option that is named ``what``: a text, empty where it is left out."""

    def stored(given: str) -> str:
        return arguments.text(given, what) if given else ""

    return click.option(f"--{what}", type=stored, default="", metavar="TEXT", help=said)


def _limit(flag: str, name: str, convert: Callable[[str], int], metavar: str, said: str) -> Any:
    """Return an option for the budget ``name``; the word ``none`` lifts it."""
    kind = arguments.or_none(convert)
    return click.option(flag, name, type=kind, metavar=f"{metavar}|none", help=said)


def _interrupted(text: str | None) -> commands.Command:
    said = "" if text is None else arguments.text(text, "message")
    return commands.InterruptRequested(text=said, message_id=uuid.uuid4().hex if said else "")


def _edited(text: str | None, **given: Any) -> commands.Command:
    from goalfsm.cli import describing  # noqa: PLC0415  it knows programs and templates too

    objective = None if text is None else arguments.objective(text)
    return commands.EditRequested(objective=objective, **describing.edited(given))


def _steered(text: str | None, drop: str | None) -> commands.Command:
    if text is not None and drop is None:
        said = arguments.text(text, "message")
        return commands.SteeringReceived(message_id=uuid.uuid4().hex, text=said)
    if text is None and drop is not None:
        return commands.SteeringDropped(message_id=drop)
    raise HintedError("a message, or --drop and which one", "say what the work should know")


def _completed(evidence: tuple[str, ...]) -> commands.Command:
    shown = tuple(Evidence(text=arguments.text(text, "evidence")) for text in evidence)
    return commands.CompletionRequested(evidence=shown)


def _budgeted(**given: int | str | None) -> commands.Command:
    limits = {name: value for name, value in given.items() if isinstance(value, int)}
    unlimited = tuple(name for name, value in given.items() if value == NO_LIMIT)
    return commands.BudgetChanged(limits=Limits(**limits), unlimited=cast("Any", unlimited))


def _set(changes: tuple[tuple[str, commands.Setting], ...]) -> commands.Command:
    return commands.PolicyChanged(changes=dict(changes))


def _setting(text: str) -> tuple[str, commands.Setting]:
    from goalfsm.cli.policy_settings import setting  # noqa: PLC0415  only where one is given

    return setting(text)


_EXPECT_CLAIM: Final = click.option(
    "--expect-claim", "expected_claim", metavar="ID",
    help="Refuse when the open claim is another one by now.",
)  # fmt: skip

# fmt: off
COMMANDS: Final = (
    Asked("pause", commands.PauseRequested,
        "Start no further turn; the running one may end by itself, or is ended by --now.",
        (click.option("--now", is_flag=True, help="End the running turn at once."),)),
    Asked("interrupt", _interrupted,
        "End the running turn at once; the next one starts with TEXT, and the goal stays active.",
        text={"what": "text", "required": False, "lone_thread": True}),
    Asked("resume", commands.ResumeRequested,
        "Take a paused or blocked goal up again.\n\n"
        "Work goes on where a daemon or a run serves the thread, or with the next one."),
    Asked("clear", commands.ClearRequested, "Give the goal up; a running turn is ended."),
    Asked("edit", _edited,
        "Change the objective, its criteria, or what completion is checked by; the rest stays.\n\n"
        "A turn that has not read it cannot claim completion, and an open claim is set aside.",
        (shared.editing,), text={"what": "objective", "required": False}),
    Asked("steer", _steered,
        "Tell the work something that it should take into account.\n\n"
        "It goes into the running turn where the worker can take it, else to the head of the next.",
        (click.option("--drop", metavar="ID",
            help="Take a message back that no turn has got yet."),),
        text={"what": "text", "required": False}),
    Asked("wake", commands.WakeRequested, "Say that what the goal waits for has happened.",
        (_text("note", "What has happened; the next turn is told."),)),
    Asked("accept", commands.ClaimAccepted, "Accept the open completion claim.", (_EXPECT_CLAIM,)),
    Asked("reject", commands.ClaimRejected,
        "Reject the open completion claim; the goal stays active.",
        (_EXPECT_CLAIM, _text("feedback", "What is missing; the next turn is told."))),
    Asked("complete", _completed, "Declare the goal complete, on your word: no verifier runs.",
        (click.option("--evidence", multiple=True, metavar="TEXT",
            help="What shows it; repeatable."),)),
    Asked("block", commands.BlockRequested, "Declare the goal blocked; resume takes it up again.",
        (_text("reason", "What stands in the way."),)),
    Asked("budget", _budgeted,
        "Change budgets; those not named stay, and raising one reopens a limited goal.\n\n"
        "Without any option the budgets are shown, with what is used of them.",
        (_limit("--tokens", "tokens", arguments.count("token budget"), "N",
            "Token budget, like 20000 or 200k."),
         _limit("--time", "seconds", arguments.seconds, "DURATION",
            "Budget of active time, like 90s, 5m or 1h30m."),
         _limit("--cost", "cost", arguments.cost, "AMOUNT", "Like 2.50."),
         _limit("--max-continuations", "continuations",
            arguments.count("number of continuations", minimum=0), "N",
            "Turns in all; 0 and none are unlimited.")),
        shows=_shown("show_budgets")),
    Asked("policy", _set,
        "Change what a thread is run by: thresholds, retries, what happens at a start.\n\n"
        "Without --set the settings are shown.",
        (click.option("--set", "changes", type=_setting, multiple=True,
            metavar="NAME=VALUE",
            help="Like blocked_after=5; repeatable. A wrong name lists all there are."),),
        shows=_shown("show_policy")),
)
# fmt: on


def command(name: str) -> click.Command:
    """Return the command of that name."""
    asked = next(one for one in COMMANDS if one.name == name)

    def send(place: Place, expected: shared.Expected, **given: Any) -> None:
        if asked.shows is not None and all(value in (None, ()) for value in given.values()):
            asked.shows(place)
        else:
            ask(place, replace(asked.event(**given), **expected))

    function = shared.all_of(*asked.options)(shared.expecting(send))
    texts = asked.text
    placed = shared.placed_by_argument if texts is None else shared.placed_with_text(**texts)
    return click.command(asked.name, help=asked.help)(placed(function))
