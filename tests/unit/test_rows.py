"""What is open in a thread, row by row."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from goalfsm.session import Session
from goalfsm.session.state import Blocking, Progress, Retry, SetAside, Steering, Wait
from goalfsm.views.parts import Driver
from goalfsm.views.rows import open_rows
from goalfsm.views.status import project
from recovery.state import Attention, RecoveryState
from tests.unit.sessions import CLAIM, NOW_MS, RUN, active, with_goal

AT = "2027-01-15 08:00:10 UTC"


def rows(session: Session, driver: Driver | None = None) -> list[tuple[str, str]]:
    return list(open_rows(project(session, NOW_MS, driver=driver)))


@pytest.mark.parametrize(
    ("driver", "said"),
    [
        (Driver(pid=7, alive=True, since_ms=NOW_MS), f"process 7, since {AT}"),
        (Driver(pid=7, alive=True), "process 7"),
        (Driver(pid=7, seen_ms=NOW_MS), f"nobody: process 7 has ended, last seen {AT}"),
        (Driver(pid=7), "nobody: process 7 has ended"),
        (Driver(), "nobody"),
    ],
)
def test_who_drives(driver: Driver, said: str) -> None:
    assert rows(active(), driver) == [("driven by", said)]


@pytest.mark.parametrize(
    ("open_", "row"),
    [
        ({"run": RUN}, ("run", "turn 3, since 2027-01-15 08:00:08 UTC")),
        ({"claim": CLAIM}, ("claim", "0 pieces of evidence, 0 of 0 verifiers passed")),
        ({"retry": Retry(attempts=2, reason="503")}, ("retries", "2: 503")),
        (
            {"blocking": Blocking(count=1, reason="no key")},
            ("blocker", "claimed 1 of 3 times: no key"),
        ),
        (
            {"set_aside": SetAside(claim_id="c", by="edit", at_ms=1)},
            ("set aside", "claim c, when a person changed the objective or its criteria"),
        ),
        (
            {"steering": (Steering(message_id="m", text="mind it", at_ms=1),)},
            ("message", "m, not taken into account yet: mind it"),
        ),
        (
            {"steering": (Steering(message_id="m", text="mind it", at_ms=1, carried_by="r"),)},
            ("message", "m, the running turn has it: mind it"),
        ),
        (
            {"recovery": RecoveryState(attention=Attention(kind="paused", reason="no key"))},
            ("attention", "no key"),
        ),
    ],
)
def test_what_is_open(open_: dict[str, Any], row: tuple[str, str]) -> None:
    assert row in rows(active(**open_))


def test_one_wait_is_the_activity_and_several_are_rows() -> None:
    timer = Wait(kind="timer", until_ms=NOW_MS, any=True)
    assert rows(active(waits=(timer,))) == []
    event = Wait(kind="event", note="the release")
    assert rows(active(waits=(timer, event))) == [
        ("waits for", f"a timer (its end is enough), until {AT}"),
        ("waits for", "an event: the release"),
    ]


def test_a_budget_that_can_never_be_used_up() -> None:
    said = ("budget", "of tokens can never be used up: the worker reports no such use")
    silent = with_goal(token_budget=10, continuations=2)
    assert said not in rows(silent)
    assert said in rows(replace(silent, progress=Progress(last_answer="d1")))
