"""The pytest plugin: fixtures by installing the package, and the coverage of rows.

It imports nothing of goalfsm before a test asks for a fixture or the command line for coverage.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Collection, Iterator
from typing import TYPE_CHECKING, Any, Final, cast

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from goalfsm.testing.clock import GoalClock
    from goalfsm.testing.coverage import MachineCoverage
    from goalfsm.testing.crash_points import CrashPoints
    from goalfsm.testing.files import GoalFile
    from goalfsm.testing.goals import MemoryGoals
    from goalfsm.testing.scripted import ScriptedWorker

MARKER: Final = (
    'goal_clock(start): when the test\'s virtual time begins, like "02:00" or "2026-03-14 02:00"'
)
_COVERAGE: Final = "goalfsm-coverage"
_OUTPUT: Final = "goalfsm_coverage"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the coverage of rows to the command line."""
    group = parser.getgroup("goalfsm", "goalfsm")
    group.addoption(
        "--goalfsm-coverage",
        nargs="?",
        const=0.0,
        default=None,
        type=_percent,
        metavar="MIN",
        help="print which rows of the state machines fired; fail below MIN percent",
    )
    group.addoption(
        "--goalfsm-machine",
        action="append",
        default=[],
        metavar="NAME",
        help="with --goalfsm-coverage: count only this machine; repeatable",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Declare the marker; watch where that was asked for."""
    config.addinivalue_line("markers", MARKER)
    minimum = config.getoption("--goalfsm-coverage")
    if minimum is None and config.getoption("--goalfsm-machine"):
        raise pytest.UsageError("--goalfsm-machine needs --goalfsm-coverage")
    if minimum is not None:
        config.pluginmanager.register(_Coverage(config, minimum), _COVERAGE)


def _percent(text: str) -> float:
    try:
        minimum = float(text)
    except ValueError:
        minimum = -1.0
    if not 0 <= minimum <= 100:  # noqa: PLR2004  it is a percentage
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a percentage; write --goalfsm-coverage=90, and files before it"
        )
    return minimum


class _Coverage:
    """Watches a whole session and reports at its end; in a worker of xdist, hands it on."""

    def __init__(self, config: pytest.Config, minimum: float) -> None:
        from goalfsm.testing.coverage import MachineCoverage  # noqa: PLC0415  see the module

        self.counted = MachineCoverage(only=config.getoption("--goalfsm-machine"))
        self._minimum = minimum
        self._is_worker = hasattr(config, "workeroutput")
        self._watching = self.counted.watching()

    @property
    def _failed(self) -> bool:
        return bool(self.counted.unwatched) or self.counted.percent < self._minimum

    def pytest_sessionstart(self) -> None:
        """Begin to watch."""
        self._watching.__enter__()

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Stop to watch; fail the session below the minimum."""
        self._watching.__exit__(None, None, None)
        if self._is_worker:
            cast("Any", session.config).workeroutput[_OUTPUT] = self.counted.dump()
        elif self._failed and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Add what a worker of xdist counted."""
        self.counted.merge(getattr(node, "workeroutput", {}).get(_OUTPUT, {}))

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print the table."""
        from goalfsm.testing.coverage import shown, write_table  # noqa: PLC0415

        if self._is_worker:
            return
        terminalreporter.section("rows that fired")
        write_table(self.counted, terminalreporter.write_line)
        for name in self.counted.unwatched:
            said = f"no test watched {name!r}; machine_coverage.watch(machine, {name!r}) does"
            terminalreporter.write_line(f"FAIL: {said}", red=True, bold=True)
        if self.counted.percent < self._minimum:
            terminalreporter.write_line(
                f"FAIL: {shown(self.counted.percent)} of the rows fired, "
                f"{self._minimum:g} % are required",
                red=True,
                bold=True,
            )


@pytest.fixture
def goal_clock(request: pytest.FixtureRequest) -> Iterator[GoalClock]:
    """Give the test its own time: `goalfsm.testing.GoalClock`."""
    from goalfsm.testing.clock import GoalClock  # noqa: PLC0415

    clock = GoalClock(_start(request))
    yield clock
    try:
        clock.check()
    finally:
        clock.close()


@pytest.fixture
def scripted_worker(goal_clock: GoalClock) -> Iterator[ScriptedWorker]:
    """Give the test the worker that plays its turns: `goalfsm.testing.ScriptedWorker`."""
    from goalfsm.testing.scripted import ScriptedWorker  # noqa: PLC0415

    worker = ScriptedWorker(goal_clock)
    yield worker
    worker.check()


@pytest.fixture
def memory_goals(goal_clock: GoalClock, scripted_worker: ScriptedWorker) -> Iterator[MemoryGoals]:
    """Give the test an engine in memory: `goalfsm.testing.MemoryGoals`."""
    from goalfsm.testing.goals import MemoryGoals  # noqa: PLC0415

    goals = MemoryGoals(goal_clock, scripted_worker)
    yield goals
    try:
        goals.check()
        goal_clock.check()
    finally:
        goals.close()


@pytest.fixture
def goal_file(goal_clock: GoalClock, tmp_path: Path) -> Iterator[GoalFile]:
    """Give the test a database on disk for an engine of its own: `goalfsm.testing.GoalFile`."""
    from goalfsm.testing.files import GoalFile  # noqa: PLC0415

    file = GoalFile(goal_clock, tmp_path / "goals.db")
    yield file
    file.close()


@pytest.fixture
def crash_points(request: pytest.FixtureRequest) -> CrashPoints:
    """Give the test scenarios that crash at every point: `goalfsm.testing.CrashPoints`."""
    from goalfsm.testing.crash_points import CrashPoints  # noqa: PLC0415

    return CrashPoints(_start(request))


@pytest.fixture
def assert_journal(memory_goals: MemoryGoals) -> Callable[..., None]:
    """Give the test a comparison of a thread's journal with a text.

    ``assert_journal(thread, expected, every=False, only=())``; see `goalfsm.testing.journal`.
    """
    from goalfsm.testing.journal import assert_journal as compare  # noqa: PLC0415

    def check(
        thread: str, expected: str, *, every: bool = False, only: Collection[str] = ()
    ) -> None:
        __tracebackhide__ = True
        compare(memory_goals.journal(thread), expected, every=every, only=only)

    return check


@pytest.fixture
def machine_coverage(request: pytest.FixtureRequest) -> Iterator[MachineCoverage]:
    """Count the rows that fire in the test: `goalfsm.testing.MachineCoverage`."""
    from goalfsm.testing.coverage import MachineCoverage  # noqa: PLC0415

    session = request.config.pluginmanager.get_plugin(_COVERAGE)
    whole = session.counted if isinstance(session, _Coverage) else None
    with MachineCoverage(whole).watching() as coverage:
        yield coverage


def _start(request: pytest.FixtureRequest) -> Any:
    from goalfsm.testing.clock import START  # noqa: PLC0415

    marker = request.node.get_closest_marker("goal_clock")
    return START if marker is None else marker.args[0]
