"""Serve goals that are kept in PostgreSQL, beside other nodes."""

from __future__ import annotations

import asyncio
import contextlib
import os
from typing import TYPE_CHECKING

import click

from goalfsm.cli import arguments, exits, options
from goalfsm.cli.loading import load_logging
from goalfsm.cli.output import say
from goalfsm.errors import GoalError
from goalfsm.store.address import Server

if TYPE_CHECKING:
    from goalfsm.views.status import Status

_ADDRESS = "GOALFSM_DB"


@click.command("node")
@click.argument("dsn", required=False, metavar="[URL]")
@click.option(
    "--places",
    default="any",
    show_default=True,
    metavar="NAMES",
    help="The places whose threads it serves, with commas between them.",
)
@click.option("--name", default="", metavar="NAME", help="What people see; default: the host's.")
@options.serving
def node_command(
    dsn: str | None,
    places: str,
    max_runs: int,
    name: str,
    grace: float,
    log_json: bool,
    log_level: str,
) -> int:
    """Serve threads of a PostgreSQL database, beside other nodes, until told to stop.

    URL is postgresql://…; by default GOALFSM_DB names it. Leave the password out of it, for
    every program of this user sees the command line: PGPASSFILE or PGPASSWORD gives it.
    """
    load_logging()
    from goalfsm.daemon import logs  # noqa: PLC0415  it loads the whole engine

    logs.configure(json=log_json, level=log_level)
    url = dsn or os.environ.get(_ADDRESS, "")
    if not url.startswith(("postgresql://", "postgres://")):
        raise GoalError(
            f"{url} is not the address of a PostgreSQL database" if url else "no database is named",
            code="database_invalid",
            hint="goalfsm node postgresql://USER@HOST/DATABASE",
        )
    asyncio.run(_serve(url, _named(places), max_runs, name, grace))
    return exits.OK


def _named(places: str) -> tuple[str, ...]:
    named = tuple(dict.fromkeys(place.strip() for place in places.split(",")))
    return tuple(arguments.place(place) for place in named)


async def _serve(url: str, places: tuple[str, ...], max_runs: int, name: str, grace: float) -> None:
    from goalfsm.cli.hosting import NOTICE_S, notices  # noqa: PLC0415  it loads the engine
    from goalfsm.cluster.engine import ClusterEngine  # noqa: PLC0415  the same
    from goalfsm.daemon.signals import stopping_on_signals  # noqa: PLC0415  it loads the engine

    async def status(thread_id: str) -> Status:
        return await engine.status(thread_id)

    notifier, told = notices(str(Server(url)), status)
    engine = ClusterEngine(url, places=places, max_runs=max_runs, name=name, grace_s=grace, **told)
    async with engine:
        with stopping_on_signals(engine, grace):
            # Where nobody reads it any more, there is work all the same.
            with contextlib.suppress(OSError):
                say(f"serving {', '.join(places)}; Ctrl-C stops", err=True)
            await engine.wait()
    await notifier.sent(NOTICE_S)
