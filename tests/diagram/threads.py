"""Threads as a store keeps them, with what happened to them, for tests of their drawings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from goalfsm.daemon.flow.decide import prepare
from goalfsm.diagram import Diagram
from goalfsm.diagram.ours.thread import of_thread
from goalfsm.goal.machine import GoalMachine
from goalfsm.goal.model import Limits, Usage
from goalfsm.session import events as e
from goalfsm.session.context import Rules
from goalfsm.session.state import RULES_VERSION, Session
from goalfsm.session.thread import GoalThread
from goalfsm.store.memory import MemoryDisk, MemoryStore
from goalfsm.store.port import Identity
from goalfsm.testing import claims_complete, fails
from goalfsm.testing.loop import START_MS

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


class KeptThread(GoalThread):
    """A thread whose every step is committed, as an engine commits it."""

    def __init__(self, machine: GoalMachine | None = None) -> None:
        super().__init__(Session(), thread_id="t", rules=Rules(machine))
        self.machine = machine
        self.store = MemoryStore(MemoryDisk())
        identity = Identity(pid=1, start_time=1, boot_id="boot")
        self.store.owner.acquire(identity, socket="", uptime_ms=0)
        self.rules_version = RULES_VERSION

    def take(self, *events: e.Event) -> KeptThread:
        for event in events:
            revision = len(self.store.journal.read("t"))
            event_id, at_ms = f"event {revision}", START_MS + revision * 1_000
            ready = self.step(event, id=event_id, at_ms=at_ms)
            commit = prepare("t", revision, ready, event_id=event_id, at_ms=at_ms).commit
            self.store.commit([replace(commit, rules_version=self.rules_version)])
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
