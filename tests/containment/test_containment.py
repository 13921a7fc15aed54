"""Nothing runs away, and nothing stalls: every complaint within its cap, and with the right end."""

from __future__ import annotations

import functools

import pytest

from tests.containment import table
from tests.containment.scenario import SCENARIOS, Row, Scenario


@functools.cache
def played(scenario: Scenario) -> table.Played:
    """Play a scenario, once for all tests of this module: the page is made of the same rows."""
    (one,) = table.play([scenario])
    return one


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_complaint_is_contained(scenario: Scenario) -> None:
    """Each part costs no more than it may, and ends as it has to."""
    one = played(scenario)
    assert table.failures([one]) == []
    assert one.rows


def test_the_page_of_the_docs_is_fresh() -> None:
    """Make it anew with: python -m tests.containment --write."""
    page = table.markdown([played(scenario) for scenario in SCENARIOS])
    assert table.DOC.read_text(encoding="utf-8") == page


ROW = Row("part", 3, 4, 30_000, "complete", 3, 4, 30_000, "complete")


@pytest.mark.parametrize(
    "worse",
    [
        ROW._replace(continuations=4),
        ROW._replace(runs=5),
        ROW._replace(tokens=30_001),
        ROW._replace(ended="running a turn"),
    ],
)
def test_what_is_above_its_cap_is_told(worse: Row) -> None:
    """A row that is not contained is a failure that names its scenario."""
    scenario = Scenario("Runs away", "", lambda: iter(()), __name__)
    assert table.failures([table.Played(scenario, (ROW,))]) == []
    (told,) = table.failures([table.Played(scenario, (worse,))])
    assert told.startswith("Runs away, part: ")


def test_every_scenario_has_a_place_on_the_page() -> None:
    """A scenario of a module that the page does not list would be left out in silence."""
    assert {scenario.home for scenario in SCENARIOS} == set(table.HEADINGS)
    assert len({scenario.name for scenario in SCENARIOS}) == len(SCENARIOS)
