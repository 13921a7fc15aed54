"""Every row of a run's life is played by the engine that runs, crashes included.

A row that nothing here shows any more is a row that the picture of a run must not have.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import pytest

from goalfsm.diagram.ours.life import CRASH, ROWS
from goalfsm.testing import GoalClock, MemoryGoals, says, takes, uses
from goalfsm.testing.scripted import WorkerProcess
from goalfsm.workers.protocol import Probe
from tests.diagram.threads import DONE, Taken, counted, of

if TYPE_CHECKING:
    from goalfsm.testing import CrashPoints

Step = tuple[str, str, str]
OPEN = frozenset({"open", "running"})


class Crash(NamedTuple):
    """What was durable when an engine took a crashed one's place."""

    place: str
    had_ended: bool
    taken: Taken


class Plays:
    """Plays that were made, and the steps that each of them shows."""

    def __init__(self) -> None:
        self.shown: set[Step] = set()
        self.crashes: list[Crash] = []

    def crashed(self, goals: MemoryGoals) -> None:
        """Take note of a crash: a worker may have ended without anybody's having recorded it."""
        drawn = of(goals, "run")
        runs = goals.worker.runs
        ended = bool(runs) and runs[-1].finished
        self.crashes.append(Crash("".join(drawn.highlight), ended, counted(drawn)))

    def over(self, goals: MemoryGoals) -> None:
        """Take the steps of a play, and what they say of its crashes, in their order."""
        taken = counted(of(goals, "run"))
        self.shown |= set(taken)
        befallen = [crash for crash in self.crashes if crash.place]
        after = [*(crash.taken for crash in befallen), taken][1:]
        for crash, later in zip(befallen, after, strict=True):
            new = [step for step, n in later.items() if n > crash.taken.get(step, 0)]
            reconciled = [step for step in new if step[1] == CRASH]
            if crash.place not in OPEN:
                # The next engine goes on from there as if nothing had happened.
                assert reconciled == []
                self.shown.add((crash.place, CRASH, crash.place))
            elif not new:
                # The next engine crashed too, before it had written down what became of the run.
                self.shown.add(("reconciling", CRASH, "reconciling"))
            else:
                assert [dest for _, _, dest in reconciled] == ["reconciling"]
                if crash.had_ended:
                    self.shown.add(("ended", CRASH, "reconciling"))
        self.crashes.clear()


@pytest.fixture
def plays(monkeypatch: pytest.MonkeyPatch) -> Plays:
    """Watch every engine that is started after a crash."""
    found = Plays()
    start = MemoryGoals.start

    def watched(goals: MemoryGoals) -> object:
        if "t" in goals.disk.sessions:
            found.crashed(goals)
        return start(goals)

    monkeypatch.setattr(MemoryGoals, "start", watched)
    return found


def shut_down() -> Taken:
    """Return the steps of a run that a shutdown ends early."""
    clock = GoalClock()
    goals = MemoryGoals(clock)
    goals.worker.turn(takes("10h"))
    goals.give("t", "do it")
    clock.advance("10s")
    goals.stop(grace="1s")
    taken = counted(of(goals, "run"))
    goals.close()
    return taken


def prevented(monkeypatch: pytest.MonkeyPatch) -> Taken:
    """Return the steps of a run whose worker was never started: a fault kept its prompt back."""

    def broken(*_: object) -> str:
        raise ZeroDivisionError("the prompt cannot be written")

    clock = GoalClock()
    goals = MemoryGoals(clock)
    with monkeypatch.context() as patched:
        patched.setattr("goalfsm.daemon.stages.run_control.render_turn", broken)
        goals.give("t", "do it")
        clock.settle()
    assert goals.worker.runs == []
    taken = counted(of(goals, "run"))
    assert taken["open", "RunInterrupted", "interrupted"] == 1
    goals.close()
    return taken


def probed_while_it_runs(monkeypatch: pytest.MonkeyPatch) -> Step:
    """Return the step of an engine that finds the run of a crashed one still under way."""
    answers = [Probe(state="running"), Probe(state="running"), Probe(state="gone")]
    asked: list[str] = []

    async def probe(_: object, run_id: str) -> Probe:
        asked.append(run_id)
        return answers.pop(0)

    monkeypatch.setattr(WorkerProcess, "_probed", probe)
    clock = GoalClock()
    goals = MemoryGoals(clock)
    goals.worker.can |= {"probe"}
    goals.worker.turn(takes("10h"))
    goals.worker.turn(DONE)
    goals.give("t", "do it")
    clock.advance("10s")
    (run,) = [played.work.run_id for played in goals.worker.runs]
    goals.restart()
    goals.settle("t")
    # It was asked until it was gone, and nothing else was started before that.
    assert asked == [run] * 3
    taken = counted(of(goals, "run"))
    assert taken["reconciling", "RunInterrupted", "interrupted"] == 1
    goals.close()
    return ("reconciling", "Probe", "reconciling")


def test_every_row_of_a_run_is_played(
    plays: Plays, crash_points: CrashPoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    # An engine that is started after a crash may crash as well: once is enough to show that.
    for can, crashes in ((set[str](), 2), ({"probe"}, 1)):

        def scenario(goals: MemoryGoals, can: set[str] = can) -> None:
            goals.worker.can |= can
            goals.worker.turn(says("One."), uses(output=10), takes("10s"))
            goals.worker.turn(DONE)
            goals.give("t", "do it")
            goals.settle("t")
            plays.over(goals)

        crash_points.for_each(scenario, crashes=crashes)
    plays.shown |= set(shut_down())
    plays.shown |= set(prevented(monkeypatch))
    plays.shown.add(probed_while_it_runs(monkeypatch))
    assert plays.shown == {(row.source, row.trigger, row.dest) for row in ROWS}
