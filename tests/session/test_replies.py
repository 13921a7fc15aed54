"""What a person who commands is told: whether it was done, a code, words and a hint."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from goalfsm.goal.model import MAX_ITEMS, Criterion, Limits
from goalfsm.session import Policy
from goalfsm.session import events as e
from goalfsm.testing.threads import CheckedThread
from tests.session.asking import (
    COMMAND,
    EXISTS,
    FINAL,
    GIVE,
    LOOK,
    NO_BUDGET,
    RANGES,
    SAY,
    Asked,
    Told,
    budget,
    complete,
    done,
    give,
    given_by_the_model,
    held,
    limited,
    paused,
    refused,
    reply_to,
    waiting_for_quota,
)
from tests.session.hosts import started
from tests.session.refusing import at_work

TOLD: dict[str, tuple[Callable[[], CheckedThread], Asked, Told]] = {
    # objectives
    "a goal": (CheckedThread, give(), done("created", "goal goal-1 is active")),
    "a second goal": (started, give(), EXISTS),
    "a second goal, by the model": (started, give(origin="model", replace=True), EXISTS),
    "no words": (
        CheckedThread,
        give(" "),
        refused("objective_empty", "the objective is empty", SAY),
    ),
    "too many words": (
        CheckedThread,
        give("x" * 8_001),
        refused(
            "objective_too_long",
            "the objective has 8,001 characters, 8,000 are allowed",
            "put the details into a file and name the file in the objective",
        ),
    ),
    "no tokens": (CheckedThread, give(limits=Limits(tokens=0)), NO_BUDGET),
    "no seconds": (CheckedThread, give(limits=Limits(seconds=0)), NO_BUDGET),
    "no cost": (CheckedThread, give(limits=Limits(cost=-1)), NO_BUDGET),
    "less than no continuations": (CheckedThread, give(limits=Limits(continuations=-1)), NO_BUDGET),
    "too many criteria": (
        CheckedThread,
        give(criteria=(Criterion(text="x"),) * (MAX_ITEMS + 1)),
        refused("too_many_items", "more than 100 criteria or verifiers", "sum some of them up"),
    ),
    "too many verifiers": (
        CheckedThread,
        give(verifiers=(COMMAND,) * (MAX_ITEMS + 1)),
        refused("too_many_items", "more than 100 criteria or verifiers", "sum some of them up"),
    ),
    "an empty criterion": (
        CheckedThread,
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
        CheckedThread,
        give(policy={"no_progress": -1}),
        refused(
            "policy_invalid",
            "no_progress, max_continuations, model_goals, crash_retries are 0 (off) or more",
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
        CheckedThread,
        e.PauseRequested(),
        refused("no_goal", "cannot pause the goal: the thread has no goal", GIVE),
    ),
    "pause twice": (paused, e.PauseRequested(), done("marked", "the goal is paused already")),
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
            "goalfsm budget THREAD raises the budget that is used up",
        ),
    ),
    # clear and edit
    "clear": (started, e.ClearRequested(), done("cleared", "the goal is cleared")),
    "clear nothing": (
        CheckedThread,
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
        CheckedThread,
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
}


@pytest.mark.parametrize("name", TOLD)
def test_whoever_asks_is_told(name: str) -> None:
    make, asked, told = TOLD[name]
    assert reply_to(make(), asked) == told


def test_a_setting_that_does_not_exist_is_answered_with_those_that_do() -> None:
    thread = started()
    thread.do(e.PolicyChanged(changes={"zzz": 1}))
    names = ", ".join(Policy.__struct_fields__)
    assert thread.reply.code == "policy_invalid"
    assert thread.reply.message == f"there is no setting 'zzz'; there are {names}"
