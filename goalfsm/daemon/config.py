"""Who runs a thread's turns: a worker given by the embedder, or the program stored with it."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec
from msgspec.structs import replace

from goalfsm.errors import GoalError
from goalfsm.text import MALFORMED
from goalfsm.workers.agents.spec import AgentName, AgentSpec
from goalfsm.workers.command import CommandWorker
from goalfsm.workers.isolating import Isolating
from goalfsm.workers.lines import OutputMode
from goalfsm.workers.protocol import Supervised, Worker
from goalfsm.workers.spec import CommandSpec, StdinMode
from goalfsm.workers.supervisor.client import Supervisor
from goalfsm.workers.supervisor.identity import start_time

if TYPE_CHECKING:
    from goalfsm.store.reading import Programs
    from goalfsm.workers.isolating import IsolationOf

SILENCE_TIMEOUT_S: Final = 1_800.0
"""How long a program may say nothing before its turn counts as hanging."""
TURN_TIMEOUT_S: Final = 86_400.0
"""How long a turn may last, whatever it says meanwhile: none goes on for ever by default."""

WorkerSource = Worker | Mapping[str, Worker] | Callable[[str], Worker | None]
"""One worker for all threads, one for each by its id, or what returns a thread's (or None)."""


class WorkerConfig(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The program that runs a thread's turns, as it is stored: names, never values of secrets.

    With an ``agent``, ``argv`` are the arguments that the agent is given.

    ``env_names`` are the environment variables that it gets besides a few base ones, None passes
    all on. A timeout of None is no timeout. ``place`` names the nodes that run it, where the goals
    are on a server; any by default. With ``isolate`` each turn has namespaces of its own,
    and sees neither the goals nor their engine.
    """

    argv: tuple[str, ...]
    agent: AgentName | None = None
    cwd: str | None = None
    env_names: tuple[str, ...] | None = None
    prompt_arg: bool = False
    stdin: StdinMode = "auto"
    output: OutputMode = "auto"
    turn_timeout_s: float | None = TURN_TIMEOUT_S
    silence_timeout_s: float | None = SILENCE_TIMEOUT_S
    isolate: bool = False
    place: str = ""

    def spec(self) -> CommandSpec:
        """Return the command that starts the program."""
        return CommandSpec(
            argv=self.argv,
            cwd=self.cwd,
            env_names=self.env_names,
            prompt_arg=self.prompt_arg,
            stdin=self.stdin,
            output=self.output,
            isolate=self.isolate,
        )

    def routed(self, argv: tuple[str, ...]) -> WorkerConfig:
        """Return what starts the program of a route: with the same limits, in the same place."""
        return replace(self, argv=argv, agent=None)

    def agent_spec(self) -> AgentSpec | None:
        """Return what starts the agent, None where a plain program does the turns."""
        if self.agent is None:
            return None
        return AgentSpec(
            agent=self.agent,
            args=self.argv,
            cwd=self.cwd,
            env_names=self.env_names,
            isolate=self.isolate,
        )

    def validate(self) -> None:
        """Raise GoalError, with a hint, for a program that cannot be started from here."""
        for seconds in (self.turn_timeout_s, self.silence_timeout_s):
            if seconds is not None and not 0 < seconds < float("inf"):
                raise GoalError(
                    f"a timeout of {seconds:g} seconds is none",
                    code="timeout_invalid",
                    hint="give a number of seconds above 0",
                )
        (self.agent_spec() or self.spec()).validate()

    def encode(self) -> bytes:
        """Return the bytes that a store keeps."""
        return msgspec.json.encode(self)


_decoder: Final = msgspec.json.Decoder(WorkerConfig)


def decode_config(stored: bytes) -> WorkerConfig:
    """Return what `WorkerConfig.encode` made; GoalError for anything else."""
    try:
        return _decoder.decode(stored)
    except MALFORMED as error:
        raise GoalError(
            f"the stored worker cannot be read: {error}",
            code="worker_invalid",
            hint="store it again: goalfsm set --thread NAME -- PROGRAM ARGS",
        ) from error


class Assignment(NamedTuple):
    """The worker of one run, and its time limits in seconds; ``stored`` is what named them.

    ``token`` authorises what the run itself says. It is kept here alone: the thread has its digest.
    ``argv`` is the program of the route that the run is on, empty on none.
    """

    worker: Worker
    stored: bytes | None = None
    turn_timeout_s: float | None = TURN_TIMEOUT_S
    silence_timeout_s: float | None = None
    token: str = ""
    argv: tuple[str, ...] = ()


class Processes:
    """The supervisor of this engine's child processes, started when first needed."""

    def __init__(self, db: str) -> None:
        """Look after processes that belong to the database ``db``."""
        self.db = db
        self._supervisor: Supervisor | None = None
        self._until: float | None = None

    async def supervisor(self) -> Supervisor:
        """Return the running supervisor; GoalError when it cannot be started."""
        if self._supervisor is None:
            self._supervisor = await Supervisor.start(db=self.db)
            if self._until is not None:
                self._supervisor.until(self._until)
        return self._supervisor

    def until(self, at: float) -> None:
        """Have every process ended at a time of `time.monotonic`; a later word replaces it."""
        self._until = at
        if self._supervisor is not None:
            self._supervisor.until(at)

    @property
    def started(self) -> Supervisor | None:
        """Return the supervisor if there is one."""
        return self._supervisor

    def identities(self) -> frozenset[tuple[int, str]]:
        """Return pid and start of what the runs' processes descend from."""
        pid = None if self._supervisor is None else self._supervisor.pid
        return frozenset() if pid is None else frozenset({(pid, start_time(pid))})

    def first_process(self, run_id: str) -> tuple[int, str] | None:
        """Return pid and start of the process that a run was started with, None of no live run."""
        return None if self._supervisor is None else self._supervisor.first_process(run_id)

    def run_above(self, chain: Iterable[tuple[int, str]]) -> str:
        """Return the live run that a process belongs to, by it and all above it, "" of none."""
        return "" if self._supervisor is None else self._supervisor.run_above(chain)

    async def close(self) -> None:
        """End every process and the supervisor."""
        supervisor, self._supervisor = self._supervisor, None
        if supervisor is not None:
            await supervisor.close()

    def kill(self) -> None:
        """Kill the supervisor, with which its processes die; it may not answer any more."""
        pid = None if self._supervisor is None else self._supervisor.pid
        if pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


class Workers(msgspec.Struct, eq=False):
    """The worker of each thread, made when the thread first needs one.

    ``source`` is asked first, then for the programs in ``configs``, run under ``processes``.
    ``isolation`` says what those see that are to be isolated.
    """

    source: WorkerSource | None
    configs: Programs
    processes: Processes
    isolation: IsolationOf | None = None

    async def assignment(self, thread_id: str, argv: tuple[str, ...] = ()) -> Assignment | None:
        """Return the worker for a thread's next run, None when nobody said who runs it.

        ``argv`` is the program of the route that the run is on, in place of the stored one and
        started as that is; an embedder's worker does the turns of every route.

        The limits that are stored with a thread hold for an embedder's worker as well. Where none
        are, its turn may be silent for as long as it may last: a function that returns its answer
        says nothing before. Raises GoalError when what is stored cannot be used, `StoreError`
        when it cannot be read.
        """
        stored = self.configs.get(thread_id)
        config = None if stored is None else decode_config(stored)
        worker = given_worker(thread_id, self.source)
        if isinstance(worker, Supervised):
            worker.bind(self.processes.supervisor)
        if isinstance(worker, Isolating) and self.isolation is not None:
            worker.isolate_by(self.isolation)
        if config is None:
            return None if worker is None else Assignment(worker)
        if worker is not None:
            argv = ()
        else:
            config = config.routed(argv) if argv else config
            worker = await _stored_worker(config, self.processes, self.isolation)
        limits = config.turn_timeout_s, config.silence_timeout_s
        return Assignment(worker, stored, *limits, argv=argv)

    def isolates(self, thread_id: str) -> bool:
        """Tell whether the thread's turns are isolated. Raises as `assignment` does."""
        worker = given_worker(thread_id, self.source)
        if worker is not None:
            return bool(getattr(getattr(worker, "spec", None), "isolate", False))
        stored = self.configs.get(thread_id)
        return stored is not None and decode_config(stored).isolate

    def stored(self, thread_id: str) -> bytes | None:
        """Return what is stored as the thread's worker. Raises `StoreError`."""
        return self.configs.get(thread_id)

    def is_current(
        self, thread_id: str, assignment: Assignment, argv: tuple[str, ...] = ()
    ) -> bool:
        """Tell whether the thread's next turn, on the route of ``argv``, has the same worker."""
        given = given_worker(thread_id, self.source)
        same = given is assignment.worker or (given is None and argv == assignment.argv)
        return same and self.configs.get(thread_id) == assignment.stored

    def has_other(self, thread_id: str, stored: bytes | None) -> bool:
        """Tell whether somebody runs the thread now that ``stored`` could not."""
        return (
            given_worker(thread_id, self.source) is not None
            or self.configs.get(thread_id) != stored
        )


async def _stored_worker(
    config: WorkerConfig, processes: Processes, isolation: IsolationOf | None
) -> Worker:
    supervisor = await processes.supervisor()
    agent = config.agent_spec()
    if agent is None:
        worker: CommandWorker | AgentWorker = CommandWorker(config.spec(), supervisor)
    else:
        from goalfsm.workers.agents.worker import AgentWorker  # noqa: PLC0415  few have one

        worker = AgentWorker(agent, supervisor)
    if isolation is not None:
        worker.isolate_by(isolation)
    return worker


def given_worker(thread_id: str, source: WorkerSource | None) -> Worker | None:
    """Return the embedder's worker for a thread, None where there is none."""
    if source is None:
        return None
    if isinstance(source, Mapping):
        return source.get(thread_id)
    if callable(source):
        return source(thread_id)
    return source
