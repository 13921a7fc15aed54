"""Where a thread is, and the way it took, is what its journal says."""

from __future__ import annotations

from threading import Thread as SystemThread
from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from goalfsm import events as e
from goalfsm.compiler import Row
from goalfsm.daemon.records import prepare
from goalfsm.daemon.world import decision_context
from goalfsm.diagram import Diagram, DiagramError, render, thread
from goalfsm.diagram.labels import simplify
from goalfsm.diagram.life import ROWS
from goalfsm.diagram.run_path import RunPath
from goalfsm.diagram.thread import SHOWN, of_thread
from goalfsm.machine import GoalMachine, default_machine
from goalfsm.model import Evidence, Limits, Usage
from goalfsm.session.handle import handle
from goalfsm.session.state import Session
from goalfsm.store.memory import MemoryDisk, MemoryStore
from goalfsm.store.port import Committed, Identity, Process
from goalfsm.testing import claims_complete, fails, says, takes, uses
from recovery import machine as recovery
from recovery.state import CALM
from tests.diagram.test_mermaid import Reader, edges, expected

if TYPE_CHECKING:
    from goalfsm.testing import CrashPoints, GoalClock, MemoryGoals, ScriptedWorker

START_MS = 1_800_000_000_000
PAUSE = e.PauseRequested()
RESUME = e.ResumeRequested()


Taken = dict[tuple[str, str, str], int]
RECOVERING = "host_overflow_recovering_needs_user_start"
NEEDS_USER = "host_overflow_needs_user_start"
OVERFLOW = fails("prompt is too long: 210000 tokens > 200000 maximum", status=400)
DONE = claims_complete("it is there")


def counted(drawn: Diagram) -> Taken:
    return {(x.source, x.trigger, x.dest): x.count for x in drawn.edges if x.count}


class Thread:
    """A thread whose events are decided and committed one by one."""

    def __init__(self, machine: GoalMachine | None = None) -> None:
        self.store = MemoryStore(MemoryDisk())
        identity = Identity(pid=1, start_time=1, boot_id="boot")
        self.store.owner.claim(identity, socket="", uptime_ms=0)
        self.session = Session()
        self.revision = 0
        self.machine = machine
        self.rules_version: int | None = None

    def take(self, *events: e.Event) -> Thread:
        for event in events:
            at_ms = START_MS + self.revision * 1_000
            event_id = f"event {self.revision}"
            context = decision_context("t", event_id, at_ms, self.machine)
            step = handle(self.session, event, context)
            commit = prepare("t", self.revision, event, step, event_id=event_id, at_ms=at_ms).commit
            if self.rules_version is not None:
                commit = replace(commit, rules_version=self.rules_version)
            (outcome,) = self.store.commit([commit])
            assert isinstance(outcome, Committed)
            self.session, self.revision = step.session, self.revision + 1
        return self

    def drawn(self, name: str) -> Diagram:
        return of_thread(name, self.store, "t", machine=self.machine)

    def taken(self, name: str) -> Taken:
        return counted(self.drawn(name))


def of(goals: MemoryGoals, name: str) -> Diagram:
    """Draw the thread of an engine in memory, as another program would that opens the store."""
    return of_thread(name, MemoryStore(goals.disk), "t")


def given(tokens: int | None = None) -> e.ObjectiveGiven:
    return e.ObjectiveGiven(objective="do it", limits=Limits(tokens=tokens), replace=True)


def work_of(thread: Thread) -> e.GoalWork:
    goal = thread.session.goal
    assert goal is not None
    return e.GoalWork(kind="continuation", goal_id=goal.goal_id)


def dispatch(thread: Thread) -> e.GoalWork:
    """Dispatch a run; nothing of it has started."""
    queued = work_of(thread)
    thread.take(
        e.HostChanged(idle=False),
        e.AgentStarting(work=queued),
        e.RunDispatched(run_id="run", token="secret"),
        e.TurnStarted(turn_index=1),
    )
    return queued


def work(thread: Thread) -> None:
    """Dispatch a run and let it report what it used."""
    queued = dispatch(thread)
    thread.take(
        e.MessageStarted(message=e.Message(role="custom", work=queued)),
        e.ContextRequested(),
        e.UsageReported(run_id="run", run_token="secret", key="1", usage=Usage(input_tokens=50)),
    )


def test_a_goal_s_way_is_counted_row_by_row() -> None:
    thread = Thread().take(given(), PAUSE, RESUME, PAUSE, PAUSE, RESUME)
    assert thread.taken("goal") == {
        ("absent", "create", "active"): 1,
        ("active", "pause", "paused"): 2,
        ("paused", "resume", "active"): 2,
    }
    assert thread.drawn("goal").highlight == ("active",)


def test_replacing_and_clearing_are_ways_too() -> None:
    thread = Thread().take(given(), given(), e.ClearRequested(), e.ClearRequested())
    assert thread.taken("goal") == {
        ("absent", "create", "active"): 1,
        ("active", "replace", "active"): 1,
        ("active", "clear", "absent"): 1,
    }
    assert thread.drawn("goal").highlight == ("absent",)


def test_an_edit_stays_where_it_is() -> None:
    thread = Thread().take(given(), e.EditRequested(objective="do more"))
    assert thread.taken("goal")["active", "edit", "active"] == 1


def test_what_is_charged_and_what_it_crosses_is_shown() -> None:
    thread = Thread().take(given(tokens=60))
    work(thread)
    assert thread.taken("goal")["active", "account", "active"] == 1
    thread.take(
        e.UsageReported(run_id="run", run_token="secret", key="2", usage=Usage(input_tokens=50))
    )
    assert thread.taken("goal")["active", "account", "budgetLimited"] == 1
    assert thread.drawn("goal").highlight == ("budgetLimited",)


def test_an_embedder_s_row_is_part_of_the_way() -> None:
    machine = default_machine().extended((Row("nudge", "paused", "active", reason="so"),))
    thread = Thread(machine).take(given(), PAUSE, e.TriggerFired(trigger="nudge"))
    assert thread.taken("goal")["paused", "nudge", "active"] == 1


def test_every_step_leads_on_from_the_one_before() -> None:
    """However the thread went, the drawn way ends where its snapshot is."""
    thread = Thread().take(
        given(tokens=1_000),
        PAUSE,
        e.EditRequested(objective="do more"),
        e.CompletionRequested(evidence=(Evidence(text="it is there"),)),
    )
    assert thread.session.goal is not None
    assert thread.drawn("goal").highlight == (thread.session.goal.status,)
    counts = thread.taken("goal")
    into = sum(n for (_, _, dest), n in counts.items() if dest == thread.session.goal.status)
    out = sum(n for (source, _, _), n in counts.items() if source == thread.session.goal.status)
    assert into == out + 1


def test_decisions_are_counted_along_the_order_of_the_guards() -> None:
    thread = Thread().take(given(), PAUSE, RESUME)
    taken = thread.taken("continuation")
    assert taken["status", "yes", "status: outcome"] == 1
    assert taken["status", "no", "stopping"] == 2
    assert taken["host_busy", "no", "continue"] == 2
    assert thread.drawn("continuation").highlight == ("continue",)


# The recovery machine and the stale-work reducer.


def test_the_way_through_recovery_is_counted(
    memory_goals: MemoryGoals, scripted_worker: ScriptedWorker, goal_clock: GoalClock
) -> None:
    """Outages move no phase; an overflow does, and a compaction that fails leaves it there."""
    scripted_worker.can |= {"compact"}
    scripted_worker.turn(fails("Overloaded", status=529, retry_after="5m"))
    scripted_worker.turn(OVERFLOW)
    scripted_worker.turn(says("It fits."), takes("10s"))
    scripted_worker.turn(takes("10s"), OVERFLOW)
    memory_goals.give("t", "do it")
    goal_clock.advance("1m")
    assert of(memory_goals, "recovery").highlight == ("idle",)
    assert counted(of(memory_goals, "recovery")) == {}
    goal_clock.advance("4m 15s")
    once = {
        ("idle", "begin_overflow", RECOVERING): 1,
        (RECOVERING, "compact", RECOVERING): 1,
        (RECOVERING, "end_overflow", NEEDS_USER): 1,
        (NEEDS_USER, "release_user_start", "idle"): 1,
    }
    drawn = of(memory_goals, "recovery")
    assert (counted(drawn), drawn.highlight) == (once, ("idle",))
    scripted_worker.compacts = False
    memory_goals.settle("t")
    drawn = of(memory_goals, "recovery")
    assert counted(drawn) == once | {("idle", "begin_overflow", RECOVERING): 2}
    assert drawn.highlight == (RECOVERING,) == (memory_goals.session("t").recovery.phase,)


def stale() -> Thread:
    """Return a thread whose goal was replaced when its work was queued; the turn is aborted."""
    thread = Thread().take(given())
    old = dispatch(thread)
    return thread.take(
        given(), e.MessageStarted(message=e.Message(role="custom", work=old)), e.ContextRequested()
    )


def test_the_way_of_superseded_work_is_counted() -> None:
    thread = stale()
    aborting = {
        ("idle", "stale_work_started", "observing_turn"): 1,
        ("observing_turn", "context_abort", "aborting_turn"): 1,
    }
    assert thread.taken("stale-work") == aborting
    assert thread.drawn("stale-work").highlight == ("aborting_turn",)
    thread.take(
        e.TurnEnded(turn_index=1, message=e.Message(role="assistant", stop_reason="aborted"))
    )
    ended = aborting | {("aborting_turn", "turn_end", "aborting_turn"): 1}
    assert thread.taken("stale-work") == ended
    # An engine that takes the thread over lets go of it, which no row says.
    thread.take(e.EngineStarted())
    assert thread.taken("stale-work") == ended
    assert thread.drawn("stale-work").highlight == ("idle",)


def test_turns_that_run_are_observed_one_after_the_other(
    memory_goals: MemoryGoals, scripted_worker: ScriptedWorker
) -> None:
    scripted_worker.turn(says("One."))
    scripted_worker.turn(DONE)
    memory_goals.give("t", "do it")
    memory_goals.settle("t")
    assert counted(of(memory_goals, "stale-work")) == {
        ("idle", "runnable_work_started", "observing_turn"): 2,
        ("observing_turn", "turn_start", "idle"): 1,
    }


def test_rows_that_fire_in_another_thread_of_the_system_are_not_the_thread_s(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    own = thread.handle

    def handle_beside(*given: Any) -> Any:
        beside = SystemThread(target=recovery.begin_overflow, args=(CALM,))
        beside.start()
        beside.join()
        return own(*given)

    watched = Thread().take(given())
    monkeypatch.setattr(thread, "handle", handle_beside)
    assert watched.taken("recovery") == {}


# The life of runs.


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
    unrecorded = next(p for p in points if p.what.startswith("before the commit of TurnEnded"))
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
    thread = stale()
    message = e.Message(role="assistant", stop_reason="aborted")
    thread.take(
        e.TurnEnded(turn_index=1, message=message), e.RunFinished(run_id="run", outcome="aborted")
    )
    assert thread.taken("run") == {
        ("wanted", "RunDispatched", "open"): 1,
        ("open", "RunFinished", "recorded"): 1,
    }


def test_the_end_of_another_run_is_no_step() -> None:
    thread = Thread().take(given(), e.RunFinished(run_id="run"))
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
    thread = Thread().take(given())
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
    thread = Thread().take(given())
    work(thread)
    thread.take(PAUSE, end)
    assert thread.session.run is None
    assert thread.drawn("run").highlight == (place,)


def test_a_thread_without_work_has_no_place_in_a_run_s_life() -> None:
    assert Thread().take(given(), PAUSE).drawn("run").highlight == ()


def test_every_format_shows_a_thread() -> None:
    drawn = Thread().take(given(), PAUSE).drawn("goal")
    assert "pause \N{MULTIPLICATION SIGN}1" in render(drawn)
    assert "pause \N{MULTIPLICATION SIGN}1" in render(drawn, format="dot")
    assert "Taken" in render(drawn, format="table")


@pytest.mark.parametrize("name", SHOWN)
def test_the_real_mermaid_reads_the_way(
    name: str,
    mermaid: Reader,
    memory_goals: MemoryGoals,
    scripted_worker: ScriptedWorker,
    goal_clock: GoalClock,
) -> None:
    scripted_worker.can |= {"compact"}
    scripted_worker.turn(OVERFLOW)
    scripted_worker.turn(uses(input=5), takes("10s"), DONE)
    memory_goals.give("t", "do it")
    goal_clock.advance("1s")
    memory_goals.restart()
    memory_goals.settle("t")
    drawn = of(memory_goals, name)
    read = mermaid(render(drawn))
    assert edges(read) == expected(simplify(drawn))
    shown = "".join(text for *_, text in read["edges"])
    assert counted(drawn)
    assert all(f"\N{MULTIPLICATION SIGN}{count}" in shown for count in counted(drawn).values())


def test_what_cannot_be_shown_is_refused() -> None:
    thread = Thread().take(given())
    with pytest.raises(DiagramError, match="cannot be shown in 'session'"):
        thread.drawn("session")
    with pytest.raises(DiagramError, match="there is no thread 'other'"):
        of_thread("goal", thread.store, "other")


def test_a_journal_of_other_rules_is_not_decided_again() -> None:
    thread = Thread()
    thread.rules_version = 0
    thread.take(given())
    for name in ("goal", "recovery", "stale-work"):
        with pytest.raises(DiagramError, match="under other rules") as refused:
            thread.drawn(name)
        # What is advised shows the place alone, and works.
        place = "active" if name == "goal" else "idle"
        assert refused.value.hint.endswith(f"goalfsm diagram {name} --highlight {place}")
    assert thread.drawn("run").highlight == ("wanted",)


@pytest.mark.parametrize("name", ["goal", "recovery", "stale-work"])
def test_a_journal_that_another_machine_decided_is_not_guessed_at(name: str) -> None:
    machine = default_machine().extended((Row("nudge", "paused", "active", reason="so"),))
    thread = Thread(machine).take(given(), PAUSE, e.TriggerFired(trigger="nudge"))
    with pytest.raises(DiagramError, match="does not give its states again"):
        of_thread(name, thread.store, "t")
