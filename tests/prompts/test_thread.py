"""What a thread's prompts say as things happen to it, from the events on."""

from __future__ import annotations

from goalfsm.goal.model import Criterion, Limits
from goalfsm.session import events as e
from goalfsm.testing import CheckedThread
from goalfsm.views.prompts import render_turn, wind_down_text


def started(tokens: int | None = None) -> CheckedThread:
    thread = CheckedThread()
    criteria = (Criterion(text="it is shipped"),)
    thread.give("ship it", criteria=criteria, limits=Limits(tokens=tokens))
    return thread


def prompt_of(thread: CheckedThread) -> str:
    """Dispatch the next turn and return its prompt."""
    thread.dispatch()
    return render_turn(thread.session, thread.now_ms)


def test_first_prompt_is_full_and_the_next_compact() -> None:
    thread = started()
    first = prompt_of(thread)
    thread.end(answer="r1")
    second = prompt_of(thread)
    assert "This is turn 1 of the goal" in first
    assert "goes on: turn 2." in second
    assert "turns: 2 of 100 used, 98 left" in second


def test_crash_is_mentioned_until_a_turn_ended_well() -> None:
    """The notice survives the next crash, and leaves with the first turn that took it in."""
    thread = started()
    assert "was cut off" not in prompt_of(thread)
    for _ in range(2):
        thread.interrupt("the engine died")
        prompt = prompt_of(thread)
        assert "<detail>\nthe engine died\n</detail>" in prompt
    thread.end(answer="r3")
    assert "was cut off" not in prompt_of(thread)


def test_prompt_of_a_dispatch_is_the_same_when_it_is_done_again() -> None:
    thread = started()
    before = prompt_of(thread)
    thread.do(
        e.SteeringReceived(message_id="m1", text="mind the docs"),
        e.EditRequested(objective="ship it"),
    )
    assert render_turn(thread.session, thread.now_ms) == before


def test_edit_gives_the_new_words_and_revokes_the_old_guidance() -> None:
    thread = started()
    thread.dispatch()
    thread.end(answer="r1")
    thread.do(e.EditRequested(objective="ship the other one"))
    prompt = prompt_of(thread)
    assert "A person has changed the objective" in prompt
    assert "<objective>\nship the other one\n</objective>" in prompt


def test_resume_revokes_the_guidance_to_stay_paused() -> None:
    thread = started()
    thread.do(e.PauseRequested(), e.ResumeRequested())
    assert "staying paused" in prompt_of(thread)


def test_steering_leads_the_next_prompt_once() -> None:
    thread = started()
    thread.dispatch()
    thread.do(e.SteeringReceived(message_id="m1", text="mind the docs"))
    thread.end(answer="r1")
    assert prompt_of(thread).index('<message id="m1">\nmind the docs\n') < 300
    thread.end(answer="r2")
    assert "mind the docs" not in prompt_of(thread)


def test_steering_of_a_turn_that_died_is_said_again() -> None:
    thread = started()
    thread.do(e.SteeringReceived(message_id="m1", text="mind the docs"))
    thread.dispatch()
    thread.interrupt()
    assert "mind the docs" in prompt_of(thread)


def test_blocked_audit_shows_its_count() -> None:
    thread = started()
    for run_id, count in (("r1", 0), ("r2", 1), ("r3", 2)):
        assert f"recorded so far: {count} of 3" in prompt_of(thread)
        if run_id != "r3":
            thread.claim_blocked("no credentials")
        thread.end(answer=run_id)
    assert "recorded so far: 0 of 3" in prompt_of(thread)


def test_used_up_budget_gives_the_wind_down() -> None:
    thread = started(tokens=100)
    thread.dispatch()
    thread.use(110)
    text = wind_down_text(thread.session)
    assert "its token budget is used up" in text
    assert "tokens: 110 of 100 used, 0 left" in text


def test_woken_thread_hears_why() -> None:
    thread = started()
    thread.dispatch()
    thread.do(e.WaitDeclared(kind="event", note="the review", run_token=thread.run.token))
    thread.end(answer="r1")
    thread.do(e.WakeRequested(note="it is approved"))
    assert "<detail>\nit is approved (the review)\n</detail>" in prompt_of(thread)
