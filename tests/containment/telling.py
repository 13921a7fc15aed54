"""The two days of the long goal as a transcript, told by its journal."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import Final, NamedTuple

from goalfsm.daemon.host.zones import zone
from goalfsm.goal.model import Usage
from goalfsm.session import codec
from goalfsm.session import events as e
from goalfsm.session.continuation import money
from goalfsm.session.state import Reply, Session
from goalfsm.session.thread import GoalThread
from goalfsm.text import duration
from goalfsm.views.activity import activity
from goalfsm.views.explain import explain
from goalfsm.views.report import markdown, record
from goalfsm.workers.protocol import Text, UsageReported
from tests.containment.long_goal import CHECK, THREAD, TURNS, Story

DOC: Final = Path(__file__).parents[2] / "docs" / "long-goal.md"
_WIDTH: Final = 112
_INDENT: Final = " " * 17
_INTRO: Final = f"""\
# A goal through two days

One goal, {TURNS} turns, and everything that comes between: a person who has a say, a build that is
waited for, a provider that is down, a context that overflows, a quota that is used up, a machine
that dies, a budget that ends and is raised, a claim that leaves something out, and one that does
not hold. The engine ran all of it on frozen time, with a scripted worker; this page is what its
journal tells, and a test keeps it so (`python -m tests.containment --write` writes it anew).

The times are UTC. A turn is told when it begins, with its tokens and how long it took.
"""


class Line(NamedTuple):
    """One thing that happened: when (unix ms), who did it, in words."""

    at_ms: int
    who: str
    words: str


def page(story: Story) -> str:
    """Return the page of the docs."""
    lines = list(chronicle(story))
    days = groupby(lines, key=lambda line: moment(line.at_ms).strftime("%A, %-d %B %Y"))
    told = "\n\n".join(f"## {day}\n\n```text\n{shown(of_day)}\n```" for day, of_day in days)
    parts = (_INTRO.rstrip(), told, _prompts(story), _accounts(story), _why(story), _record(story))
    return "\n\n".join(parts)


def moment(at_ms: int) -> datetime:
    """Return a time of the journal in UTC."""
    return datetime.fromtimestamp(at_ms / 1000, UTC)


def shown(lines: Iterable[Line]) -> str:
    """Return lines as they stand in a block of text."""
    return "\n".join(
        textwrap.fill(
            line.words,
            width=_WIDTH,
            initial_indent=f"{moment(line.at_ms):%H:%M}  {line.who:<10}",
            subsequent_indent=_INDENT,
        )
        for line in lines
    )


def chronicle(story: Story) -> Iterator[Line]:
    """Yield what the journal tells, equal lines in a row summed up."""
    for _, group in groupby(_lines(story), key=lambda line: (line.who, line.words)):
        first, *others = group
        yield first
        if others:
            last = f"the last time at {moment(others[-1].at_ms):%H:%M}"
            yield Line(others[0].at_ms, first.who, f"The same {len(others)} times more, {last}.")


def _lines(story: Story) -> list[Line]:
    """Return every line in the order of the journal, a turn where it began.

    The journal is decided again, event by event: what the status said at each is told with it.
    """
    rows = story.journal(THREAD)
    begun: dict[str, tuple[int, int]] = {}
    found: list[tuple[int, Line]] = []
    for row, before, ready in GoalThread.replay(rows, story.policy, thread_id=THREAD, zones=zone):
        event = ready.event
        match event:
            case e.RunDispatched():
                begun[event.run_id] = row.revision, row.at_ms
            case e.RunFinished() | e.RunInterrupted():
                revision, begun_ms = begun[event.run_id]
                found.append((revision, _turn(story, event, begun_ms, row.at_ms)))
        told = [*_told(event), *_refused(ready.reply), *_stands(before, ready.state)]
        found += [(row.revision, Line(row.at_ms, who, words)) for who, words in told]
    return [line for _, line in sorted(found, key=lambda each: each[0])]


def _turn(
    story: Story, event: e.RunFinished | e.RunInterrupted, begun_ms: int, ended_ms: int
) -> Line:
    played = next(run for run in story.worker.runs if run.work.run_id == event.run_id)
    who = f"turn {played.work.turn}"
    if isinstance(event, e.RunInterrupted):
        return Line(begun_ms, who, "Cut off in the middle: the machine went down.")
    tokens = sum(
        told.input_tokens + told.output_tokens
        for told in played.told
        if isinstance(told, UsageReported)
    )
    cost = f" ({tokens:,} tokens, {(ended_ms - begun_ms) // 60_000} min)" if tokens else ""
    if event.outcome != "finished":
        error = "" if event.message is None else event.message.error or ""
        return Line(begun_ms, who, f"Failed: {error}{cost}")
    text = "".join(told.text for told in played.told if isinstance(told, Text))
    wind_down = "To wind down. " if played.work.kind == "wind_down" else ""
    return Line(begun_ms, who, f"{wind_down}{text}{cost}")


def _refused(reply: Reply | None) -> Iterator[tuple[str, str]]:
    if reply is not None and not reply.ok:
        yield "engine", f"Refuses it: {reply.message}."


_TOLD: Final = frozenset({"waiting", "recovering", "verifying", "paused", "limited", "complete"})


def _stands(before: Session, after: Session) -> Iterator[tuple[str, str]]:
    """Yield where the thread stands now, when that is no turn and was not told before."""
    was, now = activity(before), activity(after)
    if now.kind not in _TOLD or (was.text, was.detail) == (now.text, now.detail):
        return
    if now.kind == "recovering" and after.retry.attempts > 1:
        return  # every further attempt is told as a turn
    until = "" if now.until_ms is None else f", until {moment(now.until_ms):%-d %B %H:%M:%S}"
    detail = f": {now.detail}" if now.detail else ""
    yield "status", f"{now.text}{detail}{until}"


def _told(event: e.Event) -> Iterator[tuple[str, str]]:  # noqa: C901, PLR0912  one case each
    """Yield who did what, for the events that a reader wants to know of."""
    match event:
        case e.ObjectiveGiven():
            limit = f"{event.limits.tokens:,} tokens"
            yield "person", f"Gives the goal: {event.objective}. Budget: {limit}."
            for number, criterion in enumerate(event.criteria, 1):
                yield "", f"criterion {number}: {criterion.text}"
            yield "", f"verified by the {CHECK}, then by a person"
        case e.SteeringReceived():
            yield "person", f"Says: {event.text}"
        case e.SteeringAcknowledged():
            yield "worker", "Takes the message into the running turn."
        case e.BudgetChanged():
            yield "person", f"Raises the budget to {event.limits.tokens:,} tokens."
        case e.ClaimAccepted():
            yield "person", "Accepts the claim."
        case e.WaitDeclared():
            yield "worker", f"Declares a wait for a {event.kind}."
        case e.ProcessEnded():
            yield "world", f"Process {event.pid} has ended."
        case e.ToolCalled():
            shown = sorted(item["criterion"] for item in event.arguments["evidence"])
            listed = ", ".join(map(str, shown))
            yield "worker", f"Claims that the goal is complete, with evidence for {listed}."
        case e.VerificationFinished():
            why = f": {event.detail}" if event.detail else ""
            yield "engine", f"Runs the {CHECK}: it {event.outcome}{why}."
        case e.CompactionEnded():
            yield "worker", "Has compacted its context."
        case e.EngineStarted(after_crash=True):
            yield "engine", "Starts again; the journal says where the work was."
        case _:
            return


_AS_ALWAYS: Final = "The work on this thread's goal goes on"


def _prompts(story: Story) -> str:
    """Return what the prompts began with, where that was more than the work itself."""
    rows = [
        f"| {run.work.turn} | {first.split('. ')[0].rstrip('.,:')}. |"
        for run in story.worker.runs
        if not (first := run.work.prompt.partition("\n")[0]).startswith(_AS_ALWAYS)
    ]
    # Every attempt at a turn was told of the one before.
    told = "\n".join(dict.fromkeys(rows))
    heading = "## What the turns were told besides"
    return f"{heading}\n\n| turn | its prompt began with |\n|--:|---|\n{told}"


def _accounts(story: Story) -> str:
    session, goal = story.session(THREAD), story.goal(THREAD)
    events = [codec.decode_event(row.event) for row in story.journal(THREAD)]
    runs = sum(isinstance(event, e.RunDispatched) for event in events)
    reported: Usage = session.ledger.reported
    rows = (
        ("turns of the goal", f"{goal.continuations}"),
        ("runs of the worker, with the attempts while the provider was down", f"{runs}"),
        ("input tokens", f"{reported.input_tokens:,}"),
        ("output tokens", f"{reported.output_tokens:,}"),
        ("tokens read from the cache, which weigh nothing", f"{reported.cached_tokens:,}"),
        ("tokens charged to the goal", f"{goal.tokens_used:,}"),
        ("cost", money(goal.cost_used)),
        ("active time", duration(goal.active_seconds)),
        ("from the first turn to the last word", duration(goal.updated_at - goal.created_at)),
    )
    table = "\n".join(f"| {name} | {value} |" for name, value in rows)
    return f"## The accounts\n\n| | |\n|---|--:|\n{table}"


def _why(story: Story) -> str:
    rows = reversed(story.journal(THREAD))
    made = [codec.decode_decision(row.decision) for row in rows if row.decision is not None]
    words = "\n".join(explain(story.session(THREAD), made).words)
    return f"## Why it stopped\n\n`goalfsm explain` says:\n\n```text\n{words}\n```"


def _record(story: Story) -> str:
    found = record(story.session(THREAD), story.clock.now_ms, thread_id=THREAD)
    text = "\n".join(f"> {line}".rstrip() for line in markdown(found).rstrip("\n").splitlines())
    return f"## The record\n\n`goalfsm report` prints, for a pull request or a ticket:\n\n{text}\n"
