"""What a session may look like, whatever led to it, and when it is looked at again."""

from __future__ import annotations

from typing import Final

from goalfsm.goal.model import ACTIVE, COMPLETE, LIMITED, PAUSED
from goalfsm.session import events as e
from goalfsm.session import prompt_notices as notices
from goalfsm.session.thread import KEYS_KEPT
from goalfsm.session.work import next_wake
from goalfsm.testing.invariants.invariant import LOADS, Chapter, Transition, hold

SESSIONS: Final = Chapter()


@SESSIONS.says("Only the active goal has a continuation, queued or wanted, and only one of it.")
def _scheduled_for_the_active_goal(t: Transition) -> None:
    goal, continuation = t.after.goal, t.after.continuation
    for name, goal_id in (("queued", continuation.queued), ("wanted", continuation.wanted)):
        if goal_id is not None:
            hold(goal is not None and goal.goal_id == goal_id, f"{name} for another goal")
            hold(goal is not None and goal.status == ACTIVE, f"{name} for a goal that stopped")
    hold(continuation.wanted is None or continuation.queued is None, "queued and wanted again")


@SESSIONS.says("Time is measured for the active goal only.")
def _clock_runs_for_the_active_goal(t: Transition) -> None:
    goal, clock = t.after.goal, t.after.clock
    if clock.goal_id is None:
        return
    hold(goal is not None and goal.goal_id == clock.goal_id, "the clock runs for another goal")
    hold(goal is not None and goal.status == ACTIVE, "the clock runs for a goal that stopped")
    hold(0 <= clock.remainder_ms < 1000, f"a remainder of {clock.remainder_ms} ms")  # noqa: PLR2004  a second


@SESSIONS.says("An open claim is about the current, unfinished goal, and nobody answers it twice.")
def _claims_belong_to_the_goal(t: Transition) -> None:
    claim, goal = t.after.claim, t.after.goal
    if claim is None:
        return
    hold(goal is not None and goal.goal_id == claim.goal_id, "the claim is about another goal")
    hold(goal is not None and goal.status != COMPLETE, "the goal is complete already")
    known = [result.index for result in claim.results]
    hold(len(known) == len(set(known)), f"verifiers answered twice: {known}")
    verifiers = () if goal is None else goal.verifiers
    for index in known:
        hold(0 <= index < len(verifiers), f"there is no verifier {index}")
        hold(verifiers[index].kind != "person", f"verifier {index} is a person")


@SESSIONS.says("What explains a stop is there while the goal is stopped, and gone with the stop.")
def _stops_explain_themselves(t: Transition) -> None:
    goal = t.after.goal
    if goal is None or isinstance(t.event, LOADS) or _loaded_before(t):
        return
    paused, limited = goal.status == PAUSED, goal.status == LIMITED
    hold(paused == (goal.pause_reason is not None), f"{goal.status}, {goal.pause_reason=}")
    hold(paused or goal.resume_at_ms is None, f"{goal.status}, {goal.resume_at_ms=}")
    hold(limited == (goal.limited_by is not None), f"{goal.status}, {goal.limited_by=}")


def _loaded_before(t: Transition) -> bool:
    # A goal from a history keeps the fields that the history gave it until its status changes.
    pair = t.same_goal
    return pair is not None and pair[0].status == pair[1].status


@SESSIONS.says("Nothing that others send makes a session grow without end.")
def _bounded(t: Transition) -> None:
    after = t.after
    room = max(after.policy.steering_limit, len(t.before.steering))
    messages = [kept for kept in after.steering if kept.kind == "message"]
    hold(len(messages) <= room, f"{len(messages)} steering messages")
    hold(len(after.steering) <= len(messages) + 1, "more than one edit is queued")
    sent = [kept.message_id for kept in after.steering]
    hold(len(sent) == len(set(sent)), "a steering message is queued twice")
    kinds = [notices.parse(text).kind for text in after.notices]
    hold(len(kinds) == len(set(kinds)), f"notices pile up: {kinds}")
    hold(after.run is None or len(after.run.charged) <= KEYS_KEPT, "usage keys pile up")


TIMERS: Final = Chapter()


@TIMERS.says("After a due timer was handled the next one is later: no timer fires for ever.")
def _timers_come_to_rest(t: Transition) -> None:
    if not isinstance(t.event, e.TimerFired) or t.now_ms is None:
        return
    wake = next_wake(t.after)
    hold(wake is None or wake > t.now_ms, f"asked again for {wake}, it is {t.now_ms}")


@TIMERS.says(
    "Nothing happens by itself to a goal that is complete, blocked, limited or gone, except that "
    "a turn that goes on is ended."
)
def _finished_goals_sleep(t: Transition) -> None:
    goal = t.after.goal
    if goal is None or goal.status not in {ACTIVE, PAUSED}:
        overruns = goal is not None and t.after.run is not None
        hold(overruns or next_wake(t.after) is None, "a timer is set")
