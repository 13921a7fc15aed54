"""Codex's own terminal interface on goals of ours: start what it speaks to, and then itself."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import sys
from typing import TYPE_CHECKING, Final, NamedTuple, Self

import click

from goalfsm.cli import asking, exits, options, places
from goalfsm.cli.app_serving import LISTENING
from goalfsm.cli.lifeline import STILL_USED
from goalfsm.cli.loading import THIS_PROGRAM
from goalfsm.cli.output import say
from goalfsm.cli.program_command import ProgramCommand, program_of
from goalfsm.daemon.remote.link import FalseEngine, NoEngine, require_engine
from goalfsm.daemon.remote.socket_path import clients_socket
from goalfsm.errors import GoalError, NoDatabase
from goalfsm.goal.model import COMPLETE
from goalfsm.workers.agents.spec import AGENTS, look

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import AsyncIterator
    from pathlib import Path

    from goalfsm.goal.model import Goal
    from goalfsm.store.address import Address

_PROGRAM: Final = "codex"
_STARTS: Final = 6
"""How often a server is started that ends by itself; Codex waits for the next one."""
_LAST_S: Final = 20.0
"""How long the server may take to end after Codex has, before it is killed."""


class _Unfinished(NamedTuple):
    thread_id: str
    goal: Goal


@click.command("codex", cls=ProgramCommand)
@options.database_only
@click.option("--new", is_flag=True, help="Begin a new thread, also where a goal is unfinished.")
@click.pass_context
def codex_command(ctx: click.Context, /, db: Address, new: bool) -> int:
    """Work with Codex in this terminal, where /goal gives goals that goalfsm keeps.

    An unfinished goal of this directory goes on in its own thread. What follows -- are arguments
    for Codex. Codex itself, the server behind it and what its turns have started end together.
    """
    path = places.file(db, "goalfsm codex works on", "leave --db and GOALFSM_DB out")
    _check()
    if warning := look("codex").warning:
        say(f"goalfsm: {warning}", err=True)
    place = clients_socket(os.fspath(path))
    given = program_of(ctx)
    found = None if new or (given[:1] and not given[0].startswith("-")) else _unfinished(path)
    argv = (
        _PROGRAM,
        *(("resume", found.thread_id) if found is not None else ()),
        *("--remote", f"unix://{place}"),
        *given,
    )
    places.remember(path)
    status = asyncio.run(_Terminal(path, place, argv).run())
    if (left := _unfinished(path)) is not None:
        stands = f"the goal of thread {left.thread_id} is {left.goal.status}"
        say(f"{stands}; goalfsm codex goes on with it")
    return status


def _check() -> None:
    """Raise GoalError where this cannot work, before anything is started."""
    if shutil.which(_PROGRAM) is None:
        raise GoalError(
            f"{AGENTS['codex'].title} is not installed: there is no {_PROGRAM} on PATH",
            code="program_not_found",
            hint=f"{AGENTS['codex'].install}; goalfsm agents shows what there is",
        )
    if not all(stream.isatty() for stream in (sys.stdin, sys.stdout)):
        raise GoalError(
            "Codex needs a terminal",
            code="no_terminal",
            hint="goalfsm run --agent codex works in a pipe",
        )


def _unfinished(db: Path) -> _Unfinished | None:
    """Return the thread of Codex whose unfinished goal was touched last."""
    from goalfsm.daemon.config import decode_config  # noqa: PLC0415  it loads the workers

    try:
        store = asking.open_existing(db)
    except NoDatabase:
        return None
    found: list[tuple[int, _Unfinished]] = []
    with contextlib.closing(store):
        for row in store.sessions.threads():
            config, stored = store.workers.get(row.thread_id), store.sessions.load(row.thread_id)
            if stored is None or config is None or decode_config(config).agent != "codex":
                continue
            goal = asking.session_of(stored).goal
            if goal is not None and goal.status != COMPLETE:
                found.append((goal.updated_at, _Unfinished(row.thread_id, goal)))
    return max(found, key=lambda one: one[0])[1] if found else None


class _Server:
    """The server behind Codex, in a process of its own: one that is killed is started again."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._used = asyncio.Event()
        self._listening = asyncio.create_task(self._listen(), name="words of the server")

    @classmethod
    async def start(cls, db: Path, place: Path) -> Self:
        """Return an app-server that listens; raise `GoalError` with the words of one that fails."""
        process = await asyncio.create_subprocess_exec(
            *(*THIS_PROGRAM, "app-server", "--passthrough", "--lifeline"),
            *("--db", os.fspath(db), "--listen", f"unix://{place}", "--grace", "1s"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            # A Ctrl-C or Ctrl-Z in the terminal is not for it.
            start_new_session=True,
        )
        said: list[str] = []
        async for row in _rows(process):
            if row.startswith(LISTENING):
                return cls(process)
            said.append(row.removeprefix("goalfsm: "))
        await process.wait()
        hint = next((row.removeprefix("Hint: ") for row in said if row.startswith("Hint: ")), "")
        raise GoalError(
            next(iter(said), "the server did not start"),
            code="server_failed",
            hint=hint or "goalfsm doctor examines the database",
        )

    async def gone(self) -> None:
        """Return when the app-server has ended."""
        await self._process.wait()

    def name(self, pid: int) -> None:
        """Tell the server which program is to end where this process cannot see to that."""
        if self._process.stdin is not None:
            self._process.stdin.write(b"%d\n" % pid)

    async def let_go(self) -> None:
        """Have the server end; return when it has, or has said that others still use it."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        used = asyncio.ensure_future(self._used.wait())
        gone = asyncio.ensure_future(self.gone())
        waited = {used, gone}
        await asyncio.wait(waited, timeout=_LAST_S, return_when=asyncio.FIRST_COMPLETED)
        for task in (*waited, self._listening):
            task.cancel()

    async def _listen(self) -> None:
        async for row in _rows(self._process):
            if row == STILL_USED:
                self._used.set()


async def _rows(process: Process) -> AsyncIterator[str]:
    while process.stderr is not None and (row := await process.stderr.readline()):
        yield row.decode(errors="replace").strip()


class _Terminal:
    """Codex in the foreground, and behind it a server that is there as long as Codex is."""

    def __init__(self, db: Path, place: Path, argv: tuple[str, ...]) -> None:
        self._db = db
        self._place = place
        self._argv = argv
        self._codex: Process | None = None
        self._trouble: GoalError | None = None

    async def run(self) -> int:
        """Return the exit status when nothing of it all is left. Raises `GoalError`."""
        loop = asyncio.get_running_loop()
        # What Codex does with Ctrl-C is its own affair. One that is ignored would be so there too.
        loop.add_signal_handler(signal.SIGINT, lambda: None)
        for number in (signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self._end)
        there = _answers(self._place, str(self._db))
        server = None if there else await _Server.start(self._db, self._place)
        codex = self._codex = await asyncio.create_subprocess_exec(*self._argv)
        over = asyncio.ensure_future(codex.wait())
        for _ in range(_STARTS):
            if server is None or over.done():
                break
            server.name(codex.pid)
            gone = asyncio.ensure_future(server.gone())
            await asyncio.wait({over, gone}, return_when=asyncio.FIRST_COMPLETED)
            gone.cancel()
            if not over.done():
                server = await self._again()
        status = await over
        if server is not None:
            await server.let_go()
        elif self._trouble is not None:
            raise self._trouble
        return exits.OK if status == 0 else exits.FAILED

    async def _again(self) -> _Server | None:
        """Return a server in place of one that has ended; Codex connects to it by itself."""
        try:
            return await _Server.start(self._db, self._place)
        except GoalError as error:
            self._trouble = error
            return None

    def _end(self) -> None:
        if self._codex is not None and self._codex.returncode is None:
            self._codex.terminate()


def _answers(place: Path, db: str) -> bool:
    """Tell whether somebody listens there; raise `FalseEngine` where that is not to be believed."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(os.fspath(place))
            require_engine(probe, db)
        except FalseEngine:
            raise
        except (OSError, NoEngine):
            return False
    return True
