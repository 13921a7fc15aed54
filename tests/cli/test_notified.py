"""Who is told outside the terminal, of what: every way in which a goal ends or stops."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from goalfsm.cli import hosting
from goalfsm.daemon.stages import notifications
from goalfsm.daemon.stages.notifications import Note, Target
from goalfsm.goal.model import PauseReason, Verifier
from goalfsm.session import Policy
from goalfsm.session import events as e
from goalfsm.testing import (
    MemoryGoals,
    claims_blocked,
    claims_complete,
    fails,
    hangs,
    says,
    takes,
    uses,
    waits,
)

CALL = (uses(input=700, cost=900), says("Half of it."))
QUOTA = fails("You have hit your usage limit", status=429, code="usage_limit_reached")
PERSON = Verifier(kind="person")
Turn = tuple[Any, ...]
STOPS: dict[str, tuple[list[Turn], dict[str, Any], str, str, str]] = {
    "complete": ([(claims_complete("it fits"),)], {}, "complete", "", "report"),
    "blocked": ([(claims_blocked("no key"),)], {}, "blocked", "no key", "resume"),
    "tokens": ([CALL] * 2, {"tokens": 500}, "limited by tokens", "token budget", "budget"),
    "cost": ([CALL] * 2, {"cost": 500}, "limited by cost", "cost budget", "budget"),
    "time": ([(takes("2m"), *CALL)] * 2, {"time": "1m"}, "limited by time", "time", "budget"),
    "turns": (
        [CALL] * 2,
        {"continuations": 1},
        "limited by continuations",
        "continuations are spent",
        "budget",
    ),
    "quota": ([(QUOTA,)], {}, "paused (usage_limit)", "usage limit", "resume"),
    "no progress": ([()] * 3, {}, "paused (no_progress)", "3 turns in a row", "resume"),
    "verification": (
        [(claims_complete("it fits"),)],
        {"verifiers": ["unsure"]},
        "paused (verification)",
        "the ruler is gone",
        "accept",
    ),
    "recovery": (
        [(fails("invalid api key", status=401),)],
        {},
        "paused (recovery)",
        "invalid api key",
        "resume",
    ),
    "question": (
        [(waits("person", note="which door?"),)],
        {},
        "waiting on a person",
        "which door?",
        "wake",
    ),
    "claim": (
        [(claims_complete("it fits"),)],
        {"verifiers": [PERSON]},
        "waiting on a person",
        "accepted or rejected",
        "accept",
    ),
}


@pytest.fixture
def sent(memory_goals: MemoryGoals, monkeypatch: pytest.MonkeyPatch) -> list[Note]:
    """Return what a webhook is sent, by an engine that tells as that of the command line does."""
    sent: list[Note] = []

    async def send(_target: Target, note: Note) -> None:
        sent.append(note)

    def unsure(_goal: object, _claim: object) -> bool:
        raise OSError("the ruler is gone")

    monkeypatch.setattr(notifications, "_send", send)
    monkeypatch.setattr(hosting, "targets", lambda: [Target(kind="webhook", url="http://x")])
    _, told = hosting.notices("goals.db", memory_goals.status)
    memory_goals.configure(policy=Policy(blocked_after=1), verifiers={"unsure": unsure}, **told)
    return sent


@pytest.mark.parametrize("stop", STOPS)
def test_it_is_told_once_why_and_what_to_do(
    stop: str, memory_goals: MemoryGoals, sent: list[Note]
) -> None:
    turns, given, activity, why, command = STOPS[stop]
    for turn in turns:
        memory_goals.worker.turn(*turn)
    memory_goals.give("fence", "Build it", **given)
    memory_goals.run_until(lambda: bool(sent))
    memory_goals.clock.advance("1m")
    (note,) = sent
    assert (note.activity, note.objective) == (activity, "Build it")
    assert why in note.reason
    assert note.hint.startswith(f"goalfsm {command} fence --db goals.db")
    assert note.key


@pytest.mark.parametrize("reason", ["user", "interrupt", "shutdown"])
def test_who_stops_a_goal_is_not_told_of_it(
    reason: PauseReason, memory_goals: MemoryGoals, sent: list[Note]
) -> None:
    memory_goals.worker.turn(hangs())
    memory_goals.give("fence", "Build it")
    memory_goals.clock.advance("1s")
    memory_goals.send("fence", e.PauseRequested(reason=reason))
    memory_goals.clock.advance("1m")
    goal = memory_goals.goal("fence")
    assert (goal.status, goal.pause_reason, sent) == ("paused", reason, [])


def test_the_end_of_an_engine_is_told_to_nobody(
    memory_goals: MemoryGoals, sent: list[Note]
) -> None:
    memory_goals.worker.turn(hangs())
    memory_goals.give("fence", "Build it")
    memory_goals.clock.advance("1s")
    memory_goals.stop()
    memory_goals.clock.advance("1m")
    assert sent == []


def test_a_kill_between_the_commit_and_the_notice_delays_it_once(
    memory_goals: MemoryGoals, sent: list[Note], monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[str] = []

    async def never(_target: Target, note: Note) -> None:
        tried.append(note.key)
        await asyncio.Event().wait()

    memory_goals.worker.turn(claims_complete("it fits"))
    with monkeypatch.context() as away:
        away.setattr(notifications, "_send", never)
        memory_goals.give("fence", "Build it")
        memory_goals.run_until(lambda: bool(tried))
        memory_goals.crash()
    for _ in range(2):
        memory_goals.restart()
        memory_goals.clock.advance("1m")
        assert [note.key for note in sent] == tried
