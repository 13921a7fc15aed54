"""Threads that are asked for something, and the shape of what they answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from goalfsm.goal.model import Limits, Verifier
from goalfsm.session import Policy
from goalfsm.session import events as e
from goalfsm.testing.threads import CheckedThread
from tests.session.hosts import started
from tests.session.refusing import at_work

Asked = e.Event | Callable[[CheckedThread], Any]
Told = tuple[bool, str, str, str]

COMMAND = Verifier(kind="command")
PERSON = Verifier(kind="person")
SHOW = "give evidence that shows it as it is today, criterion by criterion"
SAY = "say in a sentence what is to be achieved"
GIVE = "goalfsm set THREAD OBJECTIVE gives it one"
FINAL = "goalfsm set THREAD OBJECTIVE replaces a complete goal, or goalfsm clear THREAD clears it"
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


def running(policy: Policy | None = None, **given: Any) -> CheckedThread:
    """Return a thread whose first turn runs."""
    thread = started(policy, **given)
    thread.dispatch()
    return thread


def after(*happened: e.Event, policy: Policy | None = None) -> Callable[[], CheckedThread]:
    """Return what makes a thread with a goal, after these events."""

    def make() -> CheckedThread:
        thread = started(policy)
        thread.do(*happened)
        return thread

    return make


complete = after(e.CompletionRequested())
paused = after(e.PauseRequested())
blocked = after(e.BlockRequested(reason="no access"))


def limited() -> CheckedThread:
    """Return a thread whose budget is used up and whose work is wound down."""
    thread = running(limits=Limits(tokens=5))
    thread.use(5)
    thread.end()
    thread.dispatch()
    thread.end()
    return thread


def claimed(*verifiers: Verifier) -> Callable[[], CheckedThread]:
    """Return what makes a thread with an open claim."""

    def make() -> CheckedThread:
        thread = running(verifiers=verifiers or (COMMAND,))
        thread.claim_complete()
        return thread

    return make


def waiting_for_quota() -> CheckedThread:
    """Return a thread that is paused until its quota comes back."""
    thread = running()
    thread.fail("You exceeded your current quota", retry_after=600.0)
    return thread


def given_by_the_model() -> CheckedThread:
    """Return a thread that has all the goals that its model may give it."""
    thread = CheckedThread(Policy(model_goals=1))
    thread.call("create_goal", objective="Mine")
    thread.do(e.CompletionRequested())
    return thread


def held() -> CheckedThread:
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


def complete_with(*evidence: Any) -> Callable[[CheckedThread], Any]:
    """Return what claims that the goal is complete."""
    return lambda thread: thread.call("update_goal", status="complete", evidence=list(evidence))


def used_twice(thread: CheckedThread) -> None:
    """Report the same usage twice."""
    thread.use(1, key="a")
    thread.use(1, key="a")


def refused(code: str, message: str, hint: str) -> Told:
    """Return a refusal."""
    return False, code, message, hint


def done(code: str, message: str, hint: str = "") -> Told:
    """Return an answer to what was done."""
    return True, code, message, hint


def reply_to(thread: CheckedThread, asked: Asked) -> Told:
    """Return what the thread answers."""
    if callable(asked):
        asked(thread)
    else:
        thread.do(asked)
    reply = thread.reply
    return reply.ok, reply.code, reply.message, reply.hint
