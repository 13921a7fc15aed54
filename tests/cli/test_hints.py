"""A hint that asks for something else names the command for it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from goalfsm.cli import app, exits, working
from goalfsm.cli.places import Place, speak
from goalfsm.daemon.guards.ownership import Owned
from goalfsm.daemon.remote.client import request
from goalfsm.daemon.remote.link import NoEngine
from goalfsm.errors import (
    Busy,
    Corrupt,
    DatabaseReplaced,
    Fenced,
    GoalError,
    OlderDatabase,
    OutcomeUnknown,
)
from goalfsm.goal.machine import GUARDS, TRANSITIONS, goal_machine
from goalfsm.goal.model import Limits, Rejection, Verifier, advice
from goalfsm.session import Policy, Session
from goalfsm.session import events as e
from goalfsm.testing.threads import CheckedThread
from tests.cli.terminal import Cli
from tests.session.hosts import SHOWN

COMMANDS = {entry.name for section in app.SECTIONS for entry in section.entries}
PLACE = Place(db=Path("goals.db"), thread_id="t", given=True, db_given=True)


def given(*asked: e.Event, **fields: object) -> CheckedThread:
    """Return a thread whose goal was given, and then asked for something."""
    thread = CheckedThread(Policy(steering_limit=1))
    thread.give(**fields)
    thread.do(*asked)
    return thread


def limited() -> CheckedThread:
    """Return a thread whose goal has used its tokens up."""
    thread = given(limits=Limits(tokens=10))
    thread.dispatch()
    thread.use(20)
    thread.end()
    return thread


THREADS = {
    "no goal": CheckedThread,
    "active": given,
    "active, and full of messages": lambda: given(e.SteeringReceived(message_id="m", text="left")),
    "paused": lambda: given(e.PauseRequested()),
    "blocked": lambda: given(e.BlockRequested()),
    "limited": limited,
    "complete": lambda: given(e.CompletionRequested()),
}
ASKED = (
    e.PauseRequested(),
    e.ResumeRequested(),
    e.SteeringReceived(message_id="n", text="right"),
    e.EditRequested(objective="reworded"),
    e.BudgetChanged(limits=Limits(tokens=15)),
    e.WakeRequested(),
    e.ClaimAccepted(),
    e.ClaimRejected(),
    e.CompletionRequested(),
    e.BlockRequested(),
    e.ClearRequested(),
    e.PauseRequested(expected_goal_id="another"),
    e.PauseRequested(expected_revision=99),
)


def commands_in(hint: str) -> set[str]:
    """Return the commands that a hint names, once it is said at a terminal."""
    return set(re.findall(r"goalfsm ([a-z]+)", speak(hint, PLACE)))


@pytest.mark.parametrize("name", THREADS)
def test_whoever_is_refused_is_told_a_command(name: str) -> None:
    refused = 0
    for event in ASKED:
        thread = THREADS[name]()
        thread.do(event)
        reply = thread.reply
        if not reply.ok:
            refused += 1
            named = commands_in(reply.hint)
            assert named, (event, reply)
            assert named <= COMMANDS
            assert "goalfsm status t --db goals.db" in speak("goalfsm status THREAD", PLACE)
    assert refused >= 3


def test_a_budget_that_is_still_too_small_is_told_the_command() -> None:
    thread = limited()
    thread.do(e.BudgetChanged(limits=Limits(tokens=15)))
    assert thread.reply.code == "still_limited"
    assert commands_in(thread.reply.hint) == {"budget"}


def test_a_refusal_that_no_command_mends_keeps_its_hint() -> None:
    assert advice(Rejection("an_embedders", "fly", "active", hint="land first")) == "land first"


@pytest.mark.parametrize("by_person", [True, False])
def test_a_model_is_told_no_command_of_a_persons(by_person: bool) -> None:
    """What only a person may do is not the model's to try."""
    rows = [row._replace(when="never") if row.trigger == "complete" else row for row in TRANSITIONS]
    thread = CheckedThread(machine=goal_machine(rows, guards={**GUARDS, "never": lambda _: False}))
    thread.give(verifiers=(Verifier(kind="person"),) if by_person else ())
    thread.dispatch()
    thread.call("update_goal", **SHOWN)
    if by_person:
        thread.do(e.ClaimAccepted())
    assert not thread.reply.ok
    assert ("goalfsm" in thread.reply.hint) is by_person


@pytest.mark.parametrize(
    "error",
    [Busy, Corrupt, DatabaseReplaced, Fenced, NoEngine, OlderDatabase, OutcomeUnknown, Owned],
)
def test_errors_of_a_database_in_use_name_a_command(error: type[GoalError]) -> None:
    assert commands_in(error.hint) <= COMMANDS
    assert commands_in(error.hint)


def test_a_goal_that_comes_between_is_refused_as_one_that_was_there(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing spoke against the goal when it was checked; the other one came a moment later."""
    check = working._refuse_early

    def meanwhile(place: Place, session: Session | None, wanted: e.ObjectiveGiven) -> None:
        check(place, session, wanted)
        request(place.db, place.thread_id, e.ObjectiveGiven(objective="theirs"), "their event")

    monkeypatch.setattr(working, "_refuse_early", meanwhile)
    refused = cli("set", "ours", "--", "true")
    assert refused.status == exits.USAGE
    assert refused.err == cli("set", "ours", "--", "true").err
    assert "goalfsm run" in refused.err
