"""One thread under an engine that may die at any moment, against a small model of what is owed.

The rules do what the daemon does: an outbox that survives, turns that the session waits for, usage
under keys that no two runs share. Crashes replace the session by its snapshot; at the end the
journal is replayed.
"""

from __future__ import annotations

from typing import Any, Literal

from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule, run_state_machine_as_test

from goalfsm.goal.model import ACTIVE, COMPLETE, Goal, Limits, Usage, Verifier
from goalfsm.session import Policy
from goalfsm.session import effects as f
from goalfsm.session import events as e
from goalfsm.session.state import Claim
from goalfsm.views.status import project
from tests.session.one_thread import OneThread
from tests.session.strategies import ERRORS, policies, tries, verifiers

small = st.integers(0, 120)
Action = tuple[str, int]
Ending = tuple[Literal["finished", "failed", "aborted"], str, tuple[int, int]]
ACTIONS = st.tuples(
    st.sampled_from(
        ["use", "use", "use", "complete", "blocked", "tool", "timer", "process", "person", "event"]
    ),
    small,
)
_TOOLS = st.tuples(st.integers(0, 1), st.integers(0, 1))
_FINISHED = st.tuples(st.just("finished"), st.sampled_from(["", "a", "b", "c", "d"]), _TOOLS)
ENDINGS = st.one_of(
    _FINISHED,
    _FINISHED,
    st.tuples(st.just("failed"), st.sampled_from(ERRORS), _TOOLS),
    st.tuples(st.just("aborted"), st.just(""), _TOOLS),
)
begun_limits = st.builds(
    Limits,
    tokens=st.sampled_from([None, None, 300]),
    seconds=st.sampled_from([None, None, 60]),
    cost=st.sampled_from([None, None, 300]),
    continuations=st.sampled_from([None, None, 3]),
)
COMMANDS: tuple[e.Event, ...] = (
    e.PauseRequested(),
    e.EditRequested(objective="Other"),
    e.BlockRequested(),
    e.CompletionRequested(),
    e.ClearRequested(),
    e.ObjectiveGiven(objective="Instead", replace=True),
    e.ClaimAccepted(),
    e.ClaimRejected(),
    e.WakeRequested(),
    e.BudgetChanged(limits=Limits(tokens=5_000)),
    e.BudgetChanged(limits=Limits(), unlimited=("seconds", "cost", "continuations")),
    e.ProcessEnded(pid=77),
)


class Engine(OneThread):
    """The engine's side of one thread."""

    policies: st.SearchStrategy[Policy] = policies

    @initialize(data=st.data(), limits=begun_limits, verifiers=verifiers)
    def begin(self, data: st.DataObject, limits: Limits, verifiers: tuple[Verifier, ...]) -> None:
        """Start a thread with some policy and a goal."""
        self.run_by(data.draw(self.policies))
        self.give(limits, verifiers)

    # A person.

    @rule(command=st.sampled_from(COMMANDS))
    def command(self, command: e.Event) -> None:
        self.do(command)

    @precondition(lambda self: self.finished)
    @rule(limits=begun_limits, verifiers=verifiers)
    def next_goal(self, limits: Limits, verifiers: tuple[Verifier, ...]) -> None:
        self.give(limits, verifiers)

    @precondition(lambda self: self.stopped)
    @rule()
    def resume(self) -> None:
        self.do(e.ResumeRequested())

    @rule()
    def steer(self) -> None:
        self.count += 1
        self.do(e.SteeringReceived(message_id=f"m{self.count}", text="hello"))

    # The dispatcher.

    @precondition(lambda self: self.waits_to_begin(wind_down=False))
    @rule(can=st.booleans())
    def dispatch(self, *, can: bool) -> None:
        self.begin_turn(can=can)

    @precondition(lambda self: self.waits_to_begin(wind_down=False))
    @rule(actions=st.lists(ACTIONS, max_size=3), ending=ENDINGS, can=st.booleans())
    def turn(self, actions: list[Action], ending: Ending, *, can: bool) -> None:
        """Run one whole turn."""
        self.dispatch(can=can)
        for action in actions:
            if self.open:
                self.act(action)
        if self.open:
            self.end(ending)

    @precondition(lambda self: self.waits_to_begin(wind_down=True))
    @rule()
    def wind_down(self) -> None:
        self.begin_turn(can=False)
        assert self.session.wind_down == "running"

    # The open run.

    @precondition(lambda self: self.open)
    @rule(action=ACTIONS)
    def act(self, action: Action) -> None:
        """Do something inside the running turn."""
        run = self.session.run
        assert run is not None
        what, amount = action
        match what:
            case "use":
                key = f"{run.run_id} {amount % 3}"
                usage = Usage(input_tokens=amount, cost=amount)
                self.do(
                    e.UsageReported(run_id=run.run_id, run_token=run.token, key=key, usage=usage)
                )
            case "complete" | "blocked":
                arguments: dict[str, Any] = {"status": what}
                arguments |= {"evidence": ["it runs"]} if what == "complete" else {"reason": "x"}
                self.do(e.ToolCalled(name="update_goal", arguments=arguments, run_token=run.token))
            case "tool":
                self.thread.advance(amount / 10)
                self.do(e.ToolFinished(name="shell", ok=bool(amount % 2)))
            case kind:
                until = (
                    self.thread.now_ms + amount * 1_000 if kind == "timer" or amount % 2 else None
                )
                self.do(e.WaitDeclared(kind=kind, until_ms=until, pid=77, run_token=run.token))

    @precondition(lambda self: self.thread.owed(f.DeliverSteering))
    @rule(acknowledged=st.booleans())
    def deliver(self, *, acknowledged: bool) -> None:
        key, effect = self.thread.owed(f.DeliverSteering)[0]
        run = self.session.run
        if acknowledged and run is not None and run.run_id == effect.run_id:
            acknowledgement = e.SteeringAcknowledged(
                message_id=effect.message_id, run_token=run.token
            )
            self.do(acknowledgement, done=key)
        else:
            self.thread.drop(key)

    @precondition(lambda self: self.open)
    @rule(ending=ENDINGS)
    def end(self, ending: Ending) -> None:
        """End the running turn."""
        outcome, text, tools = ending
        said: dict[str, Any] = {}
        if outcome == "finished":
            run_id = self.thread.run.run_id
            got = [kept for kept in self.session.steering if kept.carried_by == run_id]
            self.taken |= {kept.message_id for kept in got}
        elif outcome == "failed":
            said = {"error": text, "retry_after": 30.0 if tools[0] else None}
        self.thread.end(outcome=outcome, answer=text, tools=tools, **said)
        self.react()

    # What answers later.

    @precondition(lambda self: self.thread.owed(f.RunVerifier))
    @rule(outcome=st.sampled_from(["passed", "passed", "failed", "unverifiable"]))
    def verify(self, outcome: Any) -> None:
        key, effect = self.thread.owed(f.RunVerifier)[0]
        self.do(
            e.VerificationFinished(
                claim_id=effect.claim_id, index=effect.index, outcome=outcome, detail=outcome
            ),
            done=key,
        )

    @precondition(lambda self: self.thread.owed(f.CompactContext) and not self.open)
    @rule(ok=st.booleans())
    def compact(self, *, ok: bool) -> None:
        key, _ = self.thread.owed(f.CompactContext)[0]
        self.do(e.CompactionStarted(), e.CompactionEnded(ok=ok), done=key)

    @rule(seconds=st.sampled_from([0.4, 3.0, 90.0]))
    def time_passes(self, seconds: float) -> None:
        self.thread.advance(seconds)
        self.ring()

    @rule()
    def next_timer(self) -> None:
        if self.thread.wake is not None:
            self.thread.advance(max(0, self.thread.wake) / 1000)
            self.ring()

    # The engine's own life.

    @rule(how=st.sampled_from(["crash", "crash", "stop", "late"]), tokens=small)
    def engine(self, how: str, tokens: int) -> None:
        """Lose everything but what was committed, stop in order, or hear from an old run."""
        if how == "late":
            self._hear(tokens)
            return
        if how == "stop":
            self.do(e.ShutdownStarted())
        self.thread.restart(after_crash=how == "crash")
        self.react()

    def _hear(self, tokens: int) -> None:
        self.count += 1
        usage, key = Usage(input_tokens=tokens), f"late {self.count}"
        self.do(e.UsageReported(run_id="run-0", run_token="token-0", key=key, usage=usage))

    # What has to be true all the time.

    @invariant()
    def nothing_that_can_go_on_stands_still(self) -> None:
        # An idle thread continues, or something is named that it waits for.
        session, goal = self.session, self.session.goal
        if goal is None or goal.status != ACTIVE or self.open or not session.host.idle:
            return
        recovering = session.recovery.attention
        compacting = bool(self.thread.owed(f.CompactContext))
        waits = (
            session.continuation.queued is not None,
            session.claim is not None and self.is_settled_some_time(session.claim, goal),
            session.waits,
            session.retry.at_ms is not None,
            recovering is not None and compacting,
            recovering is not None and session.policy.retries == "host",
        )
        assert any(waits), f"nothing happens: {session.decision}"

    def is_settled_some_time(self, claim: Claim, goal: Goal) -> bool:
        """Return whether a verifier is still running, or a person is asked."""
        running = any(
            effect.claim_id == claim.claim_id for _, effect in self.thread.owed(f.RunVerifier)
        )
        return running or any(verifier.kind == "person" for verifier in goal.verifiers)

    @invariant()
    def a_terminal_status_is_what_is_shown(self) -> None:
        shown = project(self.session, self.thread.now_ms)
        if self.session.goal is not None and self.session.goal.status == COMPLETE:
            assert shown.activity_kind == "complete"
        assert shown.goal is None or shown.goal.status == self.session.goal.status  # type: ignore[union-attr]


class Reference(Engine):
    """The same with everything off that goalfsm adds."""

    policies = st.just(Policy.reference())


def test_an_engine_that_may_die_at_any_moment() -> None:
    run_state_machine_as_test(Engine, settings=tries(250, stateful_step_count=50))


def test_the_same_with_the_reference_policy() -> None:
    run_state_machine_as_test(Reference, settings=tries(100, stateful_step_count=50))
