"""Who talks to the engine: people, old workers, and what the embedder registered."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final

import msgspec

from goalfsm.daemon.engine import Engine
from goalfsm.daemon.flow.authority import is_recordable
from goalfsm.daemon.flow.threads import HALTED
from goalfsm.daemon.remote import wire
from goalfsm.daemon.stages.performers import Answer, CallbackCall, Verdict
from goalfsm.errors import GoalError, StoreError
from goalfsm.goal.model import Goal, Usage
from goalfsm.session import codec
from goalfsm.session import events as e
from goalfsm.session.state import FAULT_CODE, Claim, Reply
from goalfsm.workers import protocol as w
from tests.simulation import plan as p
from tests.simulation.endings import Poisoned
from tests.simulation.promises import RESEND_MS, Asked, Promises, naps_of

if TYPE_CHECKING:
    from tests.simulation.children import Child
    from tests.simulation.process import Process
    from tests.simulation.world import World

_TROUBLE: Final = {FAULT_CODE, *(kind.code for kind in StoreError.__subclasses__())}
"""Codes of answers by which nothing was written: it may be asked for again."""


class People(Promises):
    """Everybody outside."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.asked: list[Asked] = []
        self._verifying: list[tuple[int, str, str]] = []
        """Which verifiers run: in which process, of which thread, for which claim."""
        self._checks: dict[str, deque[p.Check]] = {}
        self._waiting = []
        self._suspended = []

    # People.

    def say(self, say: p.Say) -> None:
        """Ask for something now, and again as planned."""
        event = say.event
        goal = self._world.oracle.session(say.thread).goal
        if say.expecting is not None:
            right = say.expecting == "right" and goal is not None
            event = msgspec.structs.replace(
                event,
                expected_goal_id=goal.goal_id if right and goal is not None else "g-other",
                expected_revision=goal.revision if right and goal is not None else None,
            )
        asked = Asked(len(self.asked) + 1, say, event)
        self.asked.append(asked)
        self._world.stats.commands += 1
        self.ask(asked)
        for ms in say.again:
            self._world.after(ms, lambda: self.ask(asked))

    def ask(self, asked: Asked) -> None:
        """Send it to the engine that serves; leave it in the inbox while there is none."""
        process = self._world.serving()
        if process is None or asked.by == "inbox":
            self._leave(asked)
            return
        process.trace("is asked by", asked.event_id, type(asked.event).__name__, asked.thread)
        process.call(lambda: self._submit(process, asked))

    def _leave(self, asked: Asked) -> None:
        event = codec.encode_event(asked.event)
        now_ms = self._world.wall_ms(self._world.now_us)
        front = self._world.front
        if front.inbox.put(asked.event_id, asked.thread, at_ms=now_ms, event=event):
            self._world.oracle.put(asked.event_id, asked.thread)
            self._world.trace(
                None, "inbox:", asked.event_id, type(asked.event).__name__, asked.thread
            )
        asked.stored = True

    def _submit(self, process: Process, asked: Asked) -> None:
        engine = process.engine
        if engine is None or engine._parts.over.is_set():
            self._world.after(RESEND_MS, lambda: self._again(asked))
            return
        if asked.by == "halt":
            halted = engine.halt(asked.thread)
            task = process.loop.create_task(halted)
            task.add_done_callback(lambda done: self._halted(process, asked, done))
            return
        fresh = self._world.oracle.thread(asked.thread).revision == 0
        self._repeated(engine, asked)
        if isinstance(asked.event, e.PauseRequested | e.ClearRequested):
            asked.owed = (process, naps_of(process), process.loop.now_us)
        if self._world.plan.door:
            self._world.callers.say(
                process,
                asked.thread,
                asked.event_id,
                asked.event,
                lambda answer: self._heard(process, asked, answer, fresh=fresh),
            )
            self._world.after(RESEND_MS, lambda: self._again(asked))
            return
        submitted = engine.submit(asked.thread, asked.event, asked.event_id)
        task = process.loop.create_task(submitted, name=asked.event_id)
        task.add_done_callback(lambda done: self._replied(process, asked, done, fresh=fresh))
        self._world.after(RESEND_MS, lambda: self._again(asked))

    def _repeated(self, engine: Engine, asked: Asked) -> None:
        """Note how the thread stands that is asked for what is durable already: it stays so."""
        known = self._world.oracle.thread(asked.thread)
        halted = asked.event_id in known.events and engine._parts.holds.has(HALTED, asked.thread)
        asked.halted_at = known.revision if halted else None

    def _again(self, asked: Asked) -> None:
        self._look_at_the_time(asked)
        if not asked.settled and not asked.stored:
            self.ask(asked)

    def _heard(
        self, process: Process, asked: Asked, answer: wire.Answer | None, *, fresh: bool
    ) -> None:
        """Take what an engine says at its door, as a command does; None where it hung up."""
        match answer:
            case wire.Replied(reply=reply):
                self._accepted(process, asked, reply, fresh=fresh)
            case wire.Failed(code=code) if code in {wire.CROWDED, *wire.GONE}:
                asked.owed = None
                if is_recordable(asked.event) and not asked.stored:
                    self._leave(asked)
            case wire.Failed(code=code):
                asked.owed = None
                if code not in _TROUBLE:
                    self._world.fail("a person is refused", f"{asked.event}: {answer}")
            case _:
                asked.owed = None

    def _replied(
        self, process: Process, asked: Asked, done: asyncio.Task[Reply], *, fresh: bool
    ) -> None:
        if process.dead or done.cancelled():
            return
        error = done.exception()
        if error is None:
            self._accepted(process, asked, done.result(), fresh=fresh)
            return
        asked.owed = None
        if not isinstance(error, StoreError | Poisoned):
            self._world.fail("a command fails", f"{asked.event}: {error!r}")

    def _accepted(self, process: Process, asked: Asked, reply: Reply, *, fresh: bool) -> None:
        process.trace("answers", asked.event_id, reply.code)
        self._look_at_the_time(asked)
        asked.settled = asked.settled or reply.code != "suspended"
        if reply.code == "suspended" and reply.hint == "" and naps_of(process) >= 0:
            asked.settled = True
            # Where there is no goal yet a stop has nothing to keep from starting: it is refused
            # when the store is back, and a goal that is given again after it begins.
            if self._world.oracle.thread(asked.thread).session.goal is not None:
                asked.beginning = frozenset(self._world.children.unstarted)
                self._suspended.append((process, asked))
        self._world.oracle.answered(asked.event_id, asked.thread, reply, fresh=fresh)
        self._look_at_the_halt(process, asked)

    def _look_at_the_halt(self, process: Process, asked: Asked) -> None:
        at, asked.halted_at = asked.halted_at, None
        engine = process.engine
        if at is None or engine is None:
            return
        known = self._world.oracle.thread(asked.thread)
        if known.revision == at and not engine._parts.holds.has(HALTED, asked.thread):
            self._world.fail("a repeat lifts a halt", asked.event_id)

    def _halted(self, process: Process, asked: Asked, done: asyncio.Task[Reply]) -> None:
        asked.settled = True
        if process.dead or done.cancelled() or done.exception() is not None:
            return
        process.trace("halts", asked.thread, done.result().code)

    def unanswered(self) -> list[Asked]:
        """Return what nobody has answered and what is in no inbox."""
        return [asked for asked in self.asked if not asked.settled and not asked.stored]

    # Workers of runs that are over.

    def haunt(self, ghost: p.Ghost) -> None:
        """Have an old worker speak up, over the socket as a program of it would."""
        process = self._world.serving()
        runs = [c for c in self._world.children.by_run.values() if c.thread == ghost.thread]
        if process is None or len(runs) <= ghost.back:
            return
        child = runs[-1 - ghost.back]
        event, event_id = _ghostly(ghost.call, child), f"ghost-{self._world.new_id()}"
        if isinstance(event, e.UsageReported):
            event_id = f"usage:{event.key}"
            child.said.setdefault(event.key, []).append(w.UsageReported(input_tokens=7, cost=1))
        process.trace("hears of", child.run_id, "again:", ghost.call)
        if isinstance(event, e.ToolCalled):
            self._world.children.calls[codec.token_digest(child.token)] += 1

        if self._world.plan.door and not isinstance(event, e.UsageReported):
            process.call(lambda: self._world.callers.haunt(process, child, event_id, event))
            return

        def tell() -> None:
            engine = process.engine
            if engine is None or engine._parts.over.is_set():
                return
            told = process.loop.create_task(engine.submit(ghost.thread, event, event_id))
            told.add_done_callback(lambda done: done.cancelled() or done.exception())

        process.call(tell)

    # What the embedder registered.

    def expect_check(self, check: p.Check) -> None:
        """Have a verifier to come do this."""
        self._checks.setdefault(check.thread, deque()).append(check)

    def verifier(self, process: Process) -> Callable[[Goal, Claim], Awaitable[Answer]]:
        """Return the verifier that is registered in a process."""

        async def verify(goal: Goal, claim: Claim) -> Answer:
            thread = self._world.oracle.thread_of(goal.goal_id)
            judged = (process.pid, thread, claim.claim_id)
            self._verifying.append(judged)
            try:
                return await judge(goal, claim, thread)
            finally:
                self._verifying.remove(judged)

        async def judge(goal: Goal, claim: Claim, thread: str) -> Answer:
            process.point("verifier.before")
            self._world.oracle.verifies(process, goal, claim)
            waiting = self._checks.get(thread)
            if self._world.calm or not waiting:
                await asyncio.sleep(0.5)
                process.point("verifier.after")
                return True
            check = waiting.popleft()
            await asyncio.sleep(check.after_ms / 1000)
            process.point("verifier.after")
            match check.does:
                case "passed":
                    return Verdict(outcome="passed")
                case "failed":
                    return f"not yet, {self._world.new_id()}"
                case "raises":
                    raise GoalError("the verifier has a bug")
                case "hangs":
                    await asyncio.sleep(10_000.0)
            return None

        return verify

    def verifies_in_vain(self, process: Process, thread: str) -> bool:
        """Tell whether a verifier runs whose claim is not open any more."""
        claim = self._world.oracle.session(thread).claim
        open_id = None if claim is None else claim.claim_id
        return any(
            (pid, of) == (process.pid, thread) and claim_id != open_id
            for pid, of, claim_id in self._verifying
        )

    def called_back(self, process: Process) -> Callable[[CallbackCall], Any]:
        """Return the callback that is registered in a process."""

        async def call_back(call: CallbackCall) -> None:
            process.point("callback.before", call.key)
            self._world.oracle.called_back(process, call)
            if self._world.random.random() < 0.3:
                await asyncio.sleep(1.0)
            process.point("callback.after", call.key)
            if self._world.random.random() < 0.1:
                raise GoalError("the callback has a bug")

        return call_back


def _ghostly(call: p.GhostCall, child: Child) -> e.Event:
    run_id, token = child.run_id, child.token
    match call:
        case "complete":
            arguments: dict[str, Any] = {"status": "complete", "evidence": ["from beyond"]}
            return e.ToolCalled(name="update_goal", arguments=arguments, run_token=token)
        case "blocked":
            return e.ToolCalled(
                name="update_goal", arguments={"status": "blocked"}, run_token=token
            )
        case "create":
            return e.ToolCalled(name="create_goal", arguments={"objective": "boo"}, run_token=token)
        case "usage":
            key = f"{run_id}:beyond"
            usage = Usage(input_tokens=7, cost=1)
            return e.UsageReported(run_id=run_id, run_token=token, key=key, usage=usage)
        case "wait":
            return e.WaitDeclared(kind="event", run_token=token)
        case "acknowledge":
            heard = child.heard[-1] if child.heard else "nobody's"
            return e.SteeringAcknowledged(message_id=heard, run_token=token)
