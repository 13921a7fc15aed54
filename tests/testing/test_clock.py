"""The clock of a test: wall clock and loop together, alone or with freezegun."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from math import inf, nan

import pytest
from freezegun import freeze_time

from goalfsm.errors import GoalError
from goalfsm.testing.clock import Crashed, GoalClock, Unhandled
from goalfsm.testing.times import TimeInvalid
from goalfsm.testing.waiting import Deadlock, Stalled


@pytest.fixture
def clock() -> Iterator[GoalClock]:
    made = GoalClock("2026-03-14 02:00")
    yield made
    made.close()


def at(hour: int, minute: int = 0, second: int = 0) -> datetime:
    return datetime(2026, 3, 14, hour, minute, second, tzinfo=UTC)


def test_every_test_begins_at_the_same_moment() -> None:
    clock = GoalClock()
    assert clock.now == datetime(2026, 1, 1, tzinfo=UTC)
    clock.close()


def test_time_passes_only_when_it_is_told_to(clock: GoalClock) -> None:
    assert clock.now == at(2)
    clock.advance("90s")
    assert clock.now == at(2, 1, 30)
    clock.advance(hours=1, minutes=1)
    assert clock.now == at(3, 2, 30)
    clock.advance(timedelta(seconds=0.25))
    assert clock.now_ms == round(at(3, 2, 30).timestamp() * 1000) + 250
    assert clock.wall_ms() == clock.now_ms
    assert clock.uptime_ms() == 3_750_250


def test_advance_to_a_time_of_day_is_the_next_one(clock: GoalClock) -> None:
    clock.advance_to("03:00")
    assert clock.now == at(3)
    clock.advance_to("02:00")
    assert clock.now == at(2) + timedelta(days=1)
    with pytest.raises(ValueError, match="backwards"):
        clock.advance_to("2026-03-14 02:00")


@pytest.mark.parametrize("wrong", [nan, inf, 1e300])
def test_time_does_not_pass_by_what_is_no_duration(clock: GoalClock, wrong: float) -> None:
    for attempt in (
        lambda: clock.advance(wrong),
        lambda: clock.advance(hours=wrong),
        lambda: clock.jump(wrong),
        lambda: clock.advance_to(wrong),
        lambda: clock.run_until(lambda: True, within=wrong),
    ):
        with pytest.raises(TimeInvalid, match=re.escape(str(wrong))) as caught:
            attempt()
        assert caught.value.hint
    assert clock.uptime_ms() == 0


def test_sleeps_end_in_order_while_time_passes(clock: GoalClock) -> None:
    woke: list[tuple[str, datetime]] = []

    async def sleep(name: str, seconds: float) -> None:
        await asyncio.sleep(seconds)
        woke.append((name, clock.now))

    for name, seconds in (("b", 1800), ("a", 600), ("c", 7200)):
        clock.loop.create_task(sleep(name, seconds))
    clock.settle()
    clock.advance("1h")
    assert woke == [("a", at(2, 10)), ("b", at(2, 30))]
    clock.advance("1h")
    assert woke[2:] == [("c", at(4))]


def test_run_lets_time_pass_by_itself(clock: GoalClock) -> None:
    assert clock.run(asyncio.sleep(3600, "slept")) == "slept"
    assert clock.now == at(3)
    with pytest.raises(Deadlock):
        clock.run(asyncio.Event().wait())
    with pytest.raises(Stalled):
        clock.run(asyncio.sleep(120), within="1m")


def test_run_until_stops_when_it_has_happened(clock: GoalClock) -> None:
    clock.loop.call_later(600, lambda: None)
    clock.loop.call_later(1200, lambda: None)
    clock.run_until(lambda: clock.now > at(2))
    assert clock.now == at(2, 10)


def test_the_wall_clock_can_be_set_without_time_passing(clock: GoalClock) -> None:
    fired: list[datetime] = []
    clock.loop.call_later(60, lambda: fired.append(clock.now))
    clock.jump("1h")
    assert clock.now == at(3)
    assert clock.uptime_ms() == 0
    clock.jump(-7200)
    clock.advance("1m")
    assert fired == [at(1, 1)]


def test_what_nobody_looked_at_fails_the_test(clock: GoalClock) -> None:
    clock.loop.call_soon(lambda: 1 // 0)
    clock.settle()
    with pytest.raises(Unhandled, match="ZeroDivisionError"):
        clock.check()
    clock.check()


def test_a_crash_without_anybody_to_go_on_is_raised(clock: GoalClock) -> None:
    def die() -> None:
        raise Crashed("here")

    clock.loop.call_later(1, die)
    with pytest.raises(Crashed):
        clock.advance("2s")


def test_time_goes_on_after_a_crash_that_somebody_buries(clock: GoalClock) -> None:
    died: list[datetime] = []

    def die() -> None:
        raise Crashed("here")

    clock.on_crash(lambda _: died.append(clock.now))
    clock.loop.call_later(60, die)
    clock.loop.call_later(120, die)
    clock.advance("1h")
    assert died == [at(2, 1), at(2, 2)]
    assert clock.now == at(3)


# With freezegun.


@pytest.mark.parametrize("real_asyncio", [True, False])
def test_frozen_time_is_the_wall_clock_and_moves_with_the_loop(
    clock: GoalClock, *, real_asyncio: bool
) -> None:
    seen: list[tuple[float, datetime]] = []

    async def look() -> None:
        await asyncio.sleep(1800)
        seen.append((time.time(), datetime.now(UTC)))

    with freeze_time("2026-07-01 12:00", real_asyncio=real_asyncio):
        assert clock.now == datetime(2026, 7, 1, 12, tzinfo=UTC)
        clock.loop.create_task(look())
        clock.settle()
        clock.advance("1h")
        assert datetime.now(UTC) == clock.now == datetime(2026, 7, 1, 13, tzinfo=UTC)
    half = datetime(2026, 7, 1, 12, 30, tzinfo=UTC)
    assert seen == [(half.timestamp(), half)]


def test_a_tick_of_freezegun_sets_the_wall_clock(clock: GoalClock) -> None:
    with freeze_time("2026-07-01 12:00", real_asyncio=True) as frozen:
        clock.advance("1m")
        frozen.tick(timedelta(hours=1))
        assert clock.now == datetime(2026, 7, 1, 13, 1, tzinfo=UTC)
        assert clock.uptime_ms() == 60_000
        clock.jump(-3600)
        assert datetime.now(UTC) == datetime(2026, 7, 1, 12, 1, tzinfo=UTC)


def test_the_clock_stays_where_freezegun_left_it(clock: GoalClock) -> None:
    with freeze_time("2026-07-01 12:00", real_asyncio=True):
        clock.advance("1m")
    assert clock.now == datetime(2026, 7, 1, 12, 1, tzinfo=UTC)


def test_a_ticking_freezegun_is_refused(clock: GoalClock) -> None:
    with (
        freeze_time("2026-07-01 12:00", tick=True, real_asyncio=True),
        pytest.raises(GoalError, match="ticks with the real time") as caught,
    ):
        clock.advance("1m")
    assert "tick=True" in caught.value.hint


LEFT_OPEN = """
import asyncio
from goalfsm.testing import GoalClock, MemoryGoals, ScriptedWorker, takes

async def tidies_up():
    try:
        await asyncio.sleep(1000)
    finally:
        await asyncio.sleep(0)
        print("tidied up")

clock = GoalClock()
worker = ScriptedWorker(clock)
worker.turn(takes("1h"))
goals = MemoryGoals(clock, worker)
goals.give("t", "Count the stock")
task = clock.loop.create_task(tidies_up())
clock.advance("5m")
"""


def test_a_script_that_leaves_its_clock_open_ends_in_order() -> None:
    """What still runs is cancelled, as by `close`, and nothing is told of a loop that is gone."""
    ended = subprocess.run(
        [sys.executable, "-X", "dev", "-c", LEFT_OPEN], capture_output=True, text=True, check=True
    )
    assert (ended.stdout, ended.stderr) == ("tidied up\n", "")
