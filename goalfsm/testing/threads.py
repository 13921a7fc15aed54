"""One thread without an engine: the test is its clock, its host, its people and its model.

Nothing is stored and nothing runs. Every event is decided as an engine decides it, every step is
held to the invariants of a session, and every state has to come back from its own snapshot.
"""

from __future__ import annotations

from typing import Any, Literal, TypeVar

from goalfsm.errors import GoalError
from goalfsm.goal.machine import GoalMachine
from goalfsm.goal.model import Goal, Limits, Usage
from goalfsm.session import codec
from goalfsm.session import effects as f
from goalfsm.session import events as e
from goalfsm.session.context import OUR_RULES, Context, Rules, Zones
from goalfsm.session.effects import Entry
from goalfsm.session.policy import Policy
from goalfsm.session.state import Reply, Run, Session
from goalfsm.session.thread import GoalThread, Ready
from goalfsm.session.work import next_wake
from goalfsm.testing.invariants import check
from goalfsm.testing.loop import START_MS
from goalfsm.testing.times import Duration, seconds_of
from goalfsm.workers.protocol import Capability

E = TypeVar("E", bound=f.Effect)


class CheckedThread(GoalThread):
    """A `goalfsm.GoalThread` of which every step is checked; time stands still until `advance`.

    Ids are counted (``goal-1``, ``claim-2``, ``run-1``), and waits are as long as ``jitter`` says,
    a share from 0 to 1. `do` decides any event; the other methods say the common ones.
    """

    def __init__(self, policy: Policy | None = None, *, machine: GoalMachine | None = None) -> None:
        """Begin without a goal, run by ``policy`` and ``machine``, by default ours."""
        super().__init__(Session(policy=policy or Policy()), rules=Rules(machine))
        self.now_ms = START_MS
        self.jitter = 0.0
        self.effects: list[f.Effect] = []
        """The effects of every event so far."""
        self.history: list[Entry] = []
        """What every event so far has written into the thread's history."""
        self.last = Ready(e.TimerFired(), self.session)
        """What the last event made of the thread."""
        self._drawn = 0
        self._runs = 0

    def _context(
        self,
        thread_id: str,
        event_id: str,
        at_ms: int,
        *,
        zones: Zones | None = None,
        rules: Rules = OUR_RULES,
    ) -> Context:
        del thread_id, event_id
        return Context(at_ms, self._new_id, self.jitter, zones, rules)

    def _new_id(self, kind: Literal["goal", "claim", "key"]) -> str:
        self._drawn += 1
        return f"{kind}-{self._drawn}"

    # What a test looks at.

    @property
    def goal(self) -> Goal:
        """Return the goal; raise where there is none."""
        if self.session.goal is None:
            raise GoalError("the thread has no goal", code="no_goal", hint="call give()")
        return self.session.goal

    @property
    def status(self) -> str:
        """Return the goal's status."""
        return self.goal.status

    @property
    def run(self) -> Run:
        """Return the open run; raise where there is none."""
        if self.session.run is None:
            raise GoalError("no turn is open", code="no_run", hint="call dispatch()")
        return self.session.run

    @property
    def reply(self) -> Reply:
        """Return the reply to the last event; raise where it got none."""
        if self.last.reply is None:
            event = type(self.last.event).__name__
            raise GoalError(f"{event} is not replied to", code="no_reply")
        return self.last.reply

    @property
    def decision(self) -> tuple[str, str]:
        """Return what was decided last, and by which guard."""
        decision = self.session.decision
        if decision is None:
            raise GoalError("nothing was decided yet", code="no_decision")
        return decision.decision, decision.guard

    @property
    def wake(self) -> int | None:
        """Return in how many milliseconds a ``TimerFired`` is due, None for never."""
        at_ms = next_wake(self.session)
        return None if at_ms is None else at_ms - self.now_ms

    def asked(self, kind: type[E]) -> list[E]:
        """Return the effects of one kind of the last event."""
        return [effect for effect in self.last.effects if isinstance(effect, kind)]

    def sent(self, kind: str = "continuation") -> int:
        """Return how much work of this kind was sent by all events so far."""
        return sum(isinstance(w, f.SendWork) and w.kind == kind for w in self.effects)

    # What happens.

    def step(self, event: e.Event, *, id: str, at_ms: int) -> Ready:  # noqa: A002
        """Decide ``event`` as any thread does, and check the step."""
        before, ready = self.session, super().step(event, id=id, at_ms=at_ms)
        check(before, event, ready.step, now_ms=at_ms)
        assert codec.decode(ready.snapshot()) == ready.state  # noqa: S101  it is what is checked
        self.last = ready
        self.effects += ready.effects
        self.history += [x.entry for x in ready.effects if isinstance(x, f.AppendEntry)]
        return ready

    def do(self, *events: e.Event) -> Ready:
        """Decide events, one after the other; return what the last one made of the thread."""
        for event in events:
            self.step(event, id="", at_ms=self.now_ms)
        return self.last

    def advance(self, duration: Duration) -> None:
        """Let time pass; nothing happens by itself."""
        self.now_ms += round(seconds_of(duration) * 1000)

    def give(self, objective: str = "Make it work", **fields: Any) -> Ready:
        """Give the thread an objective, as a person; ``fields`` are those of `ObjectiveGiven`."""
        return self.do(e.ObjectiveGiven(objective=objective, **({"limits": Limits()} | fields)))

    def dispatch(self, *can: Capability) -> str:
        """Dispatch the turn that the thread waits for, to a worker that ``can`` do this.

        Return the id of its run.
        """
        self._runs += 1
        run_id, token = f"run-{self._runs}", f"token-{self._runs}"
        self.begin_turn(run_id, token, can=can, id="", at_ms=self.now_ms)
        return run_id

    def use(self, tokens: int, *, key: str | None = None, cost: int = 0, cached: int = 0) -> Ready:
        """Report usage of the open run, each time under a key of its own unless one is named."""
        run, key = self.run, key or self._new_id("key")
        usage = Usage(input_tokens=tokens, cached_tokens=cached, cost=cost)
        return self.do(
            e.UsageReported(run_id=run.run_id, run_token=run.token, key=key, usage=usage)
        )

    def call(self, tool: str, /, *, token: str | None = None, **arguments: Any) -> Reply:
        """Call one of the goal's tools, as the model of the open run or of another ``token``."""
        if token is None and self.session.run is not None:
            token = self.session.run.token
        self.do(e.ToolCalled(name=tool, arguments=arguments, run_token=token))
        return self.reply

    def claim_complete(self, *evidence: str) -> Reply:
        """Claim that the goal is complete."""
        shown = list(evidence or ("it runs",))
        return self.call("update_goal", status="complete", evidence=shown)

    def claim_blocked(self, reason: str = "no access") -> Reply:
        """Claim that the goal is blocked."""
        return self.call("update_goal", status="blocked", reason=reason)

    def end(
        self,
        *,
        outcome: e.Outcome = "finished",
        answer: str = "",
        tools: tuple[int, int] = (1, 0),
        progress: bool = False,
        **message: Any,
    ) -> Ready:
        """End the open run, as a daemon does; ``tools`` are those that returned and that failed.

        ``message`` are the fields of the model's last message, such as the ``error`` it ended by.
        """
        stops = {"finished": "stop", "aborted": "aborted"}
        said = {"role": "assistant", "stop_reason": stops.get(outcome, "error")} | message
        return self.end_turn(
            outcome,
            e.Message(**said),
            answer=answer,
            progress=progress,
            tools_ok=tools[0],
            tools_failed=tools[1],
            id="",
            at_ms=self.now_ms,
        )

    def turn(self, answer: str = "", **fields: Any) -> Ready:
        """Run one whole turn that finishes; ``fields`` are those of `end`."""
        self.dispatch()
        return self.end(answer=answer, **fields)

    def fail(self, error: str = "503 Service Unavailable", **message: Any) -> Ready:
        """End the open run with a provider's error."""
        return self.end(outcome="failed", error=error, **message)

    def interrupt(self, detail: str = "", *, ended_ms: int | None = None) -> Ready:
        """Lose the open run: nobody saw its end."""
        run_id = self.run.run_id
        return self.do(e.RunInterrupted(run_id=run_id, detail=detail, ended_ms=ended_ms))

    def restart(self, *, after_crash: bool = True) -> Ready:
        """Start again from the snapshot, as a new engine does; an open run is lost."""
        self._session = codec.decode(codec.encode(self.session))
        if self.session.run is not None:
            self.interrupt()
        return self.do(e.EngineStarted(after_crash=after_crash))
