"""Workers that do what the plan says, through goalfsm's own worker for functions."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from typing import TYPE_CHECKING, Any, Final

import msgspec

from goalfsm.session.codec import token_digest
from goalfsm.workers import protocol as w
from goalfsm.workers.inprocess import CallableWorker
from tests.simulation.promises import naps_of

if TYPE_CHECKING:
    from tests.simulation.children import Child
    from tests.simulation.process import Process

_HANG_S: Final = 10_000.0
_PATIENCE_S: Final = 10.0
"""How long a supervisor may be silent before it counts as dead."""


class Bug(Exception):
    """What a worker raises that has a bug."""


class SimWorker(CallableWorker):
    """The worker of one thread in one process."""

    def __init__(self, process: Process, thread: str) -> None:
        self._process = process
        self._world = process.world
        self._thread = thread
        can = process.world.plan.workers[thread].can
        self._remote = "probe" in can
        self._calls = 0
        self._awaited = ""
        """The run that the supervisor has been asked to start last."""
        super().__init__(
            self._turn,
            steer=self._hear if "steer" in can else None,
            compact=self._shorten if "compact" in can else None,
            probe=self._look if self._remote else None,
            tool_result=self._answered,
        )

    async def run(self, work: w.Work) -> AsyncGenerator[w.TurnEvent, None]:
        """Run the turn; its end names what could not be ended."""
        async for event in super().run(work):
            child = self._world.children.by_run.get(work.run_id)
            if isinstance(event, w.Exited) and child is not None and child.unkillable:
                yield msgspec.structs.replace(event, left=(child.pid,))
            else:
                yield event

    async def abort(self, run_id: str) -> bool:
        """End a run, also one that an earlier engine started on a remote worker."""
        child = self._world.children.by_run.get(run_id)
        if child is not None and child.remote and child.alive and child.engine is not self._process:
            await asyncio.sleep(0.2)
            self._world.children.end(child)
            return True
        return await super().abort(run_id)

    # What the worker can do besides running.

    async def _hear(self, run_id: str, message_id: str, text: str) -> bool:
        self._process.point("worker.steered", message_id)
        child = self._world.children.by_run.get(run_id)
        if child is None and run_id == self._awaited:
            return False  # its process is not there yet
        self._world.oracle.steers(self._process, run_id, message_id, text)
        if child is None or not child.alive or child.deaf:
            return False
        child.heard.append(message_id)
        self._world.oracle.seen(self._thread, message_id)
        return True

    async def _shorten(self, work: w.Work) -> bool:
        self._process.point("worker.compacts")
        self._world.oracle.compacts(self._process, work)
        await asyncio.sleep(1.0)
        return self._world.calm or self._world.random.random() < 0.8

    async def _look(self, run_id: str) -> w.Probe:
        child = self._world.children.by_run.get(run_id)
        if child is None:
            return w.Probe(state="gone")
        if child.alive:
            return w.Probe(state="running")
        if child.finished:
            return w.Probe(state="finished", events=tuple(child.events))
        return w.Probe(state="gone")

    async def _answered(self, run_id: str, call_id: str | int, result: w.ToolResult) -> bool:
        del call_id
        child = self._world.children.by_run.get(run_id)
        if child is None:
            return False
        child.answers += 1
        self._world.oracle.tool_answered(child, result)
        return True

    # The turn.

    async def _turn(self, work: w.Work) -> AsyncIterator[w.TurnEvent | str]:
        world, process = self._world, self._process
        world.children.told[work.run_id] = naps_of(process)
        process.point("worker.starts")
        if process.dead:
            return  # what is taken apart of a dead process starts nothing
        self._awaited = work.run_id
        world.children.unstarted.add(work.run_id)
        if not self._remote and (why := await self._unsupervised()):
            yield w.ErrorReported(message=why, kind="lost")
            return
        world.children.unstarted.discard(work.run_id)
        child = world.children.start(process, work, remote=self._remote)
        leaves_ms = None
        try:
            yield w.Spawned(pid=child.pid, pgid=child.pid, start_time=f"boot/{child.pid}")
            for name, value in world.children.steps(work.thread_id):
                process.point("worker.step", name)
                if not child.alive:
                    yield child.report(w.ErrorReported(message="the process is gone", kind="lost"))
                    return
                if name == "leaves":
                    leaves_ms = value
                    continue
                async for event in self._step(child, name, value):
                    yield event if isinstance(event, str) else child.report(event)
            child.report(w.Exited(ok=True))
        finally:
            child.let_go = True
            if not process.dead:
                if leaves_ms is not None:
                    world.children.refuse_to_die(child, leaves_ms)
                elif not child.unkillable:
                    world.children.end(child)

    async def _unsupervised(self) -> str:
        """Return why the supervisor starts nothing, "" where it does; wait for one that hangs."""
        silent_s = self._world.hardware.hushed_for(self._world.now_us // 1000) / 1000
        await asyncio.sleep(min(silent_s, _PATIENCE_S))
        if silent_s > _PATIENCE_S:
            return "the supervisor does not answer"
        return "the supervisor is gone" if self._process.unsupervised else ""

    async def _step(  # noqa: C901, PLR0912 - one case a step
        self, child: Child, name: str, value: Any
    ) -> AsyncIterator[w.TurnEvent | str]:
        match name:
            case "sleep":
                await asyncio.sleep(value / 1000)
            case "usage":
                key, tokens, cost = value
                yield w.UsageReported(
                    key=key, input_tokens=tokens, output_tokens=3, cached_tokens=8, cost=cost
                )
            case "tool":
                yield w.ToolEnded(name="tool", ok=value)
            case "model_turn":
                yield w.ModelTurnStarted()
            case "end_turn":
                yield w.ModelTurnEnded(stop_reason="toolUse")
            case "text":
                yield "the same answer" if value == "same" else f"answer {self._world.new_id()}"
            case "acknowledge":
                for message_id in ("nobody's",) if value == "stranger" else tuple(child.heard):
                    yield w.SteeringAcknowledged(id=message_id)
            case "complete" | "blocked" | "get" | "create" | "bad_tool":
                self._world.children.calls[token_digest(child.token)] += 1
                yield self._call(name, value)
            case "wait":
                yield self._wait(*value)
            case "skipped":
                yield w.Skipped(reason="not JSON", excerpt=f"{child.token} leaked")
            case "deaf":
                child.deaf = True
            case "error":
                message, status, after = value
                yield w.ErrorReported(message=message, status=status, retry_after=after)
            case "lost":
                yield w.ErrorReported(message="the supervisor died", kind="lost")
            case "raise":
                raise Bug("the worker has a bug")
            case "hang":
                await asyncio.sleep(_HANG_S)
            case "stubborn":
                await self._resist(child, value)
            case _:
                raise ValueError(name)

    def _call(self, name: str, value: Any) -> w.ToolCalled:
        self._calls += 1
        tool, arguments = "update_goal", {}
        match name:
            case "complete":
                evidence = self._evidence() if value == "all" else []
                arguments = {"status": "complete", "evidence": evidence}
            case "blocked":
                arguments = {"status": "blocked", "reason": "no key"}
            case "get":
                tool = "mcp__goalfsm__get_goal"
            case "create":
                tool, arguments = "create_goal", {"objective": "something else"}
            case _:
                arguments = {"status": "paused"}
        return w.ToolCalled(id=self._calls, name=tool, arguments=arguments)

    def _evidence(self) -> list[dict[str, Any]]:
        """Return evidence for all criteria that the goal has now."""
        session = self._world.oracle.session(self._thread)
        criteria = () if session.goal is None else session.goal.criteria
        numbers = range(1, len(criteria) + 1)
        return [{"text": "it is there", "criterion": n} for n in numbers] or [{"text": "it is"}]

    def _wait(self, kind: w.WaitFor, ms: int | None) -> w.WaitDeclared:
        if kind == "process":
            assert ms is not None
            pid = self._world.children.begin_job(ms)
            return w.WaitDeclared(for_=kind, pid=pid, start_time=f"boot/{pid}")
        return w.WaitDeclared(for_=kind, seconds=None if ms is None else ms / 1000, note=kind)

    async def _resist(self, child: Child, times: int) -> None:
        """Hang, and not let oneself be cancelled at once."""
        while True:
            try:
                await asyncio.sleep(_HANG_S)
            except asyncio.CancelledError:
                times -= 1
                if times < 0 or self._process.dead:
                    raise
                child.resisted += 1
