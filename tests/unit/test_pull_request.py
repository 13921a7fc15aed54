"""A record as the text of a pull request: what a reviewer asks, and hostile text stays in code."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from goalfsm.goal.accounting import Tally
from goalfsm.goal.model import Criterion, Evidence
from goalfsm.session import Session
from goalfsm.session.state import Steering
from goalfsm.views.report import pull_request, record, title
from tests.unit.reports import COMPLETION, DONE, GOAL, NOW_MS

TEXT = """\
## What

```text
Release 2.0
```

## Why it is done

- [x] `tests pass`
  - `12 passed`
  - `exit 0`
- [ ] `tag exists`
- `CHANGELOG.md is written`

## Verification

- `make test`: passed
- `tagged`: unverifiable
- somebody accepts it: passed
- Completion was accepted by somebody of whom nothing is recorded.
- SHA-256 of the evidence: `abc123`

## What it took

3 turns, 1m 35s of work, 750 tokens, cost 1.5.
From the objective to its completion: 8m 20s.

Made by goalfsm, thread `main`, goal `goal-1`.
"""


def text(session: Session) -> str:
    return pull_request(record(session, NOW_MS, thread_id="main"))


def test_a_complete_goal() -> None:
    assert text(DONE) == TEXT


def test_an_unfinished_goal_says_that_it_is_not_complete() -> None:
    goal = replace(GOAL, status="paused", pause_reason="user", cost_used=0, continuations=1)
    told = text(Session(goal=goal))
    assert "## What shows it so far\n\n- [ ] `tests pass`\n" in told
    assert "the goal is paused (user).\n  - Why: `somebody asked for it`\n" in told
    assert "  - To do: `goalfsm resume THREAD`\n" in told
    assert "1 turn, 1m 35s of work, 750 tokens." in told
    assert "From the objective" not in told
    assert "- `make test`: not run" in told


def test_what_was_not_heard_is_still_open() -> None:
    done = replace(
        DONE,
        goal=replace(GOAL, note="ask for the key"),
        completion=replace(COMPLETION, unread=("use the other branch",)),
        tally=Tally(interrupted=2, refused_claims=1),
    )
    told = text(done)
    assert (
        "## Still open\n\n- `ask for the key`\n"
        "- Said, and taken into account by no turn: `use the other branch`\n"
    ) in told
    assert "Turns that were cut off: 2; claims that were refused: 1." in told


@pytest.mark.parametrize("unread", [(), ("use the other branch",)])
def test_why_an_unfinished_goal_stopped_is_said_once(unread: tuple[str, ...]) -> None:
    goal = replace(GOAL, status="blocked", note="there is no key")
    left = tuple(Steering(message_id="m", text=said, at_ms=NOW_MS) for said in unread)
    told = text(Session(goal=goal, steering=left))
    assert told.count("there is no key") == 1
    assert ("## Still open" in told) == bool(unread)


def test_what_was_not_heard_is_open_without_a_note_too() -> None:
    done = replace(DONE, completion=replace(COMPLETION, unread=("use the other branch",)))
    assert "## Still open\n\n- Said, and taken into account" in text(done)


def test_a_goal_without_criteria_or_evidence_has_no_such_section() -> None:
    bare = Session(goal=replace(GOAL, criteria=(), verifiers=()), completion=None)
    assert "## Why" not in text(bare)


@pytest.mark.parametrize(
    ("objective", "shown"),
    [
        ("Port it\nto the new tree", "Port it"),
        ("x" * 72, "x" * 72),
        ("x" * 73, "x" * 71 + "…"),
        ("\x1b[31mred", "�[31mred"),
    ],
)
def test_the_title_is_the_first_line(objective: str, shown: str) -> None:
    session = Session(goal=replace(GOAL, objective=objective))
    assert title(record(session, NOW_MS)) == shown


@given(st.text(max_size=200), st.text(min_size=1, max_size=60))
def test_nothing_that_was_written_leaves_its_code(objective: str, said: str) -> None:
    hostile = f"{objective}\n# h\n@everyone <b> [x](y) ``` {said}"
    session = replace(
        DONE,
        goal=replace(GOAL, objective=hostile, criteria=(Criterion(text=hostile),)),
        completion=replace(COMPLETION, evidence=(Evidence(text=hostile, criterion=1),)),
    )
    fence = None
    for row in text(session).split("\n"):
        opened = re.match(r" *(`{3,})(text)?$", row)
        if fence is None and opened and opened[2]:
            fence = opened[1]
        elif fence is not None and row.strip() == fence:
            fence = None
        elif fence is None:
            bare = re.sub(r"(`+)(?!`).*?(?<!`)\1(?!`)", "", row)
            assert "@" not in bare
            assert "<b>" not in bare
