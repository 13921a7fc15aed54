"""A host in a few lines: it drives one session, checks every step and keeps what came of it."""

from __future__ import annotations

from typing import Any, Final, Literal, TypeVar

from goalfsm.goal.machine import GoalMachine
from goalfsm.goal.model import Evidence, Goal, Limits, Usage
from goalfsm.session import Context, Decision, Policy, Reply, Session, Step, codec
from goalfsm.session import effects as f
from goalfsm.session import events as e
from goalfsm.session.budgets import answer_shape, answer_step
from goalfsm.session.entries import Entry
from goalfsm.session.state import Rules
from goalfsm.session.thread import handle
from goalfsm.session.wake import next_wake
from goalfsm.testing.invariants import check

START_MS: Final = 1_700_000_000_000
SHOWN: Final = {"status": "complete", "evidence": ["pytest: 12 passed"]}

E = TypeVar("E", bound=f.Effect)


class Thread:
    """One thread: time stands still unless ``wait`` moves it."""

    def __init__(
        self, policy: Policy | None = None, *, machine: GoalMachine | None = None, **fields: Any
    ) -> None:
        self.session = Session(policy=policy or Policy(), **fields)
        self.now_ms = START_MS
        self.jitter = 0.0
        self.machine = machine
        self.effects: list[f.Effect] = []
        self.history: list[Entry] = []
        self.last = Step(self.session)
        self._ids = 0
        self._runs = 0

    # What the tests look at.

    @property
    def goal(self) -> Goal:
        """Return the goal; there has to be one."""
        assert self.session.goal is not None
        return self.session.goal

    @property
    def status(self) -> str:
        """Return the goal's status."""
        return self.goal.status

    @property
    def reply(self) -> Reply:
        """Return the reply to the last event; there has to be one."""
        assert self.last.reply is not None
        return self.last.reply

    @property
    def decision(self) -> tuple[str, str]:
        """Return what was decided last, and by which guard."""
        decision: Decision | None = self.session.decision
        assert decision is not None
        return decision.decision, decision.guard

    @property
    def wind_down(self) -> str:
        """Return how far the wind-down of a used-up budget is."""
        return self.session.wind_down

    def asked(self, kind: type[E]) -> list[E]:
        """Return the effects of one kind of the last event."""
        return [effect for effect in self.last.effects if isinstance(effect, kind)]

    def sent(self, kind: str = "continuation") -> int:
        """Return how much work of this kind was sent by all events so far."""
        return sum(isinstance(w, f.SendWork) and w.kind == kind for w in self.effects)

    @property
    def wake(self) -> int | None:
        """Return in how many milliseconds the thread has to be looked at by itself."""
        at_ms = next_wake(self.session)
        return None if at_ms is None else at_ms - self.now_ms

    # What happens.

    def do(self, *happened: e.Event) -> Step:
        """Handle events; every step keeps the invariants and survives its snapshot."""
        for event in happened:
            context = Context(self.now_ms, self._id, self.jitter, rules=Rules(self.machine))
            step = handle(self.session, event, context)
            check(self.session, event, step, now_ms=self.now_ms)
            assert codec.decode(codec.encode(step.session)) == step.session
            self.session, self.last = step.session, step
            self.effects += step.effects
            self.history += [x.entry for x in step.effects if isinstance(x, f.AppendEntry)]
        return self.last

    def _id(self, kind: Literal["goal", "claim"]) -> str:
        self._ids += 1
        return f"{kind}-{self._ids}"

    def wait(self, *, seconds: float) -> None:
        """Let time pass."""
        self.now_ms += round(seconds * 1000)

    def give(self, objective: str = "Make it work", **fields: Any) -> Step:
        """Give the thread an objective, as a person."""
        limits = fields.pop("limits", Limits())
        return self.do(e.ObjectiveGiven(objective=objective, limits=limits, **fields))

    def dispatch(
        self, *, wind_down: bool = False, can_steer: bool = False, can_compact: bool = False
    ) -> str:
        """Dispatch a run as the daemon does; return its id."""
        self._runs += 1
        run_id = f"run-{self._runs}"
        self.do(
            e.RunDispatched(
                run_id=run_id,
                token=f"token-{self._runs}",
                wind_down=wind_down,
                can_steer=can_steer,
                can_compact=can_compact,
            )
        )
        return run_id

    def use(self, tokens: int, *, key: str | None = None, cost: int = 0, cached: int = 0) -> Step:
        """Report usage of the open run, each time under a key of its own unless one is named."""
        self._ids += 1
        usage = Usage(input_tokens=tokens, cached_tokens=cached, cost=cost)
        run = self.session.run
        assert run is not None
        return self.do(
            e.UsageReported(
                run_id=run.run_id, run_token=run.token, key=key or f"key-{self._ids}", usage=usage
            )
        )

    def tool(self, name: str, /, *, token: str | None = None, **arguments: Any) -> Reply:
        """Call a goal tool, as the model of the open run."""
        run = self.session.run
        if token is None and run is not None:
            token = run.token
        self.do(e.ToolCalled(name=name, arguments=arguments, run_token=token))
        return self.reply

    def claim(self, *evidence: str) -> Reply:
        """Claim that the goal is complete."""
        return self.tool("update_goal", status="complete", evidence=list(evidence or ("it runs",)))

    def blocked(self, reason: str = "no access") -> Reply:
        """Claim that the goal is blocked."""
        return self.tool("update_goal", status="blocked", reason=reason)

    def end(
        self,
        *,
        outcome: Literal["finished", "failed", "aborted", "timed_out"] = "finished",
        answer: str = "",
        tools: tuple[int, int] = (1, 0),
        progress: bool = False,
        **message: Any,
    ) -> None:
        """End the open run as the daemon does; ``tools`` are (ok, failed)."""
        run = self.session.run
        assert run is not None
        stops = {"finished": "stop", "aborted": "aborted"}
        said = e.Message(
            role="assistant", **({"stop_reason": stops.get(outcome, "error")} | message)
        )
        self.do(
            e.RunFinished(
                run_id=run.run_id,
                outcome=outcome,
                message=said,
                answer_digest=answer,
                answer_shape=answer_shape(answer),
                answer_step=answer_step(answer),
                said_progress=progress,
                answer_length=len(answer),
                tools_ok=tools[0],
                tools_failed=tools[1],
            )
        )

    def turn(self, answer: str = "", **fields: Any) -> None:
        """Run one whole turn that finishes."""
        self.dispatch()
        self.end(answer=answer, **fields)

    def fail(self, error: str = "503 Service Unavailable", **fields: Any) -> None:
        """End the open run with a provider's error."""
        self.end(outcome="failed", error=error, **fields)

    def interrupt(self, detail: str = "", ended_ms: int | None = None) -> None:
        """Lose the open run: nobody saw its end."""
        run = self.session.run
        assert run is not None
        self.do(e.RunInterrupted(run_id=run.run_id, detail=detail, ended_ms=ended_ms))

    def restart(self, *, after_crash: bool = True) -> None:
        """Start again from the snapshot, as a new engine does."""
        self.session = codec.decode(codec.encode(self.session))
        if self.session.run is not None:
            self.interrupt()
        self.do(e.EngineStarted(after_crash=after_crash))


def started(policy: Policy | None = None, **given: Any) -> Thread:
    """Return a thread with a goal, its first continuation sent."""
    thread = Thread(policy)
    thread.give(**given)
    return thread


def stale_work(goal_id: str) -> tuple[e.Event, ...]:
    """Return how a host begins a run on the queued work of a goal that is given up."""
    work = e.GoalWork("continuation", goal_id)
    return (
        e.HostChanged(idle=False),
        e.AgentStarting(work=work),
        e.TurnStarted(turn_index=1),
        e.MessageStarted(message=e.Message(role="custom", work=work)),
        e.ContextRequested(),
    )


def shown(*criteria: int | None) -> tuple[Evidence, ...]:
    """Return evidence for these criteria."""
    return tuple(Evidence(text="seen", criterion=number) for number in criteria)
