"""Serve the goal's tools to an agent over the Model Context Protocol."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from goalfsm.cli import exits, options, places
from goalfsm.cli.output import say
from goalfsm.errors import GoalError
from goalfsm.mcp.config import FORMS

if TYPE_CHECKING:
    from goalfsm.cli.places import Place

TOKEN = "GOALFSM_RUN_TOKEN"  # noqa: S105  the name of a variable

_FROM_A_NODE = "inside a turn the environment names the socket of its node"


@click.command("mcp")
@options.placed
@click.option(
    "--print-config",
    "agent",
    type=click.Choice([*FORMS]),
    help="Print what that agent's configuration needs, and serve nothing.",
)
def mcp_command(place: Place, agent: str | None) -> int:
    """Serve get_goal, create_goal, update_goal and wait over stdin and stdout.

    Inside a turn the environment names database, thread and run. Outside one there is no run to
    claim or wait for: the tools show the goal, and create one.
    """
    if agent is not None:
        say(FORMS[agent](_program(), ["mcp", *place.options()]))
        return exits.OK
    try:
        from goalfsm.mcp.server import serve  # noqa: PLC0415  it takes most of a second to import
    except ImportError as error:
        raise GoalError(
            f"the Model Context Protocol is not installed ({error.name} is missing)",
            code="extra_missing",
            hint="pip install 'goalfsm[mcp]'",
        ) from error
    serve(
        places.file(place.db, "the tools are of", _FROM_A_NODE),
        place.thread_id,
        os.environ.get(TOKEN) or None,
    )
    return exits.OK


def _program() -> str:
    """Return the absolute path of this command: an agent may have another PATH."""
    beside = Path(sys.executable).with_name("goalfsm")
    return str(beside) if beside.exists() else str(Path(sys.argv[0]).resolve())
