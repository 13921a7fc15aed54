"""Commands that sum up: why a thread last went on or stopped, and what its goal came to."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Final

import click

from goalfsm.cli import arguments, asking, exits, options
from goalfsm.cli.output import json_text, now_ms, print_json, say
from goalfsm.cli.places import Place, speak
from goalfsm.daemon.host.records import written
from goalfsm.daemon.remote.narrating import is_quiet, told, why
from goalfsm.daemon.remote.reading import events_of, explained
from goalfsm.errors import GoalError
from goalfsm.session.continuation import money
from goalfsm.session.events import (
    Event,
    RunDispatched,
    RunFinished,
    SessionSaved,
    SteeringAcknowledged,
    ToolFinished,
    UsageReported,
)
from goalfsm.text import line, short, visible
from goalfsm.views.explain import moment
from goalfsm.views.prompts import contents, render_turn
from goalfsm.views.report import Facts, code, gather, markdown, pull_request, title
from goalfsm.views.report import as_json as json_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from goalfsm.session.state import Decision


_COURSE: Final = (RunDispatched, UsageReported, SessionSaved, SteeringAcknowledged, ToolFinished)
"""What every turn tells: it is counted, not listed."""
_LINES: Final = 200
"""Most lines of a report's last hours."""


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
        explanation = explained(store, session, place.thread_id)
    if as_json:
        print_json(explanation)
        return
    for row in explanation.words:
        say(speak(row, place))


@click.command("context")
@options.placed_by_argument
@options.JSON
def context_command(place: Place, as_json: bool) -> None:
    """Print the prompt of the next turn, or of the one that runs: its size, what it carries, why.

    A worker with a session of its own knows more than that: what it kept of earlier turns.
    """
    with asking.reading(place) as store:
        session = asking.require_thread(store, place)
    if session.goal is None:
        raise asking.no_goal(place)
    at = now_ms()
    prompt = render_turn(session, at)
    size = len(prompt.encode())
    turn, runs = (session.next_turn, False) if session.run is None else (session.run.turn, True)
    parts = [(part.name, part.why, len(part.text.encode())) for part in contents(session, at)]
    if as_json:
        named = [{"name": name, "why": why, "bytes": most} for name, why, most in parts]
        print_json(
            {
                "thread_id": place.thread_id,
                "turn": turn,
                "running": runs,
                "bytes": size,
                "parts": named,
                "prompt": prompt,
            }
        )
        return
    say(f"turn {turn}{', which runs' if runs else ''}: {size:,} bytes")
    for name, reason, most in parts:
        say(f"  {name:<11} {most:>7,} bytes  {short(reason)}")
    say("")
    say(visible(prompt).rstrip("\n"))


@click.command("report")
@options.placed_by_argument
@click.option(
    "--since",
    type=arguments.moment_before,
    metavar="WHEN",
    help="Add what happened since: a duration like 8h, or a time like 2026-03-01T22:00.",
)
@click.option("--pr", is_flag=True, help="As the text of a pull request.")
@options.JSON
def report_command(place: Place, since: int | None, pr: bool, as_json: bool) -> None:
    """Print the goal's record as Markdown: criteria, evidence, verifiers, usage, final run.

    With --pr as the text of a pull request: what, why it is done, verification, what it took.
    """
    if pr and (as_json or since is not None):
        raise arguments.HintedError("--pr is a text of its own", "leave --json and --since out")
    with asking.reading(place) as store:
        session, found = asking.record_of(store, place)
        kept = written(str(getattr(store, "path", None) or ""), place.thread_id, session.goal)
        night = None
        if since is not None:
            night = _since(since, events_of(store, place.thread_id, since_ms=since))
    if kept:
        # Not in the record itself, which is the same wherever it is kept.
        say(f"goalfsm: the record that was written is {visible(kept)}", err=True)
    if as_json:
        say(json_of(found) if night is None else json_text({"record": found, **night}))
        return
    say((pull_request(found) if pr else markdown(found)).rstrip("\n"))
    if night is not None and since is not None:
        for row in _told_since(since, night):
            say(row)


def _since(since: int, rows: Iterator[tuple[int, Event, Decision | None]]) -> dict[str, Any]:
    """Return what happened from ``since`` (unix ms) on: counts, and the last that is worth a line.

    ``left_out`` is how much that was worth one came before.
    """
    notable: deque[dict[str, Any]] = deque(maxlen=_LINES)
    seen, stopped = 0, ""

    def passed() -> Iterator[Event]:
        nonlocal seen, stopped
        for at_ms, event, made in rows:
            what = [told(event)] if _is_notable(event) else []
            if made is not None:
                before, stopped = stopped, why(made) if made.decision == "stop" else ""
                # A turn that ended well may be the one after which nothing goes on.
                what += [stopped] if stopped not in {"", before} else []
            seen += len(what)
            notable.extend({"at_ms": at_ms, "what": words} for words in what)
            yield event

    facts = gather(passed())
    happened = list(notable)
    left_out = seen - len(happened)
    return {"since_ms": since, "facts": facts, "happened": happened, "left_out": left_out}


def _is_notable(event: Event) -> bool:
    """Tell whether an event is more than the course of a turn that went well."""
    if isinstance(event, RunFinished):
        return event.outcome != "finished"
    return not is_quiet(event) and not isinstance(event, _COURSE)


def _told_since(since: int, night: dict[str, Any]) -> Iterator[str]:
    facts: Facts = night["facts"]
    used = facts.usage
    yield ""
    yield f"## Since {moment(since)}"
    yield ""
    turns = f"{facts.runs} turns begun, {facts.finished} finished, {facts.interrupted} interrupted"
    yield f"- {turns}; {facts.refused_claims} claims refused"
    cost = f", cost {money(used.cost)}" if used.cost else ""
    yield f"- {used.input_tokens:,} input and {used.output_tokens:,} output tokens reported{cost}"
    if night["left_out"]:
        yield f"- {night['left_out']:,} more before what follows: goalfsm log shows all"
    yield from (f"- {moment(row['at_ms'])}: {code(row['what'])}" for row in night["happened"])


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
    import shutil  # noqa: PLC0415  only where one is opened
    import subprocess  # noqa: PLC0415  the same

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
