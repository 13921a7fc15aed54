"""What can be done about a refusal or a stop, as data for programs and in words for people."""

from __future__ import annotations

import traceback
from typing import Any

import click
import pytest

from goalfsm import GoalError, Remedy, Reply, errors
from goalfsm.cli.app import app
from goalfsm.daemon.guards.ownership import Owned
from goalfsm.daemon.remote.link import NoEngine
from goalfsm.goal.model import Verifier
from goalfsm.session.codec import CodecError
from goalfsm.testing import (
    MemoryGoals,
    RequestRejected,
    ScriptedWorker,
    claims_complete,
    says,
    uses,
)


@pytest.mark.parametrize(
    ("remedy", "told"),
    [
        (Remedy("resume"), "goalfsm resume THREAD"),
        (
            Remedy("wake", does="takes the work up again"),
            "goalfsm wake THREAD takes the work up again",
        ),
        (Remedy("set", {"objective": None}), "goalfsm set THREAD OBJECTIVE"),
        (
            Remedy("queue drop", {"id": "q2"}, "takes it out"),
            "goalfsm queue drop THREAD q2 takes it out",
        ),
        (Remedy("budget", {"tokens": None}), "goalfsm budget THREAD --tokens N"),
        (
            Remedy("budget", {"tokens": 5000, "time": None}),
            "goalfsm budget THREAD --tokens 5000 --time DURATION",
        ),
        (Remedy("budget", {"continuations": None}), "goalfsm budget THREAD --max-continuations N"),
        (Remedy("doctor", does="names the owner"), "goalfsm doctor names the owner"),
    ],
)
def test_a_remedy_is_a_command_in_words(remedy: Remedy, told: str) -> None:
    assert str(remedy) == told


def test_what_is_refused_carries_its_remedies_and_says_them() -> None:
    both = (Remedy("set", {"objective": None}, "replaces it"), Remedy("clear", does="clears it"))
    said = "goalfsm set THREAD OBJECTIVE replaces it, or goalfsm clear THREAD clears it"
    assert Reply(ok=False, remedies=both).hint == said
    assert Reply(ok=False, remedies=both, hint="first look at it").hint == "first look at it"
    error = GoalError("it is complete", remedies=both)
    assert (error.hint, error.remedies) == (said, both)
    assert GoalError("no").remedies == ()


@pytest.mark.parametrize(
    ("error", "actions"),
    [
        (errors.Busy, ["doctor"]),
        (errors.Corrupt, ["doctor"]),
        (errors.DatabaseReplaced, ["daemon"]),
        (errors.DiskFull, []),
        (errors.Fenced, ["doctor"]),
        (errors.OlderDatabase, ["daemon"]),
        (errors.OutcomeUnknown, ["log"]),
        (CodecError, ["doctor"]),
        (NoEngine, ["daemon"]),
        (Owned, ["doctor"]),
    ],
)
def test_what_the_store_refuses_names_the_command_that_its_hint_speaks_of(
    error: type[GoalError], actions: list[str]
) -> None:
    raised = error("it does not go")
    assert [each.action for each in raised.remedies] == actions
    assert all(f"goalfsm {action}" in raised.hint for action in actions)


def test_a_hint_of_its_own_takes_the_place_of_the_remedies_of_its_class() -> None:
    assert errors.Fenced("no owner", hint="Claim it first.").remedies == ()
    own = (Remedy("backup", {"file": None}, "makes a copy"),)
    told = errors.Corrupt("no", remedies=own)
    assert (told.remedies, told.hint) == (own, "goalfsm backup FILE makes a copy")


@pytest.mark.parametrize(
    "action", ["backup", "budget", "daemon", "doctor", "list", "log", "node", "resume", "status"]
)
def test_a_remedy_names_a_thread_where_its_command_takes_one(action: str) -> None:
    command = app.get_command(click.Context(app), action)
    assert command is not None
    takes = {each.name for each in command.params if isinstance(each, click.Argument)}
    assert ("THREAD" in str(Remedy(action))) is ("thread" in takes or "thread_id" in takes)


def test_a_program_does_what_the_remedy_says(
    memory_goals: MemoryGoals, scripted_worker: ScriptedWorker
) -> None:
    scripted_worker.turn(uses(input=700), says("Half of it.")).turn(says("Wound down."))
    scripted_worker.turn(claims_complete("all of it"))
    memory_goals.give("t", "Count the stock", tokens=500)
    memory_goals.settle("t")
    (remedy,) = memory_goals.status("t").remedies
    assert (remedy.action, dict(remedy.arguments)) == ("budget", {"tokens": None})
    assert str(remedy) == memory_goals.status("t").hint
    with pytest.raises(RequestRejected) as refused:
        memory_goals.resume("t")
    assert [each.action for each in refused.value.remedies] == ["budget"]
    chosen: dict[str, Any] = dict.fromkeys(remedy.arguments, 9_000)
    memory_goals.budget("t", **chosen)
    memory_goals.settle("t")
    assert memory_goals.goal("t").status == "complete"
    assert memory_goals.status("t").remedies == ()


def test_a_claim_that_could_not_be_verified_can_be_taken_as_it_is(
    memory_goals: MemoryGoals, scripted_worker: ScriptedWorker
) -> None:
    def unsure(_goal: object, _claim: object) -> bool:
        raise OSError("the check has changed")

    memory_goals.configure(verifiers={"check": unsure})
    scripted_worker.turn(claims_complete("all of it"))
    memory_goals.give("t", "Count the stock", verifiers=[Verifier(kind="callable", name="check")])
    memory_goals.settle("t")
    assert memory_goals.goal("t").pause_reason == "verification"
    assert [each.action for each in memory_goals.status("t").remedies] == ["accept", "resume"]
    memory_goals.accept("t")
    assert memory_goals.goal("t").status == "complete"


@pytest.mark.parametrize(
    ("error", "notes"),
    [
        (GoalError("it failed", hint="look at it"), ["Hint: look at it"]),
        (GoalError("it failed", remedies=(Remedy("doctor"),)), ["Hint: goalfsm doctor"]),
        (errors.StoreUnavailable("it failed"), [f"Hint: {errors.StoreUnavailable.hint}"]),
        (GoalError("it failed"), []),
    ],
)
def test_a_traceback_shows_the_hint(error: GoalError, notes: list[str]) -> None:
    assert getattr(error, "__notes__", []) == notes
    assert traceback.format_exception(error)[-len(notes) - 1 :] == [
        f"goalfsm.errors.{type(error).__name__}: it failed\n",
        *(f"{note}\n" for note in notes),
    ]
