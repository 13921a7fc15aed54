"""A pull request out of a goal's record: its text, and a draft of it through gh."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING, Final

import click

from goalfsm.cli import asking, exits, options
from goalfsm.cli.output import say
from goalfsm.errors import GoalError
from goalfsm.text import line
from goalfsm.views.report import pull_request, title

if TYPE_CHECKING:
    from goalfsm.cli.places import Place

_TIMEOUT_S: Final = 120.0
_SHOWN: Final = 500


@click.command("pr")
@options.placed_by_argument
@click.option("--create", is_flag=True, help="Open it as a draft, through gh, from this directory.")
def pr_command(place: Place, create: bool) -> int:
    """Print the goal's record as the text of a pull request, or open a draft with it."""
    with asking.reading(place) as store:
        _, made = asking.record_of(store, place)
    text = pull_request(made)
    if not create:
        say(text.rstrip("\n"))
        return exits.OK
    say(_draft(title(made), text))
    return exits.OK


def _draft(name: str, text: str) -> str:
    """Open a draft by gh, and return what that says: the address. Raises GoalError."""
    program = shutil.which("gh")
    if program is None:
        raise GoalError(
            "there is no gh, which opens pull requests",
            code="gh_missing",
            hint="install GitHub's gh and log in (gh auth login); goalfsm pr prints the text",
        )
    # The title is one argument, whatever it begins with; the text is read from standard input.
    argv = [program, "pr", "create", "--draft", f"--title={name}", "--body-file=-"]
    try:
        done = subprocess.run(  # noqa: S603  the program that was asked for, without a shell
            argv, input=text, capture_output=True, text=True, check=False, timeout=_TIMEOUT_S
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise GoalError(
            f"gh did not answer: {error}", code="failed", hint="gh auth status shows whether it can"
        ) from error
    if done.returncode:
        why = line(done.stderr or done.stdout)[:_SHOWN]
        raise GoalError(
            f"gh refused with {done.returncode}: {why}",
            code="failed",
            hint="push the branch first (git push -u origin HEAD); gh auth status shows the login",
        )
    return done.stdout.strip()
