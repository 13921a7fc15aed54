"""Hooks of interactive agents: what goes on with a goal where a person works with an agent."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click
import msgspec

from goalfsm.cli import exits, options, places
from goalfsm.cli.asking import require_person
from goalfsm.cli.loading import load_logging
from goalfsm.errors import GoalError, NoDatabase
from goalfsm.text import MALFORMED

if TYPE_CHECKING:
    from goalfsm.cli.places import Place
    from goalfsm.session.state import Session
    from goalfsm.store.port import Store

_SHELLS: Final = frozenset({"sh", "bash", "dash", "zsh", "ksh", "fish", "busybox"})
_RUN: Final = "GOALFSM_RUN_ID"
_MOST: Final = 16 * 1024 * 1024
"""How many bytes of what an agent says are read; of more nothing can be told."""


class Stopped(msgspec.Struct, frozen=True, kw_only=True):
    """What Claude Code tells a Stop hook, as far as it is asked for here."""

    session_id: str
    stop_hook_active: bool = False
    last_assistant_message: str | None = None


class Answer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """What a Stop hook answers: ``block`` and the next prompt, or a word to the person."""

    decision: str | None = None
    reason: str | None = None
    system_message: str | None = None


@click.group("hook")
def hook_command() -> None:
    """Continue a goal where a person works with an agent, through the agent's own hooks."""


@hook_command.command("stop")
@options.placed
def stop_command(place: Place) -> int:
    """Answer a Stop hook of Claude Code: the next turn of this directory's goal, or nothing.

    The hook's JSON is read from stdin. Only a goal that has no program or agent of its own, and
    that no engine drives, is worked on so. Whatever is wrong is said, and stops nobody.
    """
    if _RUN in os.environ:
        return exits.OK  # the engine that started this agent continues it
    try:
        told = msgspec.json.decode(sys.stdin.buffer.read(_MOST), type=Stopped)
        db = places.file(place.db, "a hook works on", "leave --db and GOALFSM_DB out")
        answer = _answered(db, place.thread_id, told)
    except NoDatabase:
        return exits.OK
    except MALFORMED as error:
        # A status of 2 would have the agent go on, with the error for its prompt.
        answer = Answer(system_message=f"goalfsm: this is no Stop hook of Claude Code: {error}")
    except GoalError as error:
        hint = f" Hint: {error.hint}" if error.hint else ""
        answer = Answer(system_message=f"goalfsm: {error.message}.{hint}")
    if answer != Answer():
        click.echo(msgspec.json.encode(answer))
    return exits.OK


def _answered(db: Path, thread_id: str, told: Stopped) -> Answer:
    from goalfsm.daemon.remote.direct import session_of  # noqa: PLC0415  the same
    from goalfsm.store.sqlite import SqliteStore  # noqa: PLC0415  the same

    with contextlib.closing(SqliteStore.open(db, create=False)) as store:
        goal = session_of(store, thread_id).goal
        if goal is None or store.workers.get(thread_id) is not None:
            return Answer()  # one that has a program is driven by a run or a daemon
        require_person(db, "working on a goal by a hook")
        return _gone_on(store, db, thread_id, told)


def _gone_on(store: Store, db: Path, thread_id: str, told: Stopped) -> Answer:
    """End the turn that the session did for the goal, if it did one, and begin the next."""
    from goalfsm.daemon.remote import hosted  # noqa: PLC0415  as above
    from goalfsm.daemon.remote.direct import session_of  # noqa: PLC0415  as above
    from goalfsm.daemon.remote.hosted_turn import noted  # noqa: PLC0415  as above

    turn = noted(db, thread_id)
    if turn is None and told.stop_hook_active:
        return Answer()  # another hook had it go on: two of them would never end
    if turn is not None:
        ours = turn.host == told.session_id
        if not ours and turn.lives:
            return Answer()  # the goal goes on in another session of this directory
        # A turn of the person's own after one of the goal's: that one was ended by the person.
        known = ours and told.stop_hook_active
        hosted.end(store, db, thread_id, turn, told.last_assistant_message or "" if known else None)
        _verify(store, db, thread_id)
    prompt = hosted.begin(store, db, thread_id, host=told.session_id, pid=_agent())
    if prompt is not None:
        return Answer(decision="block", reason=prompt)
    session = session_of(store, thread_id)
    return Answer() if turn is None else Answer(system_message=_stands(session))


def _verify(store: Store, db: Path, thread_id: str) -> None:
    """Have an engine verify what the turn claimed, where that is not a person's to do."""
    import asyncio  # noqa: PLC0415  only for a claim

    load_logging()
    from goalfsm.cli.hosting import engine_on  # noqa: PLC0415  the same
    from goalfsm.daemon import logs  # noqa: PLC0415  the same
    from goalfsm.daemon.remote.direct import session_of  # noqa: PLC0415  the same
    from goalfsm.session.work import awaits_person  # noqa: PLC0415  the same

    session = session_of(store, thread_id)
    if (session.claim is None or awaits_person(session)) and session.check is None:
        return

    # What it would say of a thread without a program is not true of this one.
    logs.configure(json=False, level="critical")

    async def verify() -> None:
        engine, _ = engine_on(store, db)
        async with engine:
            await engine.settled(thread_id)
            engine.hand_over(thread_id)
            await engine.wait()

    asyncio.run(verify())


def _stands(session: Session) -> str:
    """Return how the goal stands, for the person, where no turn follows."""
    goal, decision = session.goal, session.decision
    status = "gone" if goal is None else goal.status
    why = "" if decision is None else f": {decision.reason}"
    return f"goalfsm: the goal is {status}{why}"


def _agent() -> int:
    """Return the process that calls the hook: the nearest one that is no shell."""
    from goalfsm.workers.supervisor.identity import stat  # noqa: PLC0415  only here

    pid = os.getppid()
    while (found := stat(pid)) is not None and found.parent > 1:
        name = Path(f"/proc/{pid}/comm").read_text("utf-8", "replace").strip()
        if name not in _SHELLS:
            break
        pid = found.parent
    return pid
