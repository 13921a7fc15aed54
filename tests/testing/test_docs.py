"""The page on testing: every example on it is run, and it names everything there is."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import msgspec
import pytest

import goalfsm.testing
from goalfsm.goal.model import Goal
from goalfsm.testing import GoalClock, MemoryGoals, turns
from goalfsm.testing.scripted import Played
from goalfsm.views.status import Status

pytest_plugins = "pytester"

DOCS = Path(__file__).parents[2] / "docs"
PAGES = ("testing.md", "testing-a-daemon.md")
MOST_LINES = 12
"""Longest test of a way back from trouble."""


def page() -> str:
    return "\n".join((DOCS / name).read_text(encoding="utf-8") for name in PAGES)


def examples() -> dict[str, str]:
    """Return the examples by the file name in their first line."""
    blocks = re.findall(r"^```python\n(.*?)^```$", page(), re.MULTILINE | re.DOTALL)
    named = [re.match(r"# (test_\w+\.py)\n", block) for block in blocks]
    assert all(named), "every example says which file it is"
    return {name[1]: block for name, block in zip(named, blocks, strict=True) if name}


def write(pytester: pytest.Pytester, *names: str) -> None:
    pytester.makeini(
        "[pytest]\naddopts = --strict-markers --strict-config -p no:randomly "
        "-p no:asyncio -p no:textual-snapshot\n"
    )
    for name in names:
        pytester.path.joinpath(name).write_text(examples()[name], encoding="utf-8")


@pytest.mark.parametrize("name", sorted(examples()))
def test_an_example_runs_as_printed(pytester: pytest.Pytester, name: str) -> None:
    write(pytester, name)
    result = pytester.runpytest("-q", "-W", "error")
    outcomes = result.parseoutcomes()
    assert outcomes.keys() == {"passed"}, result.stdout.str()


def test_every_way_back_is_a_short_test() -> None:
    # A function ends before the next line that begins at the margin; its signature may, too.
    functions = re.findall(
        r"^def .*?(?=^[^\s)]|\Z)", examples()["test_recovery.py"], re.MULTILINE | re.DOTALL
    )
    assert len(functions) == 8
    assert [each for each in functions if len(each.rstrip().splitlines()) > MOST_LINES] == []


@pytest.mark.parametrize("struct", [Goal, Played, Status])
def test_the_page_lists_what_there_is_to_look_at(struct: type[msgspec.Struct]) -> None:
    tables = "\n".join(line for line in page().splitlines() if line.startswith("|"))
    assert [name for name in struct.__struct_fields__ if f"`{name}`" not in tables] == []


NEVER_WAITS = """
import selectors
import time

def waited(*_):
    raise AssertionError("the test waited")

time.sleep = waited
selectors.DefaultSelector.select = waited
"""


def test_the_night_waits_for_nothing(pytester: pytest.Pytester) -> None:
    """Two hours pass without a single sleep, and without a look at a real selector."""
    write(pytester, "test_night.py")
    pytester.makeconftest(NEVER_WAITS)
    # In a process of its own: what is replaced there is not replaced here.
    result = pytester.runpytest_subprocess("-p", "no:timeout")
    result.assert_outcomes(passed=2)


def rows_of(table: str) -> dict[str, int]:
    """Return how many rows each machine has, as the printed table of coverage says."""
    found = re.findall(r"^ *([\w-]+) +(\d+) +\d+ +\d+ +[\d.]+ %$", table, re.MULTILINE)
    return {name: int(rows) for name, rows in found}


def test_the_examples_together_report_their_coverage(pytester: pytest.Pytester) -> None:
    write(pytester, "test_first.py", "test_paths.py")
    result = pytester.runpytest("-q", "--goalfsm-coverage=3")
    result.stdout.re_match_lines([r"machine +rows +fired", r"payment +3 +3 +0 +100 %"])
    assert result.ret == pytest.ExitCode.OK
    assert rows_of(page()) == rows_of(result.stdout.str())
    own = pytester.runpytest("-q", "--goalfsm-coverage=100", "--goalfsm-machine=payment")
    own.stdout.re_match_lines([r"payment +3 +3 +0 +100 %", r"all +3 +3 +0 +100 %"])
    assert own.ret == pytest.ExitCode.OK


def test_the_page_names_what_there_is() -> None:
    text = page()
    inside = {"CrashPlan", "CrashPoint", "CrashPoints", "Crashed", "MachineCoverage", "GoalClock"}
    inside |= {"Path", "Step", "TableCoverage", "TableRow", "ScriptedWorker"}
    missing = [
        name
        for name in goalfsm.testing.__all__
        if name not in inside and not re.search(rf"\b{name}\b", text)
    ]
    assert missing == []


def test_the_page_lists_what_a_goal_is_given_with() -> None:
    given = inspect.signature(MemoryGoals.give).parameters.values()
    keywords = [one.name for one in given if one.kind is one.KEYWORD_ONLY]
    assert f"`give(thread, objective, {'=, '.join(keywords)}=)`" in page()


def test_the_page_names_every_step_and_every_verb() -> None:
    text = page()
    steps = [
        name
        for name, made in vars(turns).items()
        if not name.startswith("_")
        and name.islower()
        and getattr(made, "__module__", "") == turns.__name__
    ]
    verbs = [name for name in dir(MemoryGoals) if not name.startswith("_")]
    clock = [name for name in vars(GoalClock) if not name.startswith("_")]
    own = {"wall_ms", "uptime_ms", "run_surviving", "check", "forgive", "close"}
    own |= {"engine", "running"}
    missing = [
        name for name in (*steps, *verbs, *clock) if name not in own and f"{name}" not in text
    ]
    assert steps
    assert missing == []
