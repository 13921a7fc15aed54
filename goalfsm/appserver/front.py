"""A whole Codex app-server whose goals are ours: everything else is answered by Codex's own."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Coroutine, Mapping
from typing import TYPE_CHECKING, Any, Final, Protocol

import msgspec
import structlog

from goalfsm.appserver import protocol
from goalfsm.appserver.feed import Feed, goal_notification
from goalfsm.appserver.protocol import Asked, Params, RequestRejected
from goalfsm.appserver.server import Connection, Server, Threads
from goalfsm.daemon.flow.authority import admitted
from goalfsm.errors import GoalError, described
from goalfsm.session import events as e
from goalfsm.session.tools import TOOLS
from goalfsm.views.tool_answers import respond
from goalfsm.workers.agents.codex import dynamic_tools
from goalfsm.workers.protocol import Tool
from goalfsm.workers.supervisor.peers import Peer

if TYPE_CHECKING:
    from goalfsm.appserver.feed import HostedEngine
    from goalfsm.appserver.relay import Opened, Relay
    from goalfsm.session.state import Session

_DYNAMIC_TOOLS: Final = dynamic_tools(
    msgspec.convert(TOOLS, tuple[Tool, ...], from_attributes=True)
)
_TURNS: Final = frozenset({"turn/start", "turn/steer", "turn/interrupt"})

_log = structlog.get_logger(__name__)


class Adopting(Threads, Protocol):
    """Threads that a Codex app-server has made."""

    def adopt(self, thread_id: str, cwd: str) -> None:
        """Keep a thread whose turns Codex does in ``cwd``. Raises `StoreError`."""
        ...

    def adopted(self, thread_id: str) -> bool:
        """Tell whether a thread was made here, with the goal's tools. Raises `StoreError`."""
        ...


class Driving(Protocol):
    """What is asked of an engine here beyond `HostedEngine`."""

    def session(self, thread_id: str) -> Session:
        """Return the thread's committed session."""
        ...


class FrontFeed(Feed):
    """One thread: its goal is told here, its turns are told by Codex."""

    def __init__(self, engine: HostedEngine, thread_id: str, relay: Relay) -> None:
        """Take the ids of the thread's turns from ``relay``, whose app-server runs them."""
        super().__init__(engine, thread_id)
        self._relay = relay

    def named(self, run_id: str) -> str | None:
        """Return which of Codex's turns a run is."""
        return self._relay.turn_of(self.thread_id, run_id)

    def _dispatched(self, run_id: str) -> None:
        self.run = run_id

    def _tell_turn(self, message: Mapping[str, Any]) -> None:
        del message


class FrontServer(Server):
    """One engine's goals, and one Codex app-server, for any number of clients."""

    threads: Adopting

    def __init__(
        self, engine: HostedEngine, threads: Adopting, relay: Relay, *, home: str, version: str
    ) -> None:
        """Serve ``relay``, and listen to it."""
        super().__init__(engine, threads, home=home, version=version)
        self.relay = relay
        self._tasks: set[asyncio.Task[None]] = set()
        relay.listen(self)

    def connect(self, peer: Peer | None = None) -> FrontConnection:
        """Return what answers a new client; see `Server.connect`."""
        return self.seated(FrontConnection(self, self._engine, peer))

    def _is_known(self, thread_id: str) -> bool:
        return thread_id in self.relay.seen or super()._is_known(thread_id)

    async def learn(self, named: str) -> None:
        """Ask Codex for a thread; raise `RequestRejected` where it has none of the name."""
        thread_id = named if self.threads.known(named) else protocol.canonical_id(named)
        if not self._is_known(thread_id):
            try:
                await self.relay.upstream.ask("thread/read", {"threadId": thread_id})
            except RequestRejected:
                raise RequestRejected(f"thread not found: {thread_id}") from None
            self.relay.seen.add(thread_id)

    def _made_feed(self, thread_id: str) -> Feed:
        return FrontFeed(self._engine, thread_id, self.relay)

    # What the relay tells.

    def opened(self, opened: Opened) -> None:
        """Answer a client that has opened a thread, and tell it the goal of one that was there."""
        thread, thread_id = opened.result["thread"], opened.result["thread"]["id"]
        opened.client.send(protocol.response(opened.request_id, opened.result))
        if thread.get("ephemeral"):
            self.ephemeral.add(thread_id)
            return
        self.start_task(self._enter(opened, thread_id))

    async def _enter(self, opened: Opened, thread_id: str) -> None:
        source = opened.params.get("threadId")
        if opened.method == "thread/start" or (
            opened.method == "thread/fork" and self.threads.adopted(str(source))
        ):
            self.threads.adopt(thread_id, str(opened.result.get("cwd") or "/"))
        feed = await self.feed(thread_id)
        async with feed.lock:
            feed.join(opened.client)
            if opened.method == "thread/resume":
                opened.client.send(goal_notification(thread_id, feed.goal, None))

    def began(self, thread_id: str, turn_id: str) -> None:
        """Answer whoever has spoken to the turn that begins."""
        if (feed := self._running_feed(thread_id)) is not None:
            feed.answer_waiting(turn_id)

    def called(self, request: Mapping[str, Any]) -> None:
        """Answer a goal tool that was called in a turn of a person's own."""
        self.start_task(self._call(request))

    async def _call(self, request: Mapping[str, Any]) -> None:
        params = request["params"]
        thread_id, arguments = params["threadId"], params.get("arguments")
        event = e.ToolCalled(
            name=params["tool"], arguments=arguments if isinstance(arguments, dict) else {}
        )
        try:
            # It is no run's: it may look, and give the thread its first goal.
            said = admitted(event, Peer(pid=0, of_a_run=False))
            reply = await self._engine.submit(thread_id, said)
            session = self._driving.session(thread_id)
            answer = respond(reply, session, time.time_ns() // 1_000_000)
            text, ok = answer.text, answer.ok
        except GoalError as error:
            text, ok = f"{error.message}. Hint: {error.hint}", False
        except Exception as error:  # noqa: BLE001 - the model must not take it for silence
            text, ok = f"it could not be decided: {described(error)}", False
        told = {"contentItems": [{"type": "inputText", "text": text}], "success": ok}
        self.relay.upstream.send(protocol.response(request["id"], told))

    def lost(self) -> None:
        """Hang up on everybody: whoever connects again finds a new app-server."""
        for client in [*self.clients]:
            client.out.end()

    def start_task(self, doing: Coroutine[Any, Any, None]) -> None:
        """Do something that nobody waits for."""
        task = asyncio.get_running_loop().create_task(doing)
        self._tasks.add(task)
        task.add_done_callback(self._over)

    def _over(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.warning("a client was not told of a goal", error=described(error))

    @property
    def _driving(self) -> Driving:
        return self._engine  # type: ignore[return-value]  # an engine is both


class FrontConnection(Connection):
    """One client: what concerns goals is answered here, everything else by Codex."""

    _server: FrontServer

    def __init__(self, server: FrontServer, engine: HostedEngine, peer: Peer | None) -> None:
        """Wait for ``initialize``."""
        super().__init__(server, engine, peer)
        self._relay = server.relay

    def close(self) -> None:
        """Forget the client, which has gone."""
        self._relay.leave(self.out)
        super().close()

    async def take(self, line: str | bytes) -> None:
        """Answer one message of the client's, or pass it on."""
        try:
            message = json.loads(line)
        except (ValueError, RecursionError):
            return
        if isinstance(message, dict) and "method" not in message:
            self._relay.answer(message)
        else:
            await super().take(line)

    async def _answer(self, request: Asked) -> None:
        method = request.method
        if method != "initialize" and not self._initialized:
            raise RequestRejected("Not initialized")
        await self._relay.ready()
        if method == "initialize":
            self._greet(request)
        elif method.startswith("thread/goal/") and method in protocol.METHODS:
            await self._server.learn(Params(request.params, method).required("threadId"))
            await super()._answer(request)
        elif method == "thread/unsubscribe":
            self._unsubscribe(request)
        elif not (method in _TURNS and await self._is_for_the_goal(request)):
            self._forward(request)

    def _greet(self, request: Asked) -> None:
        self._admit(Params(request.params))
        self._respond(request.id, self._relay.upstream.greeting)
        self._relay.join(self.out)

    def _unsubscribe(self, request: Asked) -> None:
        thread_id = Params(request.params).required("threadId")
        others = self._relay.leave(self.out, thread_id)
        goal = None if thread_id in self._server.ephemeral else self._engine.status(thread_id).goal
        if others or (goal is not None and goal.status != "complete"):
            self._respond(request.id, {"status": "unsubscribed"})
        else:
            self._forward(request)

    def _forward(self, request: Asked) -> None:
        params = request.params
        if request.method == "thread/start" and isinstance(params, dict):
            tools = params.get("dynamicTools") or []
            if not params.get("ephemeral") and isinstance(tools, list):
                params = {**params, "dynamicTools": [*tools, *_DYNAMIC_TOOLS]}
        self._relay.forward(self.out, request.id, request.method, params)

    async def _set(self, request_id: protocol.Id, thread_id: str, params: Params) -> None:
        found = self._server.find(thread_id)
        if params.text("objective") is not None and not self._server.threads.adopted(found):
            raise RequestRejected(
                f"thread {thread_id} was started without goalfsm, so that its model could not say "
                "when the goal is reached. Hint: /new starts one that can have a goal"
            )
        await super()._set(request_id, thread_id, params)

    async def _is_for_the_goal(self, request: Asked) -> bool:
        """Answer what is said to a goal's turn; False for what concerns another one."""
        params = request.params
        thread_id = params.get("threadId") if isinstance(params, dict) else None
        if not isinstance(thread_id, str) or not self._server.threads.adopted(thread_id):
            return False
        goal = self._engine.status(thread_id).goal
        if goal is None or not _is_text(params):
            return False
        feed = await self._joined(thread_id)
        if request.method == "turn/start":
            if goal.status != "active":
                return False
        elif feed.turn_id is None or feed.turn_id not in {
            params.get("turnId"),
            params.get("expectedTurnId"),
        }:
            return False
        try:
            await super()._answer(request)
        except RequestRejected:
            # What has ended meanwhile is Codex's to answer.
            return False
        return True

    async def _say(self, thread_id: str, text: str, message_id: str | None) -> None:
        named = message_id or self._server.threads.ephemeral()
        self._relay.wrote(thread_id, named, text)
        await super()._say(thread_id, text, named)


def _is_text(params: Mapping[str, Any]) -> bool:
    """Tell whether nothing but text is said: what else there is, only Codex can take."""
    items = params.get("input", [])
    return isinstance(items, list) and all(
        isinstance(item, dict) and item.get("type") == "text" for item in items
    )
