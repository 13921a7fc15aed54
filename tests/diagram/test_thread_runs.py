"""Where a thread's run is in its life, and the way it took there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from goalfsm.diagram.ours.life import ROWS
from goalfsm.diagram.ours.run_path import RunPath
from goalfsm.session import events as e
from goalfsm.store.port import Identity, Process
from goalfsm.testing import says, takes, uses
from goalfsm.testing.loop import START_MS
from tests.diagram.threads import (
    DONE,
    PAUSE,
    KeptThread,
    Taken,
    counted,
    dispatch,
    given,
    of,
    work,
)

if TYPE_CHECKING:
    from goalfsm.testing import CrashPoints, GoalClock, MemoryGoals, ScriptedWorker


def test_finished_and_interrupted_runs_are_counted(
    memory_goals: MemoryGoals, scripted_worker: ScriptedWorker, goal_clock: GoalClock
) -> None:
    """One run ends well, one dies with its engine, one is cut off by a shutdown, one completes."""
    scripted_worker.turn(says("One."), takes("10s"))
    scripted_worker.turn(uses(input=5), takes("10h"), DONE)
    memory_goals.give("t", "do it")
    finished = {
        ("wanted", "RunDispatched", "open"): 1,
        ("open", "Spawned", "running"): 1,
        ("running", "Exited", "ended"): 1,
        ("ended", "RunFinished", "recorded"): 1,
    }
    goal_clock.advance("10s")
    under_way = finished | {
        ("recorded", "SendWork", "wanted"): 1,
        ("wanted", "RunDispatched", "open"): 2,
        ("open", "Spawned", "running"): 2,
    }
    drawn = of(memory_goals, "run")
    assert (counted(drawn), drawn.highlight) == (under_way, ("running",))
    memory_goals.restart()
    goal_clock.advance("1h")
    crashed = under_way | {
        ("running", "crash", "reconciling"): 1,
        ("reconciling", "RunInterrupted", "interrupted"): 1,
        ("interrupted", "SendWork", "wanted"): 1,
        ("wanted", "RunDispatched", "open"): 3,
        ("open", "Spawned", "running"): 3,
    }
    drawn = of(memory_goals, "run")
    assert (counted(drawn), drawn.highlight) == (crashed, ("running",))
    memory_goals.stop(grace="1s")
    shut_down = crashed | {
        ("running", "Exited", "ended"): 2,
        ("ended", "RunInterrupted", "interrupted"): 1,
    }
    drawn = of(memory_goals, "run")
    assert (counted(drawn), drawn.highlight) == (shut_down, ("interrupted",))
    scripted_worker.turn(DONE)
    memory_goals.start()
    memory_goals.settle("t")
    drawn = of(memory_goals, "run")
    assert drawn.highlight == ("recorded",)
    # However it went, every step is one of the drawn rows and leads on from the one before.
    counts = counted(drawn)
    assert set(counts) <= {(row.source, row.trigger, row.dest) for row in ROWS}
    for place in {state.name for state in drawn.states}:
        into = sum(n for (_, _, dest), n in counts.items() if dest == place)
        out = sum(n for (source, _, _), n in counts.items() if source == place)
        assert into - out == (place == "recorded") - (place == "wanted")


@pytest.mark.parametrize("reports", [False, True])
def test_a_run_whose_end_a_probe_finds_was_reconciled(
    crash_points: CrashPoints, *, reports: bool
) -> None:
    """The engine dies before the record; a worker that had reported nothing may not have run."""
    walked: list[Taken] = []

    def scenario(goals: MemoryGoals) -> None:
        goals.worker.can |= {"probe"}
        goals.worker.turn(says("One."), *([uses(output=10)] if reports else []))
        goals.worker.turn(DONE)
        goals.give("t", "do it")
        goals.settle("t")
        walked.append(counted(of(goals, "run")))

    points = crash_points.list(scenario)
    unrecorded = next(p for p in points if p.what.startswith("before the commit of RunFinished"))
    crash_points.run(scenario, unrecorded.number)
    known = "running" if reports else "open"
    crashed = {key: count for key, count in walked[1].items() if "reconciling" in key}
    assert crashed == {
        (known, "crash", "reconciling"): 1,
        ("reconciling", "RunFinished", "recorded"): 1,
    }
    assert walked[1]["wanted", "RunDispatched", "open"] == 2
    assert walked[1]["running", "Exited", "ended"] == walked[0]["running", "Exited", "ended"] - 1


def test_a_run_that_was_prevented_had_no_worker() -> None:
    thread = KeptThread().take(given())
    dispatch(thread)
    thread.take(given(), e.RunInterrupted(run_id="run", detail="the goal was replaced"))
    prevented = ("open", "RunInterrupted", "interrupted")
    taken = thread.taken("run")
    assert (taken["wanted", "RunDispatched", "open"], taken[prevented]) == (1, 1)
    assert not [place for step in taken for place in step if place == "running"]
    assert prevented in {(row.source, row.trigger, row.dest) for row in ROWS}


def test_the_end_of_another_run_is_no_step() -> None:
    thread = KeptThread().take(given(), e.RunFinished(run_id="run"))
    dispatch(thread)
    thread.take(e.RunFinished(run_id="other"), e.RunDispatched(run_id="third", token="other"))
    assert thread.taken("run") == {("wanted", "RunDispatched", "open"): 1}
    assert thread.drawn("run").highlight == ("open",)


def test_what_was_wanted_before_a_dispatch_is_not_wanted_beside_it() -> None:
    """A session may be read a moment before the journal in which its work is dispatched."""
    path = RunPath()
    path.take(e.RunDispatched(run_id="run", token="secret"), 1)
    path.wanted()
    assert (path.at, path.steps) == ("open", [("wanted", "RunDispatched", "open")])


def test_a_process_that_is_written_down_runs() -> None:
    thread = KeptThread().take(given())
    assert thread.drawn("run").highlight == ("wanted",)
    dispatch(thread)
    assert thread.drawn("run").highlight == ("open",)
    identity = Identity(pid=2, start_time=1, boot_id="boot")
    process = Process(thread_id="t", run_id="run", identity=identity, pgid=2, at_ms=START_MS)
    thread.store.processes.put(process)
    assert thread.drawn("run").highlight == ("running",)
    assert thread.taken("run")["open", "Spawned", "running"] == 1


@pytest.mark.parametrize(
    ("end", "place"),
    [
        (e.RunFinished(run_id="run"), "recorded"),
        (e.RunInterrupted(run_id="run", detail="the engine stopped"), "interrupted"),
    ],
)
def test_a_run_that_none_follows_is_where_it_ended(end: e.Event, place: str) -> None:
    thread = KeptThread().take(given())
    work(thread)
    thread.take(PAUSE, end)
    assert thread.session.run is None
    assert thread.drawn("run").highlight == (place,)


def test_a_thread_without_work_has_no_place_in_a_run_s_life() -> None:
    assert KeptThread().take(given(), PAUSE).drawn("run").highlight == ()
