"""Claude Code, by its stream-json format in both directions.

The goal's tools are an MCP server that lives here: its messages come and go on the same pipe. What
a model call used is in the stream; what nothing else told (compaction, sub-agents) is in the
result.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from goalfsm.workers.agents.dialect import Dialect, Launch, Task, has_option
from goalfsm.workers.agents.goaltools import SERVER, mcp_answer, mcp_tools
from goalfsm.workers.agents.jsonrpc import line
from goalfsm.workers.agents.usage import NOTHING, Totals, millionths, totals
from goalfsm.workers.protocol import (
    RetryReported,
    Skipped,
    ToolEnded,
    ToolResult,
)
from recovery import Kind

_ALWAYS: Final = (
    *("-p", "--output-format", "stream-json", "--input-format", "stream-json", "--verbose"),
    *("--include-partial-messages", "--replay-user-messages"),
    *("--permission-prompt-tool", "stdio"),
    *("--allowedTools", f"mcp__{SERVER}"),
    # These outlive a turn in Claude Code, and would never happen here.
    *("--disallowedTools", "ScheduleWakeup,CronCreate,CronDelete,CronList"),
)
_PERMISSIONS: Final = ("--permission-mode", "--dangerously-skip-permissions")
_NOBODY: Final = (
    "Nobody is here to allow this. Find another way; if there is none, claim the goal blocked and "
    "name this tool, so that the person can allow it."
)
_UNKNOWN_SESSION: Final = "No conversation found"
_OF_A_CALL: Final = (
    ("input_tokens", "cache_creation_input_tokens"),
    "output_tokens",
    "cache_read_input_tokens",
)
_OF_A_MODEL: Final = (
    ("inputTokens", "cacheCreationInputTokens"),
    "outputTokens",
    "cacheReadInputTokens",
)
_KINDS: Final[Mapping[str, Kind]] = {"prompt_too_long": "overflow"}


class Claude(Dialect):
    """One turn of a Claude Code session."""

    name = "claude"
    ends = frozenset({"result"})

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        self._session = self.fresh_id() if self.saved is None else self.saved.id
        self._begun = False
        self._steers: dict[str, str] = {}
        self._calls: dict[str, Any] = {}
        self._names: dict[str, str] = {}
        self._streamed = NOTHING
        self._open: Totals | None = None
        self._refused: set[str] = set()

    def launch(self) -> Launch:
        """Return how Claude Code is started."""
        server = {"type": "sdk", "name": SERVER, "alwaysLoad": True}
        servers = msgspec.json.encode({"mcpServers": {SERVER: server}}).decode()
        which = "--session-id" if self.saved is None else "--resume"
        mode = () if has_option(self.task.args, *_PERMISSIONS) else (_PERMISSIONS[0], "acceptEdits")
        argv = ("claude", *_ALWAYS, "--mcp-config", servers, which, self._session, *mode)
        text = "/compact" if self.task.compact else self.prompt
        return Launch(argv=(*argv, *self.task.args), lines=(_user(text, self.fresh_id("prompt")),))

    def understand(self, message: Mapping[str, Any], now: float) -> None:
        """Take one message."""
        match message.get("type"):
            case "system":
                self._system(message)
            case "stream_event":
                self._streaming(message["event"])
            case "assistant" if message["message"].get("model") != "<synthetic>":
                self._assistant(message["message"])
            case "user":
                self._results(message["message"].get("content"))
            case "command_lifecycle" if message["state"] in {"started", "completed"}:
                if (message_id := self._steers.pop(message["command_uuid"], None)) is not None:
                    self.took(message_id)
            case "control_request":
                self._asked(message["request_id"], message["request"])
            case "rate_limit_event":
                self.resets = (message.get("rate_limit_info") or {}).get("resetsAt")
            case "result":
                self._result(message, now)

    def steer(self, message_id: str, text: str) -> bool:
        """Send the message as the user's next; it is taken when Claude Code begins with it."""
        if self.over:
            return False
        named = self.fresh_id(message_id)
        self._steers[named] = message_id
        self.write(_user(text, named))
        return True

    def interrupt(self) -> None:
        """Ask Claude Code to stop its turn."""
        self._steers.clear()
        asked = {
            "type": "control_request",
            "request_id": "stop",
            "request": {"subtype": "interrupt"},
        }
        self.write(line(asked))

    def answer(self, call_id: str | int, result: ToolResult) -> None:
        """Answer a goal tool."""
        self._reply(str(call_id), self._calls.pop(str(call_id), None), mcp_answer(result))

    def _system(self, message: Mapping[str, Any]) -> None:
        match message.get("subtype"):
            case "init" if not self._begun or message["session_id"] != self._session:
                self._begun = True
                self._session = message["session_id"]
                self.save(self._session)
            case "api_retry":
                status = message.get("error_status")
                words = " ".join(str(word) for word in (status, message.get("error")) if word)
                seconds = message["retry_delay_ms"] / 1000
                self.tell(RetryReported(message=words, seconds=seconds, attempt=message["attempt"]))
            case "status" if message.get("compact_result") is not None:
                self.changed = message["compact_result"] == "success"

    def _streaming(self, event: Mapping[str, Any]) -> None:
        match event.get("type"):
            case "message_start":
                self._open = totals(event["message"]["usage"], *_OF_A_CALL)
            case "message_delta" if event.get("usage"):
                self._open = totals(event["usage"], *_OF_A_CALL)
            case "message_stop" if self._open is not None:
                self._streamed += self._open
                self.tell(self._open.reported())
                self._open = None

    def _assistant(self, message: Mapping[str, Any]) -> None:
        for block in message["content"]:
            if block["type"] == "text":
                self.say(block["text"])
            elif block["type"] == "tool_use":
                self._names[block["id"]] = block["name"]

    def _results(self, content: Any) -> None:
        for block in content if isinstance(content, list) else ():
            if block.get("type") == "tool_result":
                name = self._names.pop(block["tool_use_id"], "")
                if name and not name.startswith(f"mcp__{SERVER}__"):
                    self.tell(ToolEnded(name=name, ok=not block.get("is_error")))

    def _asked(self, request_id: str, request: Mapping[str, Any]) -> None:
        match request["subtype"]:
            case "mcp_message":
                self._mcp(request_id, request["message"])
            case "can_use_tool":
                name = request["tool_name"]
                if name not in self._refused:
                    self._refused.add(name)
                    reason = f"permission refused: {name}; allow it with -- --allowedTools {name}"
                    self.tell(Skipped(reason=reason, excerpt=request.get("description") or ""))
                self._respond(request_id, {"behavior": "deny", "message": _NOBODY})
            case _:
                self._refuse(request_id)

    def refuse(self, message: Mapping[str, Any]) -> None:
        """Refuse a request of the agent's."""
        if message["type"] == "control_request":
            self._refuse(message["request_id"])

    def _refuse(self, request_id: Any) -> None:
        error = {"subtype": "error", "request_id": request_id, "error": "not supported"}
        self.write(line({"type": "control_response", "response": error}))

    def _mcp(self, request_id: str, message: Mapping[str, Any]) -> None:
        match message.get("method"):
            case "initialize":
                told = {
                    "protocolVersion": message["params"]["protocolVersion"],
                    "capabilities": {"tools": {}},
                    "serverInfo": {"name": SERVER, "version": "1"},
                }
                self._reply(request_id, message["id"], told)
            case "tools/list":
                self._reply(request_id, message["id"], {"tools": mcp_tools(self.task.work.tools)})
            case "tools/call":
                self._calls[request_id] = message["id"]
                called = message["params"]
                self.call(request_id, called["name"], called.get("arguments"))
            case _:
                self._reply(request_id, message.get("id", 0), {})

    def _reply(self, request_id: str, number: Any, result: Mapping[str, Any]) -> None:
        answer = {"jsonrpc": "2.0", "id": number, "result": result}
        self._respond(request_id, {"mcp_response": answer})

    def _respond(self, request_id: str, response: Mapping[str, Any]) -> None:
        told = {"subtype": "success", "request_id": request_id, "response": response}
        self.write(line({"type": "control_response", "response": told}))

    def _result(self, message: Mapping[str, Any], now: float) -> None:
        models = message.get("model_usage_since_last_result") or {}
        tokens = sum((totals(each, *_OF_A_MODEL) for each in models.values()), NOTHING)
        cost = sum(millionths(each.get("costUSD")) for each in models.values())
        self.charge((tokens + Totals(cost=cost)).beyond(self._streamed))
        self._streamed, self._open = NOTHING, None
        errors = "; ".join(str(each) for each in message.get("errors") or ())
        if not self._begun and self.saved is not None and _UNKNOWN_SESSION in errors:
            self.lost = True
        elif message.get("is_error"):
            self._failed(message, errors, now)
        # A message that it has not begun with yet makes a run of its own, with its own result.
        self.over = not self._steers

    def _failed(self, message: Mapping[str, Any], errors: str, now: float) -> None:
        reason = message.get("terminal_reason")
        self.fail(
            message.get("result") or errors,
            status=message.get("api_error_status"),
            code=reason,
            failure=_KINDS.get(str(reason)),
            retry_after=self.until_reset(now),
        )


def _user(text: str, named: str) -> bytes:
    spoken = {"role": "user", "content": text}
    return line({"type": "user", "uuid": named, "message": spoken, "parent_tool_use_id": None})
