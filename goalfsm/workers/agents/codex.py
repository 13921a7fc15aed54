"""Codex, by its app-server: JSON-RPC lines without the ``jsonrpc`` member.

The goal's tools are dynamic tools, answered over the same pipe. Usage is the difference of the
thread's totals, whose input includes what came from the cache.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from goalfsm.workers.agents.dialect import Dialect, Launch, Task, has_option
from goalfsm.workers.agents.goaltools import answer_text, mcp_tools
from goalfsm.workers.agents.usage import Meter, Totals, totals
from goalfsm.workers.protocol import RetryReported, Tool, ToolEnded, ToolResult
from recovery import Kind

_KINDS: Final[Mapping[str, Kind]] = {
    "contextWindowExceeded": "overflow",
    "usageLimitExceeded": "quota",
    "rateLimitExceeded": "rate_limited",
    "serverOverloaded": "transient",
    "internalServerError": "transient",
    "flexUnavailable": "transient",
    "unauthorized": "auth",
    "badRequest": "invalid_request",
    "modelNotFound": "invalid_request",
    "cyberPolicy": "content_refused",
    "bioPolicy": "content_refused",
    "misalignmentPolicyViolation": "content_refused",
}
_TOOLS: Final = frozenset({"commandExecution", "fileChange", "mcpToolCall", "webSearch"})
_DECLINED: Final[Mapping[str, Mapping[str, Any]]] = {
    "item/commandExecution/requestApproval": {"decision": "decline"},
    "item/fileChange/requestApproval": {"decision": "decline"},
    "item/permissions/requestApproval": {"permissions": {}},
    "item/tool/requestUserInput": {"answers": {}},
    "mcpServer/elicitation/request": {"action": "decline", "content": None},
    "applyPatchApproval": {"decision": "denied"},
    "execCommandApproval": {"decision": "denied"},
}
"""What is answered where Codex would ask a person: nobody is there, so nothing may hang."""
_SHORT: Final[Mapping[str, str]] = {
    "-m": "model",
    "--model": "model",
    "-s": "sandbox_mode",
    "--sandbox": "sandbox_mode",
    "-p": "profile",
    "--profile": "profile",
}
_BYPASS: Final = frozenset({"--yolo", "--dangerously-bypass-approvals-and-sandbox"})


class Codex(Dialect):
    """One turn of a Codex thread."""

    name = "codex"
    ends = frozenset({"turn/completed"})

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        self._thread = ""
        self._turn = ""
        self._steers: set[str] = set()

    def launch(self) -> Launch:
        """Return how the app-server is started; its own goal tools are switched off."""
        client = {"name": "goalfsm", "title": "goalfsm", "version": "1"}
        capabilities = {"experimentalApi": True}
        asked = {"clientInfo": client, "capabilities": capabilities}
        return Launch(
            argv=("codex", "app-server", "--disable", "goals", *_config(self.task.args)),
            lines=(
                self._rpc.request("initialize", asked),
                self._rpc.notify("initialized"),
                self._open(),
            ),
        )

    def understand(self, message: Mapping[str, Any], now: float) -> None:
        """Take one message."""
        method = message.get("method")
        if method is None:
            self._answered(message)
        elif "id" in message:
            self._asked(message["id"], method, message["params"])
        else:
            self._told(method, message.get("params") or {}, now)

    def is_decisive(self, message: Mapping[str, Any]) -> bool:
        """Tell whether it ends the turn, or answers what the turn needed."""
        method = message.get("method")
        return not self._turn if method is None else method in self.ends

    def steer(self, message_id: str, text: str) -> bool:
        """Send the message into the turn; it is taken when it comes back as an item."""
        if self.over or not self._turn:
            return False
        self._steers.add(message_id)
        steer = {
            "threadId": self._thread,
            "expectedTurnId": self._turn,
            "clientUserMessageId": message_id,
            "input": _input(text),
        }
        self.write(self._rpc.request("turn/steer", steer))
        return True

    def interrupt(self) -> None:
        """Ask Codex to stop the turn; without one there is nothing to stop."""
        if self._turn and not self.over:
            turn = {"threadId": self._thread, "turnId": self._turn}
            self.write(self._rpc.request("turn/interrupt", turn))
        else:
            self.over = True

    def answer(self, call_id: str | int, result: ToolResult) -> None:
        """Answer a dynamic tool."""
        items = [{"type": "inputText", "text": answer_text(result)}]
        self.write(self._rpc.respond(call_id, {"contentItems": items, "success": result.ok}))

    def _open(self) -> bytes:
        """Return the request that opens the thread, the saved one if it is still there."""
        place: dict[str, Any] = {"cwd": self.task.cwd, "approvalPolicy": "never"}
        if self.saved is not None and not self.renewed:
            return self._rpc.request("thread/resume", {**place, "threadId": self.saved.id})
        tools = dynamic_tools(self.task.work.tools)
        return self._rpc.request("thread/start", {**place, "dynamicTools": tools})

    def _answered(self, message: Mapping[str, Any]) -> None:
        method, error = self._rpc.answered(message), message.get("error")
        if method == "thread/resume" and error is not None and not self.task.compact:
            self.renewed = True
            self._meter = Meter()
            self.write(self._open())
        elif method in {"initialize", "thread/start", "thread/resume", "turn/start"} or (
            method == "thread/compact/start" and error is not None
        ):
            if error is not None:
                self.fail(str(error.get("message")))
                self.over = True
            elif method.startswith("thread/"):
                self._opened(message["result"]["thread"]["id"])
            elif method == "turn/start":
                self._turn = message["result"]["turn"]["id"]

    def _opened(self, thread: str) -> None:
        self._thread = thread
        self.save(thread, self._meter.charged)
        here = {"threadId": thread}
        if self.task.compact:
            self.write(self._rpc.request("thread/compact/start", here))
        else:
            self._begin(here)

    def _begin(self, here: Mapping[str, Any]) -> None:
        """Have the turn begin in the thread that ``here`` names."""
        self.write(self._rpc.request("turn/start", {**here, "input": _input(self.prompt)}))

    def _asked(self, request_id: Any, method: str, params: Mapping[str, Any]) -> None:
        if method == "item/tool/call":
            self.call(request_id, params["tool"], params.get("arguments"))
        elif (declined := _DECLINED.get(method)) is not None:
            self.write(self._rpc.respond(request_id, declined))
        else:
            self.write(self._rpc.refuse(request_id, "nobody is here to answer"))

    def _told(self, method: str, params: Mapping[str, Any], now: float) -> None:
        match method:
            case "turn/started":
                self._turn = params["turn"]["id"]
            case "thread/tokenUsage/updated":
                total = totals_of(params["tokenUsage"]["total"])
                self.count_up(self._thread or params["threadId"], total)
            case "item/started" | "item/completed":
                self._item(params["item"], done=method == "item/completed")
            case "thread/compacted":
                self.changed = True
            case "account/rateLimits/updated":
                self.resets = _reset_of(params["rateLimits"])
            case "error" if params.get("willRetry"):
                error = params["error"]
                self.tell(RetryReported(message=error.get("additionalDetails") or error["message"]))
            case "turn/completed":
                self._completed(params["turn"], now)

    def _item(self, item: Mapping[str, Any], *, done: bool) -> None:
        kind = item["type"]
        if kind == "userMessage" and item.get("clientId") in self._steers:
            self._steers.discard(item["clientId"])
            self.took(item["clientId"])
        elif not done:
            return
        elif kind == "agentMessage":
            self.say(item.get("text") or "")
        elif kind == "contextCompaction":
            self.changed = True
        elif kind in _TOOLS:
            ok = item.get("status") in {None, "completed"} and item.get("exitCode") in {None, 0}
            self.tell(ToolEnded(name=item.get("tool") or kind, ok=ok))

    def _completed(self, turn: Mapping[str, Any], now: float) -> None:
        self.over = True
        error = turn.get("error")
        if turn["status"] == "completed":
            return
        if error is None:
            self.fail("the turn was interrupted", code="interrupted")
            return
        info = error.get("codexErrorInfo")
        known: dict[str, Any] = {}
        if isinstance(info, dict) and info:
            code, details = next(iter(info.items()))
            known = {"code": code, "status": (details or {}).get("httpStatusCode")}
        elif isinstance(info, str):
            known = {"code": info, "failure": _KINDS.get(info)}
            if info == "usageLimitExceeded":
                known["retry_after"] = self.until_reset(now)
        self.fail(error.get("message") or "", **known)


def dynamic_tools(tools: Iterable[Tool]) -> list[dict[str, Any]]:
    """Return the goal's tools as Codex is offered them."""
    return [{"type": "function", **tool} for tool in mcp_tools(tools)]


def totals_of(total: Mapping[str, Any]) -> Totals:
    """Return what a thread has used so far, as Codex says it."""
    return totals(total, ("inputTokens",), "outputTokens", "cachedInputTokens", within=True)


def _input(text: str) -> list[dict[str, Any]]:
    return [{"type": "text", "text": text, "text_elements": []}]


def _config(args: tuple[str, ...]) -> tuple[str, ...]:
    """Return the person's arguments as the app-server takes them.

    It has no options of its own for the model, the sandbox and the profile, but a configuration.
    The sandbox lets the working directory be written, unless they say otherwise.
    """
    given: list[str] = []
    rest = list(args)
    while rest:
        arg = rest.pop(0)
        name, equals, value = arg.partition("=")
        if arg in _BYPASS:
            given += ["-c", "sandbox_mode=danger-full-access"]
        elif name in _SHORT and (equals or rest):
            given += ["-c", f"{_SHORT[name]}={value if equals else rest.pop(0)}"]
        else:
            given.append(arg)
    said = has_option(given, "sandbox_mode", "default_permissions", "profile")
    return tuple(given if said else ["-c", "sandbox_mode=workspace-write", *given])


def _reset_of(limits: Mapping[str, Any]) -> float | None:
    """Return when the limit that is used up is reset, in unix seconds."""
    full = 100.0
    ends = [
        float(window["resetsAt"])
        for window in (limits.get("primary"), limits.get("secondary"))
        if window and window.get("resetsAt") and (window.get("usedPercent") or 0) >= full
    ]
    return max(ends, default=None)
