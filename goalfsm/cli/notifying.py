"""Who is told that a goal has ended or needs somebody: the user's own list."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click
import msgspec

from goalfsm import files
from goalfsm.cli import exits
from goalfsm.cli.arguments import HintedError
from goalfsm.cli.asking import require_person
from goalfsm.cli.output import say
from goalfsm.daemon.stages.notifications import Note, Notifier, Target
from goalfsm.errors import GoalError
from goalfsm.text import MALFORMED


class _Listed(msgspec.Struct, forbid_unknown_fields=True):
    targets: list[Target] = []


def targets() -> list[Target]:
    """Return the user's targets; raise GoalError where their file cannot be read."""
    path = _file()
    try:
        return msgspec.json.decode(files.read_bytes(path), type=_Listed).targets
    except FileNotFoundError:
        return []
    except (OSError, *MALFORMED) as error:
        raise GoalError(
            f"{path} cannot be read: {error}",
            code="notify_unreadable",
            hint="mend it, or remove it and add the targets again",
        ) from error


@click.group("notify")
def notify_command() -> None:
    """Be told when a goal is complete, blocked, limited or needs somebody."""


@notify_command.command("add")
@click.argument("kind", type=click.Choice(["desktop", "webhook", "apprise"]))
@click.argument("url", required=False, default="")
def add(kind: str, url: str) -> int:
    """Add this desktop, a webhook's URL, or that of a service that apprise knows."""
    if (kind == "desktop") == bool(url):
        wrong = "a desktop has no URL" if url else f"{kind} needs a URL"
        raise HintedError(wrong, "notify add desktop, or notify add webhook URL")
    require_person(None, "saying who is told")
    target = msgspec.convert({"kind": kind, "url": url}, Target)
    target.check()
    known = targets()
    if target not in known:
        _write([*known, target])
    say(f"told from the next run on: {target.shown}")
    return exits.OK


@notify_command.command("remove")
@click.argument("number", type=click.IntRange(min=1))
def remove(number: int) -> int:
    """Take away a target by its number in the list."""
    require_person(None, "saying who is told")
    known = targets()
    if number > len(known):
        raise HintedError(f"there is no target {number}", "goalfsm notify list shows them")
    _write([target for at, target in enumerate(known, 1) if at != number])
    say(f"no longer told: {known[number - 1].shown}")
    return exits.OK


@notify_command.command("list")
def list_targets() -> int:
    """Show the targets of notifications."""
    known = targets()
    for number, target in enumerate(known, 1):
        say(f"{number}  {target.shown}")
    if not known:
        say("nobody; goalfsm notify add desktop, or webhook URL")
    return exits.OK


@notify_command.command("test")
def test() -> int:
    """Send a notice to everybody in the list, and say where that failed."""
    known = targets()
    if not known:
        raise HintedError("nobody is told", "goalfsm notify add desktop, or webhook URL")
    note = Note(
        key="test",
        thread_id="test",
        goal_id="test",
        status="complete",
        activity="complete",
        reason="this is a test",
        hint="",
        objective="Show that notices arrive",
        db="",
    )
    failed = asyncio.run(Notifier(known).send(note))
    for why in failed:
        say(f"not sent: {why}", err=True)
    if not failed:
        say(f"sent to {', '.join(target.shown for target in known)}")
    return exits.FAILED if failed else exits.OK


def _write(known: list[Target]) -> None:
    # Readable by its owner alone: an address may hold a secret.
    files.write_bytes(_file(), msgspec.json.format(msgspec.json.encode(_Listed(targets=known))))


def _file() -> Path:
    from platformdirs import user_config_path  # noqa: PLC0415  the same

    return user_config_path("goalfsm") / "notify.json"
