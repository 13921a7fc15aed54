"""Which program does a turn, by what is left of the goal's budgets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from goalfsm.daemon.remote.narrating import told
from goalfsm.goal.model import Limits
from goalfsm.session import Policy
from goalfsm.session import events as e
from goalfsm.session.routes import MAX_ROUTES, Route, Routed, choose, parse
from goalfsm.session.state import program_of
from goalfsm.session.work import route
from goalfsm.views.explain import explain
from goalfsm.views.status import project
from tests.session.hosts import started

if TYPE_CHECKING:
    from goalfsm.session.routes import Budget
    from goalfsm.testing.threads import CheckedThread

CHEAP = "below 25% tokens: -- sh 'cheap one.sh'"
ARGV = ("sh", "cheap one.sh")


def thread_of(routes: str = CHEAP, *, used: int = 0, **limits: int) -> CheckedThread:
    """Return a thread of 1,000 tokens, ``used`` of them, whose turn waits to be dispatched."""
    asked = Limits(**({"tokens": 1_000} | limits))
    thread = started(Policy(routes=routes), limits=asked)
    goal = thread.session.goal
    assert goal is not None
    thread._session = replace(thread.session, goal=replace(goal, tokens_used=used))
    return thread


def dispatch(thread: CheckedThread, routed: Routed | None) -> None:
    """Dispatch the turn that waits, on the route of ``routed``."""
    turn = thread.session.next_turn
    wind_down = thread.session.wind_down == "owed"
    thread.do(
        e.RunDispatched(run_id="run", token="t", turn=turn, wind_down=wind_down, route=routed)
    )


def test_a_route_reads_as_a_person_writes_it() -> None:
    assert parse(CHEAP) == (Route("tokens", 25, ARGV),)
    two = "\n below 10 % of the time :  --  a b \n\nbelow 100% cost: -- c"
    assert parse(two) == (Route("time", 10, ("a", "b")), Route("cost", 100, ("c",)))
    assert parse("") == ()


@pytest.mark.parametrize(
    "text",
    [
        "below 25% tokens: sh cheap.sh",
        "below 25% tokens: -- ",
        "below 25 tokens: -- a",
        "below 0% tokens: -- a",
        "below 101% tokens: -- a",
        "below 25% patience: -- a",
        "below 25% tokens: -- 'a",
        "cheap.sh",
        "\n".join([CHEAP] * (MAX_ROUTES + 1)),
    ],
)
def test_what_is_no_route_is_refused_with_the_policy(text: str) -> None:
    with pytest.raises(ValueError, match="route"):
        parse(text)
    with pytest.raises(ValueError, match="route"):
        Policy(routes=text)


@pytest.mark.parametrize(
    ("left", "taken"),
    [(1_000, ""), (250, ""), (249, "half"), (100, "half"), (99, "last"), (0, "last")],
)
def test_the_lowest_share_decides_whatever_the_order(left: int, taken: str) -> None:
    lines = ["below 10% tokens: -- last", "below 25% tokens: -- half"]
    for routes in (lines, lines[::-1]):
        assert program_of(choose("\n".join(routes), {"tokens": (left, 1_000)})) == (
            (taken,) if taken else ()
        )


def test_of_the_same_share_the_first_decides() -> None:
    both = "below 25% tokens: -- one\nbelow 25% cost: -- two"
    assert program_of(choose(both, {"tokens": (1, 100), "cost": (1, 100)})) == ("one",)
    assert program_of(choose(both, {"tokens": (50, 100), "cost": (1, 100)})) == ("two",)


@pytest.mark.parametrize(
    ("of", "limits", "fields"),
    [
        ("tokens", {}, {"tokens_used": 800}),
        ("time", {"seconds": 100}, {"active_seconds": 80}),
        ("cost", {"cost": 50}, {"cost_used": 40}),
        ("turns", {"continuations": 10}, {"continuations": 8}),
    ],
)
def test_each_budget_may_be_short(of: Budget, limits: dict[str, int], fields: Any) -> None:
    thread = thread_of(f"below 25% {of}: -- a", **limits)
    assert route(thread.session) is None
    assert thread.session.goal is not None
    session = replace(thread.session, goal=replace(thread.session.goal, **fields))
    assert route(session) == Routed(of=of, below=25, left=20, argv=("a",))


def test_a_budget_that_the_goal_does_not_have_is_never_short() -> None:
    assert route(thread_of("below 100% cost: -- a").session) is None
    assert route(replace(thread_of(used=900).session, goal=None)) is None


def test_the_run_says_its_route_and_why_and_so_do_status_log_and_decision() -> None:
    thread = thread_of(used=900)
    routed = route(thread.session)
    assert routed is not None
    dispatch(thread, routed)
    assert thread.session.run is not None
    assert thread.session.run.route == routed
    said = "sh 'cheap one.sh': 10% of the tokens are left, below 25%"
    assert thread.decision == ("continue", "route")
    status = project(thread.session, thread.now_ms)
    assert status.run is not None
    assert status.run.route == said
    assert status.detail == f"turn 1 by {said}"
    assert f"routed to {said}" in "\n".join(explain(thread.session).words)
    event = e.RunDispatched(run_id="r", token="t", turn=1, route=routed)
    assert told(event) == f"turn 1 starts, by {said}"


def test_who_dispatches_by_another_route_than_the_thread_has_is_refused() -> None:
    thread = thread_of(used=900)
    dispatch(thread, Routed(of="tokens", below=25, left=11, argv=ARGV))
    assert (thread.reply.code, thread.session.run) == ("route_changed", None)
    # A host whose own worker does every turn names none.
    dispatch(thread, None)
    assert thread.session.run is not None
    assert thread.session.run.route is None


def test_the_turn_that_winds_down_is_routed_and_the_stop_stays_the_last_decision() -> None:
    thread = thread_of()
    thread.dispatch()
    thread.use(1_000)
    thread.end()
    assert thread.session.wind_down == "owed"
    before = thread.session.decision
    dispatch(thread, route(thread.session))
    assert thread.session.run is not None
    assert program_of(thread.session.run.route) == ARGV
    assert thread.session.decision == before


def test_a_program_gets_the_session_that_it_saved_itself_and_no_other_one_s() -> None:
    thread = thread_of(used=700)
    dispatch(thread, route(thread.session))
    thread.do(e.SessionSaved(run_token="t", data=b"own"))
    assert thread.session.worker_session == b"own"
    thread.use(100)
    thread.end()
    assert thread.session.worker_session == b"own"
    dispatch(thread, route(thread.session))
    assert thread.session.worker_session is None
    thread.do(e.SessionSaved(run_token="t", data=b"cheap"))
    assert thread.session.worker is not None
    assert (thread.session.worker.argv, thread.session.worker_session) == (ARGV, b"cheap")
