"""The goal's tools for a worker's program: what the model may ask for, from inside a turn."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

import click

from goalfsm.cli import arguments, asking, exits, options, places
from goalfsm.cli.output import print_json
from goalfsm.errors import GoalError, NoDatabase

if TYPE_CHECKING:
    from goalfsm.cli.places import Place
    from goalfsm.workers.protocol import WaitFor

TOKEN = "GOALFSM_RUN_TOKEN"  # noqa: S105  the name of a variable


class ToolGroup(click.Group):
    """A group whose help shows whole what each command is for, on as many lines as it takes."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands, each with the first paragraph of its help."""
        del ctx
        shown = [
            (name, one.get_short_help_str(limit=len(one.help or "")))
            for name, one in self.commands.items()
        ]
        with formatter.section("Commands"):
            formatter.write_dl(shown)


@click.group("tool", cls=ToolGroup)
def tool_command() -> None:
    """Call one of the goal's tools, as the model does from inside a turn.

    The environment of the turn says which goal. A call that is refused exits with 10 and
    says why; a turn that ends with that has not failed.
    """


@tool_command.command("get_goal")
@options.placed
@options.JSON
def get_goal(place: Place, as_json: bool) -> int:
    """Show the goal: objective, criteria, status, use against the budgets."""
    return _call(place, "get_goal", {}, as_json=as_json)


@tool_command.command("create_goal")
@options.placed
@click.option("--objective", required=True, metavar="TEXT", help="What is to be achieved.")
@click.option(
    "--token-budget",
    type=arguments.count("token budget"),
    metavar="N",
    help="Token budget, only where the person named one.",
)
@click.option(
    "--criterion",
    "criteria",
    multiple=True,
    metavar="TEXT",
    help="What must be shown before it is complete; repeatable.",
)
@options.JSON
def create_goal(
    place: Place,
    objective: str,
    token_budget: int | None,
    criteria: tuple[str, ...],
    as_json: bool,
) -> int:
    """Give this thread a goal; refused while it has an unfinished one.

    Only the first goal of a thread is the model's to give, unless a person allows more.
    """
    given = {"objective": objective, "token_budget": token_budget, "criteria": list(criteria)}
    return _call(place, "create_goal", given, as_json=as_json)


@tool_command.command("update_goal")
@options.placed
@click.option(
    "--status", required=True, type=click.Choice(["complete", "blocked"]), help="What is claimed."
)
@click.option(
    "--evidence",
    multiple=True,
    metavar="TEXT",
    help="With complete: what shows it now; repeatable.",
)
@click.option(
    "--criterion",
    "criteria",
    multiple=True,
    type=arguments.count("criterion"),
    metavar="N",
    help="Which criterion the evidence is for, from 1: one for each --evidence, or none.",
)
@click.option("--reason", metavar="TEXT", help="With blocked: the obstacle, who can remove it how.")
@click.option(
    "--read",
    type=arguments.count("word"),
    metavar="WORD",
    help="After a call was refused as unread: the number that it named.",
)
@options.JSON
def update_goal(
    place: Place,
    status: str,
    evidence: tuple[str, ...],
    criteria: tuple[int, ...],
    reason: str | None,
    read: int | None,
    as_json: bool,
) -> int:
    """Claim that the goal is complete, or blocked; nothing else can be set."""
    given: dict[str, Any] = {"status": status, "reason": reason, "read": read}
    given["evidence"] = _paired(evidence, criteria)
    return _call(place, "update_goal", given, as_json=as_json)


@tool_command.command("wait")
@options.placed
@click.option(
    "--for",
    "kind",
    required=True,
    type=click.Choice(["timer", "process", "person", "event"]),
    help="What has to happen: a time, the end of a process, an answer, goalfsm wake.",
)
@click.option(
    "--seconds",
    type=arguments.duration,
    metavar="DURATION",
    help="When the timer is due; for anything else, how long it is waited for at most.",
)
@click.option(
    "--pid",
    type=click.IntRange(min=1),
    metavar="N",
    help="The process; it goes on when the turn ends.",
)
@click.option("--note", default="", metavar="TEXT", help="What people see.")
@click.option(
    "--any", "first", is_flag=True, help="Its end is enough, whatever else is waited for."
)
def wait(
    place: Place, kind: WaitFor, seconds: float | None, pid: int | None, note: str, first: bool
) -> int:
    """Declare that nothing can be done before something happens; then end the turn.

    No turn starts and no token is spent before that. Several may be declared: then all have to be
    over, or the first of those that say --any.
    """
    given = {"for": kind, "seconds": seconds, "pid": pid, "note": note, "any": first or None}
    return _call(place, "wait", given, as_json=False)


def _paired(evidence: tuple[str, ...], criteria: tuple[int, ...]) -> list[dict[str, Any]]:
    """Return each text with its criterion; one text may show several criteria."""
    if len(evidence) == 1 and criteria:
        return [{"text": evidence[0], "criterion": number} for number in criteria]
    if criteria and len(criteria) != len(evidence):
        raise arguments.HintedError(
            f"{len(evidence)} --evidence but {len(criteria)} --criterion",
            "give one --criterion for each --evidence, or none at all",
        )
    numbers = criteria or (None,) * len(evidence)
    return [
        {"text": text, "criterion": number} for text, number in zip(evidence, numbers, strict=True)
    ]


def _call(place: Place, name: str, given: dict[str, Any], *, as_json: bool) -> int:
    """Call the tool and show what the model is told, on stderr when it was refused."""
    from goalfsm.daemon.remote.tool_client import call_tool  # noqa: PLC0415  --help needs no engine

    db = places.file(place.db, "the tools are of", "inside a turn its environment names the node")
    try:
        told = call_tool(db, place.thread_id, name, given, os.environ.get(TOKEN) or None)
    except NoDatabase as error:
        raise asking.no_database(db, error) from None
    except GoalError as error:
        raise asking.unknown_thread(place) if error.code == "unknown_thread" else error from None
    if as_json:
        print_json({"ok": told.ok, "text": told.text, "data": told.data})
    else:
        click.echo(told.text, file=sys.stdout if told.ok else sys.stderr)
    return exits.OK if told.ok else exits.REFUSED_CALL
