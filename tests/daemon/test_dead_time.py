"""Active time runs while an engine is known to live: nobody is charged the time after its death."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from msgspec.structs import replace

from goalfsm.daemon.remote import offline
from goalfsm.errors import StoreUnavailable
from goalfsm.goal.model import Limits, Verifier
from goalfsm.session import codec
from goalfsm.session import events as e
from goalfsm.session.state import Reply
from goalfsm.store.port import Acquired, Identity
from goalfsm.testing import MemoryGoals
from goalfsm.testing.loop import START_MS
from tests.daemon.scenes import COMPLETE, THREAD, leave_row, play, steps, worker

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


async def die_in_a_turn(goals: MemoryGoals, *threads: str) -> None:
    """Have an engine die `LIVED_S` seconds into the turns of ``threads``, `DEAD_S` seconds ago."""
    engine = await goals.process(SLOW).__aenter__()
    for thread_id in threads:
        await engine.submit(thread_id, GIVEN)
    await asyncio.sleep(LIVED_S)
    await goals.kill(engine)
    await asyncio.sleep(DEAD_S)


def charged(goals: MemoryGoals, thread_id: str = THREAD) -> tuple[str, int]:
    stored = goals.store().sessions.load(thread_id)
    assert stored is not None
    goal = codec.decode(stored.state).goal
    assert goal is not None
    return goal.status, goal.active_seconds


@pytest.fixture(autouse=True)
def offline_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give commands without an engine the time of the running scene."""
    running: Any = asyncio.get_running_loop
    monkeypatch.setattr(offline, "SystemClock", lambda: running().make_platform().clock)
    monkeypatch.setattr(
        offline, "own_identity", lambda: Identity(pid=99, start_time=99, boot_id="simulated")
    )


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_without_an_engine_charges_no_dead_time(command: e.Event) -> None:
    async def scene(goals: MemoryGoals) -> None:
        await die_in_a_turn(goals, THREAD)
        reply = offline.apply(goals.store(), THREAD, command, "one")
        assert isinstance(reply, Reply)
        assert reply.ok, reply
        status, seconds = charged(goals)
        assert status != "budgetLimited"
        # An engine says that it lives every two seconds.
        assert LIVED_S - 2 <= seconds <= LIVED_S
        await asyncio.sleep(DEAD_S)
        async with goals.process(SLOW):
            assert charged(goals)[1] == seconds

    play(scene)


def test_each_of_two_engines_that_die_in_a_turn_is_charged_for_what_it_lived() -> None:
    """Whoever comes after them, a command or a third engine."""

    async def scene(goals: MemoryGoals) -> None:
        await die_in_a_turn(goals, THREAD)
        second = await goals.process(SLOW).__aenter__()
        await asyncio.sleep(LIVED_S)
        await goals.kill(second)
        await asyncio.sleep(DEAD_S)
        offline.apply(goals.store(), THREAD, e.PauseRequested(), "one")
        status, seconds = charged(goals)
        assert status == "paused"
        assert 2 * (LIVED_S - 2) <= seconds <= 2 * LIVED_S
        async with goals.process(SLOW):
            assert charged(goals)[1] == seconds

    play(scene)


def test_every_thread_of_a_dead_engine_is_told_by_the_first_command() -> None:
    """The next owner cannot know any more when that engine was last seen."""

    async def scene(goals: MemoryGoals) -> None:
        await die_in_a_turn(goals, "a", "b")
        offline.apply(goals.store(), "c", GIVEN, "one")
        lived = charged(goals, "a")
        assert lived == charged(goals, "b") == ("active", LIVED_S - 1)
        await asyncio.sleep(DEAD_S)
        for number, thread_id in enumerate(("a", "b", "c")):
            offline.apply(goals.store(), thread_id, e.PauseRequested(), f"pause {number}")
        assert charged(goals, "a") == charged(goals, "b") == ("paused", LIVED_S - 1)
        assert len(goals.events("b", e.EngineLost)) == 1
        assert goals.events("c", e.EngineLost) == []

    play(scene)


def test_a_row_that_waits_for_another_thread_finds_its_clock_stopped() -> None:
    """Also when the last owner let the store go, but could not write how its turn ended."""

    async def scene(goals: MemoryGoals) -> None:
        await die_in_a_turn(goals, "a", THREAD)
        goals.disk.owner = None
        leave_row(goals, "row", e.PauseRequested(), "a")
        offline.apply(goals.store(), "b", GIVEN, "one")
        assert charged(goals, "a") == ("paused", 0)
        offline.apply(goals.store(), THREAD, e.PauseRequested(), "two")
        assert charged(goals) == ("paused", 0)

    play(scene)


def test_a_thread_that_cannot_be_read_keeps_no_other_from_being_told() -> None:
    async def scene(goals: MemoryGoals) -> None:
        await die_in_a_turn(goals, "a", "b")
        goals.disk.sessions["a"] = replace(goals.disk.sessions["a"], state=b"{")
        offline.apply(goals.store(), "c", GIVEN, "one")
        assert charged(goals, "b") == ("active", LIVED_S - 1)

    play(scene)


def test_the_next_engine_charges_what_a_silent_worker_is_known_to_have_worked() -> None:
    async def scene(goals: MemoryGoals) -> None:
        await die_in_a_turn(goals, THREAD)
        leave_row(goals, "row", e.EditRequested(objective="build it well"))
        async with goals.process(SLOW):
            assert charged(goals) == ("active", LIVED_S - 1)
        lost, edited = goals.events(THREAD, e.EngineLost, e.EditRequested)
        assert lost == e.EngineLost(seen_ms=START_MS + (LIVED_S - 1) * 1000)
        assert edited.objective == "build it well"

    play(scene)


def test_after_a_restart_of_the_machine_what_was_worked_counts_all_the_same() -> None:
    """The owner's last sign is in the time of its events: no other boot's clock is asked."""

    async def scene(goals: MemoryGoals) -> None:
        await die_in_a_turn(goals, THREAD)
        owner = goals.disk.owner
        assert owner is not None
        goals.disk.owner = replace(
            owner,
            identity=replace(owner.identity, boot_id="other", machine="here"),
            uptime_ms=goals.clock.uptime_ms() + DEAD_S * 1000,
        )
        offline.apply(goals.store(), THREAD, e.PauseRequested(), "one")
        assert charged(goals) == ("paused", LIVED_S - 1)

    play(scene)


@pytest.mark.parametrize("set_by_s", [8 * 3_600, -8 * 3_600])
@pytest.mark.parametrize("by", ["command", "engine"])
def test_a_clock_that_was_set_while_nobody_was_there_charges_nobody(set_by_s: int, by: str) -> None:
    """A laptop that slept, too: its uptime stands still meanwhile, its wall clock does not."""

    async def scene(goals: MemoryGoals) -> None:
        await die_in_a_turn(goals, THREAD)
        goals.clock.jump(set_by_s)
        if by == "command":
            offline.apply(goals.store(), THREAD, e.PauseRequested(), "one")
            assert charged(goals) == ("paused", LIVED_S - 1)
        else:
            async with goals.process(SLOW):
                assert charged(goals)[1] == LIVED_S - 1

    play(scene)


IDLE = e.ObjectiveGiven(
    objective="build it",
    policy={"idle_time_counts": True},
    verifiers=(Verifier(kind="person"),),
)


@pytest.mark.parametrize("set_by_s", [8 * 3_600, -8 * 3_600])
def test_a_clock_that_was_set_before_an_engine_that_rests_died_charges_nobody(
    set_by_s: int,
) -> None:
    """Its last sign was given in the time before."""

    async def scene(goals: MemoryGoals) -> None:
        engine = await goals.process(worker(steps([3.0, COMPLETE]))).__aenter__()
        await engine.submit(THREAD, IDLE)
        await asyncio.sleep(LIVED_S)
        goals.clock.jump(set_by_s)
        await asyncio.sleep(LIVED_S)
        await goals.kill(engine)
        async with goals.process(SLOW):
            assert charged(goals)[1] <= 2 * LIVED_S

    play(scene)


@pytest.mark.parametrize("set_by_s", [0, 8 * 3_600, -8 * 3_600])
def test_idle_time_that_counts_is_charged_of_a_thread_that_nobody_has_asked_for(
    monkeypatch: pytest.MonkeyPatch, set_by_s: int
) -> None:
    """Of the many that rest, too: to the second at which the engine stops, whatever the clock."""
    monkeypatch.setattr("goalfsm.daemon.flow.threads.KEEP_QUIET", 0)

    async def scene(goals: MemoryGoals) -> None:
        async with goals.process(worker(steps([3.0, COMPLETE]))) as engine:
            await engine.submit(THREAD, IDLE)
            await asyncio.sleep(DEAD_S)
            goals.clock.jump(set_by_s)
            await asyncio.sleep(DEAD_S)
        assert charged(goals) == ("active", 2 * DEAD_S)

    play(scene)


def test_an_owner_of_an_older_version_has_not_said_when_it_was_seen() -> None:
    """Then the time up to the last event counts."""

    async def scene(goals: MemoryGoals) -> None:
        await die_in_a_turn(goals, THREAD)
        owner = goals.disk.owner
        assert owner is not None
        goals.disk.owner = replace(owner, seen_ms=0)
        offline.apply(goals.store(), THREAD, e.PauseRequested(), "one")
        assert charged(goals) == ("paused", 0)

    play(scene)


def test_an_engine_that_dies_before_it_took_a_thread_over_was_not_there() -> None:
    """Its own sign of life comes after a time in which nobody was."""

    async def scene(goals: MemoryGoals) -> None:
        await die_in_a_turn(goals, THREAD)
        second = Identity(pid=98, start_time=98, boot_id="simulated")
        claimed = goals.store().owner.acquire(second, socket="", uptime_ms=goals.clock.uptime_ms())
        assert isinstance(claimed, Acquired)
        assert goals.events(THREAD, e.EngineLost) == []
        async with goals.process(SLOW):
            assert charged(goals)[1] <= LIVED_S

    play(scene)


def test_an_engine_that_cannot_take_over_tells_no_thread_that_it_stops() -> None:
    async def scene(goals: MemoryGoals) -> None:
        await die_in_a_turn(goals, THREAD)
        store: Any = goals.store()
        store.processes = BrokenRecords()
        with pytest.raises(StoreUnavailable):
            await goals.process(SLOW, store=store).__aenter__()
        assert goals.events(THREAD, e.ShutdownStarted) == []
        assert charged(goals) == ("active", 0)

    play(scene)


class BrokenRecords:
    """What is written down of processes, on a disk that cannot be read."""

    def open(self) -> None:
        """Fail."""
        raise StoreUnavailable("it cannot be read")
