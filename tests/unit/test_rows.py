"""What is open in a thread, row by row."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from goalfsm.goal.model import Evidence
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
        (Driver(pid=7, alive=True, answers=False), "process 7, which does not answer"),
        (Driver(pid=7, seen_ms=NOW_MS), f"nobody: process 7 has ended, last seen {AT}"),
        (Driver(pid=7), "nobody: process 7 has ended"),
        (Driver(), "nobody"),
    ],
)
def test_who_drives(driver: Driver, said: str) -> None:
    assert rows(active(), driver) == [("driven by", said)]


NODE: dict[str, Any] = {"pid": 7, "node": "n1", "host": "h1", "place": "build"}


@pytest.mark.parametrize(
    ("driver", "by", "place"),
    [
        (
            Driver(**NODE, alive=True, since_ms=NOW_MS, nodes=("n1", "n2"), free=3),
            f"node n1 on h1, process 7, since {AT}",
            "build, where 3 more turns may run",
        ),
        (
            Driver(**NODE, alive=True, nodes=("n1",)),
            "node n1 on h1, process 7",
            "build, where no more turns may run now",
        ),
        (
            Driver(**NODE, seen_ms=NOW_MS, nodes=("n2", "n3"), free=1),
            f"nobody: node n1 on h1, process 7, is silent, last seen {AT}; n2 or n3 takes over",
            "build, where 1 more turn may run",
        ),
        (
            Driver(**NODE, nodes=()),
            "nobody: node n1 on h1, process 7, is silent; no node serves the place build",
            "build, which no node serves",
        ),
        (
            Driver(alive=True, place="any", nodes=("n1", "n2"), free=2),
            "n1 or n2: no turn runs",
            "any, where 2 more turns may run",
        ),
        (
            Driver(place="any", nodes=()),
            "nobody: no node serves the place any",
            "any, which no node serves",
        ),
        (Driver(nodes=()), "nobody: no program is stored for the thread", None),
    ],
)
def test_which_node_drives(driver: Driver, by: str, place: str | None) -> None:
    said = [("driven by", by)] + ([] if place is None else [("place", place)])
    assert rows(active(), driver) == said


@pytest.mark.parametrize(
    ("open_", "row"),
    [
        ({"run": RUN}, ("run", "turn 3, since 2027-01-15 08:00:08 UTC")),
        ({"claim": CLAIM}, ("claim", "0 pieces of evidence, 0 of 0 verifiers passed")),
        (
            {"claim": replace(CLAIM, evidence=(Evidence(text="seen"),))},
            ("claim", "1 piece of evidence, 0 of 0 verifiers passed"),
        ),
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


def test_what_no_turn_has_read_of_a_goal_that_is_over() -> None:
    status = replace(project(active(), NOW_MS), left_unread=("mind the gap",))
    assert ("unread", "taken into account by no turn: mind the gap") in list(open_rows(status))


def test_messages_that_no_turn_has_got_yet() -> None:
    """Those that the running turn has, and what is no message, are left out."""
    steering = (
        Steering(message_id="a", text="first", at_ms=1, carried_by="r"),
        Steering(message_id="b", text="second", at_ms=2),
    )
    assert project(active(steering=steering), NOW_MS).waiting_messages == ("second",)


def test_a_process_on_a_host_without_a_node_is_told() -> None:
    driver = Driver(place="any", nodes=("n1",), alive=True, free=1, unwatched=("h2",))
    assert rows(active(), driver)[-1] == (
        "unwatched",
        "a process on h2, where no node is: nobody sees its end",
    )


def test_the_file_with_the_record_is_named() -> None:
    status = replace(project(Session(), NOW_MS), record="/r/t-g.md")
    assert ("record", "/r/t-g.md") in list(open_rows(status))
