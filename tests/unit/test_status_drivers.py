"""The status of a thread, by who works on it and what keeps that one from going on."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from goalfsm.goal.accounting import Clock, Ledger
from goalfsm.goal.model import Usage
from goalfsm.session import Session
from goalfsm.session.state import Imported, Progress, SetAside, VerifierResult, Wait
from goalfsm.views.activity import suspended_by, unattended
from goalfsm.views.explain import explain
from goalfsm.views.parts import Driver
from goalfsm.views.status import project
from recovery.state import Attention, RecoveryState
from tests.unit.sessions import (
    CLAIM,
    COMMAND,
    NOW_MS,
    PERSON,
    RUN,
    active,
    with_goal,
)

ASKS = RecoveryState(attention=Attention(kind="paused", reason="invalid api key"))

GONE = Driver(pid=41, seen_ms=5)


def test_a_dead_engine_shows_no_running_turn_and_no_ticking_clock() -> None:
    session = replace(
        active(run=RUN, clock=Clock(goal_id="g", last_ms=NOW_MS - 60_000)),
        notices=(),
    )
    told = project(session, NOW_MS, driver=GONE)
    assert (told.activity_kind, told.activity) == ("unattended", "nobody works on this")
    assert told.detail == "process 41 has ended, turn 3 was running"
    assert (told.run, told.hint) == (None, "goalfsm run --thread THREAD")
    assert told.goal is not None
    assert told.goal.active_seconds == 0
    alive = project(session, NOW_MS, driver=Driver(pid=41, alive=True))
    assert alive.activity == "running a turn"
    assert alive.goal is not None
    assert alive.goal.active_seconds == 60


@pytest.mark.parametrize(
    ("session", "detail"),
    [
        (active(), "process 41 has ended, the next turn is due"),
        (active(waits=(Wait(kind="event"),)), "process 41 has ended, waiting on an event"),
        (
            active(waits=(Wait(kind="person", note="which colour?"),)),
            "process 41 has ended, waiting on a person: which colour?",
        ),
        (
            with_goal(active(claim=CLAIM), verifiers=(COMMAND,)),
            "process 41 has ended, verifying: 0 of 1 verifiers have answered",
        ),
        (
            with_goal(Session(wind_down="owed"), status="budgetLimited", limited_by="tokens"),
            "process 41 has ended",
        ),
    ],
)
def test_what_waits_for_an_engine_says_so_without_one(session: Session, detail: str) -> None:
    told = project(session, NOW_MS, driver=GONE)
    assert (told.activity_kind, told.detail) == ("unattended", detail)
    assert project(session, NOW_MS, driver=Driver()).detail == detail.removeprefix(
        "process 41 has ended"
    ).removeprefix(", ")


@pytest.mark.parametrize(
    ("driver", "detail", "hint"),
    [
        (
            Driver(place="build", nodes=()),
            "no node serves the place build, turn 3 was running",
            "goalfsm node DATABASE --places build",
        ),
        (
            Driver(nodes=()),
            "no program is stored for the thread, turn 3 was running",
            "goalfsm set --thread THREAD -- PROGRAM ARGS",
        ),
        (
            Driver(pid=7, node="n1", host="h1", place="any", nodes=("n2",)),
            "node n1 on h1 is silent, n2 takes over, turn 3 was running",
            "",
        ),
        (
            Driver(pid=7, node="n1", host="h1", place="any", nodes=()),
            "node n1 on h1 is silent, no node serves the place any, turn 3 was running",
            "goalfsm node DATABASE --places any",
        ),
    ],
)
def test_what_no_node_drives_says_why(driver: Driver, detail: str, hint: str) -> None:
    told = project(active(run=RUN), NOW_MS, driver=driver)
    assert (told.activity_kind, told.detail, told.hint) == ("unattended", detail, hint)
    assert explain(active(run=RUN), driver=driver).hint == hint


NEW = with_goal(continuations=0)
BROUGHT = Imported(goal_id="g", source="codex:01a2/359f", digest="d", at_ms=1)


@pytest.mark.parametrize("driver", [Driver(), GONE, Driver(pid=41, alive=True)])
def test_a_goal_that_nobody_was_named_for_is_not_said_to_go_on(driver: Driver) -> None:
    lacking = replace(driver, lacks_program=True)
    told = project(NEW, NOW_MS, driver=lacking)
    assert (told.activity_kind, told.activity) == ("unattended", "waits: no program")
    assert told.hint == "goalfsm run --thread THREAD -- PROGRAM ARGS"
    assert told.remedies == ()
    brought = replace(with_goal(NEW, status="paused", pause_reason="user"), imported=BROUGHT)
    told = project(brought, NOW_MS, driver=lacking)
    assert told.activity == "paused (user)"
    assert told.hint == "goalfsm run --thread THREAD --agent codex"
    other = replace(brought, imported=replace(BROUGHT, goal_id="before"))
    assert project(other, NOW_MS, driver=lacking).hint.endswith("-- PROGRAM ARGS")


@pytest.mark.parametrize(
    "session",
    [
        with_goal(continuations=1),
        with_goal(active(run=RUN), continuations=0),
        with_goal(continuations=0, status="complete"),
        Session(),
    ],
)
def test_somebody_does_without_a_stored_program_or_nobody_has_to(session: Session) -> None:
    driver = Driver(pid=41, alive=True, lacks_program=True)
    assert "no program" not in project(session, NOW_MS, driver=driver).activity


def test_thread_that_nodes_would_take_is_attended() -> None:
    told = project(active(), NOW_MS, driver=Driver(alive=True, place="any", nodes=("n1",)))
    assert told.activity == "continuing"


@pytest.mark.parametrize(
    "session",
    [
        Session(),
        with_goal(status="paused", pause_reason="user"),
        with_goal(status="budgetLimited", limited_by="tokens"),
        with_goal(active(claim=CLAIM), verifiers=(PERSON,)),
    ],
)
def test_what_waits_for_a_person_needs_no_engine(session: Session) -> None:
    assert project(session, NOW_MS, driver=GONE).activity_kind != "unattended"
    assert unattended(session, None) is None


def test_what_only_a_person_can_answer_is_not_said_to_be_verified() -> None:
    asked = with_goal(active(claim=CLAIM), verifiers=(PERSON,))
    told = project(asked, NOW_MS)
    assert (told.activity_kind, told.activity) == ("waiting", "waiting on a person")
    assert told.detail == "a completion claim is to be accepted or rejected"
    both = with_goal(active(claim=CLAIM), verifiers=(COMMAND, PERSON))
    assert project(both, NOW_MS).activity == "verifying"
    checked = replace(CLAIM, results=(VerifierResult(index=0, outcome="passed"),))
    both = with_goal(active(claim=checked), verifiers=(COMMAND, PERSON))
    assert project(both, NOW_MS).activity == "waiting on a person"


SILENT = Driver(pid=41, alive=True, answers=False)


def test_an_engine_that_does_not_answer_is_not_said_to_work() -> None:
    """It is stopped, or hangs: no time passes that anybody counts."""
    clock = Clock(goal_id="g", last_ms=NOW_MS - 60_000)
    told = project(active(run=RUN, clock=clock), NOW_MS, driver=SILENT)
    assert (told.activity_kind, told.activity) == ("unattended", "nobody works on this")
    assert told.detail == (
        "process 41 does not answer: it is stopped, or hangs, turn 3 was running"
    )
    assert told.hint == "goalfsm run --thread THREAD"
    assert told.goal is not None
    assert told.goal.active_seconds == 0


@pytest.mark.parametrize("driver", [GONE, SILENT, Driver()])
def test_a_pause_that_nobody_ends_by_itself_is_not_said_to_end(driver: Driver) -> None:
    """A used-up quota, or the end of an engine: somebody has to be there at its time."""
    quota = with_goal(
        status="paused", pause_reason="usage_limit", note="limit", resume_at_ms=NOW_MS + 9
    )
    told = project(quota, NOW_MS, driver=driver)
    assert (told.activity, told.until_ms, told.hint) == (
        "paused (usage_limit)",
        None,
        "goalfsm run --thread THREAD",
    )
    assert told.detail == "limit; nobody is there to take it up by itself"
    assert project(quota, NOW_MS).until_ms == NOW_MS + 9
    left = with_goal(status="paused", pause_reason="shutdown")
    assert project(left, NOW_MS, driver=driver).hint == "goalfsm run --thread THREAD"
    asked = with_goal(status="paused", pause_reason="user")
    assert project(asked, NOW_MS, driver=driver).hint == "goalfsm resume THREAD"


HELD = Driver(pid=41, alive=True, held="the store cannot commit")


def test_work_that_an_engine_keeps_from_going_on_is_suspended() -> None:
    told = project(active(), NOW_MS, driver=HELD)
    assert (told.activity_kind, told.activity) == ("unattended", "suspended")
    assert told.detail == "the store cannot commit"
    running = project(active(run=RUN), NOW_MS, driver=HELD)
    assert running.activity == "running a turn"
    assert running.detail == "turn 3; no turn follows, suspended: the store cannot commit"
    owed = with_goal(Session(wind_down="owed"), status="budgetLimited", limited_by="tokens")
    assert project(owed, NOW_MS, driver=HELD).activity == "suspended"
    for rests in (Session(), with_goal(status="complete"), with_goal(status="blocked")):
        assert project(rests, NOW_MS, driver=HELD).activity != "suspended"


def test_a_stopped_goal_whose_turn_still_runs_says_so() -> None:
    alive = Driver(pid=41, alive=True)
    for status, detail in (("complete", ""), ("paused", "somebody asked for it; ")):
        stopped = with_goal(active(run=RUN), status=status)
        told = project(stopped, NOW_MS, driver=alive)
        assert told.detail == f"{detail}turn 3 is still running"


def test_a_budget_that_can_never_be_used_up_is_named() -> None:
    cut_off = with_goal(token_budget=10, cost_budget=10, continuations=1)
    assert project(cut_off, NOW_MS).toothless == ()
    assert project(replace(cut_off, progress=Progress(empty=1)), NOW_MS).toothless
    silent = replace(cut_off, progress=Progress(last_answer="d1"))
    assert project(silent, NOW_MS).toothless == ("tokens", "cost")
    reports = replace(silent, ledger=Ledger(reported=Usage(output_tokens=1)))
    assert project(reports, NOW_MS).toothless == ("cost",)
    first = replace(cut_off, run=RUN)
    assert project(first, NOW_MS).toothless == ()
    assert project(Session(), NOW_MS).toothless == ()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("more", "claim c, when a person's message came: more"),
        ("", "claim c, when a person's message came"),
    ],
)
def test_a_claim_that_was_set_aside_is_named(text: str, told: str) -> None:
    aside = SetAside(claim_id="c", by="message", text=text, at_ms=1)
    assert project(Session(set_aside=aside), NOW_MS).set_aside == told


# What keeps its engine from writing.


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("disk_full", "the disk is full"),
        ("busy", "another process holds the database's lock"),
        ("cannot_write", "the disk or the file is read-only"),
        ("store_unavailable", "the disk fails"),
    ],
)
def test_a_suspended_engine_is_said_with_what_suspends_it(code: str, why: str) -> None:
    held = suspended_by(code)
    assert held.startswith(why)
    driver = Driver(pid=41, alive=True, held=held)
    for told in (
        project(active(), NOW_MS, driver=driver),
        project(active(), NOW_MS, held=held),
        explain(active(), driver=driver),
    ):
        assert (told.activity, told.detail) == ("suspended", held)
    running = project(active(run=RUN), NOW_MS, held=held)
    assert running.detail == f"turn 3; no turn follows, suspended: {held}"


@pytest.mark.parametrize(
    "session",
    [
        Session(),
        with_goal(status="paused", pause_reason="user"),
        with_goal(active(claim=CLAIM), verifiers=(PERSON,)),
    ],
)
def test_what_does_not_go_on_is_not_suspended(session: Session) -> None:
    assert project(session, NOW_MS, held="a reason") == project(session, NOW_MS)
    assert suspended_by("") == ""
