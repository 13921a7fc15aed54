"""What whoever asks is told: whether it was done, a code for programs, words and a hint."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from goalfsm import events as e
from goalfsm.model import MAX_ITEMS, Criterion, Limits, Usage, Verifier
from goalfsm.session import Policy
from tests.session.test_refusing_machines import at_work
from tests.session.thread import START_MS, Thread, started

Asked = e.Event | Callable[[Thread], Any]
Told = tuple[bool, str, str, str]

COMMAND = Verifier(kind="command")
PERSON = Verifier(kind="person")
SHOW = "give evidence that shows it as it is today, criterion by criterion"
SAY = "say in a sentence what is to be achieved"
GIVE = "goalfsm set THREAD OBJECTIVE gives it one"
FINAL = "goalfsm set THREAD OBJECTIVE replaces a complete goal, goalfsm clear THREAD clears it"
WORK = "goalfsm set THREAD OBJECTIVE gives the thread some"
LOOK = "goalfsm status THREAD shows it as it is; then ask again"
RANGES = "see Policy for the settings and their ranges"
NO_BUDGET = (
    False,
    "budget_invalid",
    "a budget must be a positive whole number",
    "leave the budget out for none",
)
EXISTS = (
    False,
    "goal_exists",
    "the thread already has an unfinished goal",
    "finish, clear or replace it first (--replace)",
)
STALE = (
    False,
    "stale_run",
    "this run is over; what it reports no longer counts",
    "end this process; the engine has gone on without it",
)


def running(policy: Policy | None = None, **given: Any) -> Thread:
    """Return a thread whose first turn runs."""
    thread = started(policy, **given)
    thread.dispatch()
    return thread


def after(*happened: e.Event, policy: Policy | None = None) -> Callable[[], Thread]:
    """Return what makes a thread with a goal, after these events."""

    def make() -> Thread:
        thread = started(policy)
        thread.do(*happened)
        return thread

    return make


complete = after(e.CompletionRequested())
paused = after(e.PauseRequested())
blocked = after(e.BlockRequested(reason="no access"))


def limited() -> Thread:
    """Return a thread whose budget is used up and whose work is wound down."""
    thread = running(limits=Limits(tokens=5))
    thread.use(5)
    thread.end()
    thread.dispatch(wind_down=True)
    thread.end()
    return thread


def claimed(*verifiers: Verifier) -> Callable[[], Thread]:
    """Return what makes a thread with an open claim."""

    def make() -> Thread:
        thread = running(verifiers=verifiers or (COMMAND,))
        thread.claim()
        return thread

    return make


def waiting_for_quota() -> Thread:
    """Return a thread that is paused until its quota comes back."""
    thread = running()
    thread.fail("You exceeded your current quota", retry_after=600.0)
    return thread


def given_by_the_model() -> Thread:
    """Return a thread that has all the goals that its model may give it."""
    thread = Thread(Policy(model_goals=1))
    thread.tool("create_goal", objective="Mine")
    thread.do(e.CompletionRequested())
    return thread


def held() -> Thread:
    """Return a thread that starts no turn although its goal may not be paused."""
    thread = at_work("pause")
    thread.do(e.PauseRequested())
    return thread


def give(objective: str = "Make it work", **fields: Any) -> e.ObjectiveGiven:
    """Return a person's objective."""
    limits = fields.pop("limits", Limits())
    return e.ObjectiveGiven(objective=objective, limits=limits, **fields)


def steer(text: str = "left", key: str = "m") -> e.SteeringReceived:
    """Return a person's message."""
    return e.SteeringReceived(message_id=key, text=text)


def verified(outcome: Any, index: int = 0, **fields: Any) -> e.VerificationFinished:
    """Return what a verifier of the first claim found."""
    return e.VerificationFinished(claim_id="claim-2", index=index, outcome=outcome, **fields)


def budget(**limits: int) -> e.BudgetChanged:
    """Return a person's change of the budget."""
    return e.BudgetChanged(limits=Limits(**limits))


def complete_with(*evidence: Any) -> Callable[[Thread], Any]:
    """Return what claims that the goal is complete."""
    return lambda thread: thread.tool("update_goal", status="complete", evidence=list(evidence))


def used_twice(thread: Thread) -> None:
    """Report the same usage twice."""
    thread.use(1, key="a")
    thread.use(1, key="a")


def refused(code: str, message: str, hint: str) -> Told:
    """Return a refusal."""
    return False, code, message, hint


def done(code: str, message: str, hint: str = "") -> Told:
    """Return an answer to what was done."""
    return True, code, message, hint


TOLD: dict[str, tuple[Callable[[], Thread], Asked, Told]] = {
    # objectives
    "a goal": (Thread, give(), done("created", "goal goal-1 is active")),
    "a second goal": (started, give(), EXISTS),
    "a second goal, by the model": (started, give(origin="model", replace=True), EXISTS),
    "no words": (Thread, give(" "), refused("objective_empty", "the objective is empty", SAY)),
    "too many words": (
        Thread,
        give("x" * 8_001),
        refused(
            "objective_too_long",
            "the objective has 8,001 characters, 8,000 are allowed",
            "put the details into a file and name the file in the objective",
        ),
    ),
    "no tokens": (Thread, give(limits=Limits(tokens=0)), NO_BUDGET),
    "no seconds": (Thread, give(limits=Limits(seconds=0)), NO_BUDGET),
    "no cost": (Thread, give(limits=Limits(cost=-1)), NO_BUDGET),
    "less than no continuations": (Thread, give(limits=Limits(continuations=-1)), NO_BUDGET),
    "too many criteria": (
        Thread,
        give(criteria=(Criterion(text="x"),) * (MAX_ITEMS + 1)),
        refused("too_many_items", "more than 100 criteria or verifiers", "sum some of them up"),
    ),
    "too many verifiers": (
        Thread,
        give(verifiers=(COMMAND,) * (MAX_ITEMS + 1)),
        refused("too_many_items", "more than 100 criteria or verifiers", "sum some of them up"),
    ),
    "an empty criterion": (
        Thread,
        give(criteria=(Criterion(text=" "),)),
        refused("text_empty", "the criterion is empty", "give the criterion as text"),
    ),
    "one goal of its own too many": (
        given_by_the_model,
        give(origin="model"),
        refused(
            "model_goals_spent",
            "the model has given this thread 1 goals in a row",
            "a person has to say how it goes on, by an objective or a message",
        ),
    ),
    # settings
    "a setting": (
        started,
        e.PolicyChanged(changes={"no_progress": 1}),
        done("policy_changed", "the policy is changed"),
    ),
    "a goal with a bad setting": (
        Thread,
        give(policy={"no_progress": -1}),
        refused(
            "policy_invalid",
            "no_progress, max_continuations, model_goals are 0 (off) or more",
            RANGES,
        ),
    ),
    "a count that is too small": (
        started,
        e.PolicyChanged(changes={"blocked_after": 0}),
        refused("policy_invalid", "blocked_after and steering_limit are at least 1", RANGES),
    ),
    "a share beyond one": (
        started,
        e.PolicyChanged(changes={"retry_jitter": 2}),
        refused("policy_invalid", "retry_jitter and cached_weight are shares from 0 to 1", RANGES),
    ),
    "a span of nothing": (
        started,
        e.PolicyChanged(changes={"retry_window_s": 0}),
        refused("policy_invalid", "durations are more than 0 seconds, and end", RANGES),
    ),
    # pause and resume
    "pause": (started, e.PauseRequested(), done("marked", "the goal is paused")),
    "pause without a goal": (
        Thread,
        e.PauseRequested(),
        refused("no_goal", "cannot pause the goal: the thread has no goal", GIVE),
    ),
    "pause twice": (
        paused,
        e.PauseRequested(),
        refused(
            "only_active_can_pause",
            "cannot pause the goal: it is paused",
            "only a goal that is being worked on can be paused; "
            "goalfsm status THREAD shows where it is",
        ),
    ),
    "pause what waits for a quota": (
        waiting_for_quota,
        e.PauseRequested(),
        done("marked", "the goal stays paused until it is resumed"),
    ),
    "pause what may not be paused": (
        lambda: at_work("pause"),
        e.PauseRequested(),
        done(
            "suspended",
            "no turn follows, though a rule of the machine keeps the goal active",
            "goalfsm wake THREAD takes the work up again",
        ),
    ),
    "resume what may not be paused": (
        held,
        e.ResumeRequested(),
        done("marked", "the goal is active"),
    ),
    "resume": (paused, e.ResumeRequested(), done("marked", "the goal is active")),
    "resume what is active": (
        started,
        e.ResumeRequested(),
        refused(
            "only_stopped_can_resume",
            "cannot resume the goal: it is active",
            "only a paused or blocked goal can be resumed; goalfsm status THREAD shows where it is",
        ),
    ),
    "resume what is complete": (
        complete,
        e.ResumeRequested(),
        refused("complete_is_terminal", "cannot resume the goal: it is complete", FINAL),
    ),
    "resume without a budget": (
        limited,
        e.ResumeRequested(),
        refused(
            "budget_limited_cannot_resume",
            "cannot resume the goal: it is budgetLimited",
            "goalfsm status THREAD names the budget that is used up, "
            "goalfsm budget THREAD raises it",
        ),
    ),
    # clear and edit
    "clear": (started, e.ClearRequested(), done("cleared", "the goal is cleared")),
    "clear nothing": (
        Thread,
        e.ClearRequested(),
        refused(
            "no_goal",
            "cannot clear the goal: the thread has no goal",
            GIVE,
        ),
    ),
    "edit": (
        started,
        e.EditRequested(objective="y"),
        done("edited", "the objective is updated"),
    ),
    "edit to nothing": (
        started,
        e.EditRequested(objective=""),
        refused("objective_empty", "the objective is empty", SAY),
    ),
    "edit what is complete": (
        complete,
        e.EditRequested(objective="y"),
        refused("complete_is_terminal", "cannot edit the goal: it is complete", FINAL),
    ),
    # budgets
    "a budget": (started, budget(tokens=9), done("budget_changed", "the budget is changed")),
    "a budget of nothing": (started, budget(cost=0), NO_BUDGET),
    "enough budget": (limited, budget(tokens=9), done("reopened", "the goal is active again")),
    "too little budget": (
        limited,
        budget(tokens=4),
        done(
            "still_limited",
            "the budget is changed, but the goal is still limited by tokens",
            "goalfsm budget THREAD has to raise it above what is used",
        ),
    ),
    "a budget without a goal": (
        Thread,
        budget(tokens=9),
        refused("no_goal", "cannot raise the budget of the goal: the thread has no goal", GIVE),
    ),
    "a budget of what is complete": (
        complete,
        budget(tokens=9),
        refused(
            "complete_is_terminal", "cannot raise the budget of the goal: it is complete", FINAL
        ),
    ),
    # a person's word on the end
    "complete": (started, e.CompletionRequested(), done("marked", "the goal is complete")),
    "complete twice": (
        complete,
        e.CompletionRequested(),
        done("already_complete", "the goal is complete"),
    ),
    "block": (started, e.BlockRequested(), done("marked", "the goal is blocked")),
    "block what is paused": (
        paused,
        e.BlockRequested(),
        refused(
            "only_active_can_block",
            "cannot block the goal: it is paused",
            "goalfsm status THREAD says what takes it up; after that it can be blocked",
        ),
    ),
    # triggers, and who asks when
    "a trigger of ours": (
        started,
        e.TriggerFired(trigger="pause"),
        refused(
            "trigger_reserved",
            "'pause' is a trigger of goalfsm itself",
            "send the command or the event that stands for it",
        ),
    ),
    "a trigger of nobody": (
        started,
        e.TriggerFired(trigger="take_a_nap"),
        refused(
            "status_not_allowed",
            "cannot take a nap the goal: it is active",
            "goalfsm status THREAD shows where it is",
        ),
    ),
    "the model clears": (
        started,
        e.ClearRequested(origin="model"),
        refused(
            "origin_not_allowed",
            "this is not the model's to ask for",
            "a person does it, or the model claims complete or blocked",
        ),
    ),
    "another goal is meant": (
        started,
        e.ClearRequested(expected_goal_id="goal-7"),
        refused("goal_changed", "the thread's goal is another one by now", LOOK),
    ),
    "another revision is meant": (
        started,
        e.ClearRequested(expected_revision=9),
        refused("revision_changed", "the goal was changed meanwhile", LOOK),
    ),
    # messages
    "steer": (started, steer(), done("recorded", "the next turn takes it into account")),
    "steer nothing": (
        Thread,
        steer(),
        refused(
            "no_goal",
            "there is no work to steer",
            WORK,
        ),
    ),
    "steer what is complete": (
        complete,
        steer(),
        refused(
            "no_goal",
            "there is no work to steer",
            WORK,
        ),
    ),
    "steer without words": (
        started,
        steer(" "),
        refused("text_empty", "the message is empty", "give the message as text"),
    ),
    "steer twice": (
        after(steer()),
        steer("right"),
        done("recorded", "it is queued already"),
    ),
    "steer too often": (
        after(steer(key="m1"), steer(key="m2"), policy=Policy(steering_limit=2)),
        steer(),
        refused(
            "steering_full",
            "2 messages wait for the next turn already",
            "wait until a turn has taken them, or say it by goalfsm edit THREAD OBJECTIVE",
        ),
    ),
    # claims of the model
    "a claim": (running, complete_with("it runs"), done("marked", "the goal is complete")),
    "a claim without a goal": (
        Thread,
        complete_with("it runs"),
        refused("no_goal", "there is no goal to complete", "create one first"),
    ),
    "a budget of a complete goal": (
        complete,
        budget(tokens=9),
        refused(
            "complete_is_terminal", "cannot raise the budget of the goal: it is complete", FINAL
        ),
    ),
    "a claim twice": (complete, complete_with("it runs"), done("already_complete", "it is")),
    "a claim while one is verified": (
        claimed(),
        complete_with("it runs"),
        refused("claim_open", "a completion claim is being verified", "wait for its outcome"),
    ),
    "a claim to be verified": (
        lambda: running(verifiers=(COMMAND,)),
        complete_with("it runs"),
        done(
            "verifying",
            "the claim is recorded; it is verified before the goal counts as complete",
        ),
    ),
    "a claim that shows nothing": (
        running,
        complete_with(),
        refused("evidence_missing", "a completion claim needs evidence", SHOW),
    ),
    "a claim that shows too little": (
        lambda: running(criteria=tuple(Criterion(text=t) for t in ("tests", "docs", "x" * 90))),
        complete_with({"text": "12 passed", "criterion": 1}),
        refused("evidence_missing", f"no evidence for criterion 2 (docs), 3 ({'x' * 80})", SHOW),
    ),
    "a claim about no criterion": (
        lambda: running(criteria=(Criterion(text="tests"),)),
        complete_with({"text": "12 passed", "criterion": 2}),
        refused("evidence_missing", "there is no criterion 2; the goal has 1", SHOW),
    ),
    "blocked": (
        running,
        Thread.blocked,
        done(
            "recorded",
            "recorded 1 of 3: the goal stays active",
            "try another way; only the same blocker in consecutive turns blocks the goal",
        ),
    ),
    "blocked for the last time": (
        lambda: running(Policy(blocked_after=1)),
        Thread.blocked,
        done("marked", "the goal is blocked"),
    ),
    "blocked without a goal": (
        Thread,
        Thread.blocked,
        refused("no_goal", "there is no goal to block", "create one first"),
    ),
    "blocked twice": (blocked, Thread.blocked, done("already_blocked", "it is")),
    "blocked while paused": (
        paused,
        Thread.blocked,
        refused(
            "only_active_can_block",
            "the goal is paused",
            "resume the goal before it is blocked again",
        ),
    ),
    # verifiers, and a person's word on a claim
    "a verifier of no claim": (
        started,
        verified("passed"),
        refused("stale_claim", "that claim is settled already", ""),
    ),
    "a verifier of nobody": (
        claimed(),
        verified("passed", 7),
        refused(
            "verifier_unknown",
            "the goal has no verifier 7 that the engine runs",
            "answer for a verifier that RunVerifier named; a person accepts or rejects",
        ),
    ),
    "one of two verifiers": (
        claimed(COMMAND, COMMAND),
        verified("passed"),
        done("recorded", ""),
    ),
    "a verifier that comes before a person": (
        claimed(COMMAND, PERSON),
        verified("passed"),
        done("waiting", "a person has to accept the claim"),
    ),
    "a verifier that passed": (
        claimed(),
        verified("passed"),
        done("marked", "the goal is complete"),
    ),
    "a verifier that failed": (claimed(), verified("failed"), done("failed", "")),
    "a verifier that could not tell": (
        claimed(),
        verified("unverifiable", detail="no network"),
        done("unverifiable", "verifier 1: no network"),
    ),
    "accept": (claimed(PERSON), e.ClaimAccepted(), done("marked", "the goal is complete")),
    "accept nothing": (
        started,
        e.ClaimAccepted(),
        refused(
            "no_claim",
            "there is no claim to accept",
            "goalfsm complete THREAD completes the goal without one",
        ),
    ),
    "reject": (
        claimed(PERSON),
        e.ClaimRejected(feedback="no"),
        done("rejected", "the feedback goes to the next turn"),
    ),
    "reject nothing": (
        started,
        e.ClaimRejected(),
        refused(
            "no_claim",
            "there is no claim to reject",
            "goalfsm steer THREAD TEXT tells the work what is wrong",
        ),
    ),
    # waits
    "wait for a time": (
        started,
        e.WaitDeclared(kind="timer", until_ms=START_MS + 1),
        done("waiting", "the work waits until the time has come; end the turn"),
    ),
    "wait for a process": (
        started,
        e.WaitDeclared(kind="process", pid=1),
        done("waiting", "the work waits until the process has ended; end the turn"),
    ),
    "wait for a person": (
        started,
        e.WaitDeclared(kind="person"),
        done("waiting", "the work waits for a person; end the turn"),
    ),
    "wait for something": (
        started,
        e.WaitDeclared(kind="event"),
        done("waiting", "the work waits until it is woken; end the turn"),
    ),
    "wait for no time": (
        started,
        e.WaitDeclared(kind="timer"),
        refused("wait_invalid", "a timer needs a time", "give until or seconds"),
    ),
    "wait for no process": (
        started,
        e.WaitDeclared(kind="process", pid=0),
        refused("wait_invalid", "a process needs its id", "give a pid above 0"),
    ),
    "wait for a process without an id": (
        started,
        e.WaitDeclared(kind="process"),
        refused("wait_invalid", "a process needs its id", "give a pid above 0"),
    ),
    "wait while paused": (
        paused,
        e.WaitDeclared(kind="event"),
        refused("status_not_allowed", "the goal is not active", ""),
    ),
    "wait without a goal": (
        Thread,
        e.WaitDeclared(kind="event"),
        refused("status_not_allowed", "the goal is not active", ""),
    ),
    "wait while a person comes first": (
        held,
        e.WaitDeclared(kind="event"),
        done("waiting", "a person comes first"),
    ),
    "wake": (
        after(e.WaitDeclared(kind="event")),
        e.WakeRequested(),
        done("woken", "the wait is over"),
    ),
    "wake what does not wait": (
        started,
        e.WakeRequested(),
        refused(
            "not_waiting", "the goal waits for nothing", "goalfsm status THREAD shows what it does"
        ),
    ),
    # runs
    "a dispatch twice": (
        running,
        e.RunDispatched(run_id="run-1", token="token-1"),
        done("dispatched", "the run is open already"),
    ),
    "a dispatch beside another": (
        running,
        e.RunDispatched(run_id="run-2", token="token-2"),
        refused(
            "run_open",
            "the thread has an open run",
            "report its end before another one is dispatched",
        ),
    ),
    "usage twice": (running, used_twice, done("charged_before", "")),
    "usage of an old run": (
        started,
        e.UsageReported(run_id="run-0", run_token="old", key="k", usage=Usage(input_tokens=1)),
        STALE,
    ),
    "a tool of an old run": (
        started,
        e.ToolCalled(name="get_goal", arguments={}, run_token="old"),
        STALE,
    ),
}


@pytest.mark.parametrize("name", TOLD)
def test_whoever_asks_is_told(name: str) -> None:
    make, asked, told = TOLD[name]
    thread = make()
    if callable(asked):
        asked(thread)
    else:
        thread.do(asked)
    reply = thread.reply
    assert (reply.ok, reply.code, reply.message, reply.hint) == told


def test_a_setting_that_does_not_exist_is_answered_with_those_that_do() -> None:
    thread = started()
    thread.do(e.PolicyChanged(changes={"zzz": 1}))
    names = ", ".join(Policy.__struct_fields__)
    assert thread.reply.code == "policy_invalid"
    assert thread.reply.message == f"there is no setting 'zzz'; there are {names}"
