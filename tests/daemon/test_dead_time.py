"""Active time runs while an engine is known to live: nobody is charged the time after its death."""

from __future__ import annotations

import asyncio

import pytest
from msgspec.structs import replace

from goalfsm.daemon.remote import offline
from goalfsm.goal.model import Limits
from goalfsm.session import codec
from goalfsm.session import events as e
from goalfsm.session.state import Reply
from goalfsm.store.port import Identity
from tests.daemon.stage import START_MS, THREAD, Stage, StageClock, play, steps, worker

GIVEN = e.ObjectiveGiven(objective="build it", limits=Limits(seconds=60))
LIVED_S = 13
DEAD_S = 600
SLOW = worker(steps([3_600.0]))
"""Says nothing but its answer, an hour later."""

COMMANDS = [
    pytest.param(e.EditRequested(objective="build it well"), id="edit"),
    pytest.param(e.BudgetChanged(limits=Limits(seconds=60, cost=5)), id="budget"),
    pytest.param(e.PauseRequested(), id="pause"),
    pytest.param(e.SteeringReceived(message_id="m", text="hello"), id="steer"),
    pytest.param(e.PolicyChanged(changes={"no_progress": 4}), id="policy"),
    pytest.param(e.GoalQueued(objective="then that"), id="queue"),
    pytest.param(e.BlockRequested(reason="no key"), id="block"),
    pytest.param(e.CompletionRequested(), id="complete"),
    pytest.param(e.BudgetChanged(limits=Limits(tokens=9)), id="lift the limit of time"),
]


async def die_in_a_turn(stage: Stage, *threads: str) -> None:
    """Have an engine die `LIVED_S` seconds into the turns of ``threads``, `DEAD_S` seconds ago."""
    engine = await stage.engine(SLOW).__aenter__()
    for thread_id in threads:
        await engine.submit(thread_id, GIVEN)
    await asyncio.sleep(LIVED_S)
    await stage.crash(engine)
    await asyncio.sleep(DEAD_S)


def charged(stage: Stage, thread_id: str = THREAD) -> tuple[str, int]:
    stored = stage.store().sessions.load(thread_id)
    assert stored is not None
    goal = codec.decode(stored.state).goal
    assert goal is not None
    return goal.status, goal.active_seconds


@pytest.fixture(autouse=True)
def offline_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give commands without an engine the time of the running stage."""
    monkeypatch.setattr(offline, "SystemClock", lambda: StageClock(asyncio.get_running_loop()))
    monkeypatch.setattr(
        offline, "own_identity", lambda: Identity(pid=99, start_time=99, boot_id="boot")
    )


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_without_an_engine_charges_no_dead_time(command: e.Event) -> None:
    async def scene(stage: Stage) -> None:
        await die_in_a_turn(stage, THREAD)
        reply = offline.apply(stage.store(), THREAD, command, "one")
        assert isinstance(reply, Reply)
        assert reply.ok, reply
        status, seconds = charged(stage)
        assert status != "budgetLimited"
        # An engine says that it lives every two seconds.
        assert LIVED_S - 2 <= seconds <= LIVED_S
        await asyncio.sleep(DEAD_S)
        async with stage.engine(SLOW):
            assert charged(stage)[1] == seconds

    play(scene)


def test_each_of_two_engines_that_die_in_a_turn_is_charged_for_what_it_lived() -> None:
    """Whoever comes after them, a command or a third engine."""

    async def scene(stage: Stage) -> None:
        await die_in_a_turn(stage, THREAD)
        second = await stage.engine(SLOW).__aenter__()
        await asyncio.sleep(LIVED_S)
        await stage.crash(second)
        await asyncio.sleep(DEAD_S)
        offline.apply(stage.store(), THREAD, e.PauseRequested(), "one")
        status, seconds = charged(stage)
        assert status == "paused"
        assert 2 * (LIVED_S - 2) <= seconds <= 2 * LIVED_S
        async with stage.engine(SLOW):
            assert charged(stage)[1] == seconds

    play(scene)


def test_every_thread_of_a_dead_engine_is_told_by_the_first_command() -> None:
    """The next owner cannot know any more when that engine was last seen."""

    async def scene(stage: Stage) -> None:
        await die_in_a_turn(stage, "a", "b")
        offline.apply(stage.store(), "c", GIVEN, "one")
        lived = charged(stage, "a")
        assert lived == charged(stage, "b") == ("active", LIVED_S - 1)
        await asyncio.sleep(DEAD_S)
        for number, thread_id in enumerate(("a", "b", "c")):
            offline.apply(stage.store(), thread_id, e.PauseRequested(), f"pause {number}")
        assert charged(stage, "a") == charged(stage, "b") == ("paused", LIVED_S - 1)
        assert len(stage.events(e.EngineLost, thread_id="b")) == 1
        assert stage.events(e.EngineLost, thread_id="c") == []

    play(scene)


def test_a_row_that_waits_for_another_thread_finds_its_clock_stopped() -> None:
    """Also when the last owner let the store go, but could not write how its turn ended."""

    async def scene(stage: Stage) -> None:
        await die_in_a_turn(stage, "a", THREAD)
        stage.disk.owner = None
        stage.leave_row("row", e.PauseRequested(), "a")
        offline.apply(stage.store(), "b", GIVEN, "one")
        assert charged(stage, "a") == ("paused", 0)
        offline.apply(stage.store(), THREAD, e.PauseRequested(), "two")
        assert charged(stage) == ("paused", 0)

    play(scene)


def test_a_thread_that_cannot_be_read_keeps_no_other_from_being_told() -> None:
    async def scene(stage: Stage) -> None:
        await die_in_a_turn(stage, "a", "b")
        stage.disk.sessions["a"] = replace(stage.disk.sessions["a"], state=b"{")
        offline.apply(stage.store(), "c", GIVEN, "one")
        assert charged(stage, "b") == ("active", LIVED_S - 1)

    play(scene)


def test_the_next_engine_charges_what_a_silent_worker_is_known_to_have_worked() -> None:
    async def scene(stage: Stage) -> None:
        await die_in_a_turn(stage, THREAD)
        stage.leave_row("row", e.EditRequested(objective="build it well"))
        async with stage.engine(SLOW):
            assert charged(stage) == ("active", LIVED_S - 1)
        lost, edited = stage.events(e.EngineLost, e.EditRequested)
        assert lost == e.EngineLost(seen_ms=START_MS + (LIVED_S - 1) * 1000)
        assert edited.objective == "build it well"

    play(scene)


def test_the_clock_of_another_boot_tells_nothing() -> None:
    async def scene(stage: Stage) -> None:
        await die_in_a_turn(stage, "a", "b")
        owner = stage.disk.owner
        assert owner is not None
        before = replace(owner, identity=replace(owner.identity, boot_id="other", machine="here"))
        ahead = replace(owner, uptime_ms=stage.clock.uptime_ms() + 1)
        for number, previous in enumerate((before, ahead)):
            stage.disk.owner = previous
            thread_id = "ab"[number]
            offline.apply(stage.store(), thread_id, e.PauseRequested(), f"pause {number}")
            assert charged(stage, thread_id) == ("paused", 0)

    play(scene)
