"""What the engine's log says of the decisions that end or stop a goal."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from structlog.testing import capture_logs

from goalfsm.goal.model import Limits
from goalfsm.session import events as e
from goalfsm.session.policy import Policy
from goalfsm.testing import MemoryGoals, uses
from goalfsm.workers import protocol as w
from tests.daemon.scenes import BLOCKED, COMPLETE, OBJECTIVE, THREAD, play, steps, worker

TOLD = ("goal ", "refused")


def lines(
    turns: tuple[Any, ...],
    *said: e.Event,
    first: e.ObjectiveGiven = OBJECTIVE,
    policy: Policy | None = None,
) -> list[dict[str, Any]]:
    """Return what is logged of goals while ``said`` is sent, each when the thread rests."""

    async def scene(goals: MemoryGoals) -> list[Any]:
        options = {} if policy is None else {"policy": policy}
        with capture_logs() as logs:
            async with goals.process(worker(steps(*turns)), **options) as engine:
                for event in (first, *said):
                    await engine.submit(THREAD, event)
                    await engine.settled(THREAD)
        return logs

    return [dict(one) for one in play(scene) if str(one["event"]).startswith(TOLD)]


def test_a_goal_that_ends_has_a_line_with_its_thread_goal_run_and_turn() -> None:
    (tool, completed) = lines((["a"], [COMPLETE]))
    assert (tool["event"], tool["tool"], tool["ok"]) == ("goal tool", "update_goal", True)
    assert completed["event"] == "goal completed"
    assert completed["thread_id"] == THREAD
    assert completed["goal_id"].startswith("g-")
    assert completed["run_id"] == tool["run_id"]
    assert completed["turn"] == 2
    assert completed["asked"] == "ToolCalled"
    assert completed["log_level"] == "info"


ANSWERS = tuple([str(n)] for n in range(9))
AUTH = w.ErrorReported(message="invalid api key", status=401)
QUOTA = w.ErrorReported(message="You have hit your usage limit. Try again in 3 hours.", status=429)


@pytest.mark.parametrize(
    ("turns", "first", "told", "why"),
    [
        (([BLOCKED],), OBJECTIVE, "goal blocked", None),
        ((["same"],), OBJECTIVE, "goal paused", "no_progress"),
        (([AUTH],), OBJECTIVE, "goal paused", "recovery"),
        (
            ([uses(input=10)], ["wound down"]),
            e.ObjectiveGiven(objective="do it", limits=Limits(tokens=5)),
            "goal limited",
            "tokens",
        ),
        (
            ANSWERS,
            e.ObjectiveGiven(objective="do it", limits=Limits(continuations=2)),
            "goal limited",
            "continuations",
        ),
        (ANSWERS, e.ObjectiveGiven(objective="do it", paused=True), "goal paused", "user"),
    ],
)
def test_every_way_to_stop_has_a_line(
    turns: tuple[Any, ...], first: e.ObjectiveGiven, told: str, why: str | None
) -> None:
    line = lines(turns, first=first)[-1]
    assert (line["event"], line["why"]) == (told, why)
    assert line["goal_id"]


def test_a_goal_that_is_taken_up_again_has_a_line() -> None:
    told = lines(([QUOTA], [COMPLETE]), e.ResumeRequested())
    assert [(one["event"], one["why"]) for one in told if "why" in one] == [
        ("goal paused", "usage_limit"),
        ("goal goes on", None),
        ("goal completed", None),
    ]
    assert "usage limit" in told[0]["reason"]


def test_what_a_person_says_has_a_line_with_who_it_was() -> None:
    told = lines(
        (["a", BLOCKED], ["b", BLOCKED], ["c", BLOCKED], [COMPLETE]),
        e.ResumeRequested(expected_revision=99),
        e.ObjectiveGiven(objective="another"),
        e.ObjectiveGiven(objective="another", replace=True, paused=True),
        e.ClearRequested(),
    )
    mine = [one for one in told if one.get("origin") == "person"]
    assert [(one["event"], one["asked"]) for one in mine] == [
        ("refused", "ResumeRequested"),
        ("refused", "ObjectiveGiven"),
        ("goal replaced", "ObjectiveGiven"),
        ("goal paused", "ObjectiveGiven"),
        ("goal cleared", "ClearRequested"),
    ]
    stale, busy, replaced, paused, cleared = mine
    assert stale["code"] == "revision_changed"
    assert busy["code"] == "goal_exists"
    assert replaced["goal_id"] == stale["goal_id"] != paused["goal_id"]
    assert replaced["by"] == paused["goal_id"] == cleared["goal_id"]


def test_a_refused_tool_call_is_a_line_and_not_two() -> None:
    early = w.ToolCalled(id=1, name="update_goal", arguments={"status": "complete"})
    told = lines(([early], [COMPLETE]))
    assert [(one["event"], one.get("ok")) for one in told] == [
        ("goal tool", False),
        ("goal tool", True),
        ("goal completed", None),
    ]


def test_a_pause_during_a_turn_names_that_turn() -> None:
    async def scene(goals: MemoryGoals) -> list[Any]:
        with capture_logs() as logs:
            async with goals.process(worker(steps([5.0, "a"]))) as engine:
                await engine.submit(THREAD, OBJECTIVE)
                await asyncio.sleep(1)
                await engine.submit(THREAD, e.PauseRequested(by=e.By(uid=1000, pid=77)))
                await engine.settled(THREAD)
        return logs

    (paused,) = [one for one in play(scene) if one["event"] == "goal paused"]
    assert (paused["why"], paused["turn"], paused["pid"]) == ("user", 1, 77)
    assert paused["run_id"]


def test_work_that_goes_on_has_no_line_of_a_decision() -> None:
    """Usage, answers and messages change the goal, and end nothing."""
    told = lines(([uses(input=3), "a"], [uses(input=4), "b"], [COMPLETE]))
    assert [one["event"] for one in told] == ["goal tool", "goal completed"]
