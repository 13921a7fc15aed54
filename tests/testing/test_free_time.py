"""Virtual time is free: beats are left out while nothing else happens, and nobody notices."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
import time_machine
from freezegun import freeze_time

from goalfsm.daemon.host.platform import beats_every
from goalfsm.errors import GoalError
from goalfsm.session import codec
from goalfsm.session import events as e
from goalfsm.testing import (
    GoalClock,
    LoopRunning,
    MemoryGoals,
    ScriptedWorker,
    Stalled,
    VirtualLoop,
    claims_complete,
    fails,
)

PERIOD_S = 2.0
WEEK_S = 7 * 86_400


class Beats:
    """Beats every two seconds, and does ``each`` every time."""

    def __init__(self, loop: VirtualLoop, each: Callable[[], object] = lambda: None) -> None:
        self.at: list[float] = []
        self._loop = loop
        self._each = each
        loop.call_later(PERIOD_S, self._beat)

    @beats_every(PERIOD_S)
    def _beat(self) -> None:
        self._loop.call_later(PERIOD_S, self._beat)
        self.at.append(round(self._loop.time(), 3))
        self._each()


def test_only_the_first_and_the_last_beat_of_a_wait_run(goal_clock: GoalClock) -> None:
    beats = Beats(goal_clock.loop)
    goal_clock.advance(WEEK_S + 1)
    assert beats.at == [2, WEEK_S]
    goal_clock.advance(2)
    assert beats.at == [2, WEEK_S, WEEK_S + 2]


def test_a_timer_finds_every_beat_before_it(goal_clock: GoalClock) -> None:
    beats = Beats(goal_clock.loop)
    seen: list[list[float]] = []
    goal_clock.loop.call_later(3601, lambda: seen.append(list(beats.at)))
    goal_clock.advance(7200)
    assert seen == [[2, 3600]]
    assert beats.at == [2, 3600, 3602, 7200]


def test_a_beat_that_finds_something_to_do_is_followed_by_the_next(goal_clock: GoalClock) -> None:
    left = [1, 2, 3]
    loop = goal_clock.loop
    beats = Beats(loop, lambda: left and loop.call_soon(left.pop))
    goal_clock.advance(3600)
    assert left == []
    assert beats.at == [2, 4, 6, 8, 3600]


def test_the_beats_of_two_are_left_out_together(goal_clock: GoalClock) -> None:
    first = Beats(goal_clock.loop)
    goal_clock.advance(1)
    second = Beats(goal_clock.loop)
    goal_clock.advance(99)
    assert (first.at, second.at) == ([2, 100], [3, 99])


def test_a_wait_for_a_beat_ends_at_that_beat(goal_clock: GoalClock) -> None:
    done = asyncio.Event()
    ticks = iter(range(100))
    beats = Beats(goal_clock.loop, lambda: next(ticks) >= 1 and done.set())
    goal_clock.run_until(done.is_set, within="1h")
    assert beats.at[-1] <= 3600


@pytest.mark.parametrize("run", ["advance", "settle"])
def test_a_week_of_quota_takes_few_beats(
    memory_goals: MemoryGoals, scripted_worker: ScriptedWorker, run: str
) -> None:
    scripted_worker.turn(fails("usage limit", status=429, retry_after="7d"))
    scripted_worker.turn(claims_complete("done"))
    memory_goals.give("t", "Go on")
    beaten: list[int] = []
    engine = memory_goals.engine
    heartbeat = engine._parts.heartbeat.store.owner
    say = heartbeat.heartbeat

    def count(*, uptime_ms: int, **said: int) -> None:
        beaten.append(uptime_ms)
        say(uptime_ms=uptime_ms, **said)

    heartbeat.heartbeat = count  # type: ignore[method-assign]
    if run == "settle":
        memory_goals.settle("t")
    else:
        memory_goals.clock.advance("7d 1m")
    assert memory_goals.goal("t").status == "complete"
    # Wake-ups look at the wall clock every hour; a beat before and one after each, not 302,400.
    assert len(beaten) <= 2 * 7 * 24 + 10


def test_settle_goes_on_through_a_pause_that_ends_by_itself(
    memory_goals: MemoryGoals, scripted_worker: ScriptedWorker, goal_clock: GoalClock
) -> None:
    scripted_worker.turn(fails("usage limit", status=429, retry_after="1d"))
    scripted_worker.turn(claims_complete("done"))
    memory_goals.give("t", "Go on")
    goal_clock.settle()
    assert memory_goals.goal("t").status == "paused"
    memory_goals.settle("t")
    assert memory_goals.goal("t").status == "complete"


def test_settle_stops_at_a_pause_that_only_a_person_ends(
    memory_goals: MemoryGoals, scripted_worker: ScriptedWorker, goal_clock: GoalClock
) -> None:
    scripted_worker.rest()
    memory_goals.give("t", "Go on")
    memory_goals.pause("t")
    before = goal_clock.now
    memory_goals.settle("t")
    assert goal_clock.now == before


def test_a_budget_is_changed_as_it_is_given(
    memory_goals: MemoryGoals, scripted_worker: ScriptedWorker
) -> None:
    scripted_worker.turn(claims_complete("done"))
    memory_goals.give("t", "Go on", tokens=7, time="1h")
    memory_goals.budget("t", tokens=5_000, cost=3)
    goal = memory_goals.goal("t")
    assert (goal.token_budget, goal.cost_budget, goal.time_budget_seconds) == (5_000, 3, 3_600)


def test_what_is_not_configured_again_stays(memory_goals: MemoryGoals) -> None:
    memory_goals.configure(programs={"make": lambda _: True}, max_runs=2)
    memory_goals.configure(verifiers={"looks": lambda *_: True})
    assert set(memory_goals.programs) == {"make"}
    assert set(memory_goals.verifiers) == {"looks"}
    assert memory_goals.max_runs == 2


def test_a_loop_has_a_limit_without_asking_for_one() -> None:
    async def polls() -> None:
        for _ in range(1_000):
            await asyncio.sleep(3_600)

    with asyncio.Runner(loop_factory=VirtualLoop) as runner, pytest.raises(Stalled, match="86400"):
        runner.run(polls())


def test_stalled_names_the_task_that_died(goal_clock: GoalClock) -> None:
    async def dies() -> None:
        raise RuntimeError("the daemon could not start")

    async def scenario() -> None:
        task = asyncio.create_task(dies(), name="the daemon")
        await asyncio.sleep(WEEK_S)
        await task

    with pytest.raises(Stalled, match=r"died:\n  the daemon: RuntimeError\('the daemon could"):
        goal_clock.run(scenario(), within="1h")
    goal_clock.forgive()


def test_a_task_that_died_and_was_forgotten_is_named_too(goal_clock: GoalClock) -> None:
    async def dies() -> None:
        raise RuntimeError("nobody holds me")

    async def scenario() -> None:
        asyncio.create_task(dies())  # noqa: RUF006  that nobody holds it is the point
        await asyncio.sleep(WEEK_S)

    with pytest.raises(Stalled, match="nobody holds me"):
        goal_clock.run(scenario(), within="1h")
    goal_clock.forgive()


def test_a_failure_that_somebody_looked_at_is_not_named(goal_clock: GoalClock) -> None:
    async def dies() -> None:
        raise RuntimeError("seen")

    async def scenario() -> None:
        task = asyncio.create_task(dies())
        with pytest.raises(RuntimeError):
            await task
        await asyncio.sleep(86_400)

    with pytest.raises(Stalled) as caught:
        goal_clock.run(scenario(), within="1h")
    assert "seen" not in caught.value.message


def test_inside_another_loop_the_clock_says_what_to_do() -> None:
    clock = GoalClock()

    async def inside() -> None:
        for use in (
            lambda: clock.advance("1h"),
            clock.settle,
            lambda: clock.run(asyncio.sleep(1)),
            lambda: clock.run_until(lambda: True),
        ):
            with pytest.raises(LoopRunning) as caught:
                use()
            assert "hand its coroutine to goal_clock.run()" in caught.value.hint

    asyncio.run(inside())
    clock.close()


def test_time_machine_is_the_wall_clock(goal_clock: GoalClock) -> None:
    with time_machine.travel("2026-07-01 12:00Z", tick=False) as traveller:
        goal_clock.advance("1h")
        assert f"{goal_clock.now:%Y-%m-%d %H:%M}" == "2026-07-01 13:00"
        traveller.shift(1800)
        assert f"{goal_clock.now:%H:%M}" == "13:30"
        goal_clock.jump(-1800)
        assert f"{goal_clock.now:%H:%M}" == "13:00"


def test_a_time_that_runs_on_is_refused(goal_clock: GoalClock) -> None:
    with time_machine.travel("2026-07-01", tick=True), pytest.raises(GoalError) as caught:
        goal_clock.advance("1h")
    assert caught.value.code == "time_ticks"
    assert "tick=False" in caught.value.hint


def test_two_libraries_that_hold_the_time_are_refused(goal_clock: GoalClock) -> None:
    with (
        time_machine.travel("2026-07-01", tick=False),
        freeze_time("2026-07-01", real_asyncio=True),
        pytest.raises(GoalError, match="both hold the time"),
    ):
        goal_clock.advance(1)


def test_what_was_said_without_a_reply_is_decided_at_the_next_beat(
    memory_goals: MemoryGoals, scripted_worker: ScriptedWorker, goal_clock: GoalClock
) -> None:
    """A row that another process left is found two seconds later, as in real time."""
    scripted_worker.turn(fails("usage limit", status=429, retry_after="7d"))
    scripted_worker.turn(claims_complete("done"))
    memory_goals.give("t", "Go on")
    goal_clock.advance("1d")
    other = memory_goals._handle()
    left = codec.encode_event(e.PauseRequested())
    other.inbox.put("left", "t", at_ms=goal_clock.now_ms, event=left)
    goal_clock.advance("2s")
    assert memory_goals.goal("t").pause_reason == "user"
