"""Turns that get nowhere: what counts as progress, and when the goal is paused."""

from __future__ import annotations

from typing import Any

import pytest

from goalfsm.session import Policy
from goalfsm.session import events as e
from goalfsm.session.continuation import answer_digest, answer_step
from goalfsm.session.effects import SetEntry
from goalfsm.testing.threads import CheckedThread
from tests.session.hosts import started


def stuck(**fields: object) -> CheckedThread:
    """Return a thread after three equal turns."""
    thread = started()
    for _ in range(3):
        thread.dispatch()
        thread.end(**fields)  # type: ignore[arg-type]
    return thread


@pytest.mark.parametrize(
    ("fields", "note"),
    [
        (
            {"answer": "", "tools": (0, 0)},
            "3 turns in a row ended without an answer and without using a tool",
        ),
        ({"answer": "same", "tools": (0, 0)}, "3 turns in a row gave the same answer"),
        ({"answer": "", "tools": (0, 2)}, "3 turns in a row used only tools that failed"),
    ],
)
def test_three_turns_that_get_nowhere_pause_the_goal(fields: dict[str, object], note: str) -> None:
    thread = stuck(**fields)
    assert (thread.status, thread.goal.pause_reason) == ("paused", "no_progress")
    assert thread.goal.note == note
    assert thread.sent() == 3
    assert thread.decision == ("stop", "no_progress")
    assert isinstance(thread.history[-1], SetEntry)
    assert thread.history[-1].goal == thread.goal


@pytest.mark.parametrize(
    "fields", [{"answer": "", "tools": (1, 0)}, {"answer": "", "tools": (1, 5)}]
)
def test_a_tool_that_worked_is_progress(fields: dict[str, object]) -> None:
    assert stuck(**fields).status == "active"


def test_another_answer_is_progress() -> None:
    thread = started()
    for answer in ("a", "a", "b", "a", "a"):
        thread.turn(answer, tools=(0, 0))
    assert thread.status == "active"
    assert thread.session.progress.same_answer == 2


def test_a_turn_without_an_answer_keeps_the_last_one_in_mind() -> None:
    thread = started()
    thread.turn("a", tools=(1, 0))
    thread.turn("", tools=(1, 0))
    assert thread.session.progress.same_answer == 0
    assert thread.session.progress.last_answer == answer_digest("a")


def test_a_claim_or_a_wait_that_somebody_ended_is_progress() -> None:
    thread = started()
    for _ in range(5):
        thread.dispatch()
        thread.claim_blocked() if thread.goal.continuations % 2 else thread.do(
            e.WaitDeclared(kind="event", run_token=f"token-{thread.goal.continuations}")
        )
        thread.end(tools=(0, 0))
        if thread.session.waits:
            thread.do(e.WakeRequested())
    assert thread.status == "active"


def test_a_wait_that_somebody_ended_counts_afresh() -> None:
    """Whoever says that the wait is over has seen something happen."""
    thread = started()
    for token in ("token-1", "token-2"):
        thread.dispatch()
        thread.do(e.WaitDeclared(kind="event", run_token=token))
        thread.end(answer="same", tools=(0, 0))
        assert thread.session.progress.same_answer > 0
        thread.do(e.WakeRequested())
        assert thread.session.progress.same_answer == 0
    assert thread.status == "active"


def polling(
    seconds: float, *, notes: tuple[str, ...] = ("the build",), **policy: float
) -> CheckedThread:
    """Return a thread after five turns that only wait for a timer, or as many as it took."""
    thread = started(Policy(**policy))  # type: ignore[arg-type]
    for number in range(5):
        thread.dispatch()
        until = thread.now_ms + round(seconds * 1000)
        note = notes[number % len(notes)]
        thread.do(e.WaitDeclared(kind="timer", until_ms=until, note=note))
        thread.end(tools=(0, 0))
        thread.advance(seconds)
        thread.do(e.TimerFired())
        if thread.status != "active":
            break
    return thread


@pytest.mark.parametrize("seconds", [0.0, 0.03, 30.0, 599.0])
def test_looking_again_after_a_short_wait_is_no_progress(seconds: float) -> None:
    thread = polling(seconds)
    assert (thread.goal.pause_reason, thread.sent()) == ("no_progress", 3)
    assert thread.goal.note == "3 turns in a row gave the same answer"


@pytest.mark.parametrize(
    ("seconds", "fields"),
    [
        (600.0, {}),
        (30.0, {"short_wait_s": 30.0}),
        (0.03, {"short_wait_s": 0.0}),
        (0.03, {"notes": ("the build", "the upload")}),
    ],
)
def test_a_wait_that_was_long_enough_or_for_something_else_is_progress(
    seconds: float, fields: dict[str, Any]
) -> None:
    assert polling(seconds, **fields).status == "active"


def test_waiting_for_a_process_that_ends_at_once_is_no_progress() -> None:
    thread = started()
    for pid in (11, 12, 13):
        thread.dispatch()
        thread.do(e.WaitDeclared(kind="process", pid=pid))
        thread.end(answer="I wait.", tools=(0, 0))
        thread.do(e.ProcessEnded(pid=pid))
    assert (thread.goal.pause_reason, thread.sent()) == ("no_progress", 3)


def test_a_wait_that_was_over_within_its_own_turn_counts_as_what_was_said() -> None:
    thread = started()
    thread.dispatch()
    thread.do(e.WaitDeclared(kind="process", pid=11), e.ProcessEnded(pid=11))
    thread.end(tools=(0, 0))
    assert (thread.session.progress.empty, thread.session.progress.same_answer) == (0, 1)


def test_interrupted_and_failed_turns_are_not_counted() -> None:
    thread = started()
    for _ in range(4):
        thread.dispatch()
        thread.interrupt()
        thread.dispatch()
        thread.end(outcome="timed_out", error="timed out", tools=(0, 0))
        thread.do(e.ResumeRequested())
        thread.now_ms += thread.wake or 0
        thread.do(e.TimerFired())
    assert thread.session.progress.empty == 0


def test_steering_makes_a_fresh_start() -> None:
    thread = started()
    thread.turn("same", tools=(0, 0))
    thread.turn("same", tools=(0, 0))
    thread.do(e.SteeringReceived(message_id="m", text="try the other way"))
    thread.turn("same", tools=(0, 0))
    assert thread.status == "active"


def test_a_resume_makes_a_fresh_start() -> None:
    thread = stuck(answer="same", tools=(0, 0))
    thread.do(e.ResumeRequested())
    assert thread.sent() == 4
    thread.turn("same", tools=(0, 0))
    assert thread.status == "active"


def test_zero_switches_the_rule_off() -> None:
    thread = started()
    thread.do(e.PolicyChanged(changes={"no_progress": 0}))
    for _ in range(6):
        thread.turn("same", tools=(0, 0))
    assert thread.status == "active"


def test_the_same_gaps_three_times_pause_the_goal() -> None:
    """A model that claims the same again and again gets nowhere, however it is verified."""
    from goalfsm.goal.model import Verifier  # noqa: PLC0415  only here

    thread = started(verifiers=(Verifier(kind="command", argv=("false",)),))
    for _ in range(3):
        thread.dispatch()
        thread.claim_complete()
        claim = thread.session.claim
        assert claim is not None
        thread.end()
        thread.do(
            e.VerificationFinished(
                claim_id=claim.claim_id, index=0, outcome="failed", detail="2  failed"
            )
        )
    assert thread.goal.pause_reason == "no_progress"
    assert thread.goal.note == "3 turns in a row left the same gaps in verification"


# Circles.


def says(thread: CheckedThread, *answers: str, tools: tuple[int, int] = (0, 0)) -> None:
    """Let turns give answers."""
    for answer in answers:
        thread.turn(answer, tools=tools)


LOOPS = {
    "a counter": [f"Still paused as you asked (check {n}, 12:0{n}:07)." for n in range(6)],
    "ids": [f"Job {n}f3a9c1e is not ready, nor is 0x{n}0ab77ff." for n in range(6)],
    "two by turns": ["absolute fails, now relative", "relative fails, now absolute"] * 3,
    "three by turns": ["one way", "another way", "a third way"] * 2,
}


@pytest.mark.parametrize("answers", LOOPS.values(), ids=LOOPS)
def test_six_turns_that_go_round_in_a_circle_are_enough(answers: list[str]) -> None:
    thread = started()
    says(thread, *answers[:5])
    assert thread.status == "active"
    says(thread, answers[5])
    assert (thread.status, thread.goal.pause_reason) == ("paused", "no_progress")
    assert "but for numbers, times and ids" in (thread.goal.note or "")


@pytest.mark.parametrize("answers", LOOPS.values(), ids=LOOPS)
@pytest.mark.parametrize("how", ["tool", "claim", "progress"])
def test_a_turn_that_did_something_ends_the_circle(answers: list[str], how: str) -> None:
    thread = started()
    says(thread, *answers[:5])
    thread.dispatch()
    if how == "claim":
        thread.claim_blocked()
    thread.end(answer=answers[5], tools=(int(how == "tool"), 0), progress=how == "progress")
    assert thread.status == "active"
    says(thread, *answers[:5])
    assert thread.status == "active"


def test_a_count_that_grows_is_progress() -> None:
    thread = started()
    says(thread, *(f"{n} of 40 files are done" for n in range(1, 20)))
    assert thread.status == "active"
    says(thread, *(f"{n} of 40 files are done" for n in (19, 18, 17, 16, 15, 14)))
    assert thread.goal.pause_reason == "no_progress"


def test_another_whole_is_no_growth() -> None:
    thread = started()
    says(thread, *(f"{n} of {n + 1} checks" for n in range(1, 7)))
    assert thread.goal.pause_reason == "no_progress"


def test_answers_that_do_not_come_round_are_no_circle() -> None:
    thread = started()
    says(thread, "a", "b", "c", "d", "a", "b", "c", "e")
    assert thread.status == "active"


def test_a_longer_patience_waits_longer_for_a_circle() -> None:
    thread = started(Policy(no_progress=8))
    says(thread, *(f"check {n}" for n in range(7)))
    assert thread.status == "active"
    says(thread, "check 7")
    assert thread.goal.pause_reason == "no_progress"


def test_without_the_rule_a_circle_is_never_one() -> None:
    thread = started(Policy(no_progress=0))
    says(thread, *(f"check {n}" for n in range(12)))
    assert thread.status == "active"


@pytest.mark.parametrize(
    ("text", "step"),
    [
        ("3 of 10 done", (3, 10)),
        ("7/10 tests", (7, 10)),
        ("4 out of 5", (4, 5)),
        ("12/30/2026", None),
        ("9 of 3, then 1 of the 3", (1, 3)),
        ("nothing", None),
    ],
)
def test_a_step_is_read_from_an_answer(text: str, step: tuple[int, int] | None) -> None:
    assert answer_step(text) == step


def test_an_interruption_is_no_turn_that_got_nowhere() -> None:
    """Also where a person has lowered the limit meanwhile: the next end decides, not the crash."""
    thread = started(Policy(no_progress=3))
    thread.turn("the same")
    thread.dispatch()
    thread.do(e.PolicyChanged(changes={"no_progress": 1}))
    thread.restart()
    assert thread.goal.status == "active"
    assert thread.session.continuation.queued is not None
    thread.turn("the same")
    assert (thread.goal.status, thread.goal.pause_reason) == ("paused", "no_progress")
