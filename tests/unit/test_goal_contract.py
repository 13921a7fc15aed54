"""The goal contract says what the code does: its tables are held against the definitions."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import msgspec
import pytest

from goalfsm.cli.app import SECTIONS
from goalfsm.goal.model import MAX_OBJECTIVE_LENGTH, STATUSES, Limit, PauseReason
from goalfsm.session import Policy
from goalfsm.session.continuation import GUARDS, Continue, Situation, Stop, decide
from goalfsm.session.tools import TOOLS

TEXT = (Path(__file__).parents[2] / "docs" / "goal-contract.md").read_text(encoding="utf-8")


def table(heading: str) -> list[list[str]]:
    """Return the cells of the table whose first column is headed so."""
    found = re.search(
        rf"^\| {re.escape(heading)} \|.*\n\|[-|]+\|\n((?:\|.*\n)+)", TEXT, re.MULTILINE
    )
    assert found is not None
    rows = found.group(1).splitlines()
    return [[cell.strip().strip("`") for cell in row.strip("|").split("|")] for row in rows]


def names(heading: str) -> list[str]:
    return [row[0] for row in table(heading)]


def test_statuses() -> None:
    assert set(names("status")) == set(STATUSES)


def test_pause_reasons() -> None:
    assert names("`pause_reason`") == list(get_args(PauseReason))


def test_limits() -> None:
    (said,) = re.findall(r"`limited_by` is (.*)\.", TEXT)
    assert re.findall("`([a-z]+)`", said) == list(get_args(Limit))


def test_guards_are_listed_in_the_order_in_which_they_are_asked() -> None:
    assert names("guard") == [guard.name for guard in GUARDS]


SITUATIONS = {
    "status": Situation("blocked"),
    "stopping": Situation("active", stopping=True),
    "stale_work": Situation("active", stale_aborting=True),
    "queued": Situation("active", queued=True),
    "verification": Situation("active", verifying=True),
    "recovery": Situation("active", recovering="r"),
    "wait": Situation("active", waiting="w"),
    "continuation_limit": Situation("active", continuations=1, max_continuations=1),
    "budget": Situation("active", used_up="time"),
    "no_progress": Situation("active", stuck="s"),
    "pending_messages": Situation("active", pending_messages=True),
    "host_busy": Situation("active", host_busy=True),
}


@pytest.mark.parametrize("row", table("guard"), ids=names("guard"))
def test_guard_answers_as_the_contract_says(row: list[str]) -> None:
    verdict = decide(SITUATIONS[row[0]])
    assert verdict.guard == row[0]
    assert not isinstance(verdict, Continue)
    assert row[2].startswith("stop" if isinstance(verdict, Stop) else "wait")


def test_policy_unless_changed() -> None:
    settings = msgspec.structs.asdict(Policy())
    for name, value in table("setting"):
        shown = settings[name]
        assert value == (str(shown).lower() if isinstance(shown, bool) else str(shown))


def test_tools() -> None:
    (said,) = re.findall(r"The model has four tools.*: (.*?)\. ", TEXT)
    assert re.findall("`([a-z_]+)`", said) == [tool.name for tool in TOOLS]


def test_objective_length() -> None:
    assert f"1 to {MAX_OBJECTIVE_LENGTH:,} characters" in TEXT


def test_every_command_that_is_named_exists() -> None:
    known = {entry.name for section in SECTIONS for entry in section.entries}
    named = set(re.findall(r"`goalfsm ([a-z]+)", TEXT))
    assert named
    assert named <= known
