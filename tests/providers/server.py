"""A loopback HTTP server that answers as a model's provider would, from a script.

It runs in a thread with a loop of its own, so that tests may block. Every request is kept. A call
without tools is one of the agent's own asides (a title, a summary): it gets ``aside``, and what
it is charged counts like everything else.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from types import ModuleType
from typing import Any, Final, Self

from tests.providers import chat, messages, responses
from tests.providers.names import PAUSE
from tests.providers.script import Answer, Fault, Reply, Usage, says

_FORMATS: Final = {
    "/responses": responses,
    "/messages": messages,
    "/chat/completions": chat,
}
_REASONS: Final = {200: "OK", 400: "Bad Request", 401: "Unauthorized", 404: "Not Found"}
Chooser = Callable[["Request"], Answer | None]


@dataclasses.dataclass
class Request:
    """One call of a model as it came.

    ``at`` is `time.monotonic` of its last byte, ``done`` that of the last byte of its answer.
    """

    path: str
    headers: dict[str, str]
    body: dict[str, Any]
    at: float
    answer: Answer | None = None
    done: float = 0.0
    charged: Usage = dataclasses.field(default_factory=Usage)

    @property
    def tools(self) -> list[str]:
        """Return the names of the tools that the model is offered."""
        found = []
        for tool in self.body.get("tools") or ():
            inner = tool.get("function") or tool
            if inner.get("type") == "namespace":
                found += [f"{inner['name']}.{each['name']}" for each in inner["tools"]]
            elif name := inner.get("name"):
                found.append(name)
        return found

    @property
    def text(self) -> str:
        """Return the whole conversation as JSON text, to look for words in it."""
        spoken = {k: v for k, v in self.body.items() if k in {"input", "messages", "system"}}
        return json.dumps(spoken, ensure_ascii=False)


class Provider:
    """A scripted provider that listens while it is entered."""

    def __init__(
        self,
        script: Iterable[Answer] = (),
        *,
        aside: Reply = says("An aside.", Usage(7, 3)),  # noqa: B008 - a frozen value
        choose: Chooser | None = None,
    ) -> None:
        """Answer from ``script``; where ``choose`` returns an answer, with that instead."""
        self.script = list(script) or [says("Done.")]
        self.requests: list[Request] = []
        self.asides: list[Request] = []
        self.other: list[tuple[str, str]] = []
        self.url = ""
        self._aside = aside
        self._choose = choose
        self._next = 0
        self._arrived = threading.Condition()
        self._ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._thread = threading.Thread(target=self._run, daemon=True, name="provider")

    @property
    def charged(self) -> Usage:
        """Return the sum of what was charged for answers that told their usage."""
        total = Usage()
        for request in [*self.requests, *self.asides]:
            total += request.charged
        return total

    def extend(self, script: Sequence[Answer]) -> None:
        """Add answers to the script's end."""
        self.script += script

    def rewrite(self, script: Sequence[Answer]) -> None:
        """Answer the calls from now on with these."""
        self.script, self._next = list(script), 0

    def wait_for(self, count: int, timeout: float = 60.0) -> list[Request]:
        """Return the requests as soon as there are ``count``; fail after ``timeout`` seconds."""
        with self._arrived:
            met = self._arrived.wait_for(lambda: len(self.requests) >= count, timeout)
            assert met, f"{len(self.requests)} of {count} requests after {timeout:g} s"
            return list(self.requests)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *error: object) -> None:
        if self._loop is not None and self._stop is not None:
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    def _run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        tasks: set[asyncio.Task[None]] = set()

        def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.ensure_future(self._connection(reader, writer))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

        server = await asyncio.start_server(connected, "127.0.0.1", 0, limit=64 * 1024 * 1024)
        host, port = server.sockets[0].getsockname()[:2]
        self.url = f"http://{host}:{port}"
        self._ready.set()
        await self._stop.wait()
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                while await self._one(reader, writer):
                    pass
        finally:
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; False when the connection is to be closed."""
        head = await reader.readline()
        if not head.strip():
            return False
        method, target, _ = head.decode("latin-1").split(" ", 2)
        headers = {}
        while (line := (await reader.readline()).decode("latin-1").strip()) != "":
            name, _, value = line.partition(":")
            headers[name.strip().lower()] = value.strip()
        raw = await reader.readexactly(int(headers.get("content-length") or 0))
        path = target.partition("?")[0]
        wire = next((w for end, w in _FORMATS.items() if path.endswith(end)), None)
        if method != "POST" or wire is None:
            self.other.append((method, target))
            await _plain(writer, 404, json.dumps({"error": {"message": "no such thing here"}}))
            return True
        request = Request(path, headers, json.loads(raw), time.monotonic())
        answer = request.answer = self._take(request)
        if isinstance(answer, Fault):
            await _plain(writer, answer.status, wire.fault(answer), answer.headers)
            return True
        if hasattr(wire, "whole") and not request.body.get("stream"):
            request.charged = answer.usage
            await _plain(writer, 200, wire.whole(answer, request))
            return True
        return await self._stream(writer, wire, request, answer, reader)

    def _take(self, request: Request) -> Answer:
        with self._arrived:
            chosen = None if self._choose is None else self._choose(request)
            if chosen is None and not request.tools:
                self.asides.append(request)
                return self._aside
            self.requests.append(request)
            if chosen is None:
                chosen = self.script[min(self._next, len(self.script) - 1)]
                self._next += 1
            self._arrived.notify_all()
            return chosen

    async def _stream(
        self,
        writer: asyncio.StreamWriter,
        wire: ModuleType,
        request: Request,
        answer: Reply,
        reader: asyncio.StreamReader,
    ) -> bool:
        await asyncio.sleep(answer.delay)
        if reader.at_eof():
            return False  # whoever asked has hung up: nothing was made for them
        writer.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
            b"cache-control: no-cache\r\ntransfer-encoding: chunked\r\n\r\n"
        )
        events = list(wire.stream(answer, request))
        for place, event in enumerate(events, 1):
            if place == len(events) and not answer.cut:
                # Whoever has read the last event may ask at once what it was charged.
                request.charged = answer.usage
            if event == PAUSE:
                await asyncio.sleep(answer.linger)
                continue
            data = event.encode()
            writer.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
            await writer.drain()
        if answer.cut:
            request.charged = wire.told_when_cut(answer, request)
            writer.transport.abort()
            return False
        writer.write(b"0\r\n\r\n")
        await writer.drain()
        request.done = time.monotonic()
        return True


async def _plain(
    writer: asyncio.StreamWriter,
    status: int,
    body: str,
    headers: Iterable[tuple[str, str]] = (),
) -> None:
    data = body.encode()
    lines = [
        f"HTTP/1.1 {status} {_REASONS.get(status, 'Error')}",
        "content-type: application/json",
        f"content-length: {len(data)}",
        *(f"{name}: {value}" for name, value in headers),
    ]
    writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + data)
    await writer.drain()
