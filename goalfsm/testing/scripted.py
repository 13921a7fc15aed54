"""A worker that plays turns written down as data, and remembers what it was asked."""

from __future__ import annotations

import asyncio
import inspect
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Final

import msgspec

from goalfsm.errors import GoalError
from goalfsm.testing.clock import GoalClock
from goalfsm.testing.times import Moment, moment_of
from goalfsm.testing.turns import Does, Hangs, Raises, Step, Takes, TakesSteering
from goalfsm.text import shortened
from goalfsm.workers.inprocess import CallableWorker, checked_event
from goalfsm.workers.protocol import (
    Capability,
    Compaction,
    Exited,
    Probe,
    SteeringAcknowledged,
    ToolCalled,
    ToolResult,
    TurnEvent,
    UsageReported,
    Work,
)

Turn = tuple[Step, ...]

_ANY: Final = ""
_SHOWN: Final = 400
"""How much of a prompt is shown: what it begins with says why the run was asked for."""
_PASSES: Final = 8
"""How many passes of the loop a step waits, which take no time."""
CAPABILITIES: Final[frozenset[Capability]] = frozenset({"abort", "steer", "tool_result"})


class NoTurn(GoalError, AssertionError):
    """The engine dispatched a run for which the test wrote no turn.

    Raised where the test lets time pass.
    """

    code = "no_turn"
    hint = "write one more turn, or say what all others do with rest()"


class StepInvalid(GoalError, TypeError):
    """Something in a turn is no step."""

    code = "step_invalid"
    hint = "make steps with the functions of goalfsm.testing, like says('text')"


class Played(msgspec.Struct, kw_only=True):
    """One run: what it was asked, what it played, what it was told meanwhile."""

    work: Work
    turn: Turn
    queue: str | None = None
    position: int = 0
    started_ms: int
    ended_ms: int | None = None
    told: list[TurnEvent] = msgspec.field(default_factory=list)
    steered: list[tuple[str, str]] = msgspec.field(default_factory=list)
    results: list[ToolResult] = msgspec.field(default_factory=list)

    @property
    def finished(self) -> bool:
        """Return whether the turn came to its own end."""
        return bool(self.told) and isinstance(self.told[-1], Exited)


class ScriptedWorker:
    """What runs the turns of a test: `turn` after `turn`, for any thread or for one.

    A turn whose end was not recorded, because the engine crashed, is played again. ``can`` is
    the set of what the worker can do beyond running turns: by default it can be steered (where a
    turn takes steering), aborted, and gets answers from the goal's tools. With ``compact`` added
    it shortens its context, and ``compacts`` says whether that works; with ``probe`` it tells a
    new engine how runs ended that the one before did not live to see.
    """

    def __init__(self, clock: GoalClock) -> None:
        """Play by ``clock``."""
        self.can: set[Capability] = set(CAPABILITIES)
        self.compacts: bool = True
        self.compaction_usage: tuple[UsageReported, ...] = ()
        """What every compaction consumes."""
        self.runs: list[Played] = []
        """Every run that was started, in order."""
        self.compactions: list[Work] = []
        self.missing: list[Work] = []
        """Runs that found no turn."""
        self.overlaps: list[str] = []
        """Threads that got a run while another of theirs was going on: never, if all is well."""
        self._clock = clock
        self._turns: dict[str, deque[Turn]] = {}
        self._until: list[tuple[int, Turn]] = []
        self._rest: Turn | None = None

    # What a test writes.

    def turn(self, *steps: Step, thread: str | None = None) -> ScriptedWorker:
        """Add the next turn, of any thread or of ``thread``; return the worker."""
        self._turns.setdefault(thread or _ANY, deque()).append(_checked(steps))
        return self

    def until(self, moment: Moment, *steps: Step) -> ScriptedWorker:
        """Play ``steps`` in every run that starts before ``moment``; return the worker."""
        before = moment_of(moment, self._clock.now)
        self._until.append((round(before.timestamp() * 1000), _checked(steps)))
        return self

    def rest(self, *steps: Step) -> ScriptedWorker:
        """Play ``steps`` in every run that has no turn of its own; return the worker."""
        self._rest = _checked(steps)
        return self

    # What it remembers.

    @property
    def prompts(self) -> list[str]:
        """Return what each run was asked, in order."""
        return [run.work.prompt for run in self.runs]

    @property
    def results(self) -> list[ToolResult]:
        """Return the answers of the goal's tools, in order."""
        return [result for run in self.runs for result in run.results]

    @property
    def left(self) -> int:
        """Return how many turns were not played."""
        return sum(len(turns) for turns in self._turns.values())

    def check(self) -> None:
        """Raise `NoTurn` when a run found no turn, unless that was raised already."""
        self._clock.loop.check()

    # What the kit does.

    def process(self) -> WorkerProcess:
        """Return the worker as one engine's process has it."""
        return WorkerProcess(self)

    def begin(self, work: Work) -> Played:
        """Choose the turn of a run."""
        turn, queue = self._choose(work)
        played = Played(work=work, turn=turn, queue=queue, started_ms=self._clock.now_ms)
        self.runs.append(played)
        return played

    def again(self, played: Played) -> None:
        """Put a turn back: its end was never recorded."""
        if played.queue is not None:
            self._turns[played.queue].appendleft(played.turn)

    def now_ms(self) -> int:
        """Return the time in unix milliseconds."""
        return self._clock.now_ms

    def _choose(self, work: Work) -> tuple[Turn, str | None]:
        """Return the turn, and the queue that it was taken from."""
        for before_ms, turn in self._until:
            if self._clock.now_ms < before_ms:
                return turn, None
        for queue in (work.thread_id, _ANY):
            if turns := self._turns.get(queue):
                return turns.popleft(), queue
        if self._rest is not None:
            return self._rest, None
        self.missing.append(work)
        self._clock.loop.break_off(
            NoTurn(
                f"run {len(self.runs) + 1} has no turn: turn {work.turn} of thread"
                f" {work.thread_id!r} ({work.kind}), whose prompt begins:"
                f"\n{shortened(work.prompt, _SHOWN)}"
            )
        )
        return (Raises(error=NoTurn(f"no turn was written for {work.run_id}")),), None


class WorkerProcess:
    """The scripted worker within one engine's life: it dies with the engine."""

    def __init__(self, script: ScriptedWorker) -> None:
        """Play ``script``."""
        self.runs: list[Played] = []
        self._script = script
        self._steering: dict[str, asyncio.Queue[tuple[str, str]]] = {}
        self._open: dict[str, Played] = {}
        self._calls = 0
        self._worker = CallableWorker(
            self._play,
            steer=self._steered,
            compact=self._compacted,
            probe=self._probed,
            tool_result=self._told,
        )

    @property
    def capabilities(self) -> frozenset[Capability]:
        """Return what the script says that the worker can do."""
        return frozenset(self._script.can)

    async def run(self, work: Work) -> AsyncGenerator[TurnEvent, None]:
        """Play the next turn."""
        events = self._worker.run(work)
        try:
            async for event in events:
                if (played := self._open.get(work.run_id)) is not None:
                    played.told.append(event)
                yield event
        finally:
            await events.aclose()
            self._over(work.run_id)

    async def steer(self, run_id: str, message_id: str, text: str) -> bool:
        """Hand a message to the running turn."""
        return await self._worker.steer(run_id, message_id, text)

    async def abort(self, run_id: str) -> bool:
        """End the running turn."""
        return await self._worker.abort(run_id)

    async def compact(self, work: Work) -> Compaction:
        """Shorten the context."""
        return await self._worker.compact(work)

    async def probe(self, run_id: str) -> Probe:
        """Tell how a run of an earlier engine ended."""
        return await self._worker.probe(run_id)

    async def tool_result(self, run_id: str, call_id: str | int, result: ToolResult) -> bool:
        """Take the answer of one of the goal's tools."""
        return await self._worker.tool_result(run_id, call_id, result)

    async def _play(self, work: Work) -> AsyncIterator[TurnEvent]:
        await _breath()
        if any(run.work.thread_id == work.thread_id for run in self._open.values()):
            self._script.overlaps.append(work.thread_id)
        played = self._open[work.run_id] = self._script.begin(work)
        self.runs.append(played)
        self._steering[work.run_id] = asyncio.Queue()
        for position, step in enumerate(played.turn):
            played.position = position
            await _breath()
            if isinstance(step, TakesSteering):
                if (message_id := await self._next_message(work.run_id, step)) is not None:
                    yield SteeringAcknowledged(id=message_id)
            elif isinstance(step, ToolCalled):
                self._calls += 1
                yield msgspec.structs.replace(step, id=step.id or self._calls)
            elif isinstance(step, TurnEvent):
                yield step
            else:
                await _act(step, work)

    async def _next_message(self, run_id: str, step: TakesSteering) -> str | None:
        try:
            async with asyncio.timeout(step.within_s):
                message_id, _ = await self._steering[run_id].get()
        except TimeoutError:
            return None
        return message_id

    def _over(self, run_id: str) -> None:
        played = self._open.pop(run_id, None)
        self._steering.pop(run_id, None)
        if played is not None:
            played.ended_ms = self._script.now_ms()

    async def _steered(self, run_id: str, message_id: str, text: str) -> bool:
        played, messages = self._open.get(run_id), self._steering.get(run_id)
        if played is None or messages is None:
            return False
        ahead = sum(isinstance(step, TakesSteering) for step in played.turn[played.position :])
        if messages.qsize() >= ahead:
            return False
        played.steered.append((message_id, text))
        messages.put_nowait((message_id, text))
        return True

    async def _compacted(self, work: Work) -> Compaction:
        self._script.compactions.append(work)
        used = self._script.compaction_usage
        return Compaction(changed=self._script.compacts, usage=used)

    async def _probed(self, run_id: str) -> Probe:
        played = next((run for run in self._script.runs if run.work.run_id == run_id), None)
        if played is None or not played.finished:
            return Probe(state="gone")
        return Probe(state="finished", events=tuple(played.told))

    async def _told(self, run_id: str, call_id: str | int, result: ToolResult) -> bool:
        del call_id
        if (played := self._open.get(run_id)) is not None:
            played.results.append(result)
        return True


def _checked(steps: Turn) -> Turn:
    """Return the steps of a turn; raise `StepInvalid` where one is none or of no use."""
    for step in steps:
        if not isinstance(step, Step) or isinstance(step, Exited):
            raise StepInvalid(f"{step!r} is no step of a turn")
        if isinstance(step, TurnEvent):
            try:
                checked_event(step)
            except GoalError as error:
                raise StepInvalid(f"{step!r} cannot be played: {error}", hint=error.hint) from None
    return steps


async def _breath() -> None:
    """Let whoever is at work go first: a person who was just answered may have more to say."""
    for _ in range(_PASSES):
        await asyncio.sleep(0)


async def _act(step: Step, work: Work) -> None:
    """Do a step of which the engine hears nothing."""
    match step:
        case Takes(seconds=seconds):
            await asyncio.sleep(seconds)
        case Hangs():
            await asyncio.Event().wait()
        case Raises(error=error):
            raise error
        case Does(action=action):
            done = action(work)
            if inspect.isawaitable(done):
                await done
