"""Targets are judged by what was measured, and by nothing else."""

from __future__ import annotations

from tests.bench import page
from tests.bench.harness import Section, figure
from tests.bench.targets import TARGETS, Target, judged

FAST = Target("fast", 1.0, "µs", "≤", "One", "ours")
FASTER = Target("faster", 20, "x", "≥", "One", "theirs", "ours")


def rows(ours: float, theirs: float) -> list[str]:
    """Return the judged rows of a section with two figures."""
    section = Section("One thing")
    section.figures += [figure("ours", [ours], "µs"), figure("theirs", [theirs], "µs")]
    return judged([section], (FAST, FASTER))[4:-1]


def test_what_holds_is_met_and_what_does_not_is_missed() -> None:
    """A bound may be a time or a ratio within the run."""
    assert rows(0.5, 10) == [
        "| fast | ≤ 1 µs | 0.5 µs | met |",
        "| faster | ≥ 20 x | 20 x | met |",
    ]
    assert rows(2, 10) == [
        "| fast | ≤ 1 µs | 2 µs | **missed** |",
        "| faster | ≥ 20 x | 5 x | **missed** |",
    ]


def test_what_was_not_measured_is_not_judged() -> None:
    """Part of the benchmark alone, or a peer that is not installed, gives fewer rows."""
    section = Section("One thing", [figure("ours", [1], "µs")])
    assert len(judged([section], (FAST, FASTER))) == 6
    assert len(judged([])) == 5
    assert len({target.what for target in TARGETS}) == len(TARGETS)


def test_the_page_shows_what_was_measured_last() -> None:
    """Nobody has written a figure by hand."""
    measured = page.kept()
    assert len(measured) > 20
    assert page.PAGE.read_text("utf-8") == page.rendered(measured)
