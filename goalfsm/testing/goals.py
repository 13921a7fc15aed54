"""An engine on a store in memory and under virtual time: the daemon, within reach of a test."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from goalfsm.daemon.config import Processes, WorkerConfig, WorkerSource
from goalfsm.daemon.engine import Engine
from goalfsm.daemon.signals import GRACE_S
from goalfsm.daemon.stages.performers import Callback, VerifierFunction
from goalfsm.daemon.stages.scheduler import MAX_RUNS
from goalfsm.errors import GoalError
from goalfsm.goal.machine import GoalMachine
from goalfsm.goal.model import Goal
from goalfsm.session import codec
from goalfsm.session import events as e
from goalfsm.session.effects import RunUntil, RunVerifier
from goalfsm.session.policy import Policy
from goalfsm.session.state import Reply, Session
from goalfsm.session.work import next_wake
from goalfsm.store.memory import MemoryDisk, MemoryStore
from goalfsm.store.port import JournalRow, Store
from goalfsm.testing.asking import Asking
from goalfsm.testing.clock import Crashed, GoalClock
from goalfsm.testing.crashing import CrashingStore, CrashPlan, discard, telling
from goalfsm.testing.engine import EngineFault, Program, SimulatedVerifiers
from goalfsm.testing.loop import DAY_S
from goalfsm.testing.scripted import ScriptedWorker, WorkerProcess
from goalfsm.testing.simulated import SimulatedSystem
from goalfsm.testing.telling import telling_source
from goalfsm.testing.times import Duration, seconds_of
from goalfsm.views.status import Status, project

E = TypeVar("E", bound=e.Event)
SETTLE_S = 60 * DAY_S
"""How long `MemoryGoals.settle` goes on: longer than any quota lasts."""
RESTART_AFTER_S = 1.0
"""How long an engine that died at a crash point stays dead."""


class MemoryGoals(Asking):
    """Goals, worked on by a real engine; time is the test's, and so is every turn.

    The engine starts when it is first needed. Every method returns when it is done, and no more
    time passes than that takes; `goalfsm.testing.GoalClock.advance` lets the rest happen.
    """

    def __init__(  # noqa: PLR0913  what an engine may be told
        self,
        clock: GoalClock | None = None,
        worker: ScriptedWorker | None = None,
        *,
        policy: Policy | None = None,
        machine: GoalMachine | None = None,
        callbacks: Mapping[str, Callback] | None = None,
        verifiers: Mapping[str, VerifierFunction] | None = None,
        programs: Mapping[str, Program] | None = None,
        max_runs: int = MAX_RUNS,
        plan: CrashPlan | None = None,
    ) -> None:
        """Start no engine yet, see `configure`. ``plan`` says where it dies by itself."""
        self.clock = clock or GoalClock()
        self.worker = worker or ScriptedWorker(self.clock)
        self.system = self.clock.system
        self.disk = MemoryDisk()
        """What is durable."""
        self.plan = plan or CrashPlan()
        self.restart_after: Duration = RESTART_AFTER_S
        self.lives = 0
        """How often the engine was started."""
        self.source: WorkerSource | None = None
        self.policy = Policy()
        self.machine: GoalMachine | None = None
        self.callbacks: dict[str, Callback] = {}
        self.verifiers: dict[str, VerifierFunction] = {}
        self.programs: dict[str, Program] = {}
        self.max_runs = MAX_RUNS
        self.configure(
            policy=policy,
            machine=machine,
            callbacks=callbacks,
            verifiers=verifiers,
            programs=programs,
            max_runs=max_runs,
        )
        self.faults: list[Exception] = []
        """What went wrong inside an engine."""
        self._processes: dict[Engine, tuple[SimulatedSystem, Store]] = {}
        self._engine: Engine | None = None
        self._process: WorkerProcess | None = None
        self._store = self._handle()
        self._down = False
        self.clock.on_crash(self._crashed)

    # Its life.

    def configure(  # noqa: PLR0913  what an engine may be told
        self,
        *,
        worker: WorkerSource | None = None,
        policy: Policy | None = None,
        machine: GoalMachine | None = None,
        callbacks: Mapping[str, Callback] | None = None,
        verifiers: Mapping[str, VerifierFunction] | None = None,
        programs: Mapping[str, Program] | None = None,
        max_runs: int | None = None,
    ) -> MemoryGoals:
        """Say how the engine is made from its next start on; what is left out stays as it is.

        ``worker`` runs the turns in place of the scripted one: a worker, workers by thread, or a
        function of a thread. It outlives a crash of the engine, as a service that it calls would.
        ``programs`` stand for those that verifiers run: functions, by the program's name, that
        get the arguments. See `goalfsm.Engine` for the rest.
        """
        self.source = self.source if worker is None else worker
        self.policy = policy or self.policy
        self.machine = machine or self.machine
        self.callbacks = self.callbacks if callbacks is None else dict(callbacks)
        self.verifiers = self.verifiers if verifiers is None else dict(verifiers)
        self.programs = self.programs if programs is None else dict(programs)
        self.max_runs = max_runs or self.max_runs
        return self

    @property
    def engine(self) -> Engine:
        """Return the running engine; start it unless it was stopped or has crashed."""
        if self._engine is None:
            if self._down:
                raise GoalError(
                    "the engine is down", code="engine_down", hint="call start() on the goals"
                )
            self.start()
        assert self._engine is not None  # noqa: S101  it has just been started
        return self._engine

    @property
    def running(self) -> bool:
        """Tell whether the engine runs."""
        return self._engine is not None

    def start(self) -> Engine:
        """Start an engine on what is durable, as another process."""
        self._down = False
        return self.clock.run_surviving(self._start)

    async def _start(self) -> Engine:
        if self._engine is not None:
            # It crashed while it was started, and another one has been started since.
            return self._engine
        self.lives += 1
        self.system.boot()
        self._store = self._handle()
        self._process = self.worker.process()
        verifiers = telling(self.verifiers, "verifier", self.plan.reach)
        programs = telling(self.programs, "program", self.plan.reach)
        at_once = asyncio.Semaphore(self.max_runs)
        simulated = SimulatedVerifiers(
            self.session, Processes(""), verifiers, at_once, programs=programs
        )
        engine = Engine(
            self._store,
            workers=telling_source(
                self._process if self.source is None else self.source, self.plan.reach
            ),
            policy=self.policy,
            machine=self.machine,
            callbacks=telling(self.callbacks, "callback", self.plan.reach),
            performers={RunVerifier: simulated, RunUntil: simulated},
            on_fault=lambda _thread_id, error: self.faults.append(error),
            max_runs=self.max_runs,
            platform=self.system,
        )
        self._engine = await engine.__aenter__()
        return engine

    def stop(self, grace: Duration = GRACE_S) -> None:
        """Shut the engine down in order; turns that run have ``grace``. It stays down."""
        engine, self._down = self._engine, True
        if engine is None:
            return
        try:
            self.clock.run(engine.stop(seconds_of(grace)))
        except Crashed:
            self._bury()
            return
        self._engine = None
        self.system.die()

    def crash(self) -> None:
        """Kill the engine here and now; what was not durable is lost. It stays down."""
        self._bury()
        self._down = True

    def restart(self, after: Duration = RESTART_AFTER_S) -> Engine:
        """Kill the engine, let ``after`` pass and start another."""
        self.crash()
        self.clock.advance(after)
        return self.start()

    def store(self) -> MemoryStore:
        """Return a handle on what is durable, as another program of the user has one."""
        return MemoryStore(self.disk, is_alive=self.system.is_alive)

    def process(
        self, workers: WorkerSource | None = None, *, store: Store | None = None, **options: Any
    ) -> Engine:
        """Return an engine in a process of its own, for a coroutine that runs on `clock`.

        It is entered there, beside others or after one that `kill` has ended, and knows nothing of
        `configure`: ``options`` are those of `goalfsm.Engine`. ``store`` is by default a handle of
        its own on what is durable.
        """
        system, store = self.system.process(), store or self.store()
        engine = Engine(store, workers=workers, platform=system, **options)
        self._processes[engine] = system, store
        return engine

    async def kill(self, engine: Engine) -> None:
        """End an engine of `process` as SIGKILL would; what was not durable is lost."""
        system, store = self._processes.pop(engine)
        system.die()
        store.close()
        await engine.stop(0)

    def check(self) -> None:
        """Raise `EngineFault` when something went wrong inside an engine."""
        if self.faults:
            error = self.faults[0]
            raise EngineFault(f"{type(error).__name__} inside the engine: {error}") from error

    def close(self) -> None:
        """End every engine, and close the clock."""
        if not self.clock.loop.is_closed():
            self._bury()
            self._down = True
            self.clock.close()

    # What people ask.

    def send(self, thread: str, event: e.Event, event_id: str | None = None) -> Reply:
        """Return the reply to an event from outside; it is sent again after a crash."""
        if event_id is None:
            self._asked += 1
            event_id = f"asked-{self._asked}"
        asked = event_id
        return self.clock.run_surviving(lambda: self._submit(thread, event, asked))

    async def _submit(self, thread: str, event: e.Event, event_id: str) -> Reply:
        if self._engine is None:
            if self._down:
                raise GoalError("the engine is down", code="engine_down", hint="call start()")
            await self._start()
        assert self._engine is not None  # noqa: S101  it has just been started
        return await self._engine.submit(thread, event, event_id)

    def limit_turns(
        self, thread: str, *, turn: Duration | None = None, silence: Duration | None = None
    ) -> None:
        """Say how long a turn, and silence within one, may last from the next turn on."""
        config = WorkerConfig(
            argv=("scripted",),
            turn_timeout_s=None if turn is None else seconds_of(turn),
            silence_timeout_s=None if silence is None else seconds_of(silence),
        )
        self.disk.workers[thread] = config.encode()

    def end_process(self, pid: int) -> None:
        """End a process that the work waits for."""
        self.system.end_process(pid)
        self.clock.settle()

    # What they see.

    def session(self, thread: str) -> Session:
        """Return the thread's committed session."""
        stored = self.disk.sessions.get(thread)
        return Session(policy=self.policy) if stored is None else codec.decode(stored.state)

    def goal(self, thread: str) -> Goal:
        """Return the thread's goal; raise where it has none."""
        goal = self.session(thread).goal
        if goal is None:
            raise GoalError(f"thread {thread!r} has no goal", code="no_goal", hint="call give()")
        return goal

    def status(self, thread: str) -> Status:
        """Return the thread as every surface shows it."""
        return project(self.session(thread), self.clock.now_ms, thread_id=thread)

    def journal(self, thread: str) -> tuple[JournalRow, ...]:
        """Return every committed event of the thread, oldest first."""
        return tuple(self.disk.journal.get(thread, ()))

    def events(self, thread: str, *kinds: type[E]) -> list[E]:
        """Return the thread's committed events, oldest first; those of ``kinds`` where given."""
        every = [codec.decode_event(row.event) for row in self.journal(thread)]
        return [event for event in every if not kinds or isinstance(event, kinds)]  # type: ignore[misc]

    def open_effects(self) -> list[str]:
        """Return the kinds of the effects that are committed and not done yet."""
        return [row.kind for row in self.disk.open_effects.values()]

    def settle(self, thread: str, *, within: Duration | None = SETTLE_S) -> Session:
        """Let time pass until nothing follows by itself.

        Waits of every kind count as something that follows, and so does a resume that is due one
        day: that of a used-up quota. Raises `goalfsm.testing.Stalled` when that takes longer than
        ``within``.
        """
        self.clock.run_surviving(lambda: self._settled(thread), within=within)
        return self.session(thread)

    async def _settled(self, thread: str) -> None:
        if self._engine is None and not self._down:
            await self._start()
        session = await self.engine.settled(thread)
        while (due_ms := next_wake(session)) is not None:
            # To the millisecond after it, so that the engine's own timer goes first.
            await asyncio.sleep(max(0, due_ms - self.clock.now_ms) / 1000 + 0.001)
            session = await self.engine.settled(thread)

    def run_until(self, reached: Callable[[], bool], *, within: Duration | None = DAY_S) -> None:
        """Let time pass until ``reached()``, which is asked whenever nothing is ready."""
        if not self._down:
            self.start()
        self.clock.run_until(reached, within=within)

    # Its own.

    def _handle(self) -> CrashingStore:
        return CrashingStore(self.disk, self.plan.reach, self.system.is_alive)

    def _crashed(self, _crash: Crashed) -> None:
        """Bury the engine that died at a crash point, and start another a little later."""
        self._bury()
        if not self._down:
            self.clock.advance(self.restart_after)
            self.start()

    def _bury(self) -> None:
        """End everything of the engine's process: its store first, so that nothing is written."""
        self._store.close()
        self.system.die()
        self._engine = None
        discard(self.clock.loop)
        self.clock.forgive()
        process, self._process = self._process, None
        if process is not None:
            for played in reversed(process.runs):
                run = self.session(played.work.thread_id).run
                unrecorded = run is not None and run.run_id == played.work.run_id
                told = "probe" in self.worker.can and played.finished
                if unrecorded and not told:
                    self.worker.again(played)
