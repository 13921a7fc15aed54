"""A completion record as JSON, as Markdown, or as the text of a pull request.

In the Markdown, whatever people, models and programs wrote is shown as code: it cannot become a
heading, a link, a mention or HTML.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Final

import msgspec

from goalfsm.goal.model import COMPLETE
from goalfsm.session.continuation import Spent, money
from goalfsm.session.events import By
from goalfsm.text import duration, line, visible
from goalfsm.views.explain import moment
from goalfsm.views.report.completion import CompletionRecord, VerifierRecord

_BACKTICKS: Final = re.compile("`+")


def as_json(record: CompletionRecord) -> str:
    """Return ``record`` as indented JSON; equal records give equal text."""
    return msgspec.json.format(msgspec.json.encode(record), indent=2).decode()


def markdown(record: CompletionRecord) -> str:
    """Return ``record`` as a Markdown document; equal records give equal bytes."""
    sections = (
        _head(record),
        ("## Objective", "", *fenced(record.objective)),
        tuple(_criteria(record)),
        tuple(_evidence(record)),
        tuple(_verifiers(record.verifiers)),
        tuple(_usage(record)),
        tuple(_final_run(record)),
        tuple(_queued(record)),
    )
    return "\n\n".join("\n".join(lines) for lines in sections if lines) + "\n"


def _head(record: CompletionRecord) -> tuple[str, ...]:
    done = record.status == COMPLETE
    lines = ["# Completion record" if done else "# Goal record", ""]
    lines.append(f"- Thread: {code(record.thread_id)}")
    lines.append(f"- Goal: {code(record.goal_id)}")
    lines.append(f"- Status: {stands(record)}")
    lines += where_it_stopped(record, "- ")
    lines.append(f"- Given: {moment(record.created_at * 1000)}")
    if record.completed_at is not None:
        at = moment(record.completed_at * 1000)
        lines.append(f"- Completed: {at}, accepted by {accepted_by(record)}")
    if record.note and (done or record.note != record.reason):
        lines += item("- Note: ", record.note)
    for text in record.unread:
        lines += item("- Said, and taken into account by no turn: ", text)
    return tuple(lines)


def stands(record: CompletionRecord) -> str:
    """Return the goal's status, and what goes on where that is more."""
    now = record.activity
    return now if now.startswith(record.status) else f"{record.status}, {now}"


def where_it_stopped(record: CompletionRecord, lead: str) -> Iterator[str]:
    """Yield why an unfinished goal is where it is, and the command that takes it on."""
    if record.status == COMPLETE:
        return
    if record.reason:
        yield from item(f"{lead}Why: ", record.reason)
    if record.hint:
        yield f"{lead}To do: {code(record.hint)}"


def accepted_by(record: CompletionRecord) -> str:
    """Return in words who accepted that the goal is complete."""
    return _person(record.by) if record.accepted_by == "person" else "the engine"


def _person(by: By | None) -> str:
    """Return who accepted it: a person only where it was found out who asked."""
    if by is None:
        return "somebody of whom nothing is recorded"
    known = (
        ("user", by.uid),
        ("process", by.pid),
        ("program", by.program),
        ("terminal", by.terminal),
        ("inside run", by.run_id),
    )
    named = ((name, value) for name, value in known if value not in (None, ""))
    told = ", ".join(f"{name} {code(str(value))}" for name, value in named)
    who = "a process inside a run" if by.run_id else "a person"
    return f"{who} ({told})" if told else "somebody of whom nothing is recorded"


def _criteria(record: CompletionRecord) -> Iterator[str]:
    if not record.criteria:
        return
    yield "## Criteria"
    yield ""
    for criterion in record.criteria:
        yield from item(f"{criterion.number}. ", criterion.text)
        for text in criterion.evidence:
            yield from item("   - Evidence: ", text)
        if not criterion.evidence:
            yield "   - No evidence was given."


def _evidence(record: CompletionRecord) -> Iterator[str]:
    if not record.evidence and not record.evidence_digest:
        return
    yield "## Evidence"
    yield ""
    for text in record.evidence:
        yield from item("- ", text)
    if record.evidence_digest:
        yield f"- SHA-256 of all evidence as it was given: {code(record.evidence_digest)}"


def _verifiers(verifiers: tuple[VerifierRecord, ...]) -> Iterator[str]:
    if not verifiers:
        return
    yield "## Verifiers"
    yield ""
    for verifier in verifiers:
        what = f" {code(verifier.what)}" if verifier.what else ""
        outcome = verifier.outcome.replace("_", " ")
        yield f"{verifier.number}. {verifier.kind}{what}: {outcome}"
        if verifier.detail:
            yield from item("   - ", verifier.detail)
        if verifier.digest:
            yield f"   - SHA-256 of what it said: {code(verifier.digest)}"


def _usage(record: CompletionRecord) -> Iterator[str]:
    spent, usage = record.budgets, record.usage
    yield "## Usage"
    yield ""
    yield "| | used | budget |"
    yield "|---|---:|---:|"
    yield _row("tokens charged", spent.tokens, "{:,}".format)
    yield _row("active time", spent.seconds, duration)
    yield _row("cost", spent.cost, money)
    yield _row("turns", spent.continuations, "{:,}".format)
    yield ""
    reported = f"{usage.input_tokens:,} input, {usage.output_tokens:,} output"
    yield f"Reported by the workers: {reported}, {usage.cached_tokens:,} cached tokens."
    runs = "1 run" if record.runs == 1 else f"{record.runs:,} runs"
    counts = f"{runs}: {record.finished:,} finished, {record.interrupted:,} interrupted"
    if record.counted_since_ms is not None:
        counts = f"Since {moment(record.counted_since_ms)}, when counting began: {counts}"
    yield f"{counts}; claims that failed verification or were rejected: {record.refused_claims:,}."


def _row(name: str, spent: Spent, show: Callable[[int], str]) -> str:
    budget = "none" if spent.budget is None else show(spent.budget)
    return f"| {name} | {show(spent.used)} | {budget} |"


def _final_run(record: CompletionRecord) -> Iterator[str]:
    run = record.final_run
    if run is None:
        return
    yield "## Final run"
    yield ""
    winding_down = ", winding down" if run.wind_down else ""
    outcome = run.outcome.replace("_", " ")
    yield f"{code(run.run_id)}, turn {run.turn}{winding_down}: {outcome}."
    ended = "not ended" if run.ended_ms is None else f"ended {moment(run.ended_ms)}"
    yield f"Started {moment(run.started_ms)}, {ended}."


def _queued(record: CompletionRecord) -> Iterator[str]:
    if not record.queued:
        return
    yield "## Queued"
    yield ""
    for place, objective in enumerate(record.queued, 1):
        yield from item(f"{place}. ", objective)


def item(lead: str, text: str) -> Iterable[str]:
    """Return ``text`` behind ``lead``: in its line, or below it when it has several lines."""
    shown = visible(text).strip()
    if "\n" not in shown:
        return (f"{lead}{code(shown)}",)
    indent = " " * (len(lead) - len(lead.lstrip()) + lead.lstrip().index(" ") + 1)
    return (lead.rstrip(), *(f"{indent}{row}".rstrip() for row in fenced(shown)))


def code(text: str) -> str:
    """Return one line of ``text`` as a code span that nothing in it can close."""
    shown = " ".join(visible(text).split())
    if not shown:
        return "(empty)"
    ticks = "`" * (_longest(shown) + 1)
    pad = " " if shown[0] == "`" or shown[-1] == "`" else ""
    return f"{ticks}{pad}{shown}{pad}{ticks}"


def fenced(text: str) -> tuple[str, ...]:
    """Return ``text`` as the lines of a block of code that nothing in it can end."""
    shown = visible(text).strip("\n")
    fence = "`" * max(3, _longest(shown) + 1)
    return (f"{fence}text", *shown.split("\n"), fence)


def _longest(text: str) -> int:
    return max((len(run) for run in _BACKTICKS.findall(text)), default=0)


_TITLE: Final = 72
"""Most characters of a title: a host shows no more of it in a list."""


def title(record: CompletionRecord) -> str:
    """Return the objective's first line, cut where a title ends."""
    first = line(record.objective.strip().split("\n", 1)[0])
    return first if len(first) <= _TITLE else f"{first[: _TITLE - 1].rstrip()}…"


def pull_request(record: CompletionRecord) -> str:
    """Return ``record`` as Markdown for a pull request; equal records give equal bytes."""
    sections = (
        ("## What", "", *fenced(record.objective)),
        tuple(_done_when(record)),
        tuple(_verification(record)),
        tuple(_open(record)),
        tuple(_cost(record)),
    )
    return "\n\n".join("\n".join(lines) for lines in sections if lines) + "\n"


def _done_when(record: CompletionRecord) -> Iterator[str]:
    """Yield each criterion with what shows it, then what speaks for the whole."""
    if not record.criteria and not record.evidence:
        return
    yield "## Why it is done" if record.status == COMPLETE else "## What shows it so far"
    yield ""
    for criterion in record.criteria:
        mark = "x" if criterion.evidence else " "
        yield from item(f"- [{mark}] ", criterion.text)
        for text in criterion.evidence:
            yield from item("  - ", text)
    for text in record.evidence:
        yield from item("- ", text)


def _verification(record: CompletionRecord) -> Iterator[str]:
    yield "## Verification"
    yield ""
    for verifier in record.verifiers:
        what = code(verifier.what) if verifier.what else "somebody"
        asked = f"{what} accepts it" if verifier.kind == "person" else what
        yield f"- {asked}: {verifier.outcome.replace('_', ' ')}"
    if record.status == COMPLETE:
        yield f"- Completion was accepted by {accepted_by(record)}."
    else:
        yield f"- **Not complete**: the goal is {stands(record)}."
        yield from where_it_stopped(record, "  - ")
    if record.evidence_digest:
        yield f"- SHA-256 of the evidence: {code(record.evidence_digest)}"


def _open(record: CompletionRecord) -> Iterator[str]:
    """Yield what a reviewer has to know of what was said and not heard."""
    said = record.status != COMPLETE and record.note == record.reason
    if not record.unread and (said or not record.note):
        return
    yield "## Still open"
    yield ""
    if record.note and not said:
        yield from item("- ", record.note)
    for text in record.unread:
        yield from item("- Said, and taken into account by no turn: ", text)


def _cost(record: CompletionRecord) -> Iterator[str]:
    spent = record.budgets
    turns = spent.continuations.used
    used = [
        f"{turns:,} {'turn' if turns == 1 else 'turns'}",
        f"{duration(spent.seconds.used)} of work",
        f"{spent.tokens.used:,} tokens",
    ]
    if spent.cost.used:
        used.append(f"cost {money(spent.cost.used)}")
    yield "## What it took"
    yield ""
    yield f"{', '.join(used)}."
    if record.completed_at is not None:
        since = max(0, record.completed_at - record.created_at)
        yield f"From the objective to its completion: {duration(since)}."
    if record.interrupted or record.refused_claims:
        yield (
            f"Turns that were cut off: {record.interrupted:,}; "
            f"claims that were refused: {record.refused_claims:,}."
        )
    yield ""
    yield f"Made by goalfsm, thread {code(record.thread_id)}, goal {code(record.goal_id)}."
