"""Turns that get nowhere, and claims that do not hold."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

from goalfsm.session.policy import Policy
from goalfsm.testing import calls, claims_blocked, claims_complete, says, takes, uses_tool
from goalfsm.testing.turns import Step
from goalfsm.workers.protocol import Text
from tests.containment.scenario import OBJECTIVE, THREAD, Row, Stage, scenario, turn_tokens


def varied(stage: Stage, *steps: Step, turns: int = 150) -> None:
    """Let every turn do ``steps`` and say something that no other turn says."""
    for number in range(1, turns + 1):
        stage.worker.turn(turn_tokens(), *steps, Text(text=f"This is turn {number}."), takes("1s"))


@scenario(
    "Turns that say and do nothing",
    "Thousands of empty turns, 0.03 seconds apart.",
)
def empty(stage: Stage) -> Iterator[Row]:
    stage.worker.rest(turn_tokens(), takes("30ms"))
    stage.give(THREAD, OBJECTIVE)
    stage.clock.advance("8h")
    yield stage.row("in 8 hours", "paused (no_progress)", most=3)


@scenario(
    "Turns that give the same answer",
    "The last message, repeated until the money is gone.",
)
def same(stage: Stage) -> Iterator[Row]:
    stage.worker.rest(turn_tokens(), uses_tool(), says("All tasks are done."), takes("1s"))
    stage.give(THREAD, OBJECTIVE)
    stage.clock.advance("8h")
    yield stage.row("in 8 hours", "paused (no_progress)", most=3)


@scenario(
    "Turns whose tools all fail",
    "A broken sandbox, tried in new words all night.",
)
def failing(stage: Stage) -> Iterator[Row]:
    varied(stage, uses_tool("shell", ok=False), uses_tool("edit", ok=False))
    stage.give(THREAD, OBJECTIVE)
    stage.clock.advance("8h")
    yield stage.row("in 8 hours", "paused (no_progress)", most=3)


@scenario(
    "Turns that always say and do something new",
    "Busy, and never done.",
)
def busy(stage: Stage) -> Iterator[Row]:
    varied(stage, uses_tool())
    stage.give(THREAD, OBJECTIVE)
    stage.clock.advance("8h")
    limit = Policy().max_continuations
    yield stage.row("in 8 hours", "limited by continuations", most=limit)


@scenario(
    "The same blocker in every turn",
    "A blocked goal that loops all night.",
)
def blocker(stage: Stage) -> Iterator[Row]:
    numbers = count(1)
    for _ in range(20):
        words = claims_blocked(f"No access to the registry ({next(numbers)}).")
        stage.worker.turn(turn_tokens(), uses_tool(), words, takes("1s"))
    stage.give(THREAD, OBJECTIVE)
    stage.clock.advance("8h")
    yield stage.row("in 8 hours", "blocked", most=3)
    stage.resume(THREAD)
    stage.clock.advance("8h")
    yield stage.row("8 hours after a resume: counted afresh", "blocked", most=3)


@scenario(
    "A verifier that finds the same gaps",
    "Claim, check, fail, claim: a loop between the model and the check.",
    verifiers={"tests pass": lambda _goal, _claim: "FAILED test_login: 1 failed in 0.4s"},
)
def gaps(stage: Stage) -> Iterator[Row]:
    varied(stage, uses_tool(), claims_complete("the tests pass"))
    stage.give(THREAD, OBJECTIVE, verifiers=["tests pass"])
    stage.clock.advance("8h")
    yield stage.row("in 8 hours", "paused (no_progress)", most=3)


@scenario(
    "A verifier that cannot tell",
    "Turn after turn for a check that is broken.",
    verifiers={"tests pass": lambda _goal, _claim: 1 / 0},
)
def unverifiable(stage: Stage) -> Iterator[Row]:
    varied(stage, uses_tool(), claims_complete("the tests pass"))
    stage.give(THREAD, OBJECTIVE, verifiers=["tests pass"])
    stage.clock.advance("8h")
    yield stage.row("in 8 hours", "paused (verification)", most=1)


@scenario(
    "Completion is claimed on a narrowed scope",
    "Done, it says, and half of it was left out.",
)
def narrowed(stage: Stage) -> Iterator[Row]:
    part = claims_complete({"text": "the tests pass", "criterion": 1})
    varied(stage, uses_tool(), part)
    stage.give(THREAD, OBJECTIVE, criteria=["The tests pass", "The documentation is published"])
    stage.clock.advance("8h")
    assert {result.code for result in stage.worker.results} == {"evidence_missing"}
    yield stage.row("in 8 hours", "paused (no_progress)", most=3)


@scenario(
    "Completion is claimed without evidence",
    "Done, it says, and shows nothing.",
)
def unshown(stage: Stage) -> Iterator[Row]:
    varied(stage, uses_tool(), calls("update_goal", status="complete"))
    stage.give(THREAD, OBJECTIVE)
    stage.clock.advance("8h")
    yield stage.row("in 8 hours", "paused (no_progress)", most=3)


@scenario(
    "Resumed after a pause",
    "Still paused, it says for ever, though it has been resumed.",
)
def resumed(stage: Stage) -> Iterator[Row]:
    stage.worker.turn(turn_tokens(), uses_tool(), says("On it."), takes("10m"))
    stage.worker.turn(turn_tokens(), uses_tool(), claims_complete("it is released"))
    stage.give(THREAD, OBJECTIVE)
    stage.clock.advance("1m")
    stage.steer(THREAD, "Stay paused until I say so.")
    stage.pause(THREAD)
    stage.clock.advance("4h")
    yield stage.row("until it is paused", "paused (user)", most=1)
    stage.resume(THREAD)
    stage.settle(THREAD)
    revoked = "Whatever earlier messages said about staying paused"
    assert revoked in stage.worker.prompts[-1]
    yield stage.row("resumed: the prompt revokes the pause", "complete", most=1)


@scenario(
    "Still paused, all the same",
    "A model that does not believe that it was resumed.",
)
def disbelieving(stage: Stage) -> Iterator[Row]:
    stage.worker.rest(turn_tokens(), says("The goal is still paused."), takes("1s"))
    stage.give(THREAD, OBJECTIVE)
    stage.pause(THREAD)
    stage.clock.advance("1h")
    yield stage.row("until it is paused", "paused (user)", most=1)
    stage.resume(THREAD)
    stage.clock.advance("8h")
    yield stage.row("8 hours after it was resumed", "paused (no_progress)", most=3)


@scenario(
    "A model that gives itself the next goal",
    "One goal is done, and the next has begun: a limit of turns that starts anew each time.",
)
def selfmade(stage: Stage) -> Iterator[Row]:
    more = calls("create_goal", objective="Polish it once more")
    varied(stage, uses_tool(), claims_complete("it is polished"), more)
    stage.give(THREAD, OBJECTIVE)
    stage.clock.advance("8h")
    yield stage.row("in 8 hours", "complete", most=1)
    assert stage.worker.results[-1].code == "origin_not_allowed"


@scenario(
    "A model that may give itself two goals more",
    "It gives itself as many as it likes, each with a limit of its own.",
    policy=Policy(model_goals=2),
)
def selfmade_twice(stage: Stage) -> Iterator[Row]:
    more = calls("create_goal", objective="Polish it once more", token_budget=10**9)
    varied(stage, uses_tool(), claims_complete("it is polished"), more)
    stage.give(THREAD, OBJECTIVE, continuations=5)
    stage.clock.advance("8h")
    # The one that was given, and as many as the model may give itself.
    yield stage.row("in 8 hours", "complete", most=3)
    assert stage.goal(THREAD).max_continuations == 3
    assert stage.worker.results[-1].code == "model_goals_spent"


@scenario(
    "Answers A, B, A, B",
    "One turn undoes what the one before did, and neither notices.",
)
def by_turns(stage: Stage) -> Iterator[Row]:
    for number in range(6):
        tried, next_try = ("absolute", "relative") if number % 2 else ("relative", "absolute")
        words = f"The {tried} import fails; the {next_try} one comes next."
        stage.worker.turn(turn_tokens(), says(words))
    stage.give(THREAD, OBJECTIVE)
    stage.clock.advance("8h")
    yield stage.row("in 8 hours", "paused (no_progress)", most=6)


@scenario(
    "The same answer with a counter in it",
    "A number or a clock in the text makes every answer another one.",
)
def counting(stage: Stage) -> Iterator[Row]:
    for number in range(6):
        stage.worker.turn(turn_tokens(), says(f"Still nothing (check {number}, 12:0{number}:30)."))
    stage.give(THREAD, OBJECTIVE)
    stage.clock.advance("8h")
    yield stage.row("in 8 hours", "paused (no_progress)", most=6)
