"""Threads as a store keeps them, with what happened to them, for tests of their drawings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from goalfsm.diagram import Diagram
from goalfsm.diagram.ours.thread import of_thread
from goalfsm.goal.model import Limits, Usage
from goalfsm.session import events as e
from goalfsm.store.memory import MemoryStore
from goalfsm.testing import claims_complete, fails
from tests.session.journaled import JournaledThread

if TYPE_CHECKING:
    from goalfsm.testing import MemoryGoals


PAUSE = e.PauseRequested()
RESUME = e.ResumeRequested()

Taken = dict[tuple[str, str, str], int]
RECOVERING = "host_overflow_recovering_needs_user_start"
NEEDS_USER = "host_overflow_needs_user_start"
OVERFLOW = fails("prompt is too long: 210000 tokens > 200000 maximum", status=400)
DONE = claims_complete("it is there")


def counted(drawn: Diagram) -> Taken:
    return {(x.source, x.trigger, x.dest): x.count for x in drawn.edges if x.count}


class KeptThread(JournaledThread):
    """A thread that is drawn from its store; a second passes after each event."""

    def take(self, *events: e.Event) -> KeptThread:
        for event in events:
            self.do(event)
            self.advance(1)
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


def work_of(thread: KeptThread) -> e.GoalWork:
    goal = thread.session.goal
    assert goal is not None
    return e.GoalWork(kind="continuation", goal_id=goal.goal_id)


def dispatch(thread: KeptThread) -> None:
    """Dispatch a run; nothing that its worker reports has come yet."""
    thread.take(e.RunDispatched(run_id="run", token="secret"))


def work(thread: KeptThread) -> None:
    """Dispatch a run and let it report what it used."""
    dispatch(thread)
    usage = Usage(input_tokens=50)
    thread.take(e.UsageReported(run_id="run", run_token="secret", key="1", usage=usage))


def stale() -> KeptThread:
    """Return a thread whose goal was replaced when a host had its work; the turn is aborted."""
    thread = KeptThread().take(given())
    old = work_of(thread)
    return thread.take(
        given(),
        e.HostChanged(idle=False),
        e.AgentStarting(work=old),
        e.TurnStarted(turn_index=1),
        e.MessageStarted(message=e.Message(role="custom", work=old)),
        e.ContextRequested(),
    )
