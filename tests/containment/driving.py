"""Engines: two at once, one that hangs, one that dies again and again; turns that never end."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from goalfsm.daemon.engine import Engine
from goalfsm.daemon.guards.ownership import Owned
from goalfsm.session import events as e
from goalfsm.session.policy import Policy
from goalfsm.store.memory import MemoryStore
from goalfsm.testing import claims_complete, does, hangs, says, takes, uses_tool, waits
from goalfsm.workers.protocol import Work
from tests.containment.scenario import OBJECTIVE, THREAD, Row, Stage, scenario, turn_tokens

HOUR = 3_600


def rival(stage: Stage) -> Engine:
    """Return another engine on the same store, as another process."""
    system = stage.system.process()
    store = MemoryStore(stage.disk, is_alive=system.is_alive)
    return Engine(store, workers=stage.worker.process(), platform=system)


@scenario(
    "Two engines over one thread",
    "Two schedulers, two turns at once.",
)
def two(stage: Stage) -> Iterator[Row]:
    stage.worker.turn(turn_tokens(), uses_tool(), takes("10m"), claims_complete("it is released"))
    stage.give(THREAD, OBJECTIVE)
    stage.clock.advance("1m")
    other = rival(stage)
    with pytest.raises(Owned):
        stage.clock.run(other.__aenter__())
    stage.settle(THREAD)
    yield stage.row("the second one is refused", "complete", most=1)


@scenario(
    "An engine hangs, another takes over, the first wakes up",
    "The first goes on where it was, beside the second.",
)
def fenced(stage: Stage) -> Iterator[Row]:
    stage.worker.turn(turn_tokens(), uses_tool(), takes("10m"), says("I was first."))
    stage.worker.turn(turn_tokens(), uses_tool(), takes("10m"), claims_complete("it is released"))
    stage.give(THREAD, OBJECTIVE)
    stage.clock.advance("1m")
    yield stage.row("the first engine's turn", "running a turn", most=1)
    stage.engine._parts.heartbeat.stop()
    stage.clock.advance("30s")
    other = rival(stage)
    stage.clock.run(other.__aenter__())
    stage.clock.advance("1s")
    yield stage.row("the second engine takes over", "running a turn", most=1)
    # The first engine's turn ends; what it says is refused, and the engine gives up.
    stage.clock.advance("9m")
    assert stage.engine._parts.over.is_set()
    assert "was cut off" in stage.worker.prompts[1]
    stage.clock.run(other.settled(THREAD))
    stage.clock.run(other.stop())
    yield stage.row("the first one wakes up, and is fenced", "complete", most=0)


@scenario(
    "The engine dies in every turn",
    "A supervisor that restarts it for ever.",
    policy=Policy(max_continuations=10),
)
def dying(stage: Stage) -> Iterator[Row]:
    stage.worker.rest(turn_tokens(), hangs())
    stage.give(THREAD, OBJECTIVE)
    for _ in range(50):
        stage.clock.advance("2s")
        stage.restart("1s")
    stage.clock.advance("1h")
    yield stage.row("50 crashes, 10 turns allowed", "limited by continuations", most=10)


@scenario(
    "A turn that never ends and says nothing",
    "It hangs, and nobody notices.",
)
def silent(stage: Stage) -> Iterator[Row]:
    stage.worker.turn(turn_tokens(), hangs())
    stage.worker.turn(turn_tokens(), uses_tool(), claims_complete("it is released"))
    stage.limit_turns(THREAD, silence="30m")
    stage.give(THREAD, OBJECTIVE)
    stage.clock.advance("29m")
    yield stage.row("for 30 minutes", "running a turn", most=1)
    stage.clock.advance("2m")
    yield stage.row("it is ended, and tried once more", "complete", most=0, runs=1)


@scenario(
    "A turn that never ends and talks all the time",
    "Alive, so it may go on for ever.",
)
def talking(stage: Stage) -> Iterator[Row]:
    words = (step for _ in range(5_000) for step in (says("Still at it. "), takes("10s")))
    stage.worker.turn(turn_tokens(), *words)
    stage.worker.turn(turn_tokens(), uses_tool(), claims_complete("it is released"))
    stage.limit_turns(THREAD, turn="2h", silence="30m")
    stage.give(THREAD, OBJECTIVE)
    stage.clock.advance("119m")
    yield stage.row("for 2 hours", "running a turn", most=1)
    stage.clock.advance("2m")
    yield stage.row("it is ended, and tried once more", "complete", most=0, runs=1)


@scenario(
    "Every turn hangs",
    "Killed and started again, for ever.",
)
def hanging(stage: Stage) -> Iterator[Row]:
    stage.worker.rest(turn_tokens(), hangs())
    stage.limit_turns(THREAD, silence="1h")
    stage.give(THREAD, OBJECTIVE)
    stage.clock.advance("3d")
    runs = 1 + int(Policy().retry_window_s) // HOUR
    yield stage.row("in 3 days", "paused (recovery)", most=1, runs=runs)


@scenario(
    "A turn hangs, and nobody set a limit",
    "No limit means for ever.",
)
def unlimited(stage: Stage) -> Iterator[Row]:
    stage.worker.rest(turn_tokens(), hangs())
    stage.give(THREAD, OBJECTIVE)
    stage.clock.advance("3d")
    yield stage.row("in 3 days", "paused (recovery)", most=1, runs=2)


@scenario(
    "1,000 messages during one turn",
    "A flood of steering: a turn for each, or all of them lost.",
)
def flood(stage: Stage) -> Iterator[Row]:
    stage.worker.turn(turn_tokens(), uses_tool(), takes("1h"), says("One step."))
    stage.worker.turn(turn_tokens(), uses_tool(), claims_complete("it is released"))
    stage.worker.can -= {"steer"}
    stage.give(THREAD, OBJECTIVE)
    stage.clock.advance("1m")
    sent = [
        stage.send(THREAD, e.SteeringReceived(message_id=f"m{number}", text=f"Use {number}."))
        for number in range(1_000)
    ]
    taken = sum(reply.ok for reply in sent)
    assert taken == Policy().steering_limit
    assert {reply.code for reply in sent if not reply.ok} == {"steering_full"}
    yield stage.row("during the turn", "running a turn", most=1)
    stage.settle(THREAD)
    assert stage.worker.prompts[1].count("<message id=") == taken
    yield stage.row("one turn takes the 100 that fit", "complete", most=1)


@scenario(
    "A message every minute while a process is waited for",
    "It is read when the build has ended, hours later; or one message starts turn after turn.",
)
def drip(stage: Stage) -> Iterator[Row]:
    for number in range(11):
        build = waits("process", pid=4711, note=f"the build, message {number}")
        stage.worker.turn(turn_tokens(), says("The build goes on."), build)
    stage.worker.turn(turn_tokens(), uses_tool(), claims_complete("it is released"))
    stage.give(THREAD, OBJECTIVE)
    for number in range(10):
        stage.clock.advance("1m")
        stage.steer(THREAD, f"And {number}?")
        stage.clock.advance("1s")
        assert f"And {number}?" in stage.worker.prompts[-1]
    yield stage.row("10 messages, each read at once", "waiting on process 4711", most=11)
    stage.end_process(4711)
    stage.settle(THREAD)
    assert "<message id=" not in stage.worker.prompts[-1]
    yield stage.row("the build ends", "complete", most=1)


@scenario(
    "A worker whose own code raises",
    "An exception that is caught, and tried again for ever.",
)
def raising(stage: Stage) -> Iterator[Row]:
    def explode(_: Work) -> None:
        raise RuntimeError("the worker's own code is broken")

    stage.worker.rest(turn_tokens(), does(explode))
    stage.give(THREAD, OBJECTIVE)
    stage.clock.advance("8h")
    yield stage.row("in 8 hours", "paused (recovery)", most=1)
