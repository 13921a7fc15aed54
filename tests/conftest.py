"""Options that all tests share."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import structlog
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.postgres import PostgresServer

# What a test starts, it starts as it is installed: compiled once, not each time anew, and with the
# buffers that a stream has at a user's.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
os.environ.pop("PYTHONUNBUFFERED", None)
sys.dont_write_bytecode = False

# For every property: how fast a machine draws examples says nothing about what is tested.
settings.register_profile(
    "goalfsm",
    deadline=None,
    database=None,
    derandomize="GOALFSM_EXPLORE" not in os.environ,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
# Whoever has chosen another one, as the judge of mutants does, keeps it.
if settings.get_current_profile_name() in {"default", "ci"}:
    settings.load_profile("goalfsm")

VECTORS = Path(__file__).parent / "conformance" / "vectors"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--vectors",
        type=Path,
        default=VECTORS,
        metavar="DIR",
        help="folder of the conformance vectors (*.jsonl)",
    )
    parser.addoption(
        "--no-skips", action="store_true", help="fail when a test was skipped: nothing is missing"
    )


class _NoSkips:
    """Turns a run in which a test was skipped into a failed one."""

    def __init__(self) -> None:
        self.skipped: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.skipped and not hasattr(report, "wasxfail"):
            self.skipped.append(report.nodeid)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.skipped:
            self.skipped.append(report.nodeid)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self.skipped and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        for nodeid in self.skipped:
            terminalreporter.write_line(f"--no-skips: {nodeid} was skipped", red=True)


def pytest_configure(config: pytest.Config) -> None:
    # A shell starts what it puts into the background with SIGINT ignored, and whatever a test
    # starts would inherit that: an interrupt that a test sends would never arrive.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    # The same under nohup; a handler keeps this process from its end, and what it starts has none.
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, lambda _number, _frame: None)
    if config.getoption("--no-skips"):
        config.pluginmanager.register(_NoSkips(), "no-skips")


def pytest_runtest_setup() -> None:
    # A level that one test has set would keep the lines from another that reads them.
    structlog.reset_defaults()


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """Run one PostgreSQL for all tests that need one."""
    from tests.postgres import postgres_server  # noqa: PLC0415  most tests need none

    with postgres_server() as server:
        yield server


@pytest.fixture
def dsn(postgres: PostgresServer) -> str:
    """Return the address of a new database with our tables in it."""
    return postgres.create()


@pytest.fixture(scope="session", autouse=True)
def _tests_keep_their_own_servers() -> Iterator[None]:
    """Keep commands that run in this process from adopting, and ending, what tests have started."""
    from goalfsm.cli import hosting  # noqa: PLC0415  not before coverage counts

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hosting, "adopt_orphans", lambda: None)
        yield
