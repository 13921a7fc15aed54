"""Crashes at every point: they are found, they are survived, and what is not survived is told."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator

import msgspec
import pytest

from goalfsm import Policy
from goalfsm.session import codec
from goalfsm.session import events as e
from goalfsm.testing import (
    CrashPlan,
    CrashPoints,
    GoalClock,
    MemoryGoals,
    check_goals,
    claims_complete,
    fails,
    for_each_crash_point,
    hangs,
    says,
    takes,
    takes_steering,
    uses,
    uses_tool,
    waits,
)
from goalfsm.testing.clock import Crashed
from goalfsm.workers.protocol import TurnEvent


def short(goals: MemoryGoals) -> None:
    """Two turns: one works, one claims."""
    goals.worker.turn(says("a"), uses(output=10), takes("5s"))
    goals.worker.turn(claims_complete("done"))
    goals.give("t", "Go on")
    goals.settle("t")
    assert goals.goal("t").status == "complete"


def long(goals: MemoryGoals) -> None:
    """Retry, steering, a wait, a verifier that fails first, a callback, a second thread."""
    verdicts = iter(["not yet"])
    goals.configure(verifiers={"check": lambda _goal, _claim: next(verdicts, True)})
    goals.worker.turn(says("a"), uses(output=10), uses_tool(), thread="t")
    goals.worker.turn(fails("Overloaded", status=529), thread="t")
    goals.worker.turn(takes_steering("1m"), says("thanks"), thread="t")
    goals.worker.turn(waits("timer", "10m"), thread="t")
    goals.worker.turn(uses_tool(), claims_complete("done"), thread="t")
    goals.worker.turn(uses_tool(), claims_complete("done now"), thread="t")
    goals.worker.turn(uses_tool(), claims_complete("done, really"), thread="t")
    goals.worker.rest(takes("1m"), uses_tool(), uses(input=30))
    goals.give("t", "Go on", verifiers=["check"])
    goals.give("u", "Use the budget up", tokens=100)
    goals.clock.advance("8s")
    goals.steer("t", "use pytest")
    goals.run_until(lambda: goals.goal("t").status == "complete")
    goals.run_until(lambda: goals.session("u").wind_down == "done")
    assert goals.session("t").steering == ()
    assert goals.goal("u").limited_by == "tokens"


def test_points_are_listed_in_words(crash_points: CrashPoints) -> None:
    points = crash_points.list(short)
    assert [point.number for point in points] == list(range(1, len(points) + 1))
    said = [point.what for point in points]
    assert said[:2] == ["before the commit of ObjectiveGiven of t", *said[1:2]]
    for what in (
        "after the commit of ObjectiveGiven of t",
        "before the worker starts turn 1 of t",
        "after the worker told Text in turn 1 of t",
        "before the commit of UsageReported of t",
        "after the commit of ToolCalled of t",
    ):
        assert what in said, what
    before = Counter(what.removeprefix("before ") for what in said if what.startswith("before "))
    after = Counter(what.removeprefix("after ") for what in said if what.startswith("after "))
    commits = Counter({what: n for what, n in before.items() if what.startswith("the commit")})
    assert commits == Counter({w: n for w, n in after.items() if w.startswith("the commit")})


def test_two_runs_have_the_same_points(crash_points: CrashPoints) -> None:
    assert crash_points.list(long) == crash_points.list(long)


def test_every_crash_is_survived() -> None:
    ran: list[int] = []

    def scenario(goals: MemoryGoals) -> None:
        long(goals)
        ran.append(goals.lives)

    points = for_each_crash_point(scenario, start="2026-03-14 02:00")
    assert len(points) > 80
    assert len(ran) == len(points) + 1
    assert ran[0] == 1
    assert set(ran[1:]) == {2}


def test_two_crashes_are_survived(crash_points: CrashPoints) -> None:
    """The engine that was started after a crash dies as well, at each of its points."""
    lives: Counter[int] = Counter()

    def scenario(goals: MemoryGoals) -> None:
        goals.worker.turn(uses(output=10), claims_complete("done"))
        goals.give("t", "Go on")
        goals.settle("t")
        assert goals.goal("t").status == "complete"
        lives[goals.lives] += 1

    points = crash_points.for_each(scenario, crashes=2)
    assert lives[1] == 1
    assert lives[2] == len(points)
    assert lives[3] > len(points) * (len(points) - 1) / 2


def test_no_crash_is_no_test_of_crashes(crash_points: CrashPoints) -> None:
    with pytest.raises(ValueError, match="at least one crash"):
        crash_points.for_each(short, crashes=0)


def test_what_is_asked_is_asked_again_under_the_same_id(crash_points: CrashPoints) -> None:
    """A crash before and after the very first commit: the objective is given once."""

    def scenario(goals: MemoryGoals) -> None:
        short(goals)
        given = [row for row in goals.journal("t") if b"ObjectiveGiven" in row.event]
        assert len(given) == 1

    for number in (1, 2):
        plan = crash_points.run(scenario, number)
        assert plan.crashed_at[0].what.endswith("the commit of ObjectiveGiven of t")


def test_what_does_not_survive_says_where_and_how_to_see_it_again(
    crash_points: CrashPoints,
) -> None:
    def scenario(goals: MemoryGoals) -> None:
        short(goals)
        assert goals.lives == 1, "it was restarted"

    with pytest.raises(AssertionError, match="it was restarted") as caught:
        crash_points.for_each(scenario)
    assert caught.value.__notes__ == [
        "the engine crashed at point 1: before the commit of ObjectiveGiven of t",
        "to see it again: crash_points.run(scenario, 1)",
    ]


def test_a_failure_without_a_crash_is_only_itself(crash_points: CrashPoints) -> None:
    def scenario(goals: MemoryGoals) -> None:
        short(goals)
        raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match="mine") as caught:
        crash_points.for_each(scenario)
    assert not hasattr(caught.value, "__notes__")


def test_a_point_that_is_not_reached_is_an_error(crash_points: CrashPoints) -> None:
    with pytest.raises(AssertionError, match="no crash at point 1000"):
        crash_points.run(short, 1000)


def test_a_crash_while_starting_or_stopping_is_survived(crash_points: CrashPoints) -> None:
    """A scenario may kill and stop the engine itself; the points of all its lives count."""

    def scenario(goals: MemoryGoals) -> None:
        goals.worker.rest(takes("10s"), uses_tool(), uses(output=40))
        goals.give("t", "Go on", tokens=200)
        goals.clock.advance("15s")
        goals.restart(after="1m")
        goals.clock.advance("15s")
        goals.stop("5s")
        goals.clock.advance("1m")
        goals.start()
        goals.run_until(lambda: goals.session("t").wind_down == "done")

    assert len(crash_points.for_each(scenario)) > 40


def test_callbacks_and_verifiers_are_points(goal_clock: GoalClock) -> None:
    plan = CrashPlan()

    async def verifier(*_: object) -> bool:
        return True

    goals = MemoryGoals(goal_clock, plan=plan, verifiers={"v": verifier})
    goals.worker.turn(claims_complete("done"))
    goals.give("t", "Go on", verifiers=["v"])
    goals.settle("t")
    said = [point.what for point in plan.points]
    assert said.index("before verifier v") < said.index("after verifier v")
    goals.close()


def test_a_plan_dies_where_it_says() -> None:
    plan = CrashPlan(2)
    plan.reach("one")
    with pytest.raises(Crashed, match="2: two"):
        plan.reach("two")
    plan.reach("three")
    assert [str(point) for point in plan.crashed_at] == ["2: two"]
    plan.check()


# What is checked.


@pytest.fixture
def done(goal_clock: GoalClock) -> MemoryGoals:
    goals = MemoryGoals(goal_clock)
    short(goals)
    check_goals(goals)
    return goals


def test_a_state_that_does_not_follow_is_found(done: MemoryGoals) -> None:
    row = done.disk.journal["t"][3]
    done.disk.journal["t"][3] = msgspec.structs.replace(row, digest=b"another")
    with pytest.raises(AssertionError, match="gives another state") as caught:
        check_goals(done)
    assert caught.value.__notes__ == ["in thread 't'"]


def test_a_lost_row_is_found(done: MemoryGoals) -> None:
    del done.disk.journal["t"][3]
    with pytest.raises(AssertionError, match="goes on with row 5 where 4 belongs"):
        check_goals(done)


def test_a_thread_whose_policy_was_changed_is_healthy(goal_clock: GoalClock) -> None:
    """Its journal is decided again from the policy that it began with."""
    goals = MemoryGoals(goal_clock, policy=Policy(blocked_after=2))
    assert goals.send("t", e.PolicyChanged(changes={"blocked_after": 7})).ok
    short(goals)
    check_goals(goals)


def test_a_lost_end_is_found(done: MemoryGoals) -> None:
    del done.disk.journal["t"][-1]
    with pytest.raises(AssertionError, match="the snapshot is not where the journal ends"):
        check_goals(done)


def test_a_snapshot_from_nowhere_is_found(done: MemoryGoals) -> None:
    stored = done.disk.sessions["t"]
    session = msgspec.structs.replace(codec.decode(stored.state), notices=("x",))
    done.disk.sessions["t"] = msgspec.structs.replace(stored, state=codec.encode(session))
    with pytest.raises(AssertionError, match="the snapshot is not where the journal ends"):
        check_goals(done)


def test_a_run_that_was_started_twice_is_found(done: MemoryGoals) -> None:
    done.worker.runs.append(done.worker.runs[0])
    with pytest.raises(AssertionError, match="started twice"):
        check_goals(done)


def test_a_run_that_was_never_dispatched_is_found(done: MemoryGoals) -> None:
    run = done.worker.runs[0]
    work = msgspec.structs.replace(run.work, run_id="stray")
    done.worker.runs.append(msgspec.structs.replace(run, work=work))
    with pytest.raises(AssertionError, match="stray, never dispatched"):
        check_goals(done)


async def _next(events: AsyncGenerator[TurnEvent, None]) -> None:
    await anext(events)


def test_two_runs_of_a_thread_at_once_are_found(goal_clock: GoalClock) -> None:
    goals = MemoryGoals(goal_clock)
    goals.worker.rest(hangs())
    goals.give("t", "Go on")
    goal_clock.settle()
    process = goals.worker.process()
    work = goals.worker.runs[0].work

    async def twice() -> None:
        first, second = process.run(work), process.run(msgspec.structs.replace(work, run_id="b"))
        for events in (first, second):
            goal_clock.loop.create_task(_next(events))

    goal_clock.run(twice())
    goal_clock.settle()
    del goals.worker.runs[1:]
    with pytest.raises(AssertionError, match="two runs of a thread at once"):
        check_goals(goals)
    goals.close()
