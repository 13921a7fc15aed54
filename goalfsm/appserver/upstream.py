"""A Codex app-server of our own behind this one: its process, and what is asked of it here."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

import structlog

from goalfsm.appserver.protocol import RequestRejected, ServerFailed, encode
from goalfsm.errors import GoalError
from goalfsm.workers.agents.joined import Host
from goalfsm.workers.agents.jsonrpc import Lines
from goalfsm.workers.piped import PipedProcess

if TYPE_CHECKING:
    from goalfsm.workers.supervisor.client import Supervisor

ARGV: Final = ("codex", "app-server", "--disable", "goals")
_OWN: Final = "goalfsm/"
"""What the ids of requests of our own begin with."""
_STANDING: Final = frozenset({"configWarning", "remoteControl/status/changed"})
_PATIENCE_S: Final = 60.0
_GRACE_S: Final = 2.0

_log = structlog.get_logger(__name__)


class Upstream:
    """One `codex app-server` under a supervisor: started when needed, and again after its end.

    ``hear`` gets every message that is no answer to a request of our own, as it is and as its line;
    ``lost`` is told of the end: its status (None: not known), and the last words on stderr.
    """

    def __init__(
        self,
        supervisor: Supervisor,
        hear: Callable[[dict[str, Any], bytes], None],
        lost: Callable[[int | None, str], None],
        *,
        cwd: str,
        version: str,
    ) -> None:
        """Start it in ``cwd``; nothing is started yet."""
        self._hear = hear
        self._lost = lost
        self.greeting: Mapping[str, Any] = {}
        """What it answered when it was greeted."""
        self.notices: list[Mapping[str, Any]] = []
        """What it has said that holds for whoever comes later."""
        self._supervisor = supervisor
        self._cwd = cwd
        self._version = version
        self._process: PipedProcess | None = None
        self._starting: asyncio.Task[Host] | None = None
        self._lines = Lines()
        self._asked: dict[str, asyncio.Future[Any]] = {}
        self._numbers = 0
        self._closed = False

    async def ready(self) -> Host:
        """Return the process when it has been greeted. Raises `GoalError` without one."""
        if self._starting is None:
            self._starting = asyncio.create_task(self._start(), name="start of codex app-server")
        try:
            return await asyncio.shield(self._starting)
        except GoalError:
            self._starting = None
            raise

    async def ask(self, method: str, params: Mapping[str, Any]) -> Any:
        """Return the app-server's answer to a request.

        Raises `RequestRejected` with its words, and `GoalError` where it has ended.
        """
        await self.ready()
        return await self._ask(method, params)

    def send(self, message: Mapping[str, Any]) -> bool:
        """Send a message to the app-server; False where that has ended."""
        return self.write(encode(message).encode(errors="replace") + b"\n")

    def write(self, data: bytes) -> bool:
        """Send lines to the app-server; False where that has ended."""
        return self._process is not None and self._process.write(data)

    def end(self) -> None:
        """End the app-server now."""
        if self._process is not None:
            self._process.end_soon()

    async def close(self) -> None:
        """End it for good; return when nothing of it is left."""
        self._closed = True
        process = self._process
        if process is not None:
            process.end_input()
            await process.dismantle()
            self._gone(process)

    async def _start(self) -> Host:
        self._numbers += 1
        self._lines = Lines()
        process = self._process = PipedProcess(
            self._supervisor,
            f"codex-{os.getpid()}-{self._numbers}",
            heard=self._output,
            signs=lambda: None,
            gone=lambda: self._gone(process),
            grace_s=_GRACE_S,
        )
        try:
            child = await process.start(ARGV, cwd=self._cwd, env=dict(os.environ))
            client = {"name": "goalfsm", "title": "goalfsm", "version": self._version}
            can = {"experimentalApi": True, "requiredHumanApproval": True}
            async with asyncio.timeout(_PATIENCE_S):
                self.notices.clear()
                greeting = await self._ask(
                    "initialize", {"clientInfo": client, "capabilities": can}
                )
        except (RequestRejected, TimeoutError) as error:
            await process.dismantle()
            self._gone(process)
            raise ServerFailed(
                f"codex app-server does not start: {error or 'it does not answer'}",
                code="upstream_failed",
                hint="codex --version and codex login status say whether Codex works here",
            ) from error
        except BaseException:
            await process.dismantle()
            self._gone(process)
            raise
        self.greeting = greeting
        self.send({"method": "initialized"})
        return Host(child.pid, child.pgid, child.start_time)

    async def _ask(self, method: str, params: Mapping[str, Any]) -> Any:
        self._numbers += 1
        request_id = f"{_OWN}{self._numbers}"
        answer = self._asked[request_id] = asyncio.get_running_loop().create_future()
        try:
            if not self.send({"id": request_id, "method": method, "params": params}):
                raise _ended("")
            return await answer
        finally:
            self._asked.pop(request_id, None)

    def _output(self, data: bytes) -> None:
        for line in self._lines.feed(data):
            message: Any = None
            with contextlib.suppress(ValueError, RecursionError):
                message = None if line is None else json.loads(line)
            if line is None or not isinstance(message, dict):
                _log.warning("codex app-server said what is no message")
            else:
                self._heard(message, line)

    def _heard(self, message: dict[str, Any], line: bytes) -> None:
        answer = None if "method" in message else self._asked.get(str(message.get("id")))
        if answer is None:
            if message.get("method") in _STANDING and message not in self.notices:
                self.notices.append(message)
            self._hear(message, line)
        elif not answer.done():
            if "error" in message:
                answer.set_exception(RequestRejected(str(message["error"].get("message"))))
            else:
                answer.set_result(message.get("result"))

    def _gone(self, process: PipedProcess) -> None:
        if self._process is not process:
            return
        self._process = self._starting = None
        for answer in self._asked.values():
            if not answer.done():
                answer.set_exception(_ended(process.messages))
        if not self._closed:
            _log.warning("codex app-server has ended", status=process.code)
        self._lost(process.code, process.messages)


def _ended(words: str) -> ServerFailed:
    tail = f": {words[-500:].strip()}" if words.strip() else ""
    return ServerFailed(
        f"codex app-server has ended{tail}",
        code="upstream_ended",
        hint="codex --version and codex login status say whether Codex works here",
    )
