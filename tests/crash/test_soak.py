"""A few hundred turns leave nothing behind; the long form is ``make soak``."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.crash.soak import EVERY, Sample, grown, soak


@pytest.mark.skipif(sys.platform != "linux", reason="it is read in /proc what a process holds")
def test_turns_leave_nothing_behind(tmp_path: Path) -> None:
    """The engine and its supervisor hold as much after the last turn as after the first ones."""
    samples = soak(tmp_path, 7 * EVERY)
    assert [sample.turn for sample in samples] == [turn * EVERY for turn in range(1, 8)]
    assert [each for each in grown(samples[:4]) if "_kb" in each] == []
    # What shortens the log opens a connection of its own when the log is first long enough.
    assert [each for each in grown(samples[3:]) if "_files" in each] == []


def test_what_grows_is_named() -> None:
    """A page for each turn, or a descriptor for each hundred, is too much."""
    flat = [Sample(turn, 40_000, 15, 10_000, 7) for turn in range(100, 2_100, 100)]
    assert grown(flat) == []
    leaking = [sample._replace(engine_kb=40_000 + 4 * sample.turn) for sample in flat]
    assert grown(leaking) == ["engine_kb: 42000 became 48000"]
    leaking = [sample._replace(supervisor_files=sample.turn // 100) for sample in flat]
    assert grown(leaking) == ["supervisor_files: 5 became 20"]
