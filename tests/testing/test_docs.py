"""The page on testing: every example on it is run, and it names everything there is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import goalfsm.testing
from goalfsm.testing import GoalClock, MemoryGoals, turns

pytest_plugins = "pytester"

PAGE = Path(__file__).parents[2] / "docs" / "testing.md"


def page() -> str:
    return PAGE.read_text(encoding="utf-8")


def examples() -> dict[str, str]:
    """Return the examples by the file name in their first line."""
    blocks = re.findall(r"^```python\n(.*?)^```$", page(), re.MULTILINE | re.DOTALL)
    named = [re.match(r"# (test_\w+\.py)\n", block) for block in blocks]
    assert all(named), "every example says which file it is"
    return {name[1]: block for name, block in zip(named, blocks, strict=True) if name}


def write(pytester: pytest.Pytester, *names: str) -> None:
    pytester.makeini("[pytest]\naddopts = --strict-markers --strict-config -p no:randomly\n")
    for name in names:
        pytester.path.joinpath(name).write_text(examples()[name], encoding="utf-8")


@pytest.mark.parametrize("name", sorted(examples()))
def test_an_example_runs_as_printed(pytester: pytest.Pytester, name: str) -> None:
    write(pytester, name)
    result = pytester.runpytest("-q", "-W", "error")
    outcomes = result.parseoutcomes()
    assert outcomes.keys() == {"passed"}, result.stdout.str()


def test_the_night_takes_no_time(pytester: pytest.Pytester) -> None:
    """Two hours take a fraction of a second; the bound leaves room for a busy machine."""
    write(pytester, "test_night.py")
    result = pytester.runpytest("-vv", "--durations=0", "-k", "outage_restart_and_quota")
    result.assert_outcomes(passed=1, deselected=1)
    taken = re.search(r"([\d.]+)s call +test_night", result.stdout.str())
    assert taken is not None
    assert float(taken[1]) < 3


def test_the_examples_together_report_their_coverage(pytester: pytest.Pytester) -> None:
    write(pytester, "test_first.py", "test_paths.py")
    result = pytester.runpytest("-q", "--goalfsm-coverage=3")
    result.stdout.re_match_lines([r"machine +rows +fired", r"payment +3 +3 +0 +100 %"])
    assert result.ret == pytest.ExitCode.OK


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


def test_the_page_names_every_step_and_every_verb() -> None:
    text = page()
    steps = [
        name
        for name, made in vars(turns).items()
        if not name.startswith("_")
        and name.islower()
        and getattr(made, "__module__", "") == turns.__name__
    ]
    verbs = [name for name in vars(MemoryGoals) if not name.startswith("_")]
    clock = [name for name in vars(GoalClock) if not name.startswith("_")]
    own = {"wall_ms", "uptime_ms", "run_surviving", "check", "forgive", "close"}
    own |= {"engine", "running"}
    missing = [
        name for name in (*steps, *verbs, *clock) if name not in own and f"{name}" not in text
    ]
    assert steps
    assert missing == []
