"""A conversation with an app-server in a process of its own."""

from __future__ import annotations

import json
import queue
import subprocess
import threading
from collections.abc import Callable
from typing import Any, Final

_PATIENCE_S: Final = 60.0
Message = dict[str, Any]


class Pipe:
    """A conversation with a program over its stdin and stdout."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._heard: queue.Queue[Message] = queue.Queue()
        self._kept: list[Message] = []
        self._ids = 1_000
        self._over = threading.Event()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._heard.put(json.loads(line))
        self._over.set()

    @property
    def pid(self) -> int:
        """Return the program's process."""
        return self._process.pid

    def ended(self) -> None:
        """Return when the program says nothing more."""
        assert self._over.wait(_PATIENCE_S)

    def say(self, message: Message) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(message) + "\n")
        self._process.stdin.flush()

    def until_answered(self, request_id: int) -> list[Message]:
        """Return all that was said until then."""
        said: list[Message] = []
        while not said or said[-1].get("id") != request_id or "method" in said[-1]:
            said.append(self.next())
        return said

    def next(self) -> Message:
        """Return the next message."""
        return self._heard.get(timeout=_PATIENCE_S)

    def ask(self, method: str, **params: Any) -> Message:
        """Ask, and return the answer; what is told before it is kept for `until`."""
        self._ids += 1
        self.say({"id": self._ids, "method": method, "params": params})
        self._kept += self.until_answered(self._ids)
        return self._kept.pop()

    def until(self, reached: Callable[[Message], bool]) -> Message:
        """Return the first message that is so, of those that were not looked at yet."""
        while True:
            message = self._kept.pop(0) if self._kept else self.next()
            if reached(message):
                return message

    def told(self, method: str) -> Message:
        """Return what is told next by this method, or asked."""
        return self.until(lambda message: message.get("method") == method)

    def open(self, **capabilities: Any) -> None:
        """Introduce itself."""
        info = {"name": "test", "version": "1"}
        can = {"experimentalApi": True, **capabilities}
        assert "result" in self.ask("initialize", clientInfo=info, capabilities=can)
        self.say({"method": "initialized"})
