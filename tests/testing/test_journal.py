"""Journals as text: what is shown, what counts as equal, and how a difference reads."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from goalfsm import Limits
from goalfsm.session import codec
from goalfsm.session import events as e
from goalfsm.session.state import Decision
from goalfsm.store.port import JournalRow
from goalfsm.testing import (
    GoalClock,
    MemoryGoals,
    ScriptedWorker,
    assert_journal,
    claims_complete,
    fails,
    journal_lines,
    says,
    uses,
    uses_tool,
    waits,
)

Check = Callable[..., None]
START_MS = 1_773_453_600_000  # 2026-03-14 02:00 UTC


def rows(*given: tuple[int, e.Event] | tuple[int, e.Event, Decision]) -> list[JournalRow]:
    """Return a journal: each event with its moment (ms since the start) and decision."""
    return [
        JournalRow(
            seq=number,
            thread_id="t",
            revision=number,
            event_id=f"e{number}",
            at_ms=START_MS + one[0],
            event=codec.encode_event(one[1]),
            decision=codec.encode_decision(one[2]) if len(one) > 2 else None,
            digest=b"",
            rules_version=1,
            epoch=1,
        )
        for number, one in enumerate(given, 1)
    ]


def shown(*given: tuple[int, e.Event] | tuple[int, e.Event, Decision], every: bool = True) -> str:
    return "\n".join(map(str, journal_lines(rows(*given), every=every)))


def test_a_whole_thread(
    memory_goals: MemoryGoals,
    scripted_worker: ScriptedWorker,
    goal_clock: GoalClock,
    assert_journal: Check,
) -> None:
    goal_clock.advance_to("23:59")
    scripted_worker.turn(uses(output=10), uses_tool(), says("a"), waits("timer", "2m", note="CI"))
    scripted_worker.turn(fails("Overloaded", status=529, retry_after="1h"))
    scripted_worker.turn(claims_complete("done"))
    memory_goals.give("t", "Go on", tokens=1000)
    memory_goals.settle("t")
    assert_journal(
        "t",
        """
        23:59:00   ObjectiveGiven objective='Go on' limits=(tokens=1000) => continue [otherwise]
        23:59:00   RunDispatched run-1 turn=1
        23:59:00   UsageReported output_tokens=10
        23:59:00   WaitDeclared timer until +1d 00:01:00 note='CI' *
        23:59:00   RunFinished run-1 turn=1 => wait [wait] until +1d 00:01:00
        +1d 00:01:00  TimerFired => continue [otherwise]
        +1d 00:01     RunDispatched run-2 turn=2
        RunFinished run-2 turn=2 failed 'Overloaded' => wait [recovery] until +1d 01:01:*
        +1d 01:01     TimerFired => continue [otherwise]
        ...
        """,
    )


def test_what_a_host_tells_of_every_turn_is_left_out() -> None:
    happened = (
        (0, e.HostChanged(idle=False)),
        (0, e.TurnStarted(turn_index=1)),
        (0, e.RunFinished(run_id="r")),
    )
    assert shown(*happened, every=False) == ""
    assert shown(*happened).splitlines() == [
        "02:00:00      HostChanged idle=False",
        "02:00:00      TurnStarted",
        "02:00:00      RunFinished run-1",
    ]


def test_what_decides_or_fails_is_shown_all_the_same() -> None:
    decision = Decision(decision="stop", guard="status", reason="completed")
    text = shown(
        (0, e.AgentEnded(), decision),
        (0, e.RunFinished(run_id="r", outcome="timed_out")),
        every=False,
    )
    assert text.splitlines() == [
        "02:00:00      AgentEnded => stop [status] completed",
        "02:00:00      RunFinished run-1 timed_out",
    ]


def test_ids_are_numbered_in_order_and_secrets_left_out() -> None:
    text = shown(
        (0, e.RunDispatched(run_id="zz", token="secret")),
        (1, e.RunDispatched(run_id="aa", token="secret", wind_down=True)),
        (1_000, e.UsageReported(run_id="zz", run_token="secret", key="k", usage=e.Usage(cost=5))),
        (61_000, e.RunInterrupted(run_id="zz", detail="cut", ended_ms=START_MS + 60_500)),
    )
    assert text.splitlines() == [
        "02:00:00      RunDispatched run-1",
        "02:00:00.001  RunDispatched run-2 wind_down",
        "02:00:01      UsageReported cost=5",
        "02:01:01      RunInterrupted run-1 detail='cut' ended 02:01:00.500",
    ]


def test_values_stay_on_one_bounded_line() -> None:
    text = shown(
        (0, e.SteeringReceived(message_id="m", text="one\ntwo " + "x" * 500)),
        (0, e.BudgetChanged(limits=Limits(tokens=5), unlimited=("cost",))),
        (0, e.ToolCalled(name="update_goal", arguments={"evidence": ["a", {"text": "b"}]})),
        (0, e.ClockAdjusted(by_ms=60_000)),
    )
    first, second, third, fourth = text.splitlines()
    assert len(first) < 140
    assert "one" in first
    assert second.endswith("BudgetChanged limits=(tokens=5) unlimited=['cost']")
    assert third.endswith("ToolCalled update_goal(evidence=['a', {'text': 'b'}])")
    assert "by_ms=60000" in fourth


def test_events_can_be_picked() -> None:
    happened = rows(
        (0, e.RunDispatched(run_id="r", token="x")),
        (0, e.TimerFired()),
        (0, e.HostChanged(idle=True)),
    )
    only = {"TimerFired", "HostChanged"}
    assert [str(line)[14:] for line in journal_lines(happened, only=only)] == [
        "TimerFired",
        "HostChanged idle",
    ]


# Equal or not.

HAPPENED = rows(
    (0, e.TimerFired()),
    (1_500, e.RunDispatched(run_id="r", token="x")),
    (60_000, e.RunInterrupted(run_id="r", detail="cut off")),
    (61_000, e.PauseRequested()),
)


@pytest.mark.parametrize(
    "expected",
    [
        """
        02:00:00      TimerFired
        02:00:01.500  RunDispatched run-1
        02:01:00      RunInterrupted run-1 detail='cut off'
        02:01:01      PauseRequested
        """,
        """
        TimerFired
           RunDispatched   run-1

        02:01 RunInterrupted run-1 *
        02:01:01 PauseRequested
        """,
        "TimerFired\n...\nPauseRequested",
        "...\nRunDispatched run-1\n...",
        "* TimerFired\n* run-1\n*Run*terrupted *\n02:01:01 *",
        "...",
        "...\nTimerFired\n...\n02:01:01 PauseRequested\n...",
    ],
)
def test_what_counts_as_equal(expected: str) -> None:
    assert_journal(HAPPENED, expected)


@pytest.mark.parametrize(
    "expected",
    [
        "",
        "TimerFired",
        "TimerFired\n...\nRunDispatched run-1",
        "TimerFired\nRunDispatched run-2\n...",
        "02:00:01 TimerFired\n...",
        "* Fired\n...",
        "...\nTimerFired\nPauseRequested",
        "TimerFired\n...\nPauseRequested\nPauseRequested",
        "TimerFired\nRunDispatched run-1\nRunInterrupted run-1\nPauseRequested",
        "PauseRequested\n...\nTimerFired",
    ],
)
def test_what_does_not(expected: str) -> None:
    with pytest.raises(AssertionError, match="the journal is another"):
        assert_journal(HAPPENED, expected)


def test_a_difference_is_shown_line_by_line() -> None:
    with pytest.raises(AssertionError) as caught:
        assert_journal(
            HAPPENED,
            """
            02:00 TimerFired
            02:00:03 RunDispatched run-1
            RunInterrupted run-1 *
            ResumeRequested
            PauseRequested
            """,
        )
    lines = str(caught.value).splitlines()
    diff = lines[1 : lines.index("")]
    assert diff == [
        "  02:00:00      TimerFired",
        "- 02:00:03      RunDispatched run-1",
        "+ 02:00:01.500  RunDispatched run-1",
        "  02:01:00      RunInterrupted run-1 detail='cut off'",
        "-               ResumeRequested",
        "  02:01:01      PauseRequested",
    ]
    assert lines[-4:] == [str(line) for line in journal_lines(HAPPENED)]


def test_a_journal_of_nothing_equals_nothing() -> None:
    assert_journal([], "")
    assert_journal([], "...")
    with pytest.raises(AssertionError):
        assert_journal([], "TimerFired")
