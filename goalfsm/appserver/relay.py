"""What clients and a Codex app-server say to one another, and which of it is for whom.

All clients share one connection to the app-server: their requests get ids of ours, and what is told
of a thread goes to those who follow it. A goal's turn sits at the same table; see
`goalfsm.workers.agents.joined.Link`.
"""

from __future__ import annotations

import asyncio
import itertools
import time
import uuid
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

from goalfsm.appserver import protocol
from goalfsm.appserver.upstream import Upstream
from goalfsm.session.tools import TOOLS
from goalfsm.workers.agents.joined import ThreadState

if TYPE_CHECKING:
    from goalfsm.appserver.feed import Client
    from goalfsm.appserver.protocol import Id
    from goalfsm.workers.agents.joined import Host
    from goalfsm.workers.supervisor.client import Supervisor

TOOL_CALL: Final = "item/tool/call"
OPENING: Final = ("thread/start", "thread/resume", "thread/fork")
"""Whose answer holds a thread, which the client follows from then on."""
_CLIENTS: Final = "client/"
"""What the ids of clients' requests begin with."""
_STARTING: Final = frozenset({"turn/start", "review/start"})
_NAMES: Final = frozenset(tool.name for tool in TOOLS)
_MOST_WORDS: Final = 100
"""Most messages of clients that are remembered, to show them as they were written."""


class Opened(NamedTuple):
    """A thread that a client has started, resumed or forked."""

    client: Client
    request_id: Id
    method: str
    params: Mapping[str, Any]
    result: Mapping[str, Any]


class Listener(Protocol):
    """Who is told what concerns goals."""

    def opened(self, opened: Opened) -> None:
        """Answer a client that has opened a thread."""
        ...

    def began(self, thread_id: str, turn_id: str) -> None:
        """Take note of a goal's turn."""
        ...

    def called(self, request: Mapping[str, Any]) -> None:
        """Answer a goal tool that was called in a turn of a person's own."""
        ...

    def lost(self) -> None:
        """Take note that the app-server has ended, and with it every thread that it had loaded."""
        ...


class _Asked(NamedTuple):
    client: Client
    request_id: Id
    method: str
    params: Mapping[str, Any]


class _Turn:
    """A goal's turn, from before it begins."""

    def __init__(
        self,
        thread_id: str,
        heard: Callable[[bytes], None],
        lost: Callable[[int | None, str], None],
    ) -> None:
        self.thread_id = thread_id
        self.heard = heard
        self.lost = lost
        self.turn_id = ""


class _Words:
    """What clients have written for the turns of one thread, by message."""

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}
        self.shown: set[str] = set()


class Relay:
    """The table at which clients, goals' turns and the app-server sit."""

    def __init__(self, supervisor: Supervisor, *, cwd: str, version: str) -> None:
        """Have an app-server in ``cwd``; `listen` has to be called before anybody speaks."""
        self.upstream = Upstream(supervisor, self._hear, self._lost, cwd=cwd, version=version)
        self._listener: Listener
        self.seen: set[str] = set()
        """Every thread that the app-server was heard to speak of."""
        self._numbers = itertools.count(1)
        self._asked: dict[str, _Asked] = {}
        self._followers: dict[str, list[Client]] = {}
        self._everybody: list[Client] = []
        self._questions: dict[Any, dict[str, Any]] = {}
        self._loaded: set[str] = set()
        self._running: dict[str, str] = {}
        self._starting: dict[str, int] = {}
        self._turns: dict[str, _Turn] = {}
        self._goal_turns: dict[str, tuple[str, str]] = {}
        self._used: dict[str, tuple[str, Mapping[str, Any]]] = {}
        self._words: dict[str, _Words] = {}
        self._waiting: set[asyncio.Future[None]] = set()

    def listen(self, listener: Listener) -> None:
        """Tell ``listener`` what the threads of the app-server come to."""
        self._listener = listener

    # Clients.

    def join(self, client: Client) -> None:
        """Tell the client what concerns everybody, first what was said before it came."""
        self._everybody.append(client)
        for notice in self.upstream.notices:
            client.send(notice)

    def follow(self, client: Client, thread_id: str) -> None:
        """Tell the client of the thread; what is still asked of a person there, ask it too."""
        followers = self._followers.setdefault(thread_id, [])
        if client not in followers:
            followers.append(client)
            for question in self._questions.values():
                if _thread_of(question) == thread_id:
                    client.send(question)

    def leave(self, client: Client, thread_id: str | None = None) -> bool:
        """Tell the client nothing more, of one thread or at all; tell whether others follow it."""
        if thread_id is None and client in self._everybody:
            self._everybody.remove(client)
        for one in [*self._followers] if thread_id is None else [thread_id]:
            followers = [each for each in self._followers.get(one, ()) if each is not client]
            self._followers[one] = followers
            if not followers:
                del self._followers[one]
        return thread_id in self._followers

    def forward(self, client: Client, request_id: Id, method: str, params: Any) -> None:
        """Ask the app-server what a client asks. Raises `GoalError` where it is gone."""
        own = f"{_CLIENTS}{next(self._numbers)}"
        given = params if isinstance(params, dict) else {}
        thread_id = str(given.get("threadId"))
        message = {"id": own, "method": method}
        if params is not None:
            message["params"] = params
        if not self.upstream.send(message):
            raise protocol.ServerFailed("codex app-server has ended")
        self._asked[own] = _Asked(client, request_id, method, given)
        if method in _STARTING and thread_id not in self._running:
            self._starting[thread_id] = self._starting.get(thread_id, 0) + 1

    def answer(self, message: Mapping[str, Any]) -> None:
        """Pass on what a client answers to the app-server; the first answer counts."""
        if self._questions.pop(message.get("id"), None) is not None:
            self.upstream.send(message)

    def wrote(self, thread_id: str, message_id: str, text: str) -> None:
        """Remember a message for a goal's turn, to show it as it was written."""
        words = self._words.setdefault(thread_id, _Words())
        words.texts[message_id] = text
        for old in [*words.texts][:-_MOST_WORDS]:
            del words.texts[old]
            words.shown.discard(old)

    def turn_of(self, thread_id: str, run_id: str) -> str | None:
        """Return which turn of the thread a run of the goal's is, None before it has begun."""
        run, turn = self._goal_turns.get(thread_id, ("", ""))
        return turn if run == run_id else None

    # A goal's turns: `Link`.

    async def ready(self) -> Host:
        """Return the app-server's process."""
        return await self.upstream.ready()

    async def idle(self, thread_id: str) -> None:
        """Return when no turn runs in the thread."""
        while thread_id in self._running or thread_id in self._starting:
            changed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.add(changed)
            try:
                await changed
            finally:
                self._waiting.discard(changed)

    def attach(
        self,
        run_id: str,
        thread_id: str,
        heard: Callable[[bytes], None],
        lost: Callable[[int | None, str], None],
    ) -> ThreadState:
        """Have a goal's turn hear what is said of the thread."""
        self._turns[run_id] = _Turn(thread_id, heard, lost)
        return ThreadState(thread_id in self._loaded, self._used.get(thread_id))

    def detach(self, run_id: str) -> None:
        """Let the goal's turn go."""
        self._turns.pop(run_id, None)

    def written(self, thread_id: str, message_id: str) -> str | None:
        """Return a message as a client has written it."""
        words = self._words.get(thread_id)
        return None if words is None else words.texts.get(message_id)

    def write(self, data: bytes) -> bool:
        """Send lines of a goal's turn."""
        return self.upstream.write(data)

    def end(self) -> None:
        """End the app-server."""
        self.upstream.end()

    # The app-server.

    def _hear(self, message: dict[str, Any], line: bytes) -> None:
        if "method" not in message:
            self._answered(message, line)
        elif "id" in message:
            self._question(message, line)
        else:
            self._told(message, line)

    def _answered(self, message: dict[str, Any], line: bytes) -> None:
        request_id = str(message.get("id"))
        result = message.get("result")
        thread = result.get("thread") if isinstance(result, dict) else None
        asked = self._asked.pop(request_id, None)
        if asked is None:
            run_id = request_id.rpartition("/")[0]
            if run_id in self._turns:
                if isinstance(thread, dict):
                    self._loaded.add(thread["id"])
                self._turns[run_id].heard(line)
            return
        if "error" in message and asked.method in _STARTING:
            self._started(str(asked.params.get("threadId")))
        if isinstance(result, dict) and isinstance(thread, dict):
            self.seen.add(thread["id"])
            if asked.method in OPENING:
                self._loaded.add(thread["id"])
                self._listener.opened(Opened(*asked, result=result))
                self.follow(asked.client, thread["id"])
                return
        asked.client.send({**message, "id": asked.request_id})

    def _question(self, message: dict[str, Any], line: bytes) -> None:
        params = message.get("params") or {}
        thread_id = _thread_of(message)
        turn = self._turn_in(thread_id)
        mine = turn is not None and params.get("turnId") == turn.turn_id
        if message["method"] == TOOL_CALL and _is_goal_tool(params):
            if turn is not None and mine:
                turn.heard(line)
            else:
                self._listener.called(message)
            return
        self._questions[message["id"]] = message
        if turn is not None and mine:
            turn.heard(line)
        for client in self._followers.get(thread_id, self._everybody):
            client.send(message)

    def _told(self, message: dict[str, Any], line: bytes) -> None:
        thread_id = _thread_of(message)
        if thread_id:
            self.seen.add(thread_id)
        turn = self._turn_in(thread_id)
        self._note(message["method"], message.get("params") or {}, thread_id, turn)
        if self._is_news(message, thread_id):
            self._tell(message, thread_id)
        if turn is not None:
            turn.heard(line)

    def _note(
        self, method: str, params: Mapping[str, Any], thread_id: str, turn: _Turn | None
    ) -> None:
        match method:
            case "serverRequest/resolved":
                self._questions.pop(params.get("requestId"), None)
            case "turn/started":
                self._started(thread_id)
                self._running[thread_id] = params["turn"]["id"]
                if turn is not None and not turn.turn_id:
                    self._begin(turn, params["turn"]["id"])
            case "turn/completed":
                self._running.pop(thread_id, None)
                self._started(thread_id)
            case "thread/tokenUsage/updated":
                self._used[thread_id] = (params["turnId"], params["tokenUsage"]["total"])
            case "thread/closed":
                self._loaded.discard(thread_id)

    def _tell(self, message: Mapping[str, Any], thread_id: str) -> None:
        followed = thread_id and message["method"] != "thread/started"
        # Threads that agents open for themselves are followed by nobody, and everybody's to see.
        nobody = () if self._turn_in(thread_id) is not None else self._everybody
        clients = self._followers.get(thread_id, nobody) if followed else self._everybody
        for client in [*clients]:
            client.send(message)

    def _started(self, thread_id: str) -> None:
        """Take note that a turn that was asked for has begun, or will not."""
        left = self._starting.pop(thread_id, 0) - 1
        if left > 0:
            self._starting[thread_id] = left
        for changed in self._waiting:
            if not changed.done():
                changed.set_result(None)

    def _turn_in(self, thread_id: str) -> _Turn | None:
        found = (turn for turn in self._turns.values() if turn.thread_id == thread_id)
        return next(found, None)

    def _begin(self, turn: _Turn, turn_id: str) -> None:
        turn.turn_id = turn_id
        run_id = next(run for run, one in self._turns.items() if one is turn)
        self._goal_turns[turn.thread_id] = (run_id, turn_id)
        self._listener.began(turn.thread_id, turn_id)
        asyncio.get_running_loop().call_soon(self._show_words, turn.thread_id, turn_id)

    def _show_words(self, thread_id: str, turn_id: str) -> None:
        """Show what people have written for this turn: its prompt carries it."""
        words = self._words.get(thread_id, _Words())
        for message_id, text in words.texts.items():
            if message_id not in words.shown:
                words.shown.add(message_id)
                for message in shown_message(thread_id, turn_id, message_id, text):
                    self._tell(message, thread_id)

    def _is_news(self, message: Mapping[str, Any], thread_id: str) -> bool:
        """Tell whether a message of a person's has not been shown yet, or it is something else."""
        if message["method"] not in {"item/started", "item/completed"}:
            return True
        item, words = message["params"]["item"], self._words.get(thread_id)
        message_id = item.get("clientId")
        if item.get("type") != "userMessage" or words is None or message_id not in words.texts:
            return True
        if message_id in words.shown:
            return False
        if message["method"] == "item/completed":
            words.shown.add(message_id)
        return True

    def _lost(self, code: int | None, messages: str) -> None:
        turns, self._turns = [*self._turns.values()], {}
        self._loaded.clear()
        self._running.clear()
        self._starting.clear()
        self._questions.clear()
        self._asked.clear()
        self._started("")
        for turn in turns:
            turn.lost(code, messages)
        self._listener.lost()


def _is_goal_tool(params: Mapping[str, Any]) -> bool:
    return params.get("tool") in _NAMES and not params.get("namespace")


def _thread_of(message: Mapping[str, Any]) -> str:
    params = message.get("params") or {}
    thread = params.get("thread")
    found = params.get("threadId") or params.get("conversationId")
    return str(found or (thread.get("id") if isinstance(thread, dict) else "") or "")


def shown_message(
    thread_id: str, turn_id: str, message_id: str, text: str
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what shows a person's message in a turn."""
    now = time.time_ns() // 1_000_000
    item = {
        "type": "userMessage",
        "id": str(uuid.uuid4()),
        "clientId": message_id,
        "content": [{"type": "text", "text": text, "text_elements": []}],
    }
    told = {"threadId": thread_id, "turnId": turn_id, "item": item}
    return (
        protocol.notification("item/started", {**told, "startedAtMs": now}),
        protocol.notification("item/completed", {**told, "completedAtMs": now}),
    )
