"""``goalfsm explain-error``: what a failure is taken for, what decided, and what follows."""

from __future__ import annotations

import sys
from datetime import tzinfo
from math import ceil
from typing import TYPE_CHECKING, Final

import click

from goalfsm.cli import options, policy_settings
from goalfsm.cli.output import now_ms, print_json, say
from goalfsm.daemon.host.zones import local_name, zone
from goalfsm.text import duration, line
from goalfsm.views.explain import moment
from recovery.failures import Kind, classifier

if TYPE_CHECKING:
    from recovery import Failure, Rule, Source

_MOST: Final = 16 * 1024 * 1024
"""How many bytes of a text from standard input are looked at."""
_FOLLOWS: Final[dict[Kind, str]] = {
    "overflow": "the context is compacted once; another one pauses the goal",
    "transient": "the turn is tried again, with growing waits",
    "rate_limited": "the turn is tried again, with growing waits",
    "quota": "the goal is paused until the quota is there again, where that is known",
    "auth": "the goal is paused: somebody has to look",
    "invalid_request": "the goal is paused: somebody has to look",
    "content_refused": "the goal is paused: somebody has to look",
    "unknown": "the goal is paused: somebody has to look",
}


@click.command("explain-error")
@click.argument("text")
@click.option(
    "--source",
    type=click.Choice(("provider", "tool", "unknown")),
    default="unknown",
    help="Who said it, where that is known; a provider's every text is believed.",
)
@click.option("--status", type=click.IntRange(100, 599), help="The HTTP status that came with it.")
@click.option("--code", help="The provider's error code or type that came with it.")
@click.option(
    "--rules",
    type=policy_settings.failure_rules,
    metavar="FILE",
    help="Rules of your own (TOML), asked first.",
)
@options.JSON
def explain_error_command(
    text: str,
    source: Source,
    status: int | None,
    code: str | None,
    rules: tuple[Rule, ...] | None,
    as_json: bool,
) -> None:
    """Say what kind of failure TEXT is, and which rule says so; - reads it from standard input."""
    if text == "-":
        text = sys.stdin.buffer.read(_MOST).decode("utf-8", "replace")
    failure = classifier(rules or ()).classify(
        text, source=source, status=status, code=code, now=now_ms() / 1000, zones=_zones
    )
    if as_json:
        print_json(failure)
        return
    for word, said in _told(failure):
        say(f"{word:<11} {line(said)}")


def _zones(name: str | None) -> tzinfo | None:
    """Return a zone by its name, or the local one."""
    return zone(name or local_name(now_ms() / 1000))


def _told(failure: Failure) -> list[tuple[str, str]]:
    """Return what is known of a failure, in words."""
    why = failure.why
    reset, after = failure.resets_at, failure.retry_after
    pauses = failure.kind == "quota"  # until a moment; what else is waited for has a length
    told = [
        ("kind", failure.kind),
        ("said by", "" if failure.source == "unknown" else f"a {failure.source}"),
        ("decided by", f"{why.row}: {why.reason}"),
        ("found", why.words),
        ("signature", failure.signature),
        ("wait", "" if after is None or pauses else duration(ceil(after))),
        ("resets at", moment(int(reset * 1000)) if reset is not None and pauses else ""),
        ("follows", _FOLLOWS[failure.kind]),
    ]
    return [(word, said) for word, said in told if said]
