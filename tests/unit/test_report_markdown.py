"""The completion record as Markdown: what is ours, and that hostile text stays in code."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from goalfsm.goal.accounting import Ledger, RunRecord, Tally
from goalfsm.goal.model import Criterion, Evidence, Goal, Usage, Verifier
from goalfsm.session import Session
from goalfsm.session.events import By
from goalfsm.session.state import VerifierResult
from goalfsm.views.parts import Driver
from goalfsm.views.report import CompletionRecord, markdown, record
from tests.unit.reports import COMPLETION, DONE, GOAL, NOW_MS, ms

MARKDOWN = """\
# Completion record

- Thread: `main`
- Goal: `goal-1`
- Status: complete
- Given: 2027-01-15 08:00:00 UTC
- Completed: 2027-01-15 08:08:20 UTC, accepted by somebody of whom nothing is recorded
- Note: `well done`

## Objective

```text
Release 2.0
```

## Criteria

1. `tests pass`
   - Evidence: `12 passed`
   - Evidence: `exit 0`
2. `tag exists`
   - No evidence was given.

## Evidence

- `CHANGELOG.md is written`
- SHA-256 of all evidence as it was given: `abc123`

## Verifiers

1. command `make test`: passed
   - `exit 0`
   - SHA-256 of what it said: `d0`
2. callable `tagged`: unverifiable
   -
     ```text
     no
     tag
     ```
3. person: passed

## Usage

| | used | budget |
|---|---:|---:|
| tokens charged | 750 | 1,000 |
| active time | 1m 35s | none |
| cost | 1.5 | none |
| turns | 3 | 100 |

Reported by the workers: 1,234 input, 0 output, 0 cached tokens.
3 runs: 2 finished, 1 interrupted; claims that failed verification or were rejected: 1.

## Final run

`r3`, turn 3, winding down: timed out.
Started 2027-01-15 08:00:05 UTC, ended 2027-01-15 08:00:06 UTC.
"""

TALLY = Tally(
    runs=3,
    finished=2,
    interrupted=1,
    refused_claims=1,
    last_run=RunRecord(
        run_id="r3",
        turn=3,
        started_ms=ms(5),
        ended_ms=ms(6),
        outcome="timed_out",
        wind_down=True,
    ),
    ledger_before=Usage(input_tokens=66),
)
LEDGER = Ledger(reported=Usage(input_tokens=1_300))


def test_record_as_markdown() -> None:
    session = replace(DONE, goal=replace(GOAL, note="well done"), tally=TALLY, ledger=LEDGER)
    assert markdown(record(session, NOW_MS, thread_id="main")) == MARKDOWN


def test_a_goal_of_an_earlier_version_says_since_when_its_runs_are_counted() -> None:
    session = replace(DONE, tally=replace(TALLY, since_ms=ms(5)), ledger=LEDGER)
    text = markdown(record(session, NOW_MS))
    assert "Since 2027-01-15 08:00:05 UTC, when counting began: 3 runs: 2 finished" in text
    nothing = markdown(record(replace(DONE, ledger=LEDGER), NOW_MS))
    assert "when counting began: 0 runs" in nothing
    assert "Reported by the workers: 0 input" in nothing


def test_bare_record_as_markdown() -> None:
    """What there is nothing to say of has no section."""
    goal = Goal(goal_id="g", objective="o", status="paused", created_at=0, updated_at=0)
    run = RunRecord(run_id="r1", turn=1, started_ms=0)
    text = markdown(record(Session(goal=goal, tally=Tally(last_run=run)), NOW_MS))
    assert text.startswith(
        "# Goal record\n\n- Thread: (empty)\n- Goal: `g`\n- Status: paused (user)\n"
    )
    assert re.findall("^## .*", text, flags=re.MULTILINE) == [
        "## Objective",
        "## Usage",
        "## Final run",
    ]
    assert "`r1`, turn 1: open.\nStarted 1970-01-01 00:00:00 UTC, not ended.\n" in text
    assert "Completed" not in text


@pytest.mark.parametrize(
    ("fields", "driver", "told"),
    [
        (
            {"status": "blocked", "note": "no key"},
            None,
            "blocked\n- Why: `no key`\n- To do: `goalfsm resume THREAD`\n- Given",
        ),
        (
            {"status": "budgetLimited", "limited_by": "cost", "note": "look at it"},
            None,
            (
                "budgetLimited, limited by cost\n- Why: `the cost budget is used up`\n- To do: "
                "`goalfsm budget THREAD --cost AMOUNT`\n- Given"
            ),
        ),
        ({"status": "active"}, None, "active, continuing\n- Given"),
        (
            {"status": "active"},
            Driver(pid=7),
            (
                "active, nobody works on this\n- Why: `process 7 has ended, the next turn is due`\n"
                "- To do: `goalfsm run --thread THREAD`\n- Given"
            ),
        ),
    ],
)
def test_an_unfinished_goal_says_why_and_what_to_do(
    fields: dict[str, Any], driver: Driver | None, told: str
) -> None:
    session = Session(goal=replace(GOAL, **fields))
    text = markdown(record(session, NOW_MS, driver=driver))
    assert f"- Status: {told}" in text
    assert ("- Note: `look at it`" in text) == ("limited_by" in fields)


def test_completion_that_the_engine_accepted() -> None:
    session = replace(DONE, completion=replace(COMPLETION, accepted_by="engine", digest=""))
    text = markdown(record(session, NOW_MS))
    assert "accepted by the engine" in text
    assert "all evidence" not in text


HOSTILE = [
    "``` \n# Fake\n```",
    "`code` and ``more``",
    "</details><script>alert(1)</script>\n@everyone #1",
    "\x1b[2J\u202e| a | b |\r\n* x",
    "`",
    "~~~\n````\n",
]


def outside_code(text: str) -> str:
    """Return a Markdown text without its fenced blocks and code spans."""
    kept: list[str] = []
    fence = ""
    for row in text.split("\n"):
        opened = re.fullmatch(r" *(`{3,})text", row)
        if fence:
            fence = "" if row.strip() == fence else fence
        elif opened:
            fence = opened.group(1)
        else:
            kept.append(re.sub(r"(?<!`)(`+)(?!`)(.+?)(?<!`)\1(?!`)", "CODE", row))
    assert not fence
    return "\n".join(kept)


def skeleton(text: str) -> str:
    """Return the Markdown that is ours, whatever its items are."""
    rows = [row.rstrip() for row in outside_code(text).split("\n")]
    return "\n".join(row.replace("CODE", "").rstrip() for row in rows if row)


def hostile_record(text: str) -> CompletionRecord:
    goal = replace(
        GOAL,
        objective=text,
        note=text,
        criteria=(Criterion(text=text), Criterion(text=text)),
        verifiers=(Verifier(kind="command", argv=(text,)),),
    )
    completion = replace(
        COMPLETION,
        evidence=(Evidence(text=text, criterion=1), Evidence(text=text)),
        results=(VerifierResult(index=0, outcome="passed", detail=text),),
    )
    return record(Session(goal=goal, completion=completion, tally=TALLY), NOW_MS, thread_id=text)


PLAIN = skeleton(markdown(hostile_record("plain")))


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_stays_in_code(text: str) -> None:
    assert skeleton(markdown(hostile_record(text))) == PLAIN


@given(st.text(alphabet="`~#|@<>\n a\x1b\r", min_size=1).filter(str.strip))
def test_no_text_leaves_its_code(text: str) -> None:
    assert skeleton(markdown(hostile_record(text))) == PLAIN


@pytest.mark.parametrize(
    ("by", "told"),
    [
        (None, "somebody of whom nothing is recorded"),
        (By(), "somebody of whom nothing is recorded"),
        (By(uid=0, pid=7, program="goalfsm", terminal="/dev/pts/1"), "a person (user `0`, "),
        (By(pid=7, run_id="r"), "a process inside a run (process `7`, inside run `r`)"),
    ],
)
def test_a_person_is_named_only_where_somebody_found_out_who_asked(
    by: By | None, told: str
) -> None:
    done = replace(COMPLETION, accepted_by="person", by=by, unread=("mind the tests",))
    text = markdown(record(replace(DONE, completion=done), NOW_MS))
    assert f"accepted by {told}" in text
    assert "Said, and taken into account by no turn: `mind the tests`" in text
