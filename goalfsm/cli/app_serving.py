"""Serve goals to clients of Codex's app-server."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from goalfsm.cli import arguments, exits, options, places, turn_worker
from goalfsm.cli.arguments import HintedError
from goalfsm.cli.loading import load_logging
from goalfsm.cli.output import say
from goalfsm.cli.program_command import ProgramCommand, program_of
from goalfsm.cli.signals import ending
from goalfsm.errors import GoalError
from goalfsm.version import __version__

if TYPE_CHECKING:
    from goalfsm.appserver.server import Server
    from goalfsm.daemon.config import WorkerConfig
    from goalfsm.daemon.engine import Engine
    from goalfsm.store.address import Address
    from goalfsm.workers.protocol import Worker

_Clients = Callable[["Server"], AbstractAsyncContextManager[None]]
LISTENING: Final = "listening at"
"""What the line begins with that says that clients can come."""
_STDIO: Final = "stdio://"
_UNIX: Final = "unix://"


@click.command("app-server", cls=ProgramCommand)
@options.database_only
@click.option(
    "--listen",
    default=_STDIO,
    show_default=True,
    metavar="stdio://|unix://PATH",
    help="One client over stdin and stdout, or any number over WebSocket on a Unix socket.",
)
@click.option(
    "--agent",
    type=click.Choice(turn_worker.AGENTS),
    help="Who works on new threads; what follows -- are arguments of its own.",
)
@click.option(
    "--isolate",
    is_flag=True,
    help="Run them in namespaces of their own, without the goals, the engine and other runs.",
)
@click.option(
    "--grace",
    type=arguments.duration,
    default="10s",
    show_default=True,
    metavar="DURATION",
    help="How long running turns may go on after SIGTERM, or the end of stdin.",
)
@click.option(
    "--passthrough",
    is_flag=True,
    help="Be a whole Codex app-server: one of Codex's own answers everything but goals.",
)
@click.option("--lifeline", is_flag=True, hidden=True)
@click.pass_context
def app_server_command(
    ctx: click.Context,
    /,
    *,
    db: Address,
    listen: str,
    agent: str | None,
    isolate: bool,
    grace: float,
    passthrough: bool,
    lifeline: bool,
) -> int:
    """Serve thread/goal/set, get and clear as Codex's app-server does, with their notifications.

    New threads are worked on by the agent or PROGRAM; every other thread of the database that has
    a program is served as well.
    """
    load_logging()
    from goalfsm.daemon import logs  # noqa: PLC0415  it loads the whole engine

    path = places.file(db, "the app-server serves", "goalfsm node serves the threads of a server")
    place = _place(listen)
    program = program_of(ctx)
    if passthrough and (program or agent or isolate):
        raise HintedError(
            "--passthrough has Codex work on the threads, and nobody else",
            "leave --agent, --isolate and the program out",
        )
    given = dict.fromkeys(turn_worker.OPTIONS) | {"agent": agent, "isolate": isolate}
    worker = turn_worker.worker(program, None, given, db=db, required=False)
    logs.configure(json=False, level="warning")
    made = _fronting if passthrough else _serving
    with contextlib.suppress(KeyboardInterrupt):
        # Told to end before it served: it has let everything go, as it does afterwards.
        asyncio.run(_serve(path, place, made(path, worker, grace), grace, lifeline=lifeline))
    return exits.OK


def _place(listen: str) -> Path | None:
    """Return the path of the socket to listen at, None for stdin and stdout."""
    if listen == _STDIO:
        return None
    path = listen.removeprefix(_UNIX)
    if path == listen or not path:
        raise HintedError(
            f"--listen {listen} is neither {_STDIO} nor {_UNIX}PATH",
            f"like --listen {_UNIX}goals.sock",
        )
    return Path(path).absolute()


@contextlib.asynccontextmanager
async def _serving(
    db: Path, worker: WorkerConfig | None, grace: float
) -> AsyncIterator[tuple[Engine, Server]]:
    """Run an engine on the database, and what answers clients."""
    from goalfsm.appserver.server import Server  # noqa: PLC0415  it loads the whole engine
    from goalfsm.appserver.threads import StoredThreads  # noqa: PLC0415  the same
    from goalfsm.cli.hosting import engine_on  # noqa: PLC0415  the same
    from goalfsm.store.sqlite import SqliteStore  # noqa: PLC0415  the same

    with contextlib.closing(SqliteStore.open(db)) as store:
        engine, _ = engine_on(store, db, grace_s=grace)
        async with engine:
            threads = StoredThreads(store, worker, places.working_directory())
            yield engine, Server(engine, threads, home=str(db.parent), version=__version__)


@contextlib.asynccontextmanager
async def _fronting(
    db: Path, worker: WorkerConfig | None, grace: float
) -> AsyncIterator[tuple[Engine, Server]]:
    """Do as `_serving`, with a Codex app-server behind: it works on the threads that it makes."""
    from goalfsm.appserver.front import FrontServer  # noqa: PLC0415  it loads the whole engine
    from goalfsm.appserver.relay import Relay  # noqa: PLC0415  the same
    from goalfsm.appserver.threads import StoredThreads  # noqa: PLC0415  the same
    from goalfsm.cli.hosting import engine_on  # noqa: PLC0415  the same
    from goalfsm.store.sqlite import SqliteStore  # noqa: PLC0415  the same
    from goalfsm.workers.agents.joined import JoinedWorker  # noqa: PLC0415  the same
    from goalfsm.workers.agents.spec import AgentSpec  # noqa: PLC0415  the same
    from goalfsm.workers.supervisor.client import Supervisor  # noqa: PLC0415  the same

    spec = AgentSpec(agent="codex")
    spec.validate()
    cwd = places.working_directory()
    async with contextlib.AsyncExitStack() as closing:
        store = SqliteStore.open(db)
        closing.callback(store.close)
        supervisor = await Supervisor.start(db=str(db))
        closing.push_async_callback(supervisor.close)
        relay = Relay(supervisor, cwd=str(cwd), version=__version__)
        closing.push_async_callback(relay.upstream.close)
        threads = StoredThreads(store, worker, cwd)
        joined = JoinedWorker(spec, relay)

        def works(thread_id: str) -> Worker | None:
            return joined if threads.adopted(thread_id) else None

        engine, _ = engine_on(store, db, grace_s=grace, workers=works)
        server = FrontServer(engine, threads, relay, home=str(db.parent), version=__version__)
        async with engine:
            yield engine, server


async def _serve(
    db: Path,
    place: Path | None,
    made: AbstractAsyncContextManager[tuple[Engine, Server]],
    grace: float,
    *,
    lifeline: bool,
) -> None:
    from goalfsm.daemon.signals import stopping_on_signals  # noqa: PLC0415  the same

    clients = None if place is None else _listening(place, db)
    with ending():
        async with made as (engine, server):
            with stopping_on_signals(engine, grace):
                if clients is None:
                    await _one(engine, server, str(db))
                else:
                    async with clients(server):
                        say(f"{LISTENING} {_UNIX}{place}; Ctrl-C stops", err=True)
                        if lifeline:
                            await _while_wanted(engine, server, grace)
                        else:
                            await engine.wait()
            await server.close()


async def _one(engine: Engine, server: Server, db: str) -> None:
    """Serve the client at stdin until it ends, or the engine does."""
    from goalfsm.appserver.stdio import serve_stdio  # noqa: PLC0415  it loads the whole engine

    client = asyncio.ensure_future(serve_stdio(server, db))
    over = asyncio.ensure_future(engine.wait())
    await asyncio.wait({client, over}, return_when=asyncio.FIRST_COMPLETED)
    for task in (client, over):
        task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await client
    with contextlib.suppress(asyncio.CancelledError):
        await over


async def _while_wanted(engine: Engine, server: Server, grace: float) -> None:
    """Serve until stdin has ended and the last client has gone, or the engine stops.

    What comes over stdin is the number of a process: it is ended when stdin ends.
    """
    from goalfsm.cli.lifeline import wanted  # noqa: PLC0415  only where there is one

    over = asyncio.ensure_future(engine.wait())
    needless = asyncio.ensure_future(wanted(server))
    await asyncio.wait({over, needless}, return_when=asyncio.FIRST_COMPLETED)
    needless.cancel()
    engine.stop_soon(grace)
    await over


def _listening(place: Path, db: Path) -> _Clients:
    try:
        from goalfsm.appserver.websocket import listening  # noqa: PLC0415  only for a socket
    except ImportError as error:
        raise GoalError(
            f"WebSocket is not installed ({error.name} is missing)",
            code="extra_missing",
            hint="pip install 'goalfsm[appserver]'",
        ) from error

    return lambda server: listening(server, place, str(db))
