"""Which program or agent does the turns of a thread, and where, as a command line says it."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
from msgspec.structs import replace

from goalfsm.cli import arguments, options, places
from goalfsm.cli.arguments import HintedError
from goalfsm.cli.output import say
from goalfsm.errors import GoalError
from goalfsm.session.routes import parse

if TYPE_CHECKING:
    from collections.abc import Callable

    from goalfsm.daemon.config import WorkerConfig
    from goalfsm.store.address import Address
    from goalfsm.workers.agents.spec import AgentName


_OF_A_HOST: Final = frozenset(
    {"program_not_found", "program_not_executable", "directory_unusable", "agent_broken"}
)
"""Codes of what one host lacks and another may have."""


AGENTS: Final = ("codex", "claude", "pi", "acp")
described: Final = options.all_of(
    click.option(
        "--output",
        type=click.Choice(("auto", "lines", "text")),
        help="How stdout is read: by its first line, as JSON lines, or as plain text.",
    ),
    click.option(
        "--stdin",
        type=click.Choice(("auto", "close", "lines")),
        help="Whether stdin ends after the prompt, or carries JSON lines.",
    ),
    click.option(
        "--prompt-arg", is_flag=True, help="Give the prompt as the last argument, not on stdin."
    ),
    click.option(
        "--isolate",
        is_flag=True,
        help="Run it in namespaces of its own, without the goals, the engine and other runs.",
    ),
    click.option(
        "--place",
        "at_place",
        metavar="NAME",
        help="On a server: the nodes that run it, as goalfsm node --places names them.",
    ),
    click.option(
        "--agent",
        type=click.Choice(AGENTS),
        help="Who does the work; what follows -- are arguments of its own.",
    ),
    click.option(
        "--turn-timeout",
        type=arguments.duration,
        metavar="DURATION",
        help="Longest turn; default 24h.",
    ),
    click.option(
        "--silence-timeout",
        type=arguments.duration,
        metavar="DURATION",
        help="Longest silence of a turn; default 30m.",
    ),
    click.option(
        "--env",
        "env_names",
        multiple=True,
        type=arguments.variable,
        metavar="NAME",
        help="Pass only the named variables to the program; repeatable; default: all.",
    ),
)
"""What the program or agent of a goal is described by."""
OPTIONS: Final = options.named(described)


def worker(
    program: tuple[str, ...],
    stored: bytes | None,
    given: dict[str, Any],
    *,
    db: Address,
    required: bool = True,
) -> WorkerConfig | None:
    """Return the worker to store, None where the stored one stays; raise where none can be had.

    It works on goals that are kept in ``db``.
    """
    from goalfsm.daemon.config import (  # noqa: PLC0415  it loads the engine's parts
        SILENCE_TIMEOUT_S,
        TURN_TIMEOUT_S,
        WorkerConfig,
        decode_config,
    )

    agent = given["agent"]
    for name in ("prompt_arg", "stdin", "output"):
        if agent is not None and given[name]:
            option = f"--{name.replace('_', '-')}"
            raise HintedError(f"{option} is for programs", f"leave it out: {agent} is an agent")
    place = _place_of(given["at_place"], db)
    if not program and agent is None:
        if any(given[name] not in (None, False, ()) for name in OPTIONS - {"agent", "at_place"}):
            raise HintedError(
                "these options describe a program, and none was given",
                "add it: -- PROGRAM ARGS, or --agent NAME",
            )
        if stored is not None:
            known = decode_config(stored)
            _need(known.validate, db)
            _need_routes(known, given, db)
            if place and place != known.place:
                return replace(known, place=place)
        elif required:
            raise GoalError(
                "no program is known for this thread",
                code="program_missing",
                hint="say who does the work: add --agent NAME, or at the end -- PROGRAM ARGS",
            )
        return None
    config = WorkerConfig(
        argv=program,
        agent=agent,
        cwd=str(places.working_directory()),
        env_names=given["env_names"] or None,
        prompt_arg=bool(given["prompt_arg"]),
        stdin=given["stdin"] or "auto",
        output=given["output"] or "auto",
        turn_timeout_s=given["turn_timeout"] or TURN_TIMEOUT_S,
        silence_timeout_s=given["silence_timeout"] or SILENCE_TIMEOUT_S,
        isolate=given["isolate"],
        place=place or _place_so_far(stored),
    )
    _need(config.validate, db)
    _need_routes(config, given, db)
    # Before anything is written: what is no text cannot be kept.
    config.encode()
    if config.isolate:
        from goalfsm.workers.isolating import check_place, hidden  # noqa: PLC0415  few have one

        check_place(hidden(str(db) if isinstance(db, Path) else ""), config.cwd)
    if agent is not None:
        _need(functools.partial(_ask, agent), db)
    return config


def _need_routes(config: WorkerConfig, given: dict[str, Any], db: Address) -> None:
    """Raise what stands in the way of a route's program, which is started as ``config`` is."""
    for text in given.get("routes", ()):
        for route in parse(text):
            _need(config.routed(route.argv).validate, db)


def _need(check: Callable[[], object], db: Address) -> None:
    """Have ``check`` raise what stands in the way of a start; on a server it is said on stderr.

    There the nodes of the thread's place start the program, and this host need not have it.
    """
    try:
        check()
    except GoalError as error:
        if isinstance(db, Path) or error.code not in _OF_A_HOST:
            raise
        told = f"{error.message}; that is so on this host, and its nodes need it on theirs"
        say(f"goalfsm: {told}", err=True)


def _place_of(place: str | None, db: Address) -> str:
    """Return the place that a person named, empty where none was; raise for one of a file."""
    if place is None:
        return ""
    if isinstance(db, Path):
        raise HintedError(
            "--place names nodes, and a file has none",
            "leave it out, or name a server: --db postgresql://…",
        )
    return arguments.place(place)


def _place_so_far(stored: bytes | None) -> str:
    """Return the place of the program that another one follows: it is the thread's."""
    from goalfsm.daemon.config import decode_config  # noqa: PLC0415  it loads the engine's parts

    return "" if stored is None else decode_config(stored).place


def _ask(agent: AgentName) -> None:
    """Name on stderr a version of the agent that was not tested; raise where it does not start."""
    from goalfsm.workers.agents.spec import AGENTS, look  # noqa: PLC0415  only for an agent

    if not AGENTS[agent].tested:
        return
    found = look(agent)
    if found.problem:
        known = AGENTS[agent]
        raise GoalError(
            f"{known.title} is installed, but {found.problem}",
            code="agent_broken",
            hint=f"{known.needs}; try {agent} --version"
            if known.needs
            else f"try {agent} --version",
        )
    if found.warning:
        say(f"goalfsm: {found.warning}", err=True)
