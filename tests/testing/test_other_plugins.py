"""The kit beside the plugins that people have: asynchronous tests, other orders, other clocks."""

from __future__ import annotations

import pytest

pytest_plugins = "pytester"

QUIET = "-p no:randomly -p no:textual-snapshot -p no:timeout"
INI = "[pytest]\naddopts = --strict-markers\nasyncio_default_fixture_loop_scope = function\n"
GOAL = """
import asyncio
import pytest
from goalfsm.testing import GoalClock, LoopRunning, claims_complete

def test_plain(memory_goals, scripted_worker):
    scripted_worker.turn(claims_complete("done"))
    memory_goals.give("t", "Go on")
    memory_goals.settle("t")
    assert memory_goals.goal("t").status == "complete"

MARK
async def test_inside_a_loop():
    clock = GoalClock()
    with pytest.raises(LoopRunning) as refused:
        clock.advance("1h")
    assert "goal_clock.run()" in refused.value.hint

MARK
async def test_with_the_fixture(goal_clock):
    with pytest.raises(LoopRunning):
        goal_clock.run(asyncio.sleep(1))
"""


def run(pytester: pytest.Pytester, text: str, options: str) -> pytest.RunResult:
    pytester.makeini(INI)
    pytester.makepyfile(text)
    return pytester.runpytest_subprocess(*QUIET.split(), *options.split())


@pytest.mark.parametrize(
    ("mark", "options"),
    [
        ("@pytest.mark.asyncio", "-p no:anyio --asyncio-mode=strict"),
        ("", "-p no:anyio --asyncio-mode=auto"),
        ("@pytest.mark.anyio", "--asyncio-mode=strict"),
    ],
    ids=["asyncio strict", "asyncio auto", "anyio"],
)
def test_asynchronous_tests_are_told_what_to_do(
    pytester: pytest.Pytester, mark: str, options: str
) -> None:
    pytester.makeconftest(
        "import pytest\n@pytest.fixture\ndef anyio_backend():\n    return 'asyncio'\n"
    )
    run(pytester, GOAL.replace("MARK", mark), options).assert_outcomes(passed=3)


def test_workers_of_xdist_have_a_clock_each(pytester: pytest.Pytester) -> None:
    text = """
import pytest
from goalfsm.testing import claims_complete, takes

@pytest.mark.parametrize("hours", [1, 2, 3, 4])
def test_hours(memory_goals, scripted_worker, goal_clock, goal_file, hours):
    scripted_worker.turn(takes(f"{hours}h"), claims_complete("done"))
    memory_goals.give("t", "Go on")
    memory_goals.settle("t")
    assert goal_clock.now.hour == hours
    assert memory_goals.goal("t").active_seconds == hours * 3600
"""
    run(pytester, text, "-n 2").assert_outcomes(passed=4)


@pytest.mark.parametrize("seed", [1, 2])
def test_no_order_matters(pytester: pytest.Pytester, seed: int) -> None:
    text = """
import random
from goalfsm.testing import claims_complete, fails

seen = []

def play(memory_goals, scripted_worker):
    scripted_worker.turn(fails("Overloaded", status=529)).turn(claims_complete("done"))
    memory_goals.give("t", "Go on")
    memory_goals.settle("t")
    seen.append([row.at_ms for row in memory_goals.journal("t")])
    assert len(seen[-1]) > 5 and seen[-1] == seen[0]

def test_a(memory_goals, scripted_worker):
    play(memory_goals, scripted_worker)

def test_b(memory_goals, scripted_worker):
    random.random()
    play(memory_goals, scripted_worker)

def test_c(memory_goals, scripted_worker):
    play(memory_goals, scripted_worker)
"""
    pytester.makeini(INI)
    pytester.makepyfile(text)
    result = pytester.runpytest_subprocess(
        *QUIET.split()[2:], "-p", "randomly", f"--randomly-seed={seed}"
    )
    result.assert_outcomes(passed=3)


FREEZING = """
from datetime import datetime

import pytest
from freezegun import freeze_time

@pytest.fixture
def freezer():
    "As the plugins of freezegun give it."
    with freeze_time("2026-07-01 12:00") as frozen:
        yield frozen

def test_the_freezer_moves_with_the_clock(freezer, goal_clock):
    goal_clock.advance("1h")
    assert datetime.now().hour == 13
    freezer.tick(60)
    assert goal_clock.now.minute == 1
    freezer.move_to("2026-07-02 08:00")
    assert (goal_clock.now.day, goal_clock.now.hour) == (2, 8)

@freeze_time("2026-07-01 12:00", tick=True, real_asyncio=True)
def test_a_time_that_ticks_is_refused(goal_clock):
    with pytest.raises(Exception, match="ticks with the real time") as refused:
        goal_clock.advance("1h")
    assert "tick=True" in refused.value.hint

def test_time_machine(time_machine, goal_clock):
    time_machine.move_to("2026-07-01 12:00+00:00", tick=False)
    goal_clock.advance("90m")
    assert f"{datetime.now():%H:%M}" == "13:30"
    time_machine.shift(60)
    assert f"{goal_clock.now:%H:%M}" == "13:31"
"""


def test_fixtures_that_freeze_the_time_move_with_the_clock(pytester: pytest.Pytester) -> None:
    run(pytester, FREEZING, "").assert_outcomes(passed=3)
