"""Every recorded session, played against us: the same answers, but for what the page lists."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from goalfsm.appserver.goals import DEPARTURES
from tests.appserver.comparing import Difference, differences
from tests.appserver.playing import NAMES, play

DECLARED: dict[str, list[dict[str, Any]]] = json.loads(
    (Path(__file__).parent / "departures.json").read_text()
)
PAGE = Path(__file__).parents[2] / "docs" / "app-server.md"
NOT_RECORDED = ("An objective has at most",)
"""Departures that no recording shows; tests of their own do."""


@pytest.mark.parametrize("name", NAMES)
def test_a_session_is_answered_as_it_was_but_for_what_is_declared(name: str) -> None:
    declared = [Difference(tuple(one["recorded"]), tuple(one["ours"])) for one in DECLARED[name]]
    assert differences(*play(name)) == declared


def test_each_difference_is_a_departure_of_the_list_and_each_of_the_list_is_seen() -> None:
    seen = {text for found in DECLARED.values() for one in found for text in one["departures"]}
    assert all(one["departures"] for found in DECLARED.values() for one in found)
    unseen = [text for text in DEPARTURES if not text.startswith(NOT_RECORDED)]
    assert seen == set(unseen)


def test_the_page_lists_the_departures(capsys: pytest.CaptureFixture[str]) -> None:
    with capsys.disabled():
        sys.stdout.write("\nDepartures from the recorded sessions, on purpose:\n")
        sys.stdout.writelines(f"- {text}\n" for text in DEPARTURES)
    listed = PAGE.read_text(encoding="utf-8").partition("## Where it departs from Codex")[2]
    listed = listed.partition("\n## ")[0]
    assert [line[2:] for line in listed.splitlines() if line.startswith("- ")] == [*DEPARTURES]
