"""The command that tells which coding agents can do the work: agents."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from goalfsm.cli import options
from goalfsm.cli.output import print_json, say
from goalfsm.workers.agents.spec import AGENTS, Found, look

if TYPE_CHECKING:
    from collections.abc import Iterator

    from goalfsm.workers.agents.spec import Known


@click.command("agents")
@options.JSON
def agents_command(as_json: bool) -> None:
    """Show which coding agents are installed, in which versions, and what each can do.

    What is missing is named with the command that installs it.
    """
    found = [look(agent) for agent in AGENTS]
    if as_json:
        print_json([_record(each, AGENTS[each.agent]) for each in found])
        return
    for each in found:
        for row in _rows(each, AGENTS[each.agent]):
            say(row)


def _record(found: Found, known: Known) -> dict[str, object]:
    return {
        "agent": found.agent,
        "title": known.title,
        "path": found.path,
        "version": found.version,
        "tested": known.tested,
        "can": list(known.can),
        "problem": found.problem,
        "install": found.install,
    }


def _rows(found: Found, known: Known) -> Iterator[str]:
    state = found.problem or (f"{found.version} at {found.path}" if found.version else found.path)
    yield f"{found.agent:<8}{known.title}: {state}"
    yield f"        can: {', '.join(known.can)}"
    if found.problem:
        yield f"        Hint: {found.install}"
    elif found.warning:
        yield f"        Note: {found.warning}"
    else:
        program = " -- PROGRAM ARGS" if found.agent == "acp" else ""
        yield f'        goalfsm run "OBJECTIVE" --agent {found.agent}{program}'
