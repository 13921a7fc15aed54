"""One thread as the daemon keeps it: what is committed, what is owed, and how runs end."""

from __future__ import annotations

from typing import Any, NamedTuple

from hypothesis.stateful import RuleBasedStateMachine

from goalfsm.goal.model import ACTIVE, COMPLETE, Limits, Verifier
from goalfsm.session import Policy, Session, Step, codec
from goalfsm.session import effects as f
from goalfsm.session import events as e
from goalfsm.session.state import RULES_VERSION
from goalfsm.session.thread import GoalThread
from goalfsm.session.work import can_begin, next_wake, queued
from goalfsm.testing.invariants import check
from goalfsm.testing.loop import START_MS
from goalfsm.views.prompts import render_turn
from goalfsm.views.prompts.turn import carried


class Row(NamedTuple):
    """A row of a thread's journal, as an engine writes it."""

    revision: int
    event: bytes
    event_id: str
    at_ms: int
    digest: bytes
    rules_version: int = RULES_VERSION


class OneThread(RuleBasedStateMachine):
    """A thread, the outbox of its engine, and a journal that is replayed at the end."""

    def __init__(self) -> None:
        super().__init__()
        self.policy = Policy()
        self.thread = GoalThread.new()
        self.now_ms = START_MS
        self.count = 0
        self.journal: list[Row] = []
        self.outbox: dict[int, f.Effect] = {}
        self.started: list[str] = []
        self.reported = 0
        self.taken: set[str] = set()

    def run_by(self, policy: Policy) -> None:
        """Begin anew, with a thread that is run by ``policy``."""
        self.policy, self.thread = policy, GoalThread.new(policy)

    @property
    def session(self) -> Session:
        """Return the session after the last event."""
        return self.thread.session

    def do(self, *happened: e.Event, done: int | None = None) -> Step:
        """Commit events: journal, session and outbox."""
        step = Step(self.session)
        for event in happened:
            before, revision = self.session, len(self.journal) + 1
            ready = self.thread.step(event, id=f"event-{revision}", at_ms=self.now_ms)
            step, digest = ready.step, codec.digest(ready.snapshot())
            check(before, event, step, now_ms=self.now_ms)
            stored = codec.encode_event(event)
            self.journal.append(Row(revision, stored, f"event-{revision}", self.now_ms, digest))
            for effect in step.effects:
                self.count += 1
                self.outbox[self.count] = effect
        if done is not None:
            self.outbox.pop(done, None)
        self.react()
        return step

    def react(self) -> None:
        """Do what needs no choice: start runs, end runs that are to end."""
        for key, effect in list(self.outbox.items()):
            match effect:
                case f.StartRun(run_id=run_id):
                    assert run_id not in self.started, "a worker was started twice"
                    self.started.append(run_id)
                    del self.outbox[key]
                case f.EndRun(run_id=run_id):
                    del self.outbox[key]
                    self.do(e.RunInterrupted(run_id=run_id))
                case f.AppendEntry() | f.SendWork() | f.RunCallback() | f.WatchProcess():
                    del self.outbox[key]
                case _:
                    pass

    def waits_to_begin(self, *, wind_down: bool) -> bool:
        """Tell whether a turn of this kind waits, and nothing is against it."""
        work = queued(self.session)
        return work is not None and work.wind_down is wind_down and can_begin(self.session)

    def asked(self, kind: type[Any]) -> list[tuple[int, Any]]:
        """Return the open effects of one type."""
        return [(key, effect) for key, effect in self.outbox.items() if isinstance(effect, kind)]

    @property
    def finished(self) -> bool:
        """Return whether the thread has room for another goal."""
        return self.session.goal is None or self.session.goal.status == COMPLETE

    @property
    def stopped(self) -> bool:
        """Return whether the goal waits for somebody."""
        return not self.finished and self.session.goal.status != ACTIVE  # type: ignore[union-attr]

    @property
    def open(self) -> bool:
        """Return whether a run is open."""
        return self.session.run is not None

    def give(self, limits: Limits, verifiers: tuple[Verifier, ...]) -> None:
        """Give the thread a goal."""
        self.do(
            e.ObjectiveGiven(
                objective="Make it work", limits=limits, verifiers=verifiers, replace=True
            )
        )

    def dispatched(self, *, can: bool, wind_down: bool = False) -> e.RunDispatched:
        """Return the dispatch of the next run."""
        self.count += 1
        return e.RunDispatched(
            run_id=f"run-{self.count}",
            token=f"token-{self.count}",
            wind_down=wind_down,
            can_steer=can,
            can_compact=can,
        )

    def tell(self) -> None:
        """Render the prompt; what was taken into account must never be in it again."""
        assert render_turn(self.session, self.now_ms)
        again = self.taken & {kept.message_id for kept in carried(self.session)}
        assert not again, f"{again} had been taken into account"

    def finish(self, said: e.Message, outcome: Any, answer: str, tools: tuple[int, int]) -> None:
        """End the open run with what its turn said."""
        run = self.session.run
        assert run is not None
        self.do(
            e.RunFinished(
                run_id=run.run_id,
                outcome=outcome,
                message=said,
                answer_digest=answer,
                answer_length=len(answer),
                tools_ok=tools[0],
                tools_failed=tools[1],
            )
        )

    def ring(self) -> None:
        """Let the timer fire when it is due."""
        wake = next_wake(self.session)
        if wake is not None and wake <= self.now_ms:
            self.do(e.TimerFired())

    def teardown(self) -> None:
        """Replay the journal: it gives the session that there is."""
        replayed = list(GoalThread.replay(self.journal, self.policy))
        assert len(replayed) == len(self.journal)
        assert not replayed or replayed[-1].ready.state == self.session
