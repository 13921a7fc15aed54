"""The status in a few words: what goes on, how long, and the fullest budget; nothing foreign."""

from __future__ import annotations

from typing import get_args

import pytest

from goalfsm.session import Session
from goalfsm.session.state import Wait
from goalfsm.views.activity import ActivityKind
from goalfsm.views.chip import COLOURS, MARKS, Chip, chip, tmux
from goalfsm.views.parts import Driver
from goalfsm.views.status import project
from tests.unit.sessions import ACTIVE, CLAIM, NOW_MS, RUN, active, with_goal

TIMER = Wait(kind="timer", until_ms=NOW_MS + 150_000)


@pytest.mark.parametrize(
    ("session", "text", "colour"),
    [
        (Session(), "○ no goal", "default"),
        (ACTIVE, "▶ continuing · 0 % of turns", "green"),
        (active(run=RUN), "▶ turn 3 · 0 % of turns", "green"),
        (active(claim=CLAIM), "◆ verifying · 0 % of turns", "cyan"),
        (active(waits=(TIMER,)), "… waiting on a timer · 2m 30s to go · 0 % of turns", "yellow"),
        (with_goal(status="complete", continuations=7), "✓ complete", "green"),
        (with_goal(max_continuations=0), "▶ continuing", "green"),
        (
            with_goal(token_budget=1000, tokens_used=620, continuations=9),
            "▶ continuing · 62 % of tokens",
            "green",
        ),
        (
            with_goal(time_budget_seconds=60, active_seconds=59, cost_budget=10, cost_used=9),
            "▶ continuing · 98 % of time",
            "green",
        ),
    ],
)
def test_what_the_chip_says(session: Session, text: str, colour: str) -> None:
    assert chip(project(session, NOW_MS), NOW_MS) == Chip(text, colour)


def test_a_wait_that_is_over_says_no_time() -> None:
    status = project(active(waits=(TIMER,)), NOW_MS)
    shown = chip(status, NOW_MS + 150_000).text
    assert shown == "… waiting on a timer · goalfsm wake · 0 % of turns"


def test_nobody_works() -> None:
    status = project(active(run=RUN), NOW_MS, driver=Driver(pid=7))
    assert chip(status, NOW_MS) == Chip(
        "! nobody works on this · goalfsm run · 0 % of turns", "red"
    )


def test_what_people_and_models_write_is_not_in_it() -> None:
    said = "#[fg=red]#(rm)\n"
    session = with_goal(status="blocked", note=said, objective=said)
    assert (
        chip(project(session, NOW_MS), NOW_MS).text == "■ blocked · goalfsm resume · 0 % of turns"
    )


def test_every_activity_has_a_sign_and_a_colour() -> None:
    assert MARKS.keys() == COLOURS.keys() == set(get_args(ActivityKind))
    assert all(len(mark) == 1 for mark in MARKS.values())


def test_tmux_draws_the_colour() -> None:
    assert tmux(Chip("✓ complete", "green")) == "#[fg=green]✓ complete#[default]"


def test_a_turn_under_an_engine_that_starts_no_other_one_is_marked() -> None:
    driver = Driver(pid=7, alive=True, held="the disk is full")
    shown = chip(project(active(run=RUN), NOW_MS, driver=driver), NOW_MS)
    assert shown.text == "▶ turn 3 · suspended · 0 % of turns"
