"""One thread as the daemon keeps it: what is committed, what is owed, and how runs end."""

from __future__ import annotations

from hypothesis.stateful import RuleBasedStateMachine

from goalfsm.daemon.flow.replay import replay
from goalfsm.goal.model import ACTIVE, COMPLETE, Limits, Verifier
from goalfsm.session import Policy, Session
from goalfsm.session import effects as f
from goalfsm.session import events as e
from goalfsm.session.thread import Ready
from goalfsm.session.work import can_begin, queued
from goalfsm.views.prompts import render_turn
from goalfsm.views.prompts.turn import carried
from tests.session.journaled import JournaledThread


class OneThread(RuleBasedStateMachine):
    """A thread with its store, whose journal is replayed at the end."""

    def __init__(self) -> None:
        super().__init__()
        self.thread = JournaledThread()
        self.count = 0
        self.taken: set[str] = set()

    def run_by(self, policy: Policy) -> None:
        """Begin anew, with a thread that is run by ``policy``."""
        self.thread = JournaledThread(policy)

    @property
    def session(self) -> Session:
        """Return the session after the last event."""
        return self.thread.session

    def do(self, *happened: e.Event, done: str | None = None) -> Ready:
        """Commit events, and end the runs that are to end."""
        ready = self.thread.do(*happened, done=done)
        self.react()
        return ready

    def react(self) -> None:
        """Do what needs no choice: end runs that are to end."""
        for key, effect in self.thread.owed(f.EndRun):
            self.do(e.RunInterrupted(run_id=effect.run_id), done=key)

    def waits_to_begin(self, *, wind_down: bool) -> bool:
        """Tell whether a turn of this kind waits, and nothing is against it."""
        work = queued(self.session)
        return work is not None and work.wind_down is wind_down and can_begin(self.session)

    @property
    def finished(self) -> bool:
        """Return whether the thread has room for another goal."""
        return self.session.goal is None or self.session.goal.status == COMPLETE

    @property
    def stopped(self) -> bool:
        """Return whether the goal waits for somebody."""
        return not self.finished and self.thread.status != ACTIVE

    @property
    def open(self) -> bool:
        """Return whether a run is open."""
        return self.session.run is not None

    def give(self, limits: Limits, verifiers: tuple[Verifier, ...]) -> None:
        """Give the thread a goal."""
        self.thread.give(limits=limits, verifiers=verifiers, replace=True)
        self.react()

    def begin_turn(self, *, can: bool) -> None:
        """Dispatch the turn that waits; what was taken into account must not be in its prompt."""
        self.thread.dispatch(*(("steer", "compact") if can else ()))
        assert self.thread.asked(f.StartRun)
        assert render_turn(self.session, self.thread.now_ms)
        again = self.taken & {kept.message_id for kept in carried(self.session)}
        assert not again, f"{again} had been taken into account"

    def ring(self) -> None:
        """Let the timer fire when it is due."""
        if self.thread.wake is not None and self.thread.wake <= 0:
            self.do(e.TimerFired())

    def teardown(self) -> None:
        """Replay the journal: it gives the session that there is."""
        replayed = replay(self.thread.store, "t")
        assert replayed.ok
        assert replayed.rows == self.thread.revision
