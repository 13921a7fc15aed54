"""The wire format of Anthropic's Messages API, streaming, as far as agents read it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from tests.providers.names import PAUSE, full_name, number
from tests.providers.script import Usage

if TYPE_CHECKING:
    from tests.providers.script import Fault, Reply
    from tests.providers.server import Request

_TYPES: Final = {
    400: "invalid_request_error",
    401: "authentication_error",
    429: "rate_limit_error",
    503: "api_error",
    529: "overloaded_error",
}


def fault(answer: Fault) -> str:
    """Return the body of an answer that is not 200."""
    error = {"type": _TYPES.get(answer.status, "api_error"), "message": answer.message}
    return json.dumps({"type": "error", "error": error, "request_id": f"req_{number()}"})


def told_when_cut(answer: Reply, request: Request) -> Usage:
    """Return what is known of the usage in the middle of an answer: what was read."""
    if not request.body.get("stream"):
        return Usage()
    return Usage(answer.usage.input_tokens, 0, answer.usage.cached_tokens)


def stream(answer: Reply, request: Request) -> Iterator[str]:
    """Yield the answer's server-sent events."""
    use = answer.usage
    usage = {
        "input_tokens": use.input_tokens,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": use.cached_tokens,
        "output_tokens": 1,
    }
    message = {
        "id": f"msg_{number()}",
        "type": "message",
        "role": "assistant",
        "model": request.body.get("model"),
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": usage,
    }
    yield _event("message_start", message=message)
    index = 0
    if answer.text:
        yield _event("content_block_start", index=index, content_block={"type": "text", "text": ""})
        delta = {"type": "text_delta", "text": answer.text}
        yield _event("content_block_delta", index=index, delta=delta)
        yield PAUSE
        if answer.cut:
            return
        yield _event("content_block_stop", index=index)
        index += 1
    for call in answer.calls:
        block = {
            "type": "tool_use",
            "id": f"toolu_{number():024d}",
            "name": full_name(call.name, request.tools),
            "input": {},
        }
        yield _event("content_block_start", index=index, content_block=block)
        delta = {"type": "input_json_delta", "partial_json": json.dumps(call.arguments)}
        yield _event("content_block_delta", index=index, delta=delta)
        yield _event("content_block_stop", index=index)
        index += 1
    reason = "tool_use" if answer.calls else "end_turn"
    yield _event(
        "message_delta",
        delta={"stop_reason": reason, "stop_sequence": None},
        usage={**usage, "output_tokens": use.output_tokens},
    )
    yield _event("message_stop")


def _event(kind: str, **fields: Any) -> str:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n"
