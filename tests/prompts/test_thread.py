"""What a thread's prompts say as things happen to it, from the events on."""

from __future__ import annotations

from goalfsm.goal.model import Criterion, Limits, Usage
from goalfsm.session import Context, Session
from goalfsm.session import events as e
from goalfsm.session.thread import handle
from goalfsm.views.prompts import render_turn, wind_down_text


def fence(run_id: str) -> str:
    """Return the token of a run."""
    return f"fence-{run_id}"


class Thread:
    """A thread whose host does what it is told."""

    def __init__(self) -> None:
        self.session = Session()
        self.now_ms = 1_800_000_000_000
        self.made = 0

    def ids(self, kind: str) -> str:
        self.made += 1
        return f"{kind}-{self.made}"

    def tell(self, *happened: e.Event) -> None:
        for event in happened:
            step = handle(self.session, event, Context(now_ms=self.now_ms, ids=self.ids))
            assert step.reply is None or step.reply.ok, step.reply
            self.session = step.session

    def dispatch(self, run_id: str) -> str:
        """Start a run and return its prompt."""
        self.tell(e.RunDispatched(run_id=run_id, token=fence(run_id)))
        return render_turn(self.session, self.now_ms)

    def finish(self, run_id: str) -> None:
        """End a run well."""
        self.tell(e.RunFinished(run_id=run_id, answer_digest=run_id, answer_length=2, tools_ok=1))

    def call(self, run_id: str, **arguments: object) -> None:
        """Call ``update_goal`` from a run."""
        self.tell(e.ToolCalled(name="update_goal", arguments=arguments, run_token=fence(run_id)))


def started(**fields: object) -> Thread:
    thread = Thread()
    criteria = (Criterion(text="it is shipped"),)
    thread.tell(e.ObjectiveGiven(objective="ship it", criteria=criteria, limits=Limits(**fields)))  # type: ignore[arg-type]
    return thread


def test_first_prompt_is_full_and_the_next_compact() -> None:
    thread = started()
    first = thread.dispatch("r1")
    thread.finish("r1")
    second = thread.dispatch("r2")
    assert "This is turn 1 of the goal" in first
    assert "goes on: turn 2." in second
    assert "turns: 2 of 100 used, 98 left" in second


def test_crash_is_mentioned_until_a_turn_ended_well() -> None:
    """The notice survives the next crash, and leaves with the first turn that took it in."""
    thread = started()
    assert "was cut off" not in thread.dispatch("r1")
    for run_id in ("r1", "r2"):
        thread.tell(e.RunInterrupted(run_id=run_id, detail="the engine died"))
        thread.tell(e.HostChanged(idle=True))
        prompt = thread.dispatch("r2" if run_id == "r1" else "r3")
        assert "<detail>\nthe engine died\n</detail>" in prompt
    thread.finish("r3")
    assert "was cut off" not in thread.dispatch("r4")


def test_prompt_of_a_dispatch_is_the_same_when_it_is_done_again() -> None:
    thread = started()
    before = thread.dispatch("r1")
    thread.tell(
        e.SteeringReceived(message_id="m1", text="mind the docs"),
        e.EditRequested(objective="ship it"),
    )
    assert render_turn(thread.session, thread.now_ms) == before


def test_edit_gives_the_new_words_and_revokes_the_old_guidance() -> None:
    thread = started()
    thread.dispatch("r1")
    thread.finish("r1")
    thread.tell(e.EditRequested(objective="ship the other one"))
    prompt = thread.dispatch("r2")
    assert "A person has changed the objective" in prompt
    assert "<objective>\nship the other one\n</objective>" in prompt


def test_resume_revokes_the_guidance_to_stay_paused() -> None:
    thread = started()
    thread.tell(e.PauseRequested(), e.ResumeRequested())
    assert "staying paused" in thread.dispatch("r1")


def test_steering_leads_the_next_prompt_once() -> None:
    thread = started()
    thread.dispatch("r1")
    thread.tell(e.SteeringReceived(message_id="m1", text="mind the docs"))
    thread.finish("r1")
    assert thread.dispatch("r2").index('<message id="m1">\nmind the docs\n') < 300
    thread.finish("r2")
    assert "mind the docs" not in thread.dispatch("r3")


def test_steering_of_a_turn_that_died_is_said_again() -> None:
    thread = started()
    thread.tell(e.SteeringReceived(message_id="m1", text="mind the docs"))
    thread.dispatch("r1")
    thread.tell(e.RunInterrupted(run_id="r1"), e.HostChanged(idle=True))
    assert "mind the docs" in thread.dispatch("r2")


def test_blocked_audit_shows_its_count() -> None:
    thread = started()
    for run_id, count in (("r1", 0), ("r2", 1), ("r3", 2)):
        assert f"recorded so far: {count} of 3" in thread.dispatch(run_id)
        if run_id != "r3":
            thread.call(run_id, status="blocked", reason="no credentials")
        thread.finish(run_id)
    assert "recorded so far: 0 of 3" in thread.dispatch("r4")


def test_used_up_budget_gives_the_wind_down() -> None:
    thread = started(tokens=100)
    thread.dispatch("r1")
    usage = Usage(input_tokens=90, output_tokens=20)
    thread.tell(e.UsageReported(run_id="r1", run_token=fence("r1"), key="r1:1", usage=usage))
    text = wind_down_text(thread.session)
    assert "its token budget is used up" in text
    assert "tokens: 110 of 100 used, 0 left" in text


def test_woken_thread_hears_why() -> None:
    thread = started()
    thread.dispatch("r1")
    thread.tell(e.WaitDeclared(kind="event", note="the review", run_token=fence("r1")))
    thread.finish("r1")
    thread.tell(e.WakeRequested(note="it is approved"))
    assert "<detail>\nit is approved (the review)\n</detail>" in thread.dispatch("r2")
