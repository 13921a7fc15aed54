"""Work that has to wait for something outside."""

from __future__ import annotations

from collections.abc import Iterator

from goalfsm.session.events import WakeRequested
from goalfsm.testing import claims_complete, says, takes, uses_tool, waits
from tests.containment.scenario import OBJECTIVE, THREAD, Row, Stage, scenario, turn_tokens

BUILD = 4711


@scenario(
    "An external process takes 6 hours",
    "Thousands of turns that look whether a build has finished.",
)
def process(stage: Stage) -> Iterator[Row]:
    stage.worker.turn(turn_tokens(), uses_tool(), says("I have started the build."), takes("30s"))
    stage.worker.turn(turn_tokens(), uses_tool(), says("The build has begun."), takes("30s"))
    stage.worker.turn(
        turn_tokens(), says("It will take hours."), waits("process", pid=BUILD, note="the build")
    )
    stage.worker.turn(turn_tokens(), uses_tool(), claims_complete("the build has passed"))
    stage.give(THREAD, OBJECTIVE)
    stage.clock.advance("10m")
    yield stage.row("before the wait is declared", "waiting on process 4711", most=3)
    stage.clock.advance("6h")
    yield stage.row("while it is waited for", "waiting on process 4711", most=0)
    stage.end_process(BUILD)
    stage.settle(THREAD)
    yield stage.row("when it has ended", "complete", most=1)


@scenario(
    "The wait is never declared",
    "The same answer, turn after turn: still waiting.",
)
def undeclared(stage: Stage) -> Iterator[Row]:
    stage.worker.rest(turn_tokens(), uses_tool(), says("The build is still running."), takes("1s"))
    stage.give(THREAD, OBJECTIVE)
    stage.clock.advance("6h")
    yield stage.row("in 6 hours", "paused (no_progress)", most=3)


@scenario(
    "A wait of 30 seconds is declared, again and again",
    "Looking whether it is done, in the clothes of a wait.",
)
def polling(stage: Stage) -> Iterator[Row]:
    stage.worker.rest(
        turn_tokens(), says("The build is still running."), waits("timer", "30s", note="the build")
    )
    stage.give(THREAD, OBJECTIVE)
    stage.clock.advance("6h")
    yield stage.row("in 6 hours", "paused (no_progress)", most=3)


@scenario(
    "Every turn waits for a process that has ended",
    "A wait that is over at once, and a turn that declares it anew.",
)
def ended(stage: Stage) -> Iterator[Row]:
    stage.worker.rest(turn_tokens(), waits("process", pid=BUILD, note="the build"), takes("1s"))
    stage.give(THREAD, OBJECTIVE)
    for _ in range(50):
        stage.clock.advance("5s")
        stage.end_process(BUILD)
    yield stage.row("50 times", "paused (no_progress)", most=3)


@scenario(
    "A timer falls due while no engine runs",
    "A wait that is forgotten, or made up for several times over.",
)
def timer(stage: Stage) -> Iterator[Row]:
    stage.worker.turn(turn_tokens(), says("Later."), waits("timer", "2h"))
    stage.worker.turn(turn_tokens(), uses_tool(), claims_complete("done"))
    stage.give(THREAD, OBJECTIVE)
    stage.clock.advance("30m")
    yield stage.row("before", "waiting on a timer", most=1)
    stage.crash()
    stage.clock.advance("6h")
    stage.start()
    stage.settle(THREAD)
    yield stage.row("when an engine runs again", "complete", most=1)


@scenario(
    "A person is waited for, and the engine restarts three times",
    "Every restart takes the work up again.",
)
def person(stage: Stage) -> Iterator[Row]:
    stage.worker.turn(turn_tokens(), says("Which colour?"), waits("person", note="which colour?"))
    stage.worker.turn(turn_tokens(), uses_tool(), claims_complete("it is blue"))
    stage.give(THREAD, OBJECTIVE)
    stage.clock.advance("1m")
    yield stage.row("until the question", "waiting on a person", most=1)
    for _ in range(3):
        stage.restart()
        stage.clock.advance("1h")
    yield stage.row("three restarts", "waiting on a person", most=0)
    stage.wake(THREAD, "blue")
    stage.settle(THREAD)
    yield stage.row("when it is answered", "complete", most=1)


@scenario(
    "A wait is woken twice at once",
    "Two wake-ups start two turns.",
)
def twice(stage: Stage) -> Iterator[Row]:
    stage.worker.turn(turn_tokens(), says("Waiting."), waits("event", note="the deployment"))
    stage.worker.rest(turn_tokens(), uses_tool(), claims_complete("deployed"), takes("1m"))
    stage.give(THREAD, OBJECTIVE)
    stage.clock.advance("1m")
    yield stage.row("until the wait", "waiting on an event", most=1)
    first = stage.wake(THREAD, "deployed")
    again = stage.send(THREAD, WakeRequested(note="deployed"))
    assert (first.code, again.code) == ("woken", "not_waiting")
    stage.settle(THREAD)
    yield stage.row("both wake-ups", "complete", most=1)
