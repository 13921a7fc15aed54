"""The engine's socket: other processes of the same user ask, and follow what happens."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
from functools import cached_property
from typing import TYPE_CHECKING

import msgspec
import structlog

from goalfsm.daemon.flow.authority import admitted, require_own_run
from goalfsm.daemon.remote import socket_path, wire
from goalfsm.daemon.remote.listener import Link, Listener, peer_pid
from goalfsm.daemon.remote.run_socket import Said
from goalfsm.daemon.remote.socket_path import remove_stale
from goalfsm.daemon.remote.tool_events import event_of_call
from goalfsm.errors import GoalError
from goalfsm.session.codec import encode_event
from goalfsm.session.events import GIVING, ToolCalled, WaitDeclared
from goalfsm.session.tools import CREATE_GOAL, canonical

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection
    from pathlib import Path

    from goalfsm.daemon.flow.ports import Serving
    from goalfsm.session.events import Event
    from goalfsm.session.state import Run
    from goalfsm.views.tool_answers import ToolResponse

_log = structlog.get_logger(__name__)


class Server(msgspec.Struct, eq=False, dict=True):
    """Listens while the engine lives; asks are answered as soon as it has taken over.

    What comes in at ``place`` is answered by ``serving``. ``calls(thread_id, event, event_id)``
    has a tool call decided, and returns what the model is told.

    Who asks is found out here: a process below this one, or below one of ``runs_below`` (pid
    and start), is a run's of ``db``. ``look`` returns what people see of a thread, None where
    that is not known here. ``held`` says what keeps a thread's turns from starting,
    ``run_of`` which run of a thread is under way, ``run_above`` which one a process belongs
    to, by it and all above it, "" of none. ``exists`` tells whether there is such a thread:
    only some commands make one. ``brings_workers``: turns may be done without a stored program.
    """

    serving: Serving
    place: Path
    db: str
    runs_below: Callable[[], Collection[tuple[int, str]]]
    calls: Callable[[str, Event, str | None], Awaitable[ToolResponse]]
    run_of: Callable[[str], Run | None]
    run_above: Callable[[Collection[tuple[int, str]]], str]
    look: Callable[[str], wire.Seen | None] = lambda _: None
    held: Callable[[str], str] = lambda _: ""
    exists: Callable[[str], bool] = lambda _: True
    brings_workers: bool = False
    _said: Said = msgspec.field(default_factory=Said)

    @cached_property
    def _listener(self) -> Listener:
        return Listener(self.place, self._do)

    async def start(self) -> None:
        """Listen; what is asked waits for `ready`."""
        remove_stale(self.place)
        await self._listener.start()

    def ready(self) -> None:
        """Begin to answer."""
        self._listener.ready()

    def restore(self) -> None:
        """Listen again where somebody has taken the socket away."""
        self._listener.restore()

    async def close(self) -> None:
        """Hang up and remove the socket; followers get their last notice first."""
        await self._listener.close()
        socket_path.show(str(self.place), "")

    async def _do(self, request: wire.Request, link: Link) -> None:
        match request:
            case wire.Submit(thread_id=thread_id, event_id=event_id):
                event = wire.event_of(request)
                allowed = self._admitted(thread_id, event, link)
                if isinstance(event, (*GIVING, ToolCalled)) or self.exists(thread_id):
                    reply = await self.serving.submit(thread_id, allowed, event_id)
                else:
                    reply = wire.unknown(thread_id)
                link.say(wire.Replied(reply=reply))
            case wire.AskStatus(thread_id=thread_id):
                status = self.serving.status(thread_id)
                told = (await status) if inspect.isawaitable(status) else status
                link.say(wire.Told(status=wire.raw(told)))
            case wire.Look(thread_id=thread_id):
                seen = self.look(thread_id)
                if seen is None:
                    raise _unknown(thread_id)
                link.say(seen)
            case wire.Follow():
                await self._follow(request, link)
            case wire.Ping(thread_id=thread_id):
                held = self.held(thread_id)
                link.say(wire.Pong(held=held, brings_workers=self.brings_workers))
            case wire.CallTool(thread_id=thread_id, name=name):
                asked = event_of_call(name, request.arguments, request.run_token or None)
                allowed = self._admitted(thread_id, asked, link)
                if canonical(name) != CREATE_GOAL.name and not self.exists(thread_id):
                    raise _unknown(thread_id)
                response = await self.calls(thread_id, allowed, request.event_id or None)
                link.say(wire.tool_told(response))

    def _admitted(self, thread_id: str, event: Event, link: Link) -> Event:
        peer = link.peer(self.db, self.runs_below())
        try:
            allowed = admitted(event, peer)
            if isinstance(event, ToolCalled | WaitDeclared):
                run = self.run_of(thread_id)
                require_own_run(event, peer, self.db, run, self.run_above(peer.chain))
                said = len(encode_event(event))
                self._said.add(thread_id, "" if run is None else run.run_id, said)
        except GoalError as error:
            _log.warning(
                "what was asked for is not the asker's to ask for",
                thread_id=thread_id,
                asked=type(event).__name__,
                pid=peer.pid,
                program=peer.program,
                why=peer.why,
                code=error.code,
            )
            raise
        return allowed

    async def _follow(self, request: wire.Follow, link: Link) -> None:
        telling = asyncio.ensure_future(self._tell(request, link))
        self._listener.following.add(telling)
        try:
            await telling
        finally:
            telling.cancel()
            self._listener.following.discard(telling)

    async def _tell(self, request: wire.Follow, link: Link) -> None:
        pid = peer_pid(link.writer) if request.succeeds else None
        notices = self.serving.follow(
            request.thread_id, after_revision=request.after_revision, successor=pid
        )
        async with contextlib.aclosing(notices):
            async for notice in notices:
                link.say(wire.Noticed(notice=wire.raw(notice)))
                link.waits()
                await link.writer.drain()
                link.served()


def _unknown(thread_id: str) -> GoalError:
    no = wire.unknown(thread_id)
    return GoalError(no.message, code=no.code, hint=no.hint)
