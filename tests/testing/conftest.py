"""Suites that run inside a test share the kit's modules with it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import goalfsm.testing
from goalfsm.testing import MachineCoverage

# pytester takes out of sys.modules what a suite inside a test imported: loaded for the first time
# there, half of the kit would stay known here and the other half would be loaded a second time.
LOADED = [getattr(goalfsm.testing, name) for name in goalfsm.testing.__all__]


@pytest.fixture
def machine_coverage() -> Iterator[MachineCoverage]:
    """Count for one test alone: its half-covered machines are none of the session's business."""
    with MachineCoverage().watching() as coverage:
        yield coverage


@pytest.fixture
def pytester(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """Leave the plugin out here, too: what it loads survives no second import in one process."""
    monkeypatch.setenv("PYTEST_ADDOPTS", "-p no:langsmith_plugin")
    return pytester
