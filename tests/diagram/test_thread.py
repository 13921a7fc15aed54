"""Where a thread is, and the way it took, is what its journal says."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from goalfsm import events as e
from goalfsm.compiler import Row
from goalfsm.daemon.records import prepare
from goalfsm.daemon.world import decision_context
from goalfsm.diagram import Diagram, DiagramError, render
from goalfsm.diagram.thread import of_thread
from goalfsm.machine import GoalMachine, default_machine
from goalfsm.model import Evidence, Limits, Usage
from goalfsm.session.handle import handle
from goalfsm.session.state import Session
from goalfsm.store.memory import MemoryDisk, MemoryStore
from goalfsm.store.port import Committed, Identity, Process

START_MS = 1_800_000_000_000
PAUSE = e.PauseRequested()
RESUME = e.ResumeRequested()


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

    def taken(self, name: str) -> dict[tuple[str, str, str], int]:
        edges = self.drawn(name).edges
        return {(x.source, x.trigger, x.dest): x.count for x in edges if x.count}


def given(tokens: int | None = None) -> e.ObjectiveGiven:
    return e.ObjectiveGiven(objective="do it", limits=Limits(tokens=tokens), replace=True)


def work(thread: Thread) -> None:
    """Dispatch a run and let it report what it used."""
    goal = thread.session.goal
    assert goal is not None
    queued = e.GoalWork(kind="continuation", goal_id=goal.goal_id)
    thread.take(
        e.HostChanged(idle=False),
        e.AgentStarting(work=queued),
        e.RunDispatched(run_id="run", token="secret"),
        e.TurnStarted(turn_index=1),
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


def test_recovery_stale_work_and_run_show_where_the_thread_is() -> None:
    thread = Thread().take(given())
    assert thread.drawn("recovery").highlight == ("idle",)
    assert thread.drawn("stale-work").highlight == ("idle",)
    assert thread.drawn("run").highlight == ("wanted",)
    work(thread)
    assert thread.drawn("run").highlight == ("open",)
    identity = Identity(pid=2, start_time=1, boot_id="boot")
    process = Process(thread_id="t", run_id="run", identity=identity, pgid=2, at_ms=START_MS)
    thread.store.processes.put(process)
    assert thread.drawn("run").highlight == ("running",)
    thread.take(e.ClearRequested(), e.HostChanged(idle=True))


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


def test_what_cannot_be_shown_is_refused() -> None:
    thread = Thread().take(given())
    with pytest.raises(DiagramError, match="cannot be shown in 'session'"):
        thread.drawn("session")
    with pytest.raises(DiagramError, match="there is no thread 'other'"):
        of_thread("goal", thread.store, "other")


def test_a_journal_of_other_rules_is_not_decided_again() -> None:
    thread = Thread()
    thread.rules_version = 0
    with pytest.raises(DiagramError, match="under other rules"):
        thread.take(given()).drawn("goal")
