"""Recorded sessions of Codex's app-server, played against ours on virtual time."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from goalfsm.appserver.server import Connection, Server
from goalfsm.appserver.threads import StoredThreads
from goalfsm.daemon.config import WorkerConfig
from goalfsm.session import Policy
from goalfsm.testing import (
    MemoryGoals,
    ScriptedWorker,
    claims_blocked,
    claims_complete,
    fails,
    hangs,
    says,
    takes,
    takes_steering,
    uses,
)

SESSIONS = Path(__file__).parent / "sessions"
NAMES = tuple(sorted(path.stem for path in SESSIONS.glob("*.json")))
CALL = uses(input=60, cached=40, output=20)
"""What every model call of the recordings used: 100 tokens in, of which 40 from a cache, 20 out."""
_PATIENCE_S = 20_000.0


def steady(worker: ScriptedWorker) -> None:
    for number in range(12):
        worker.turn(says(f"Part {'abcdefghijkl'[number]} is written."), CALL)


def complete_in_the_second_turn(worker: ScriptedWorker) -> None:
    worker.turn(says("Half of it."), CALL)
    worker.turn(claims_complete("all four steps are there"), CALL, says("Done."))


def blocked(worker: ScriptedWorker) -> None:
    for _ in range(6):
        worker.turn(CALL, claims_blocked("the door is locked"))


def slow(worker: ScriptedWorker) -> None:
    worker.turn(takes("4s"), takes_steering(), CALL, says("A narwhal."))
    worker.turn(hangs())
    worker.turn(hangs())


def slow_and_steady(worker: ScriptedWorker) -> None:
    for _ in range(4):
        worker.turn(takes("0.4s"), says("A part."), CALL)


def failing(message: str, status: int, code: str | None = None) -> Callable[[ScriptedWorker], None]:
    def play(worker: ScriptedWorker) -> None:
        worker.rest(fails(message, status=status, code=code))

    return play


SCRIPTS: dict[str, Callable[[ScriptedWorker], None]] = {
    "02-budget": steady,
    "03-complete": complete_in_the_second_turn,
    "04-blocked": blocked,
    "06-usage-limit": failing("You have hit your usage limit", 429, "usage_limit_reached"),
    "07-steer-interrupt": slow,
    "21-clear-in-turn": slow_and_steady,
    "22-pause-in-turn": slow_and_steady,
    "23-complete-in-turn": slow_and_steady,
    "24-edit-in-turn": slow_and_steady,
    "25-budget-in-turn": slow_and_steady,
    "09-provider-500": failing("internal server error", 500),
    "10-provider-400": failing("bad request", 400),
}


class Told:
    """All that one client was told, as lines that can be compared."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []

    @property
    def answers(self) -> list[dict[str, Any]]:
        return [message for message in self.messages if "id" in message]

    def said(self, method: str) -> list[dict[str, Any]]:
        return [message["params"] for message in self.messages if message.get("method") == method]


class Client:
    """A client of a server that works in memory."""

    def __init__(self, goals: MemoryGoals, server: Server) -> None:
        self.told = Told()
        self._goals = goals
        self._connection: Connection = server.connect()
        self._reading = asyncio.create_task(self._read())
        self._ids = 1000

    async def _read(self) -> None:
        while (message := await self._connection.out.next()) is not None:
            self.told.messages.append(json.loads(json.dumps(message)))

    async def say(self, line: str) -> None:
        await self._connection.take(line)
        await asyncio.sleep(0)

    async def ask(self, method: str, **params: Any) -> dict[str, Any]:
        """Ask, and return the answer; a refusal as its ``error``."""
        self._ids += 1
        await self.say(json.dumps({"id": self._ids, "method": method, "params": params}))
        return await self.answer(self._ids)

    async def answer(self, request_id: int | str) -> dict[str, Any]:
        async with asyncio.timeout(_PATIENCE_S):
            while True:
                for message in self.told.answers:
                    if message["id"] == request_id:
                        return message
                await asyncio.sleep(0.01)

    async def until(self, reached: Callable[[], bool]) -> None:
        pause = 0.01
        async with asyncio.timeout(_PATIENCE_S):
            while not reached():
                await asyncio.sleep(pause)
                pause *= 1.005

    async def open(self, **params: Any) -> str:
        """Introduce itself, start a thread and return its id."""
        await self.ask("initialize", clientInfo={"name": "test", "version": "1"})
        await self.say('{"method":"initialized"}')
        started = await self.ask("thread/start", **params)
        return str(started["result"]["thread"]["id"])

    async def close(self) -> None:
        self._connection.close()
        await self._reading


def serving(goals: MemoryGoals) -> Server:
    """Return a server on the engine in memory."""
    worker = WorkerConfig(argv=("true",))
    engine = goals.engine
    threads = StoredThreads(goals._store, worker, Path("/"))
    return Server(engine, threads, home="/", version="0")


def play(name: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]], str]:
    """Play a session; return what was recorded, what we said, and the thread's id."""
    # A day of attempts is no longer to read than a few.
    goals = MemoryGoals(policy=Policy(retry_window_s=10.0))
    SCRIPTS.get(name, steady)(goals.worker)
    steps = json.loads((SESSIONS / f"{name}.json").read_text())["steps"]
    server = serving(goals)

    async def playing() -> tuple[list[dict[str, Any]], str]:
        client = Client(goals, server)
        thread_id = await client.open(ephemeral=name == "11-ephemeral")
        client.told.messages.clear()
        await _send_all(client, goals, steps, thread_id)
        await client.close()
        await server.close()
        return client.told.messages, thread_id

    try:
        ours, thread_id = goals.clock.run(playing(), within=_PATIENCE_S * 10)
        goals.check()
    finally:
        goals.close()
    recorded = [step.get("receive") or step["notify"] for step in steps if _is_theirs(step)]
    return recorded, ours, thread_id


def _is_theirs(step: dict[str, Any]) -> bool:
    return "receive" in step or "notify" in step


async def _send_all(
    client: Client, goals: MemoryGoals, steps: list[dict[str, Any]], thread_id: str
) -> None:
    """Send what was sent, each time as late as then: after as many turns as had begun and ended."""
    counts = {"turn/started": 0, "turn/completed": 0}
    stopped = False
    for at, step in enumerate(steps):
        if "send_raw" in step:
            await client.say(step["send_raw"])
        elif "send" in step:
            await client.say(_filled(step["send"], client, thread_id))
        elif _is_theirs(step):
            method = step.get("notify", {}).get("method")
            if method in counts:
                counts[method] += 1
            stopped = _says_stopped(step, before=stopped)
            if at + 1 == len(steps) or "send" in steps[at + 1] or "note" in steps[at + 1]:
                await _wait(client, goals, thread_id, counts, stopped=stopped)


def _filled(message: dict[str, Any], client: Client, thread_id: str) -> str:
    line = json.dumps(message).replace("<id-1>", thread_id)
    for length in (4000, 4001):
        line = line.replace(f"<x * {length}>", "x" * length)
    for number, told in enumerate(client.told.said("turn/started"), 2):
        line = line.replace(f"<id-{number}>", told["turn"]["id"])
    return line


def _says_stopped(step: dict[str, Any], *, before: bool) -> bool:
    shown = step.get("receive", {}).get("result") or step.get("notify", {}).get("params", {})
    goal = shown.get("goal")
    return before if goal is None else goal["status"] != "active"


async def _wait(
    client: Client, goals: MemoryGoals, thread_id: str, counts: dict[str, int], *, stopped: bool
) -> None:
    """Wait until we are as far as they were; where their goal had stopped, until ours has."""

    def reached() -> bool:
        status = goals.engine.status(thread_id)
        over = status.goal is None or status.goal.status != "active"
        if over or stopped:
            return over and status.run is None
        return all(len(client.told.said(name)) >= count for name, count in counts.items())

    await client.until(reached)
    # What was committed is told before any more time passes.
    await asyncio.sleep(0.001)
