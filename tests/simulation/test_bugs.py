"""The simulation bites: bugs that are switched on are found, each within so many seeds."""

from __future__ import annotations

import pytest

from tests.simulation.bugs import BUGS, switched_on
from tests.simulation.command import run, shows
from tests.simulation.drawing import draw


@pytest.mark.parametrize("name", BUGS)
def test_this_bug_is_found(name: str) -> None:
    """A world fails within the number of seeds that is stated for the bug."""
    with switched_on(name):
        assert any(shows(draw(seed)) for seed in BUGS[name].seeds), BUGS[name].says


def test_bugs_are_gone_when_they_are_switched_off() -> None:
    """What one test has patched does not stay."""
    for name in BUGS:
        with switched_on(name):
            pass
    assert run(draw(1))[1] is None
