"""Answer the clients of an engine: each request in its turn, and notifications after the answer."""

from __future__ import annotations

import asyncio
import platform
import sys
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

import structlog
from msgspec.structs import replace

from goalfsm.appserver import goals, protocol
from goalfsm.appserver.feed import Feed, goal_notification
from goalfsm.appserver.outgoing import Outgoing
from goalfsm.appserver.protocol import Asked, Params, RequestRejected
from goalfsm.daemon.flow.authority import admitted
from goalfsm.errors import GoalError, described
from goalfsm.session import events as e

if TYPE_CHECKING:
    from goalfsm.appserver.feed import HostedEngine
    from goalfsm.goal.model import Goal
    from goalfsm.workers.supervisor.peers import Peer

_VERSION: Final = "0.171.0"
"""The version of Codex's app-server whose messages these are."""

_C = TypeVar("_C", bound="Connection")

_log = structlog.get_logger(__name__)


class Threads(Protocol):
    """Where threads come from: they are durable as soon as there is one."""

    def new(self, cwd: str | None) -> str:
        """Make a thread whose turns run in ``cwd``, and return its id. Raises `GoalError`."""
        ...

    def ephemeral(self) -> str:
        """Return the id of a thread that nothing is kept of."""
        ...

    def known(self, thread_id: str) -> bool:
        """Tell whether there is such a thread. Raises `StoreError`."""
        ...

    def cwd(self, thread_id: str) -> str:
        """Return where the thread's turns run."""
        ...


class Server:
    """One engine's threads, for any number of clients."""

    def __init__(self, engine: HostedEngine, threads: Threads, *, home: str, version: str) -> None:
        """Serve the threads of ``engine``, whose files are in the directory ``home``."""
        self._engine = engine
        self.threads = threads
        self.home = home
        self.version = version
        self.ephemeral: set[str] = set()
        """Threads that nothing is kept of, and that have no goals."""
        self._feeds: dict[str, asyncio.Task[Feed]] = {}
        self.clients: list[Connection] = []
        self._empty = asyncio.Event()
        self._empty.set()

    def connect(self, peer: Peer | None = None) -> Connection:
        """Return what answers a new client, ``peer``; None is the program that embeds this."""
        return self.seated(Connection(self, self._engine, peer))

    def seated(self, client: _C) -> _C:
        """Count a client in until it has gone."""
        self.clients.append(client)
        self._empty.clear()
        return client

    def left(self, client: Connection) -> None:
        """Count a client out, and tell it nothing more."""
        if client in self.clients:
            self.clients.remove(client)
        if not self.clients:
            self._empty.set()
        self.leave(client.out)

    async def deserted(self) -> None:
        """Return when no client is there."""
        await self._empty.wait()

    async def close(self) -> None:
        """Follow no thread any more."""
        tasks, self._feeds = list(self._feeds.values()), {}
        for feed in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(feed, Feed):
                await feed.close()

    async def feed(self, thread_id: str) -> Feed:
        """Return what tells of a thread, which is followed from now on. Raises `StoreError`."""
        task = self._feeds.get(thread_id)
        if task is None:
            task = self._feeds[thread_id] = asyncio.create_task(self._start(thread_id))
        return await asyncio.shield(task)

    async def _start(self, thread_id: str) -> Feed:
        feed = self._made_feed(thread_id)
        try:
            await feed.start()
        except BaseException:
            self._feeds.pop(thread_id, None)
            raise
        return feed

    def _made_feed(self, thread_id: str) -> Feed:
        return Feed(self._engine, thread_id)

    def _running_feed(self, thread_id: str) -> Feed | None:
        task = self._feeds.get(thread_id)
        if task is None or not task.done() or task.cancelled() or task.exception() is not None:
            return None
        return task.result()

    def leave(self, client: Outgoing) -> None:
        """Tell a client that has gone nothing more."""
        for thread_id in self._feeds:
            if (feed := self._running_feed(thread_id)) is not None:
                feed.leave(client)

    def start_ephemeral(self) -> str:
        """Return the id of a thread that has no goals."""
        thread_id = self.threads.ephemeral()
        self.ephemeral.add(thread_id)
        return thread_id

    def find(self, named: str) -> str:
        """Return the id of the thread that is named.

        Raises `RequestRejected` where it is unknown, or can have no goal.
        """
        # A thread of ours that has a name in place of an id is as good.
        thread_id = named if self.threads.known(named) else protocol.canonical_id(named)
        if thread_id in self.ephemeral:
            raise RequestRejected(f"ephemeral thread does not support goals: {thread_id}")
        if not self._is_known(thread_id):
            raise RequestRejected(f"thread not found: {thread_id}")
        return thread_id

    def _is_known(self, thread_id: str) -> bool:
        return self.threads.known(thread_id)


class Connection:
    """One client: `take` what it says, and send it what `out` has."""

    def __init__(self, server: Server, engine: HostedEngine, peer: Peer | None) -> None:
        """Wait for ``initialize``."""
        self.out = Outgoing()
        self._peer = peer
        self._server = server
        self._engine = engine
        self._initialized = False

    def close(self) -> None:
        """Forget the client, which has gone."""
        self._server.left(self)
        self.out.end()

    async def take(self, line: str | bytes) -> None:
        """Answer one message of the client's; what is malformed gets no answer."""
        request = protocol.parse(line)
        if request is None or request.id is None:
            return
        try:
            await self._answer(Asked(request.id, request.method, request.params))
        except GoalError as error:
            self.out.send(protocol.error_of(request.id, error))
        except Exception as error:  # noqa: BLE001 - whoever asked must not take it for silence
            _log.debug("a request failed", error=described(error))
            text = f"it could not be decided: {described(error)}"
            self.out.send(protocol.error(request.id, text, protocol.BROKEN))

    async def _answer(self, request: Asked) -> None:
        request_id, method, given = request
        protocol.check_method(method)
        if method == "initialize":
            self._initialize(request_id, Params(given))
            return
        if not self._initialized:
            raise RequestRejected("Not initialized")
        params = Params(given, method)
        if method == "thread/start":
            self._open(request_id, params)
            return
        thread_id = params.required("threadId")
        match method:
            case "thread/resume":
                await self._resume(request_id, thread_id)
            case "thread/goal/get":
                found = self._server.find(thread_id)
                self._respond(request_id, {"goal": self._shown(found)})
            case "thread/goal/set":
                await self._set(request_id, thread_id, params)
            case "thread/goal/clear":
                await self._clear(request_id, thread_id, params)
            case "turn/start":
                await self._start_turn(request_id, thread_id, params)
            case "turn/steer":
                await self._steer(request_id, thread_id, params)
            case _:
                await self._interrupt(request_id, thread_id, params)

    def _admit(self, params: Params) -> None:
        """Take note that the client has introduced itself. Raises `RequestRejected`."""
        if "clientInfo" not in params:
            raise RequestRejected("Invalid request: missing field `clientInfo`")
        if self._initialized:
            raise RequestRejected("Already initialized")
        self._initialized = True
        self.out.mute(params.muted())

    def _initialize(self, request_id: protocol.Id, params: Params) -> None:
        self._admit(params)
        system = platform.system().lower()
        told = {
            "userAgent": f"goalfsm/{self._server.version} (as codex app-server {_VERSION})",
            "codexHome": self._server.home,
            "platformFamily": "unix",
            "platformOs": "macos" if sys.platform == "darwin" else system,
        }
        self._respond(request_id, told)

    def _open(self, request_id: protocol.Id, params: Params) -> None:
        cwd, ephemeral = params.text("cwd"), params.flag("ephemeral")
        threads = self._server.threads
        thread_id = self._server.start_ephemeral() if ephemeral else threads.new(cwd)
        opened = self._described(thread_id, None, ephemeral=ephemeral)
        self._respond(request_id, opened)
        self.out.send(protocol.notification("thread/started", {"thread": opened["thread"]}))

    async def _resume(self, request_id: protocol.Id, thread_id: str) -> None:
        thread_id = self._server.find(thread_id)
        feed = await self._server.feed(thread_id)
        async with feed.lock:
            self._respond(request_id, self._described(thread_id, goal := feed.goal))
            self.out.send(goal_notification(thread_id, goal, None))
            feed.show_turn(self.out)
            feed.join(self.out)

    async def _set(self, request_id: protocol.Id, thread_id: str, params: Params) -> None:
        thread_id = self._server.find(thread_id)
        ask = goals.asked(params)
        feed = await self._joined(thread_id)
        async with feed.lock:
            changed = False
            try:
                for event in goals.events_for(feed.goal, ask, thread_id):
                    await self._submit(thread_id, event)
                    changed = True
            except GoalError:
                if changed:  # what was done before it stays, and is told
                    feed.tell_goal()
                raise
            self._respond(request_id, {"goal": self._shown(thread_id)})
            feed.tell_goal(asked=True)

    async def _clear(self, request_id: protocol.Id, thread_id: str, params: Params) -> None:
        origin = goals.origin_of(params)
        thread_id = self._server.find(thread_id)
        feed = await self._joined(thread_id)
        async with feed.lock:
            there = feed.goal is not None
            if there:
                await self._submit(thread_id, e.ClearRequested(origin=origin))
            self._respond(request_id, {"cleared": there})
            feed.tell_goal()

    async def _start_turn(self, request_id: protocol.Id, thread_id: str, params: Params) -> None:
        text, message_id = params.words("input"), params.text("clientUserMessageId")
        thread_id = self._server.find(thread_id)
        feed = await self._joined(thread_id)
        async with feed.lock:
            goal = feed.goal
            _check_said(text)
            if goal is None or goal.status != "active":
                raise RequestRejected(
                    f"a turn belongs to an active goal, and thread {thread_id} has none: "
                    "thread/goal/set gives it one, or takes it up again; "
                    "under --passthrough Codex has other turns too"
                )
            await self._say(thread_id, text, message_id)
            if (running := feed.turn_id) is None:
                feed.answer_at_dispatch(self.out, request_id)
            else:
                self._respond(request_id, {"turn": goals.turn(running)})

    async def _steer(self, request_id: protocol.Id, thread_id: str, params: Params) -> None:
        expected = params.required("expectedTurnId")
        text, message_id = params.words("input"), params.text("clientUserMessageId")
        thread_id = self._server.find(thread_id)
        feed = await self._joined(thread_id)
        async with feed.lock:
            running = _running(feed, expected, "steer")
            _check_said(text)
            await self._say(thread_id, text, message_id)
            self._respond(request_id, {"turnId": running})

    async def _interrupt(self, request_id: protocol.Id, thread_id: str, params: Params) -> None:
        expected = params.required("turnId")
        thread_id = self._server.find(thread_id)
        feed = await self._joined(thread_id)
        async with feed.lock:
            _running(feed, expected, "interrupt")
            await self._submit(thread_id, e.InterruptRequested())
            self._respond(request_id, {})

    async def _say(self, thread_id: str, text: str, message_id: str | None) -> None:
        named = message_id or self._server.threads.ephemeral()
        await self._submit(thread_id, e.SteeringReceived(message_id=named, text=text))

    async def _submit(self, thread_id: str, event: e.Command) -> None:
        said: e.Event = event
        if self._peer is not None:
            # A program that speaks for itself stays one: it may do less than a person.
            said = replace(admitted(event, self._peer), origin=event.origin)
        reply = await self._engine.submit(thread_id, said)
        if not reply.ok:
            raise RequestRejected(reply.message, hint=reply.hint)

    async def _joined(self, thread_id: str) -> Feed:
        feed = await self._server.feed(thread_id)
        feed.join(self.out)
        return feed

    def _shown(self, thread_id: str) -> dict[str, Any] | None:
        goal = self._engine.status(thread_id).goal
        return None if goal is None else goals.shown(goal, thread_id)

    def _described(
        self, thread_id: str, goal: Goal | None, *, ephemeral: bool = False
    ) -> dict[str, Any]:
        return goals.thread(
            thread_id,
            cwd=self._server.threads.cwd(thread_id),
            version=self._server.version,
            now=int(time.time()),
            goal=goal,
            ephemeral=ephemeral,
        )

    def _respond(self, request_id: protocol.Id, result: Mapping[str, Any]) -> None:
        self.out.send(protocol.response(request_id, result))


def _check_said(text: str) -> None:
    if not text:
        raise RequestRejected("input must not be empty")


def _running(feed: Feed, expected: str, to: str) -> str:
    """Return the running turn; raise `RequestRejected` where it is not the one that is meant."""
    running = feed.turn_id
    if running is None:
        raise RequestRejected(f"no active turn to {to}")
    if running != expected:
        raise RequestRejected(f"expected active turn id `{expected}` but found `{running}`")
    return running
