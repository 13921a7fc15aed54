"""Any agent that speaks the Agent Client Protocol (ACP), version 1.

The messages are those of ``agent-client-protocol``, which is the extra ``acp``. The goal's tools
are offered as an MCP server that the agent starts (the extra ``mcp``). The protocol has no contract
for tokens, only for a session's cost so far, and none for a message into a running turn: such
messages wait for the next turn.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

import msgspec
from acp import schema
from acp.meta import AGENT_METHODS, CLIENT_METHODS, PROTOCOL_VERSION

from goalfsm.workers.agents.dialect import Dialect, Launch, Task
from goalfsm.workers.agents.goaltools import SERVER
from goalfsm.workers.agents.usage import NOTHING, Meter, Totals, millionths, totals
from goalfsm.workers.protocol import Skipped, ToolEnded, ToolResult

UsageOf = Literal["prompt", "last call", "quota", "nothing"]
"""What an agent says of a prompt's usage.

All of it, as the protocol has it; that of its last model call; all of it, in a field of its own; or
nothing.
"""


class Quirk(msgspec.Struct, frozen=True, kw_only=True):
    """How one agent differs; ``loads`` is False where a new process cannot go on in a session.

    ``in_a_row`` is how many messages a prompt may bring with no tool between them, 0 for any
    number: more are the summaries of a context that stays too long however often it is compacted.
    """

    title: str
    tried: str
    usage: UsageOf = "prompt"
    loads: bool = True
    in_a_row: int = 0
    note: str = ""


# Versions are those that were tried; what is not here is taken to do what the protocol says.
QUIRKS: Final[Mapping[str, Quirk]] = {
    "opencode": Quirk(title="OpenCode", tried="1.18.33", usage="last call", in_a_row=4),
    "gemini-cli": Quirk(title="Gemini CLI", tried="0.61", usage="quota", loads=False),
    "codex-acp": Quirk(
        title="codex-acp", tried="2.6", note="errors of its provider come as an ordinary answer"
    ),
    "claude-agent-acp": Quirk(title="claude-agent-acp", tried="0.101"),
    "pi-acp": Quirk(title="pi-acp", tried="0.0.34", note="it offers the model no goal tools"),
}
DEFAULT: Final = Quirk(title="this agent", tried="")


def quirk_of(name: str) -> Quirk:
    """Return how the agent of this name differs, also for a name with a scope before it."""
    return QUIRKS.get(name.lower().rpartition("/")[2], DEFAULT)


_SAFE: Final = frozenset({"read", "edit", "search", "think", "fetch"})
"""Kinds of tools that are allowed where an agent asks; the others a person has to allow in it."""
_GIVEN: Final = ("GOALFSM_DB", "GOALFSM_THREAD", "GOALFSM_RUN_ID", "GOALFSM_RUN_TOKEN")
_AUTH_REQUIRED: Final = -32000
_INITIALIZE: Final = AGENT_METHODS["initialize"]
_NEW: Final = AGENT_METHODS["session_new"]
_LOAD: Final = AGENT_METHODS["session_load"]
_PROMPT: Final = AGENT_METHODS["session_prompt"]
_CANCEL: Final = AGENT_METHODS["session_cancel"]
_UPDATE: Final = CLIENT_METHODS["session_update"]
_PERMISSION: Final = CLIENT_METHODS["session_request_permission"]


class Acp(Dialect):
    """One prompt of a session."""

    name = "acp"
    rpc_version = "2.0"

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        self._quirk = DEFAULT
        self._session = ""
        self._prompting = False
        self._text: list[str] = []
        self._message: Any = None
        self._in_a_row = 0
        self._is_stuck = False
        self._titles: dict[str, str] = {}

    def launch(self) -> Launch:
        """Return how the agent is started."""
        asked = schema.InitializeRequest(
            protocol_version=PROTOCOL_VERSION,
            client_capabilities=schema.ClientCapabilities(),
            client_info=schema.Implementation(name="goalfsm", version="1"),
        )
        return Launch(argv=self.task.args, lines=(self._request(_INITIALIZE, asked),))

    def understand(self, message: Mapping[str, Any], now: float) -> None:
        """Take one message."""
        del now
        method = message.get("method")
        if method is None:
            self._answered(message)
        elif "id" not in message:
            if method == _UPDATE and self._prompting:
                self._updated(message["params"]["update"])
        elif method == _PERMISSION:
            self._asked(message["id"], schema.RequestPermissionRequest(**message["params"]))
        else:
            self.write(self._rpc.refuse(message["id"], "not supported"))

    def is_decisive(self, message: Mapping[str, Any]) -> bool:
        """Tell whether it is an answer: each is to what the turn needs."""
        return "method" not in message

    def steer(self, message_id: str, text: str) -> bool:
        """Refuse: nothing would say that the message was read."""
        del message_id, text
        return False

    def interrupt(self) -> None:
        """Cancel the prompt; before there is one, there is nothing to cancel."""
        if self._prompting:
            gone = schema.CancelNotification(session_id=self._session)
            self.write(self._rpc.notify(_CANCEL, _plain(gone)))
        else:
            self.over = True

    def answer(self, call_id: str | int, result: ToolResult) -> None:
        """Do nothing: the tools are answered by their own server."""

    def _request(self, method: str, asked: Any) -> bytes:
        return self._rpc.request(method, _plain(asked))

    def _open(self) -> bytes:
        cwd = self.task.cwd or "."
        tool = self.task.env.get("GOALFSM_TOOL")
        servers: list[Any] = []
        if tool is not None:
            env = [
                schema.EnvVariable(name=name, value=self.task.env[name])
                for name in _GIVEN
                if name in self.task.env
            ]
            server = schema.McpServerStdio(name=SERVER, command=tool, args=["mcp"], env=env)
            servers.append(server)
        if self.saved is not None and not self.renewed:
            loaded = schema.LoadSessionRequest(
                cwd=cwd, mcp_servers=servers, session_id=self.saved.id
            )
            return self._request(_LOAD, loaded)
        return self._request(_NEW, schema.NewSessionRequest(cwd=cwd, mcp_servers=servers))

    def _answered(self, message: Mapping[str, Any]) -> None:
        method, error = self._rpc.answered(message), message.get("error")
        if method == _LOAD and error is not None:
            self.renewed = True
            self.write(self._open())
        elif method is not None and error is not None:
            self._refused(error)
        elif method == _INITIALIZE:
            self._introduced(schema.InitializeResponse(**message["result"]))
        elif method in {_NEW, _LOAD}:
            opened = message.get("result") or {}
            self._opened(opened.get("sessionId") or (self.saved.id if self.saved else ""))
        elif method == _PROMPT:
            self._ended(schema.PromptResponse(**message["result"]))

    def _introduced(self, agent: schema.InitializeResponse) -> None:
        if agent.agent_info is not None:
            self._quirk = quirk_of(agent.agent_info.name)
        can = agent.agent_capabilities
        if self.saved is not None and not (self._quirk.loads and can and can.load_session):
            self.renewed = True
        self.write(self._open())

    def _opened(self, session_id: str) -> None:
        self._session = session_id
        self._prompting = True
        if self.renewed:
            self._meter = Meter()
        self.save(session_id, self._meter.charged)
        block = schema.TextContentBlock(type="text", text=self.prompt)
        self.write(
            self._request(_PROMPT, schema.PromptRequest(session_id=session_id, prompt=[block]))
        )

    def _updated(self, update: Mapping[str, Any]) -> None:
        match update.get("sessionUpdate"):
            case "agent_message_chunk":
                self._chunk(update.get("messageId"), update["content"])
            case "usage_update" if (cost := update.get("cost")) is not None:
                self.count_up(self._session, Totals(cost=millionths(cost.get("amount"))))
            case "tool_call":
                self._flush()
                self._in_a_row = 0
                self._titles[update["toolCallId"]] = update.get("title") or "tool"
            case "tool_call_update" if update.get("status") in {"completed", "failed"}:
                title = self._titles.pop(update["toolCallId"], "")
                if title and SERVER not in title:
                    self.tell(ToolEnded(name=title[:256], ok=update["status"] == "completed"))

    def _chunk(self, message: Any, content: Mapping[str, Any]) -> None:
        if message != self._message:
            self._flush()
            self._message = message
            self._in_a_row += 1
            if self._in_a_row > self._quirk.in_a_row > 0:
                self._stop_compacting()
        if content.get("type") == "text":
            self._text.append(content["text"])

    def _stop_compacting(self) -> None:
        if self._is_stuck:
            self.over = True  # it goes on although its prompt was cancelled
            return
        self._is_stuck = True
        words = "the context stays too long for the model, however often the agent compacts it"
        self.fail(words, failure="overflow")
        self.interrupt()

    def _asked(self, request_id: Any, asked: schema.RequestPermissionRequest) -> None:
        title = asked.tool_call.title or "a tool"
        allowed = asked.tool_call.kind in _SAFE or SERVER in title
        wanted = ("allow_once", "allow_always") if allowed else ("reject_once", "reject_always")
        option = next((each for each in asked.options if each.kind in wanted), None)
        if not allowed:
            self.tell(Skipped(reason=f"permission refused: {title[:80]}; allow it in the agent"))
        if option is None:
            told: Mapping[str, Any] = {"outcome": {"outcome": "cancelled"}}
        else:
            told = {"outcome": {"outcome": "selected", "optionId": option.option_id}}
        self.write(self._rpc.respond(request_id, told))

    def _ended(self, done: schema.PromptResponse) -> None:
        self.over, self._prompting = True, False
        self._flush()
        self._charge(done)
        if done.stop_reason == "refusal":
            self.fail("the model refused to go on", failure="content_refused", code="refusal")
        elif done.stop_reason == "cancelled" and not self._is_stuck:
            self.fail("the turn was cancelled", code="cancelled")

    def _refused(self, error: Mapping[str, Any]) -> None:
        self.over, self._prompting = True, False
        self._flush()
        details = error.get("data")
        more = details.get("message") or details.get("details") if isinstance(details, dict) else ""
        words = ": ".join(str(part) for part in (error.get("message"), more) if part)
        known = {"failure": "auth"} if error.get("code") == _AUTH_REQUIRED else {}
        self.fail(words, code=str(error.get("code")), **known)

    def _flush(self) -> None:
        self.say("".join(self._text))
        self._text.clear()

    def _charge(self, done: schema.PromptResponse) -> None:
        used = NOTHING
        if self._quirk.usage == "quota":
            quota = ((done.field_meta or {}).get("quota") or {}).get("token_count") or {}
            used = totals(quota, ("input_tokens",), "output_tokens")
        elif done.usage is not None:
            used = Totals(
                input_tokens=done.usage.input_tokens + (done.usage.cached_write_tokens or 0),
                output_tokens=done.usage.output_tokens + (done.usage.thought_tokens or 0),
                cached_tokens=done.usage.cached_read_tokens or 0,
            )
        self.charge(used)
        who = self._quirk.title
        if used == NOTHING:
            self.tell(Skipped(reason=f"no usage: {who} does not say what this turn used"))
        elif self._quirk.usage == "last call":
            reason = f"usage in part: {who} says what the last model call of a turn used, no more"
            self.tell(Skipped(reason=reason))


def _plain(message: Any) -> dict[str, Any]:
    """Return a message as the protocol spells it."""
    plain: dict[str, Any] = message.model_dump(mode="json", by_alias=True, exclude_none=True)
    return plain
