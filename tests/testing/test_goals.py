"""An engine in memory, and what a test does with it."""

from __future__ import annotations

from pathlib import Path

import pytest
from freezegun import freeze_time

from goalfsm import Policy, Verifier, default_machine
from goalfsm.errors import GoalError
from goalfsm.session import events as e
from goalfsm.testing import (
    GoalClock,
    MemoryGoals,
    RequestRejected,
    ScriptedWorker,
    claims_blocked,
    claims_complete,
    hangs,
    says,
    takes,
    uses,
    uses_tool,
    waits,
)
from tests.testing.journals import events


def test_a_goal_is_worked_on_until_it_is_complete(
    memory_goals: MemoryGoals, scripted_worker: ScriptedWorker
) -> None:
    scripted_worker.turn(says("Looking."), uses(input=100, output=20), takes("10s"))
    scripted_worker.turn(says("Done."), claims_complete("the tests pass"))
    reply = memory_goals.give("t", "Make the tests pass")
    assert reply.ok
    session = memory_goals.settle("t")
    assert session.goal is not None
    assert session.goal.status == "complete"
    assert session.goal.tokens_used == 120
    assert session.goal.active_seconds == 10
    assert len(scripted_worker.runs) == 2
    assert "Make the tests pass" in scripted_worker.prompts[0]
    assert [result.ok for result in scripted_worker.results] == [True]
    assert scripted_worker.left == 0


def test_no_time_passes_that_the_test_did_not_ask_for(
    memory_goals: MemoryGoals, scripted_worker: ScriptedWorker, goal_clock: GoalClock
) -> None:
    scripted_worker.turn(takes("1h"))
    began = goal_clock.now
    memory_goals.give("t", "Wait")
    assert goal_clock.now == began
    goal_clock.settle()
    assert memory_goals.status("t").activity_kind == "running"
    assert goal_clock.now == began


@pytest.mark.goal_clock("2026-03-14 02:00")
def test_the_marker_says_when_the_test_begins(
    memory_goals: MemoryGoals, goal_clock: GoalClock, scripted_worker: ScriptedWorker
) -> None:
    scripted_worker.turn(hangs())
    memory_goals.give("t", "Wait")
    assert f"{goal_clock.now:%H:%M}" == "02:00"
    assert memory_goals.goal("t").created_at == int(goal_clock.now.timestamp())


def test_an_engine_lives_on_freezeguns_time(
    memory_goals: MemoryGoals, goal_clock: GoalClock, scripted_worker: ScriptedWorker
) -> None:
    scripted_worker.turn(waits("timer", "2h"))
    scripted_worker.turn(claims_complete("it is two hours later"))
    with freeze_time("2026-07-01 12:00", real_asyncio=True):
        memory_goals.give("t", "Wait")
        goal_clock.advance_to("13:59")
        assert memory_goals.goal("t").status == "active"
        goal_clock.advance_to("14:00")
        assert memory_goals.goal("t").status == "complete"
        assert memory_goals.journal("t")[-1].at_ms == goal_clock.now_ms


def test_a_clock_that_is_set_wakes_what_is_due(
    memory_goals: MemoryGoals, goal_clock: GoalClock, scripted_worker: ScriptedWorker
) -> None:
    until = goal_clock.now.replace(hour=8)
    scripted_worker.turn(waits("timer", until=until))
    scripted_worker.turn(claims_complete("it is eight"))
    memory_goals.give("t", "Wait until eight")
    goal_clock.advance("1m")
    assert memory_goals.goal("t").status == "active"
    goal_clock.jump("9h")
    goal_clock.advance("1m")
    assert memory_goals.goal("t").status == "complete"
    assert "ClockAdjusted" in events(memory_goals)


# What people do, and how it is refused.


def test_what_is_refused_raises_with_its_hint(memory_goals: MemoryGoals) -> None:
    with pytest.raises(RequestRejected) as caught:
        memory_goals.pause("t")
    assert caught.value.code == "no_goal"
    assert caught.value.hint
    reply = memory_goals.send("t", e.PauseRequested())
    assert not reply.ok
    with pytest.raises(GoalError, match="has no goal"):
        memory_goals.goal("t")


def test_people_change_their_minds(
    memory_goals: MemoryGoals, scripted_worker: ScriptedWorker, goal_clock: GoalClock
) -> None:
    scripted_worker.rest(takes("10s"), says("a"))
    memory_goals.give("t", "One")
    goal_clock.advance("5s")
    memory_goals.edit("t", "Two")
    memory_goals.pause("t")
    goal_clock.advance("1m")
    assert len(scripted_worker.runs) == 1
    memory_goals.resume("t")
    goal_clock.advance("5s")
    assert "Two" in scripted_worker.prompts[1]
    memory_goals.give("t", "Three", replace=True)
    goal_clock.advance("5s")
    assert "Three" in scripted_worker.prompts[2]
    memory_goals.clear("t")
    goal_clock.advance("1m")
    assert memory_goals.session("t").goal is None
    assert len(scripted_worker.runs) == 3


def test_a_repeated_id_changes_nothing(
    memory_goals: MemoryGoals, scripted_worker: ScriptedWorker
) -> None:
    scripted_worker.turn(hangs())
    given = e.ObjectiveGiven(objective="Go on")
    first = memory_goals.send("t", given, "mine")
    assert memory_goals.send("t", given, "mine") == first
    assert events(memory_goals).count("ObjectiveGiven") == 1


# What an embedder registers.


def test_verifiers_and_callbacks_are_called(
    memory_goals: MemoryGoals, scripted_worker: ScriptedWorker
) -> None:
    entered: list[str] = []
    answers = iter(["two tests fail", True])
    memory_goals.configure(
        verifiers={"tests": lambda _goal, _claim: next(answers)},
        callbacks={"tell": lambda call: entered.append(call.status)},
        machine=default_machine().extended(on_enter={"complete": "tell"}),
    )
    scripted_worker.rest(claims_complete("they pass"))
    memory_goals.give("t", "Make the tests pass", verifiers=["tests"], criteria=())
    memory_goals.settle("t")
    assert "two tests fail" in scripted_worker.prompts[1]
    assert memory_goals.goal("t").status == "complete"
    assert entered == ["complete"]


def test_programs_are_functions_that_get_the_arguments(
    memory_goals: MemoryGoals, scripted_worker: ScriptedWorker
) -> None:
    called: list[tuple[str, ...]] = []

    async def make(argv: tuple[str, ...]) -> str | None:
        called.append(argv)
        return "2 failed" if len(called) == 1 else None

    memory_goals.configure(programs={"make": make})
    scripted_worker.rest(claims_complete("they pass"))
    memory_goals.give(
        "t", "Make the tests pass", verifiers=[Verifier(kind="command", argv=("make", "test"))]
    )
    memory_goals.settle("t")
    assert "2 failed" in scripted_worker.prompts[1]
    assert called == [("make", "test")] * 2
    assert memory_goals.goal("t").status == "complete"


def test_a_program_that_nobody_named_is_not_run(
    memory_goals: MemoryGoals, scripted_worker: ScriptedWorker, tmp_path: Path
) -> None:
    touched = tmp_path / "touched"
    verifier = Verifier(kind="command", argv=("touch", str(touched)))
    scripted_worker.rest(uses_tool(), claims_complete("done"))
    memory_goals.give("t", "Go on", verifiers=[verifier])
    memory_goals.run_until(lambda: bool(memory_goals.session("t").notices), within="1h")
    assert "touch does not exist in this test" in str(memory_goals.session("t"))
    assert not touched.exists()


def test_a_person_accepts_or_rejects(
    memory_goals: MemoryGoals, scripted_worker: ScriptedWorker, goal_clock: GoalClock
) -> None:
    scripted_worker.rest(claims_complete("look"))
    memory_goals.give("t", "Please me", verifiers=[Verifier(kind="person")])
    goal_clock.settle()
    memory_goals.reject("t", "more colour")
    goal_clock.settle()
    assert "more colour" in scripted_worker.prompts[1]
    memory_goals.accept("t")
    assert memory_goals.goal("t").status == "complete"


def test_a_policy_is_for_new_threads(
    memory_goals: MemoryGoals, scripted_worker: ScriptedWorker
) -> None:
    memory_goals.configure(policy=Policy(blocked_after=1))
    scripted_worker.turn(claims_blocked("no access"))
    memory_goals.give("t", "Go on")
    memory_goals.settle("t")
    assert memory_goals.goal("t").status == "blocked"
