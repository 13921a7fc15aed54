"""What happens to one thread, told to every client that follows it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from goalfsm.appserver import goals
from goalfsm.appserver.protocol import Id, error, notification, response
from goalfsm.daemon.flow.notices import Happened, Output, StatusChanged

if TYPE_CHECKING:
    from collections.abc import Mapping

    from goalfsm.daemon.flow.notices import Notice
    from goalfsm.goal.model import Goal
    from goalfsm.session.events import Event
    from goalfsm.session.state import Reply
    from goalfsm.views.status import Status


class HostedEngine(Protocol):
    """What is asked of an engine here."""

    async def submit(self, thread_id: str, event: Event, event_id: str | None = None) -> Reply:
        """Decide an event from outside; return the reply when both are durable."""
        ...

    def follow(self, thread_id: str) -> AsyncGenerator[Notice, None]:
        """Yield what happens to the thread from now on, first where it stands."""
        ...

    def status(self, thread_id: str) -> Status:
        """Return the thread as every surface shows it."""
        ...


class Client(Protocol):
    """A client as a feed has it: the end that messages are sent to."""

    def send(self, message: Mapping[str, Any]) -> None:
        """Send a message after all that were sent before."""
        ...


class _Waiting(NamedTuple):
    """A client that waits for the turn that will carry its message."""

    client: Client
    request_id: Id


class Feed:
    """One thread: what its clients were told last, and who they are.

    The goal is told as it is when it is told, so that nobody hears of an older one after a newer.
    ``lock`` is held by whoever changes the goal until the one who asked has its answer and
    everybody was told; what the engine says meanwhile waits.
    """

    def __init__(self, engine: HostedEngine, thread_id: str) -> None:
        """Have no client yet; what ``engine`` tells of the thread is followed from `start` on."""
        self.thread_id = thread_id
        self.lock = asyncio.Lock()
        self.run: str | None = None
        """The turn that the clients have been told of as running."""
        self._engine = engine
        self._clients: list[Client] = []
        self._waiting: list[_Waiting] = []
        self._told: tuple[Any, ...] | None = None
        self._said = ""
        self._started = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Follow the thread; return when nothing of it can be missed any more."""
        self._task = asyncio.create_task(self._follow(), name=f"feed of {self.thread_id}")
        started = asyncio.create_task(self._started.wait())
        await asyncio.wait({self._task, started}, return_when=asyncio.FIRST_COMPLETED)
        started.cancel()
        if self._task.done():
            self._task.result()

    async def close(self) -> None:
        """Follow the thread no more."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    @property
    def goal(self) -> Goal | None:
        """Return the goal as it is now."""
        return self._engine.status(self.thread_id).goal

    @property
    def turn_id(self) -> str | None:
        """Return the running turn, None also for one that nobody was told of yet."""
        run = self._engine.status(self.thread_id).run
        return None if run is None or run.run_id != self.run else self.named(run.run_id)

    def named(self, run_id: str) -> str | None:
        """Return the turn that clients know a run as, None where they do not know it yet."""
        return run_id

    def join(self, client: Client) -> None:
        """Tell the client from now on."""
        if client not in self._clients:
            self._clients.append(client)

    def show_turn(self, client: Client) -> None:
        """Tell the client of the running turn and what that has said so far."""
        if self.run is None:
            return
        client.send(self._turn("turn/started", goals.turn(self.run)))
        if self._said:
            client.send(self._item("item/started", "startedAtMs"))

    def leave(self, client: Client) -> None:
        """Tell the client no more."""
        self._waiting = [one for one in self._waiting if one.client is not client]
        if client in self._clients:
            self._clients.remove(client)

    def answer_at_dispatch(self, client: Client, request_id: Id) -> None:
        """Answer a ``turn/start`` with the turn that carries its message, as soon as there is."""
        self._waiting.append(_Waiting(client, request_id))
        self._give_up_waiting()

    def answer_waiting(self, turn_id: str) -> None:
        """Say which turn carries the messages of those who wait for that."""
        waiting, self._waiting = self._waiting, []
        for client, request_id in waiting:
            client.send(response(request_id, {"turn": goals.turn(turn_id)}))

    def tell_goal(self, *, asked: bool = False) -> None:
        """Tell all where the goal stands, unless they know; ``asked``: somebody has just set it."""
        goal = self.goal
        mark = goals.mark(goal)
        if mark == self._told and not asked:
            return
        self._told = mark
        turn = None if asked or self.run is None else self.named(self.run)
        self._tell(goal_notification(self.thread_id, goal, turn))

    async def _follow(self) -> None:
        happened: list[Mapping[str, Any]] = []
        notices = self._engine.follow(self.thread_id)
        async with contextlib.aclosing(notices):
            async for notice in notices:
                if isinstance(notice, Happened):
                    happened.append(notice.event)
                elif isinstance(notice, StatusChanged):
                    if not self._started.is_set():
                        self._begin(notice.status)
                        continue
                    async with self.lock:
                        self._take(happened)
                    happened.clear()
                elif isinstance(notice, Output):
                    async with self.lock:
                        self._output(notice)
        self._refuse_waiting("the engine has stopped")

    def _begin(self, status: Status) -> None:
        self._told = goals.mark(status.goal)
        self.run = None if status.run is None else status.run.run_id
        self._started.set()

    def _take(self, happened: list[Mapping[str, Any]]) -> None:
        """Tell what landed together, in its order."""
        for event in happened:
            match event["type"]:
                case "RunDispatched":
                    self._dispatched(event["run_id"])
                case "RunFinished" | "RunInterrupted" if event["run_id"] == self.run:
                    self.tell_goal()
                    if self._said:
                        self._tell_turn(self._item("item/completed", "completedAtMs"))
                    self._tell_turn(self._turn("turn/completed", goals.ended_turn(event)))
                    self.run, self._said = None, ""
        self.tell_goal()
        self._give_up_waiting()

    def _dispatched(self, run_id: str) -> None:
        self.run = run_id
        self.answer_waiting(run_id)
        self._tell_turn(self._turn("turn/started", goals.turn(run_id)))

    def _output(self, said: Output) -> None:
        if said.run_id != self.run:
            return
        if not self._said:
            self._tell_turn(self._item("item/started", "startedAtMs"))
        self._said += said.text
        delta = {"turnId": said.run_id, "itemId": goals.message_id(said.run_id), "delta": said.text}
        self._tell_turn(self._of_thread("item/agentMessage/delta", delta))

    def _give_up_waiting(self) -> None:
        goal = self.goal
        if goal is None or goal.status != "active":
            self._refuse_waiting("the goal has stopped; the text is kept for its next turn")

    def _refuse_waiting(self, why: str) -> None:
        waiting, self._waiting = self._waiting, []
        for client, request_id in waiting:
            client.send(error(request_id, why))

    def _turn(self, method: str, turn: Mapping[str, Any]) -> dict[str, Any]:
        return self._of_thread(method, {"turn": turn})

    def _item(self, method: str, when: str) -> dict[str, Any]:
        item = goals.message(run_id := self.run or "", self._said)
        now_ms = time.time_ns() // 1_000_000
        return self._of_thread(method, {"turnId": run_id, "item": item, when: now_ms})

    def _of_thread(self, method: str, told: Mapping[str, Any]) -> dict[str, Any]:
        return notification(method, {"threadId": self.thread_id, **told})

    def _tell_turn(self, message: Mapping[str, Any]) -> None:
        """Tell all of the running turn."""
        self._tell(message)

    def _tell(self, message: Mapping[str, Any]) -> None:
        for client in list(self._clients):
            client.send(message)


def goal_notification(thread_id: str, goal: Goal | None, turn_id: str | None) -> dict[str, Any]:
    """Return what says where a thread's goal stands, ``turn_id`` the turn that changed it."""
    if goal is None:
        return notification("thread/goal/cleared", {"threadId": thread_id})
    shown = goals.shown(goal, thread_id)
    return notification(
        "thread/goal/updated", {"threadId": thread_id, "turnId": turn_id, "goal": shown}
    )
