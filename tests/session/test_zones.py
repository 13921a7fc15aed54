"""Quotas whose reset is a time of day: read in the zone that is named, or in that of the worker."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone, tzinfo

import pytest

from goalfsm.goal.model import Goal
from goalfsm.session import Context, Session
from goalfsm.session import events as e
from goalfsm.session.thread import handle

NOW = datetime(2026, 3, 14, 22, 0, tzinfo=UTC)
PARIS = timezone(timedelta(hours=1))
TOKYO = timezone(timedelta(hours=9))


def zones(name: str) -> tzinfo | None:
    """Return the zones that this test has."""
    return {"Europe/Paris": PARIS, "Asia/Tokyo": TOKYO}.get(name)


def paused_by(error: str, *, local: str | None = None, known: bool = True) -> Goal:
    """Return a goal whose turn ended with ``error``, said in the zone ``local``."""
    find = zones if known else None
    context = Context(round(NOW.timestamp() * 1000), lambda kind: f"{kind}-1", zones=find)
    session = Session()
    said = e.Message(role="assistant", stop_reason="error", error=error, zone=local)
    for event in (
        e.ObjectiveGiven(objective="x"),
        e.HostChanged(idle=False),
        e.TurnStarted(turn_index=1),
        e.TurnEnded(turn_index=1, message=said),
        e.AgentEnded(messages=(said,)),
    ):
        session = handle(session, event, context).session
    assert session.goal is not None
    assert (session.goal.status, session.goal.pause_reason) == ("paused", "usage_limit")
    return session.goal


def resumes(goal: Goal) -> datetime | None:
    """Return when the goal goes on by itself."""
    at_ms = goal.resume_at_ms
    return None if at_ms is None else datetime.fromtimestamp(at_ms / 1000, UTC)


@pytest.mark.parametrize(
    ("error", "local", "at"),
    [
        ("usage limit reached; resets 3am (Europe/Paris)", None, "15 02:00"),
        ("usage limit reached; resets 3am (Europe/Paris)", "Asia/Tokyo", "15 02:00"),
        ("usage limit reached; resets 11:30pm (Europe/Paris)", None, "14 22:30"),
        ("usage limit reached; resets 3am", "Europe/Paris", "15 02:00"),
        ("usage limit reached; resets 10am", "Asia/Tokyo", "15 01:00"),
        ("usage limit reached; resets 3am (UTC)", "Asia/Tokyo", "15 03:00"),
    ],
)
def test_a_time_of_day_is_read_in_its_zone(error: str, local: str | None, at: str) -> None:
    assert resumes(paused_by(error, local=local)) == datetime.fromisoformat(f"2026-03-{at}:00Z")


@pytest.mark.parametrize(
    ("error", "local", "known"),
    [
        ("usage limit reached; resets 3am", None, True),
        ("usage limit reached; resets 3am (Mars/Olympus)", "Mars/Olympus", True),
        ("usage limit reached; resets 3am (Europe/Paris)", "Europe/Paris", False),
    ],
)
def test_a_time_of_day_in_an_unknown_zone_is_no_time(
    error: str, local: str | None, *, known: bool
) -> None:
    """The goal is paused all the same; somebody has to resume it."""
    assert resumes(paused_by(error, local=local, known=known)) is None
