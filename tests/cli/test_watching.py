"""What a run shows: lines for people, JSON for programs, a panel on a terminal."""

from __future__ import annotations

import io
import json
import time

import pytest
from msgspec.structs import replace
from rich.console import Console

from goalfsm.cli.live import LiveView
from goalfsm.cli.watching import JsonLines, PlainLines, view
from goalfsm.daemon.remote.narrating import Narrator
from goalfsm.daemon.stages import subscriptions as n
from goalfsm.goal.model import Goal
from goalfsm.session import events as e
from goalfsm.session.state import Decision, Reply, Run, Session
from goalfsm.views.status import Status, project

GOAL = Goal(
    goal_id="g-1",
    objective="ship it",
    token_budget=1_000,
    tokens_used=250,
    time_budget_seconds=600,
    cost_used=5,
    cost_budget=10,
    continuations=2,
    created_at=0,
    updated_at=0,
)
RUN = Run(run_id="r-3", token="secret-token", goal_id="g-1", turn=3, started_ms=0)


def status(run: Run | None = None, goal: Goal | None = GOAL) -> Status:
    return project(Session(goal=goal, run=run), 1_000, thread_id="t")


def happened(
    event: e.Event, *, reply: Reply | None = None, decision: Decision | None = None, at_ms: int = 5
) -> n.Happened:
    return n.Happened(
        thread_id="t",
        revision=1,
        at_ms=at_ms,
        event=n.public(event),
        reply=reply,
        decision=decision,
    )


def lines(*given: n.Notice) -> list[str]:
    narrator = Narrator()
    return [row for notice in given for row in narrator.lines(notice)]


def test_turns_are_counted_from_where_the_goal_stands() -> None:
    dispatched = e.RunDispatched(run_id="r-3", token="x")
    assert lines(
        n.StatusChanged(thread_id="t", status=status()),
        happened(dispatched),
        n.StatusChanged(thread_id="t", status=status(RUN)),
        happened(e.RunFinished(run_id="r-3")),
    ) == ["turn 3 starts", "turn 3 finished"]


def test_a_new_goal_begins_at_turn_one() -> None:
    first = Run(run_id="r", token="x", goal_id="g-1", turn=1, started_ms=0)
    told = lines(
        n.StatusChanged(thread_id="t", status=status()),
        happened(e.ObjectiveGiven(objective="next"), reply=Reply(ok=True)),
        happened(e.RunDispatched(run_id="r", token="x")),
        n.StatusChanged(thread_id="t", status=status(first)),
    )
    assert told[-1] == "turn 1 starts"


def test_another_attempt_at_a_turn_is_told_as_such() -> None:
    dispatched = happened(e.RunDispatched(run_id="r-3", token="x"))
    attempt = n.StatusChanged(thread_id="t", status=status(RUN))
    told = lines(n.StatusChanged(thread_id="t", status=status()), *(2 * [dispatched, attempt]))
    assert told == ["turn 3 starts", "turn 3 starts again"]


def test_turns_that_nobody_followed_are_told_in_their_order() -> None:
    """Between two looks at how the thread stands a turn may have begun and ended."""
    fourth = replace(RUN, run_id="r-4", turn=4)
    told = lines(
        n.StatusChanged(thread_id="t", status=status()),
        happened(e.RunDispatched(run_id="r-3", token="x", turn=3)),
        happened(e.RunFinished(run_id="r-3", turn=3)),
        happened(e.RunDispatched(run_id="r-4", token="x", turn=4)),
        n.StatusChanged(thread_id="t", status=status(fourth)),
        n.Output(thread_id="t", run_id="r-4", text="so far\n", again=True, left_out=1_234),
    )
    assert told == [
        "turn 3 starts",
        "turn 3 finished",
        "turn 4 starts",
        "(1,234 bytes before this are left out)",
        "  | so far",
    ]


def test_that_a_worker_keeps_its_session_is_bookkeeping() -> None:
    assert lines(happened(e.SessionSaved(run_token="t", data=b"session"))) == []
    forgot = lines(happened(e.SessionSaved(run_token="t", data=None)))
    assert forgot == ["the worker forgot its session"]


def test_a_refusal_is_shown_with_its_reason() -> None:
    (row,) = lines(happened(e.ResumeRequested(), reply=Reply(ok=False, message="it is complete")))
    assert row == "resume asked for (refused: it is complete)"


def test_output_is_shown_by_whole_lines_and_its_rest_at_the_end_of_the_turn() -> None:
    assert lines(
        n.Output(thread_id="t", run_id="r", text="one\ntw"),
        n.Output(thread_id="t", run_id="r", text="o\nthree"),
        happened(e.RunFinished(run_id="r")),
    ) == ["  | one", "  | two", "  | three", "run r finished"]


def test_output_cannot_act_on_the_terminal() -> None:
    (row,) = lines(n.Output(thread_id="t", run_id="r", text="\x1b[2Jgone\n"))
    assert row.isprintable()


def test_a_line_without_an_end_is_not_held_back_for_ever() -> None:
    told = lines(*(n.Output(thread_id="t", run_id="r", text="x" * 1_000) for _ in range(5)))
    assert len(told) == 1
    assert len(told[0]) > 4_000


def test_a_decision_is_shown_once_until_it_changes() -> None:
    waits = Decision(decision="wait", guard="wait", reason="a timer", at_ms=5)
    later = Decision(decision="wait", guard="wait", reason="a timer", at_ms=6)
    stops = Decision(decision="stop", guard="status", reason="paused", at_ms=7)
    told = lines(
        happened(e.TimerFired(), decision=waits, at_ms=5),
        happened(e.TimerFired(), decision=later, at_ms=6),
        happened(e.TimerFired(), decision=later, at_ms=99),
        happened(e.TimerFired(), decision=stops, at_ms=7),
    )
    assert told == ["→ wait: a timer (wait)", "→ stop: paused (status)"]


def test_problems_gaps_and_ends_are_told() -> None:
    assert lines(
        n.Problem(thread_id="t", code="disk_full", message="no room", hint="make some"),
        n.Missed(thread_id="t", count=7),
        n.Settled(thread_id="t", status=status()),
        n.Ended(thread_id="t", reason="fenced", message="another engine took over"),
    ) == [
        "no room (make some)",
        "(7 notices came too fast to be shown)",
        "another engine took over",
    ]


def test_json_lines_are_the_notices_themselves(capsys: pytest.CaptureFixture[str]) -> None:
    with JsonLines() as shown:
        shown.show(happened(e.RunDispatched(run_id="r", token="secret-token")))
        shown.show(n.Settled(thread_id="t", status=status(RUN)))
        shown.say("not a notice")
    out, err = capsys.readouterr()
    event, settled = (json.loads(row) for row in out.splitlines())
    assert event["type"] == "event"
    assert event["event"]["type"] == "RunDispatched"
    assert settled["status"]["goal"]["goal_id"] == "g-1"
    assert "secret-token" not in out
    assert err == "goalfsm: not a notice\n"


def test_a_pipe_gets_plain_lines(capsys: pytest.CaptureFixture[str]) -> None:
    with view(as_json=False) as shown:
        assert isinstance(shown, PlainLines)
        shown.show(happened(e.PauseRequested()))
    out = capsys.readouterr().out
    assert out.endswith("pause asked for (user)\n")
    assert "\x1b" not in out


def test_json_is_what_was_asked_for() -> None:
    assert isinstance(view(as_json=True), JsonLines)


def test_the_panel_shows_where_the_goal_stands() -> None:
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=100, color_system=None)
    with LiveView(console) as shown:
        shown.show(n.StatusChanged(thread_id="t", status=status(RUN)))
        shown.show(happened(e.ToolCalled(name="get_goal")))
        shown.show(n.Output(thread_id="t", run_id="r", text="[bold]as it is[/bold]\n"))
    text = screen.getvalue()
    for words in (
        "running a turn",
        "turn 3",
        "ship it",
        "250 of 1,000",
        "2 of 100",
        "the model called get_goal",
        "[bold]as it is[/bold]",
    ):
        assert words in text


def test_the_panel_shows_a_line_that_has_no_end_yet() -> None:
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=100, color_system=None)
    with LiveView(console) as shown:
        shown.show(n.StatusChanged(thread_id="t", status=status(RUN)))
        shown.show(n.Output(thread_id="t", run_id="r", text="half a line"))
    assert "  | half a line" in screen.getvalue()


def test_active_time_runs_in_the_panel_while_a_turn_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """It was told once, when the turn began; nobody tells it again before that ends."""
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    screens = {}
    for name, run in (("running", RUN), ("resting", None)):
        screen = io.StringIO()
        console = Console(file=screen, force_terminal=True, width=100, color_system=None)
        now = 100.0
        with LiveView(console) as shown:
            shown.show(n.StatusChanged(thread_id="t", status=status(run)))
            now = 142.0
        screens[name] = screen.getvalue()
    assert "active time" in screens["running"]
    assert "42s of 10m 0s" in screens["running"]
    assert "for 43s" in screens["running"]
    assert "42s" not in screens["resting"]


def test_the_panel_shows_tools_and_no_guard_that_was_not_against_going_on() -> None:
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=120, color_system=None)
    decision = Decision(decision="continue", guard="otherwise", reason="not met yet", at_ms=5)
    standing = project(Session(goal=GOAL, run=RUN, decision=decision), 1_000, thread_id="t")
    with LiveView(console) as shown:
        shown.show(n.StatusChanged(thread_id="t", status=standing))
        shown.show(happened(e.ToolFinished(name="shell", ok=False), decision=decision))
    assert "tool shell failed" in screen.getvalue()
    assert "last decision  continue: not met yet" in screen.getvalue()
    assert "otherwise" not in screen.getvalue()


def test_the_panel_survives_a_thread_without_a_goal() -> None:
    screen = io.StringIO()
    with LiveView(Console(file=screen, force_terminal=True, color_system=None)) as shown:
        shown.show(n.StatusChanged(thread_id="t", status=status(goal=None)))
    assert "starting" in screen.getvalue()
