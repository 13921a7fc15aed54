"""What comes after a goal, on every surface that shows it."""

from __future__ import annotations

import pytest

from goalfsm.session import Policy, Session
from goalfsm.session.state import QueuedGoal
from goalfsm.views.activity import TAKES_NEXT
from goalfsm.views.explain import explain
from goalfsm.views.parts import Driver
from goalfsm.views.report import markdown, record
from goalfsm.views.rows import open_rows
from goalfsm.views.status import project, summary
from tests.unit.sessions import NOW_MS, with_goal

ONE = QueuedGoal(queue_id="q1", objective="ship\nmore", at_ms=1)
TWO = QueuedGoal(queue_id="q2", objective="# rest", at_ms=2)


def thread(*queue: QueuedGoal, advance: bool = False, status: str = "complete") -> Session:
    """Return a thread with a goal and a queue."""
    fields = {"pause_reason": "user"} if status == "paused" else {}
    session = with_goal(status=status, **fields)
    return Session(goal=session.goal, queue=queue, policy=Policy(advance=advance))


@pytest.mark.parametrize(
    ("session", "driver", "advice"),
    [
        (thread(), None, ""),
        (thread(ONE), None, TAKES_NEXT),
        (thread(ONE, advance=True), None, ""),
        (thread(ONE, advance=True), Driver(pid=7, alive=True), ""),
        (thread(ONE, advance=True), Driver(pid=7), TAKES_NEXT),
        (thread(advance=True), Driver(pid=7), ""),
        (Session(queue=(ONE,)), None, TAKES_NEXT),
        (Session(queue=(ONE,), policy=Policy(advance=True)), None, TAKES_NEXT),
        (thread(ONE, status="paused"), None, "goalfsm resume THREAD"),
    ],
)
def test_the_hint_leads_on(session: Session, driver: Driver | None, advice: str) -> None:
    assert project(session, NOW_MS, driver=driver).hint == advice


@pytest.mark.parametrize(
    ("advance", "said"),
    [
        (False, "Queued: q1; work goes on to it when the goal is complete and somebody says so."),
        (True, "Queued: q1; work goes on to it by itself when the goal is complete (advance)."),
    ],
)
def test_it_is_told_whether_work_goes_on_by_itself(advance: bool, said: str) -> None:
    session = thread(ONE, advance=advance)
    assert said in explain(session).words
    goes_on = ", by itself" if advance else ""
    assert ("next", f"q1{goes_on}: ship more") in list(open_rows(project(session, NOW_MS)))


def test_several_are_counted_and_listed() -> None:
    session = thread(ONE, TWO)
    assert any(word.startswith("Queued: q1, and 1 more;") for word in explain(session).words)
    assert list(open_rows(project(session, NOW_MS))) == [
        ("next", "q1: ship more"),
        ("then", "q2: # rest"),
    ]
    assert summary(project(session, NOW_MS)).endswith(" · 2 queued")
    assert summary(project(Session(queue=(ONE,)), NOW_MS)) == "no goal · 1 queued"


def test_the_record_names_them_as_code() -> None:
    shown = record(thread(ONE, TWO), NOW_MS)
    assert shown.queued == ("ship\nmore", "# rest")
    text = markdown(shown)
    assert text.endswith("## Queued\n\n1.\n   ```text\n   ship\n   more\n   ```\n2. `# rest`\n")
    assert "Queued" not in markdown(record(thread(), NOW_MS))
