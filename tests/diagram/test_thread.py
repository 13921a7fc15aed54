"""Where a thread is, and the way it took, is what its journal says."""

from __future__ import annotations

from threading import Thread as SystemThread
from typing import TYPE_CHECKING, Any

import pytest

from goalfsm.diagram import DiagramError, render
from goalfsm.diagram.labels import simplify
from goalfsm.diagram.ours.thread import SHOWN, of_thread
from goalfsm.goal.compiler import Row
from goalfsm.goal.machine import default_machine
from goalfsm.goal.model import Evidence, Usage
from goalfsm.session import events as e
from goalfsm.session import thread as decides
from goalfsm.testing import fails, says, takes, uses
from recovery import machine as recovery
from recovery.state import CALM
from tests.diagram.mermaid import Reader, edges, expected
from tests.diagram.threads import (
    DONE,
    NEEDS_USER,
    OVERFLOW,
    PAUSE,
    RECOVERING,
    RESUME,
    KeptThread,
    counted,
    given,
    of,
    stale,
    work,
)

if TYPE_CHECKING:
    from goalfsm.testing import GoalClock, MemoryGoals, ScriptedWorker


def test_a_goal_s_way_is_counted_row_by_row() -> None:
    thread = KeptThread().take(given(), PAUSE, RESUME, PAUSE, PAUSE, RESUME)
    assert thread.taken("goal") == {
        ("absent", "create", "active"): 1,
        ("active", "pause", "paused"): 2,
        ("paused", "resume", "active"): 2,
    }
    assert thread.drawn("goal").highlight == ("active",)


def test_replacing_and_clearing_are_ways_too() -> None:
    thread = KeptThread().take(given(), given(), e.ClearRequested(), e.ClearRequested())
    assert thread.taken("goal") == {
        ("absent", "create", "active"): 1,
        ("active", "replace", "active"): 1,
        ("active", "clear", "absent"): 1,
    }
    assert thread.drawn("goal").highlight == ("absent",)


def test_an_edit_stays_where_it_is() -> None:
    thread = KeptThread().take(given(), e.EditRequested(objective="do more"))
    assert thread.taken("goal")["active", "edit", "active"] == 1


def test_what_is_charged_and_what_it_crosses_is_shown() -> None:
    thread = KeptThread().take(given(tokens=60))
    work(thread)
    assert thread.taken("goal")["active", "account", "active"] == 1
    thread.take(
        e.UsageReported(run_id="run", run_token="secret", key="2", usage=Usage(input_tokens=50))
    )
    assert thread.taken("goal")["active", "account", "budgetLimited"] == 1
    assert thread.drawn("goal").highlight == ("budgetLimited",)


def test_an_embedder_s_row_is_part_of_the_way() -> None:
    machine = default_machine().extended((Row("nudge", "paused", "active", reason="so"),))
    thread = KeptThread(machine=machine).take(given(), PAUSE, e.TriggerFired(trigger="nudge"))
    assert thread.taken("goal")["paused", "nudge", "active"] == 1


def test_every_step_leads_on_from_the_one_before() -> None:
    """However the thread went, the drawn way ends where its snapshot is."""
    thread = KeptThread().take(
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
    thread = KeptThread().take(given(), PAUSE, RESUME)
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
    own = decides.handle

    def handle_beside(*given: Any) -> Any:
        beside = SystemThread(target=recovery.begin_overflow, args=(CALM,))
        beside.start()
        beside.join()
        return own(*given)

    watched = KeptThread().take(given())
    monkeypatch.setattr(decides, "handle", handle_beside)
    assert watched.taken("recovery") == {}


def test_every_format_shows_a_thread() -> None:
    drawn = KeptThread().take(given(), PAUSE).drawn("goal")
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
    thread = KeptThread().take(given())
    with pytest.raises(DiagramError, match="cannot be shown in 'session'"):
        thread.drawn("session")
    with pytest.raises(DiagramError, match="there is no thread 'other'"):
        of_thread("goal", thread.store, "other")


def test_a_journal_of_other_rules_is_not_decided_again() -> None:
    thread = KeptThread()
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
    thread = KeptThread(machine=machine).take(given(), PAUSE, e.TriggerFired(trigger="nudge"))
    with pytest.raises(DiagramError, match="does not give its states again"):
        of_thread(name, thread.store, "t")
