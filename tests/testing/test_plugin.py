"""The plugin as a user's suite sees it: fixtures, marker, coverage, and silence where unused."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import entry_points
from typing import Any

import pytest

from goalfsm.testing import MachineCoverage, plugin
from goalfsm.testing.plugin import _Coverage

pytest_plugins = "pytester"

NIGHT = """
import pytest
from goalfsm.testing import claims_complete, says

@pytest.mark.goal_clock("02:00")
def test_night(memory_goals, scripted_worker, goal_clock, assert_journal, crash_points):
    assert f"{goal_clock.now:%H:%M}" == "02:00"
    scripted_worker.turn(says("a"), claims_complete("done"))
    memory_goals.give("night", "Go on")
    memory_goals.settle("night")
    assert_journal("night", "02:00 ObjectiveGiven *\\n...")
    assert len(crash_points.list(scenario)) > 5

def scenario(goals):
    goals.worker.turn(claims_complete("done"))
    goals.give("t", "Go on")
    goals.settle("t")
"""
LAMP = """
import pytest
from transitions import Machine
from goalfsm.testing import for_each_path

class Lamp(Machine):
    def __init__(self):
        super().__init__(states=["off", "on"], initial="off", auto_transitions=False)
        self.add_transition("press", "off", "on", conditions=["powered"])
        self.add_transition("press", "on", "off")

    def powered(self):
        return True

@for_each_path(Lamp)
def test_lamp(path, machine_coverage):
    lamp = Lamp()
    machine_coverage.watch(lamp, "lamp")
    path.walk(lamp)
    assert lamp.state == path.row.dest
"""


@pytest.fixture(autouse=True)
def _strict(pytester: pytest.Pytester) -> None:
    pytester.makeini(
        "[pytest]\naddopts = --strict-markers --strict-config -p no:randomly "
        "-p no:asyncio -p no:textual-snapshot\n"
    )


def test_it_is_installed_with_the_package() -> None:
    found = [one for one in entry_points(group="pytest11") if one.name == "goalfsm"]
    assert [one.load() for one in found] == [plugin]


def test_fixtures_appear_without_an_import(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(NIGHT)
    pytester.runpytest().assert_outcomes(passed=1)


def test_help_names_fixtures_marker_and_option(pytester: pytest.Pytester) -> None:
    fixtures = pytester.runpytest("--fixtures", "-q")
    for name in (
        "goal_clock",
        "scripted_worker",
        "memory_goals",
        "crash_points",
        "assert_journal",
        "machine_coverage",
    ):
        fixtures.stdout.re_match_lines_random([rf"{name} -- .*plugin.py:\d+", r" {4}\w+ .+\."])
    pytester.runpytest("--markers").stdout.fnmatch_lines(["@pytest.mark.goal_clock(start): *"])
    pytester.runpytest("--help").stdout.fnmatch_lines(["*--goalfsm-coverage=[[]MIN[]]*"])


def test_a_difference_of_journals_is_readable(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(NIGHT.replace("02:00 ObjectiveGiven *", "03:00 ObjectiveGiven *"))
    result = pytester.runpytest()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "E *the journal is another (- expected, + happened):",
            "E *- 03:00 *ObjectiveGiven *",
            "E *02:00:00 *RunDispatched run-1 *",
        ]
    )
    assert "plugin.py" not in result.stdout.str()


def test_a_missing_turn_fails_the_test_that_missed_it(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        def test_one(memory_goals):
            memory_goals.give("t", "Go on")
            memory_goals.settle("t")
            raise SystemError("this is not reached")

        def test_two(memory_goals, goal_clock):
            memory_goals.give("t", "Go on")
            goal_clock.loop.call_soon(goal_clock.loop.stop)
        """
    )
    result = pytester.runpytest("-p", "no:randomly")
    result.stdout.fnmatch_lines(
        [
            "E *NoTurn: run 1 has no turn: turn 1 of thread 't' *",
            "E *Hint: write one more turn, or say what all others do with rest()",
        ]
    )
    result.stdout.no_fnmatch_line("*SystemError: *")
    outcomes = result.parseoutcomes()
    assert outcomes.get("failed", 0) + outcomes.get("errors", 0) >= 1


def test_an_error_that_nobody_saw_fails_the_test(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        def test_clock(goal_clock):
            goal_clock.loop.call_later(1, lambda: 1 // 0)
            goal_clock.advance(2)

        def test_goals(goal_clock, memory_goals):
            goal_clock.loop.call_later(1, lambda: 1 // 0)
            goal_clock.advance(2)
        """
    )
    result = pytester.runpytest()
    result.assert_outcomes(passed=2, errors=2)
    result.stdout.fnmatch_lines(["E *failed where nobody looked:*"])


# Coverage.


def test_coverage_is_printed(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_night=NIGHT, test_lamp=LAMP)
    result = pytester.runpytest("--goalfsm-coverage")
    result.assert_outcomes(passed=3)
    result.stdout.re_match_lines(
        [
            r"=+ rows that fired =+",
            r"machine +rows +fired +missed +cover",
            r"goal +\d+ +[2-9] +\d+ +\d+(\.\d)? %",
            r"recovery +12 +0 +12 +0 %",
            r"stale-work +33 +\d+ +\d+ +.* %",
            r"lamp +2 +2 +0 +100 %",
            r"all +\d+ +\d+ +\d+ +.* %",
            r"rows that never fired:",
            r"  goal: .*",
        ]
    )


def test_coverage_below_the_minimum_fails(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(NIGHT)
    result = pytester.runpytest("--goalfsm-coverage=90")
    result.assert_outcomes(passed=1)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.re_match_lines([r"FAIL: .* of the rows fired, 90 % are required"])


def test_coverage_above_the_minimum_passes(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(NIGHT)
    result = pytester.runpytest("--goalfsm-coverage=0.5")
    assert result.ret == pytest.ExitCode.OK
    result.stdout.no_fnmatch_line("FAIL*")


def test_coverage_may_be_of_some_machines_alone(pytester: pytest.Pytester) -> None:
    """A user's threshold is one of the user's machines."""
    pytester.makepyfile(test_night=NIGHT, test_lamp=LAMP)
    result = pytester.runpytest("--goalfsm-coverage=100", "--goalfsm-machine=lamp")
    assert result.ret == pytest.ExitCode.OK
    result.stdout.re_match_lines(
        [r"lamp +2 +2 +0 +100 %", r"all +2 +2 +0 +100 %"], consecutive=True
    )
    result.stdout.no_re_match_line(r"(goal|recovery|stale-work) +\d")
    two = ["--goalfsm-machine=lamp", "--goalfsm-machine=recovery"]
    result = pytester.runpytest("--goalfsm-coverage=100", *two)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.re_match_lines([r"recovery +12 +0", r"lamp +2 +2", r"FAIL: 14.2 % of the rows"])


def test_a_machine_that_no_test_watched_fails(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(LAMP)
    result = pytester.runpytest("--goalfsm-coverage", "--goalfsm-machine=lmap")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["FAIL: no test watched 'lmap'; machine_coverage.watch(*"])
    refused = pytester.runpytest("--goalfsm-machine=lamp")
    assert refused.ret == pytest.ExitCode.USAGE_ERROR
    refused.stderr.fnmatch_lines(["*--goalfsm-machine needs --goalfsm-coverage*"])


def test_a_failing_suite_stays_a_failing_suite(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_one(): assert 0")
    assert pytester.runpytest("--goalfsm-coverage").ret == pytest.ExitCode.TESTS_FAILED
    pytester.makepyfile("")
    result = pytester.runpytest("--goalfsm-coverage=50")
    assert result.ret in {pytest.ExitCode.NO_TESTS_COLLECTED, pytest.ExitCode.TESTS_FAILED}


@pytest.mark.parametrize("minimum", ["x", "101", "-1", "tests"])
def test_a_minimum_that_is_none_is_refused(pytester: pytest.Pytester, minimum: str) -> None:
    result = pytester.runpytest(f"--goalfsm-coverage={minimum}")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"*'{minimum}' is not a percentage; write --goalfsm-coverage=90*"])


def test_workers_of_xdist_hand_on_what_they_counted(pytester: pytest.Pytester) -> None:
    """What a worker's session ends with is what the controlling session adds."""

    class Node:
        workeroutput: dict[str, Any]

    config: Any = pytester.parseconfig()
    config.workeroutput = {}
    worker, whole = _Coverage(config, 0), MachineCoverage()
    worker.counted.on_row("recovery", whole["recovery"].rows[0])
    worker.pytest_sessionstart()
    session: Any = Node()
    session.config, session.exitstatus = config, 0
    worker.pytest_sessionfinish(session)

    controlling = _Coverage(pytester.parseconfig(), 0)
    node = Node()
    node.workeroutput = config.workeroutput
    controlling.pytest_testnodedown(node)
    controlling.pytest_testnodedown(object())
    assert len(controlling.counted["recovery"].fired) == 1


# Suites that do not use it.

_LOADED = """
import sys

def test_one():
    ours = {name for name in sys.modules if name.partition(".")[0] in {"goalfsm", "recovery"}}
    light = {"goalfsm", "goalfsm.testing", "goalfsm.testing.plugin", "recovery", "recovery.lazy"}
    assert ours <= light, ours
    for heavy in ("apsw", "structlog", "transitions", "msgspec", "freezegun", "hypothesis"):
        assert heavy not in sys.modules, heavy
"""


def test_a_suite_that_does_not_use_it_does_not_load_it(pytester: pytest.Pytester) -> None:
    path = pytester.makepyfile(_LOADED)
    plugins = ["-p", "no:hypothesispytest", "-p", "no:randomly", "-p", "no:timeout"]
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *plugins, str(path)],
        capture_output=True,
        text=True,
        check=False,
        cwd=path.parent,
    )
    assert result.returncode == 0, result.stdout


def test_nobody_looks_on_without_coverage(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        from recovery.observers import OBSERVERS

        def test_one(memory_goals, goal_clock):
            assert not OBSERVERS

        def test_two(machine_coverage):
            assert OBSERVERS

        def test_three():
            assert not OBSERVERS
        """
    )
    # In a process of its own: this one may be watched itself.
    pytester.runpytest_subprocess().assert_outcomes(passed=3)
