"""pi, by its rpc mode: one JSON object a line.

The goal's tools come from an extension of ours, whose calls reach us as questions to the user on
the same pipe. Usage is said per message; its input excludes the cache.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from goalfsm.workers.agents.dialect import Dialect, Launch, Task
from goalfsm.workers.agents.goaltools import SERVER, answer_text
from goalfsm.workers.agents.jsonrpc import line
from goalfsm.workers.agents.usage import Totals, millionths, totals
from goalfsm.workers.protocol import RetryReported, ToolEnded, ToolResult

EXTENSION: Final = Path(__file__).with_name("pi_goal_tools.ts")
_STATUS: Final = re.compile(r"\s*(\d{3})\b")
_UNKNOWN_SESSION: Final = "No session found matching"


class Pi(Dialect):
    """One prompt of a pi session."""

    name = "pi"
    ends = frozenset({"agent_settled", "response"})

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        self._session = self.fresh_id() if self.saved is None else self.saved.id
        self._steers: list[tuple[str, str]] = []
        self._failure: str | None = None
        self._begun = False
        self._own = {tool.name for tool in task.work.tools}

    def launch(self) -> Launch:
        """Return how pi is started; an id that it does not know makes it exit at once."""
        which = "--session-id" if self.saved is None else "--session"
        argv = ("pi", "--mode", "rpc", which, self._session, "-e", str(EXTENSION), *self.task.args)
        tools = [msgspec.to_builtins(tool) for tool in self.task.work.tools]
        if self.task.compact:
            first = line({"id": "compact", "type": "compact"})
        else:
            first = line({"id": "prompt", "type": "prompt", "message": self.prompt})
        env = {"GOALFSM_TOOLS": msgspec.json.encode(tools).decode()}
        return Launch(argv=argv, env=env, lines=(first,))

    def understand(self, message: Mapping[str, Any], now: float) -> None:
        """Take one message."""
        del now
        self._begin()
        match message.get("type"):
            case "response":
                self._response(message)
            case "message_start" if message["message"]["role"] == "user":
                self._user(message["message"])
            case "message_end" if message["message"]["role"] == "assistant":
                self._assistant(message["message"])
            case "tool_execution_end" if message["toolName"] not in self._own:
                ok = not message.get("isError")
                self.tell(ToolEnded(name=message["toolName"], ok=ok))
            case "compaction_end":
                self._compacted(message)
            case "auto_retry_start" | "summarization_retry_scheduled":
                self.tell(
                    RetryReported(
                        message=message["errorMessage"],
                        seconds=message["delayMs"] / 1000,
                        attempt=message["attempt"],
                    )
                )
            case "extension_ui_request":
                self._asked(message)
            case "agent_settled":
                self._settled()

    def steer(self, message_id: str, text: str) -> bool:
        """Queue the message; it is taken when it comes back as a user's message."""
        if self.over:
            return False
        self._steers.append((message_id, text))
        self.write(line({"id": f"steer-{message_id}", "type": "steer", "message": text}))
        return True

    def interrupt(self) -> None:
        """Drop what is queued and stop."""
        self.write(line({"type": "clear_queue"}), line({"type": "abort"}))

    def answer(self, call_id: str | int, result: ToolResult) -> None:
        """Answer the extension's question."""
        told = msgspec.json.encode({"ok": result.ok, "text": answer_text(result)}).decode()
        self.write(line({"type": "extension_ui_response", "id": call_id, "value": told}))

    def ended(self, messages: str) -> None:
        """Notice that pi did not know the session."""
        if not self._begun and self.saved is not None and _UNKNOWN_SESSION in messages:
            self.lost = True

    def _begin(self) -> None:
        if not self._begun:
            self._begun = True
            self.save(self._session)

    def _response(self, message: Mapping[str, Any]) -> None:
        refused = not message.get("success")
        match message.get("id"):
            case "compact":
                self.over = True
                self.changed = not refused
            case "prompt" if refused:
                self.fail(message.get("error") or "")
                self.over = True
            case "prompt" if (message.get("data") or {}).get("disposition") == "handled":
                self.over = True

    def _user(self, message: Mapping[str, Any]) -> None:
        said = _text(message)
        for entry in self._steers:
            if entry[1] == said:
                self._steers.remove(entry)
                self.took(entry[0])
                return

    def _assistant(self, message: Mapping[str, Any]) -> None:
        self._charge(message.get("usage"))
        stopped = message.get("stopReason")
        if stopped in {"error", "aborted"}:
            # A retry may still follow: only what is left when pi has settled has failed.
            self._failure = message.get("errorMessage") or f"pi stopped: {stopped}"
            return
        self._failure = None
        self.say(_text(message))

    def _charge(self, usage: Mapping[str, Any] | None) -> None:
        if usage is None:
            return
        cost = Totals(cost=millionths((usage.get("cost") or {}).get("total")))
        self.charge(totals(usage, ("input", "cacheWrite"), "output", "cacheRead") + cost)

    def _compacted(self, message: Mapping[str, Any]) -> None:
        result = message.get("result")
        if result:
            self.changed = True
            self._charge(result.get("usage"))

    def _asked(self, message: Mapping[str, Any]) -> None:
        if message.get("method") == "input" and message.get("title") == SERVER:
            call = msgspec.json.decode(message["placeholder"])
            self.call(message["id"], call["name"], call["arguments"])
        elif message.get("method") in {"select", "confirm", "input", "editor"}:
            # Nobody is there to answer, so nothing may hang.
            self._cancel(message["id"])

    def refuse(self, message: Mapping[str, Any]) -> None:
        """Cancel a question."""
        if message["type"] == "extension_ui_request":
            self._cancel(message["id"])

    def _cancel(self, question: Any) -> None:
        self.write(line({"type": "extension_ui_response", "id": question, "cancelled": True}))

    def _settled(self) -> None:
        if self.task.compact:
            return
        self.over = True
        if self._failure is not None:
            found = _STATUS.match(self._failure)
            self.fail(self._failure, status=None if found is None else int(found[1]))


def _text(message: Mapping[str, Any]) -> str:
    content = message.get("content") or ""
    if isinstance(content, str):
        return content
    return "".join(part["text"] for part in content if part.get("type") == "text")
