"""The commands that do the work, or give it: run, daemon, set."""

from __future__ import annotations

import contextlib
import os
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import click

from goalfsm.cli import arguments, asking, describing, exits, options, places, programs, turn_worker
from goalfsm.cli.arguments import HintedError
from goalfsm.cli.loading import load_logging
from goalfsm.cli.output import say
from goalfsm.cli.program_command import ProgramCommand, program_of
from goalfsm.cli.signals import ending, interrupting
from goalfsm.errors import GoalError, NoDatabase
from goalfsm.goal.model import COMPLETE, LIMITED
from goalfsm.session.events import ObjectiveGiven
from goalfsm.store.address import Server
from goalfsm.store.opening import open_to_read

if TYPE_CHECKING:
    from goalfsm.cli.places import Place
    from goalfsm.daemon.config import WorkerConfig
    from goalfsm.session.state import Reply, Session
    from goalfsm.store.address import Address


@click.command("run", cls=ProgramCommand)
@click.argument("objective", required=False)
@options.placed
@describing.goal_options
@click.option(
    "--advance", is_flag=True, help="Go on to the thread's queued goals, each when one is complete."
)
@click.option("--log-json", is_flag=True, help="Write the engine's log to stderr as JSON lines.")
@options.JSON
@click.pass_context
def run_command(
    ctx: click.Context,
    /,
    objective: str | None,
    place: Place,
    advance: bool,
    log_json: bool,
    as_json: bool,
    **given: Any,
) -> int:
    """Drive PROGRAM, turn after turn, until the goal is complete or stops.

    Without an objective the thread's goal is taken up again. Where another process serves the
    database already, it does the work and is followed here.
    """
    _refuse_nested(place)
    wanted = None if objective is None else describing.objective(objective, given)
    if wanted is None:
        describing.refuse_goal_options(given)
    places.remember(place.db)
    session, stored = _now(place, given=wanted is not None)
    if wanted is None:
        if session is None:
            raise asking.unknown_thread(place)
        goal = session.goal
        # The person's policy says it once for all; without a goal there is nothing to go on from.
        advance = advance or (goal is not None and session.policy.advance)
        goes_on = bool(advance and session.queue) and (goal is None or goal.status == COMPLETE)
        if goal is None and not goes_on:
            raise asking.no_goal(place, queued=bool(session.queue))
        if goal is not None and goal.status in {COMPLETE, LIMITED} and not goes_on:
            return _stopped(session, place, as_json=as_json)
    worker = turn_worker.worker(program_of(ctx), stored, given, db=place.db)
    if wanted is not None:
        _refuse_early(place, session, wanted)
        describing.warn(wanted)
    return _drive(place, wanted, worker, advance=advance, as_json=as_json, log_json=log_json)


def _refuse_nested(place: Place) -> None:
    """Raise where the thread's own turn asks for this: it would wait for its own end."""
    own = os.environ.get("GOALFSM_RUN_ID") and os.environ.get("GOALFSM_DB")
    if own and places.find(None, None)[:2] == place[:2]:
        raise GoalError(
            f"this is a turn of thread {place.thread_id}: it cannot wait for its own end",
            code="nested_run",
            hint="end the turn, and the next one follows",
        )


def _drive(
    place: Place,
    wanted: ObjectiveGiven | None,
    worker: WorkerConfig | None,
    *,
    advance: bool,
    as_json: bool,
    log_json: bool,
) -> int:
    load_logging()
    from goalfsm.cli.driving import carry_out  # noqa: PLC0415  it loads the whole engine
    from goalfsm.cli.errand import Errand  # noqa: PLC0415  the same
    from goalfsm.cli.watching import view  # noqa: PLC0415  the same
    from goalfsm.daemon import logs  # noqa: PLC0415  the same

    # What people have to know is shown anyhow; the log is for machines.
    logs.configure(json=log_json, level="info" if log_json else "critical")
    with interrupting(), view(as_json=as_json) as shown:
        return carry_out(Errand(place, shown, wanted, worker, advance=advance))


@click.command("daemon")
@options.database_only
@options.serving
def daemon_command(db: Address, max_runs: int, grace: float, log_json: bool, log_level: str) -> int:
    """Serve every thread of the database whose worker is known, until it is told to stop."""
    load_logging()
    import asyncio  # noqa: PLC0415  the options of these commands are read without it

    from goalfsm.daemon import logs  # noqa: PLC0415  it loads the whole engine

    path = places.file(db, "a daemon serves", "goalfsm node serves the threads of a server")
    logs.configure(json=log_json, level=log_level)
    places.remember(path)
    with contextlib.suppress(KeyboardInterrupt):
        # Told to end before it served: it has let everything go, as it does afterwards.
        asyncio.run(_serve(path, max_runs, grace))
    return exits.OK


async def _serve(db: Path, max_runs: int, grace: float) -> None:
    from goalfsm.cli.hosting import engine_on  # noqa: PLC0415  it loads the whole engine
    from goalfsm.daemon.signals import stopping_on_signals  # noqa: PLC0415  the same
    from goalfsm.store.sqlite import SqliteStore  # noqa: PLC0415  the same

    with ending(), contextlib.closing(SqliteStore.open(db)) as store:
        engine, _ = engine_on(store, db, max_runs=max_runs, grace_s=grace)
        async with engine:
            with stopping_on_signals(engine, grace):
                # Where nobody reads it any more, there is work all the same.
                with contextlib.suppress(OSError):
                    say(f"serving {db}; Ctrl-C stops", err=True)
                await engine.wait()


@click.command("set", cls=ProgramCommand)
@arguments.thread_and_text("objective", required=False)
@options.THREAD
@options.DB
@describing.goal_options
@click.pass_context
def set_command(
    ctx: click.Context,
    /,
    thread_and_text: tuple[str | None, str | None],
    thread_option: str | None,
    db: str | None,
    **given: Any,
) -> None:
    """Give a thread an objective, and a program for its turns; a daemon or a run drives it.

    Without an objective only the program or agent is stored, for the thread that --thread names.
    """
    thread, text = thread_and_text
    place = places.find(db, options.one_thread(thread, thread_option))
    wanted = None if text is None else describing.objective(text, given)
    program = program_of(ctx)
    if wanted is None:
        describing.refuse_goal_options(given)
        if not program and given["agent"] is None and given["at_place"] is None:
            raise HintedError("neither an objective nor a program", 'goalfsm set "OBJECTIVE"')
    places.remember(place.db)
    session, stored = _now(place, given=wanted is not None)
    if wanted is None and session is None:
        raise asking.unknown_thread(place)
    worker = turn_worker.worker(program, stored, given, db=place.db, required=False)
    if wanted is None:
        _store(place, worker)
        say(f"the program of thread {place.thread_id} is stored")
        return
    _refuse_early(place, session, wanted)
    describing.warn(wanted)
    told = asking.told(place, _store(place, worker, wanted))
    if thread is not None and session is None:
        say(f"{thread} is a new thread")
    say(told)
    for row in describing.sealed_lines(wanted):
        say(row)


def _refuse_early(place: Place, session: Session | None, wanted: ObjectiveGiven) -> None:
    """Raise what the objective will be refused with, before anything is written for it."""
    goal = None if session is None else session.goal
    if goal is not None and goal.status != COMPLETE and not wanted.replace:
        raise asking.busy(place)
    asking.rehearsed(place, session, wanted)


def _now(place: Place, *, given: bool) -> tuple[Session | None, bytes | None]:
    """Return what is stored of the thread: its session, and its worker.

    A database is missed only where no objective is ``given``, which would make it.
    """
    try:
        store = (open_to_read if given else asking.open_existing)(place.db)
    except NoDatabase:
        if given:
            asking.refuse_isolated()
            return None, None
        raise
    with contextlib.closing(store):
        stored = store.sessions.load(place.thread_id)
        session = None if stored is None else asking.session_of(stored)
        return session, store.workers.get(place.thread_id)


@overload
def _store(place: Place, worker: WorkerConfig | None) -> None: ...
@overload
def _store(place: Place, worker: WorkerConfig | None, wanted: ObjectiveGiven) -> Reply: ...
def _store(
    place: Place, worker: WorkerConfig | None, wanted: ObjectiveGiven | None = None
) -> Reply | None:
    """Store a program, with the goal that it is for; return what the goal is answered with."""
    from goalfsm.store.sqlite import SqliteStore  # noqa: PLC0415  SQLite is loaded when needed

    config = None if worker is None else worker.encode()
    if config is not None:
        asking.require_person(place.db, "storing a program")
    if isinstance(place.db, Server):
        return _store_on(place.db, place, config, wanted)
    with (
        contextlib.closing(SqliteStore.open(place.db)) as store,
        programs.stored(store.workers, place.thread_id, config, place.db.parent),
    ):
        return None if wanted is None else asking.send(place, wanted)


def _store_on(
    server: Server, place: Place, config: bytes | None, wanted: ObjectiveGiven | None
) -> Reply | None:
    """Do as `_store` on a server: goal and program in one transaction."""
    client, thread_id = asking.cluster(server), place.thread_id
    client.prepare()
    if wanted is None:
        if config is not None:
            client.put_program(thread_id, config)
        return None
    reply = client.request(thread_id, wanted, uuid.uuid4().hex, program=config)
    if not reply.ok:
        raise asking.refusal(place, reply)
    return reply


def _stopped(session: Session, place: Place, *, as_json: bool) -> int:
    """Show a goal that a run cannot take up, and return what that exits with."""
    from goalfsm.cli.output import now_ms, print_json  # noqa: PLC0415  only here
    from goalfsm.views.rows import status_lines  # noqa: PLC0415  the same
    from goalfsm.views.status import project  # noqa: PLC0415  the same

    status = project(session, now_ms(), thread_id=place.thread_id)
    if as_json:
        print_json({"type": "settled", "thread_id": place.thread_id, "status": status})
    else:
        asking.show((*status_lines(status),), status.hint, place)
    goal = session.goal
    return exits.of_goal(goal.status, goal.pause_reason) if goal is not None else exits.ATTENTION
