"""Work that waits for several things at once."""

from __future__ import annotations

import pytest

from goalfsm.session import events as e
from goalfsm.testing.threads import CheckedThread
from goalfsm.views.activity import activity
from goalfsm.views.status import project
from tests.session.hosts import started


def declare(thread: CheckedThread, kind: str = "process", **fields: object) -> str:
    """Declare a wait in the running turn; return the code of the answer."""
    event = e.WaitDeclared(kind=kind, run_token="token-1", **fields)  # type: ignore[arg-type]
    thread.do(event)
    return thread.reply.code


def two_builds(*, first: bool = False) -> CheckedThread:
    """Return a thread whose turn waits for two builds, for both or for the first."""
    thread = started()
    thread.dispatch()
    declare(thread, pid=1, note="build A", any=first)
    declare(thread, pid=2, note="build B", any=first)
    assert len(thread.session.waits) == 2
    return thread


def test_two_waits_of_a_turn_are_both_waited_for() -> None:
    thread = two_builds()
    assert thread.reply.message == ("the work waits for 2 things, until all are over; end the turn")
    thread.end()
    assert thread.session.decision is not None
    assert thread.session.decision.reason == "waiting on process 1, process 2"
    thread.do(e.ProcessEnded(pid=2))
    assert (thread.sent(), len(thread.session.waits)) == (1, 1)
    thread.do(e.ProcessEnded(pid=1))
    assert thread.sent() == 2
    assert thread.session.notices == (
        "woken:process 2 has ended (build B); process 1 has ended (build A)",
    )


def test_the_first_that_says_any_ends_the_others() -> None:
    thread = two_builds(first=True)
    assert "the first of those that say any" in thread.reply.message
    thread.end()
    thread.do(e.ProcessEnded(pid=2))
    assert (thread.sent(), thread.session.waits) == (2, ())
    thread.do(e.ProcessEnded(pid=1))
    assert thread.sent() == 2


def test_the_same_wait_takes_the_place_of_the_one_before() -> None:
    thread = two_builds()
    declare(thread, pid=2, note="build C")
    assert "takes the place" in thread.reply.message
    assert [wait.note for wait in thread.session.waits] == ["build A", "build C"]
    for until in (1, 2, 2):
        declare(thread, "timer", until_ms=thread.now_ms + until)
    assert len(thread.session.waits) == 4


def test_no_more_than_sixteen_are_waited_for() -> None:
    thread = started()
    thread.dispatch()
    for pid in range(1, 17):
        assert declare(thread, pid=pid) == "waiting"
    before = thread.session
    assert declare(thread, pid=17) == "too_many_waits"
    assert thread.session == before
    assert declare(thread, pid=16, note="again") == "waiting"


def test_one_word_or_wake_ends_all_waits() -> None:
    woken = two_builds()
    woken.end()
    woken.do(e.WakeRequested())
    assert (woken.session.waits, woken.sent()) == ((), 2)
    assert woken.session.notices == ("woken:somebody ended the wait (build A; build B)",)
    told = two_builds()
    told.end()
    told.do(e.SteeringReceived(message_id="m", text="go on"))
    assert (told.session.waits, told.sent()) == ((), 2)


def test_a_turn_begins_without_the_waits_of_those_before() -> None:
    thread = started()
    thread.do(e.WaitDeclared(kind="event"))
    thread.dispatch()
    assert thread.session.waits == ()
    host = started()
    host.do(e.WaitDeclared(kind="event"), e.AgentStarting())
    assert host.session.waits == ()
    host.do(e.WaitDeclared(kind="event"), e.InputReceived(source="interactive"))
    assert host.session.waits == ()


@pytest.mark.parametrize(
    ("waits_for", "ends"),
    [
        ([("timer", 60, False), ("timer", 90, False)], 90),
        ([("timer", 60, True), ("timer", 90, False)], 60),
        ([("timer", 60, False), ("event", None, False)], None),
        ([("timer", 60, True), ("event", None, False)], 60),
    ],
)
def test_it_is_said_when_work_goes_on_by_itself(
    waits_for: list[tuple[str, int | None, bool]], ends: int | None
) -> None:
    thread = started()
    thread.dispatch()
    for kind, in_s, first in waits_for:
        until = None if in_s is None else thread.now_ms + in_s * 1000
        declare(thread, kind, until_ms=until, any=first)
    thread.end()
    assert thread.session.decision is not None
    until_ms = None if ends is None else thread.now_ms + ends * 1000
    assert thread.session.decision.until_ms == until_ms
    assert activity(thread.session).until_ms == until_ms


def test_the_status_names_each_wait() -> None:
    thread = two_builds()
    declare(thread, "event")
    thread.end()
    assert activity(thread.session).text == "waiting on all of 3"
    assert activity(thread.session).detail == ("process 1 (build A), process 2 (build B), an event")
    first = two_builds(first=True)
    first.end()
    assert activity(first.session).text == "waiting on the first of 2"
    shown = project(thread.session, thread.now_ms).waits
    assert [(wait.kind, wait.pid, wait.note) for wait in shown] == [
        ("process", 1, "build A"),
        ("process", 2, "build B"),
        ("event", None, ""),
    ]


def test_the_model_says_by_its_tool_that_the_first_is_enough() -> None:
    thread = started()
    thread.dispatch()
    assert thread.call("wait", **{"for": "event", "any": True}).ok
    assert [wait.any for wait in thread.session.waits] == [True]
    assert thread.call("wait", **{"for": "event", "any": "yes"}).code == "argument_invalid"
