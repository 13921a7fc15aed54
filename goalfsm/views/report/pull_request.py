"""A completion record as the text of a pull request: what, done when, evidence, checks, the cost.

Whatever people, models and programs wrote is shown as code, as in the whole record.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from goalfsm.goal.model import COMPLETE
from goalfsm.session.continuation import money
from goalfsm.text import duration, line
from goalfsm.views.report.completion import CompletionRecord
from goalfsm.views.report.rendering import accepted_by, code, fenced, item, stands, where_it_stopped

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
