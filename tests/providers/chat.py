"""The wire format of OpenAI's Chat Completions API, as far as agents read it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from tests.providers.names import PAUSE, full_name, number
from tests.providers.responses import fault, told_when_cut

if TYPE_CHECKING:
    from tests.providers.script import Reply
    from tests.providers.server import Request

__all__ = ["fault", "stream", "told_when_cut", "whole"]


def stream(answer: Reply, request: Request) -> Iterator[str]:
    """Yield the answer's server-sent events."""
    head = {
        "id": f"chatcmpl-{number()}",
        "object": "chat.completion.chunk",
        "created": 0,
        "model": request.body.get("model"),
    }

    def chunk(delta: dict[str, Any], reason: str | None = None, **more: Any) -> str:
        choice = {"index": 0, "delta": delta, "finish_reason": reason}
        return f"data: {json.dumps({**head, 'choices': [choice], **more})}\n\n"

    yield chunk({"role": "assistant", "content": answer.text})
    yield PAUSE
    if answer.cut:
        return
    for index, call in enumerate(_calls(answer, request)):
        yield chunk({"tool_calls": [{"index": index, **call}]})
    yield chunk({}, "tool_calls" if answer.calls else "stop")
    yield f"data: {json.dumps({**head, 'choices': [], 'usage': _usage(answer)})}\n\n"
    yield "data: [DONE]\n\n"


def whole(answer: Reply, request: Request) -> str:
    """Return the answer in one piece, for whoever does not ask for a stream."""
    message: dict[str, Any] = {"role": "assistant", "content": answer.text or None}
    if calls := _calls(answer, request):
        message["tool_calls"] = calls
    reason = "tool_calls" if calls else "stop"
    return json.dumps(
        {
            "id": f"chatcmpl-{number()}",
            "object": "chat.completion",
            "created": 0,
            "model": request.body.get("model"),
            "choices": [{"index": 0, "message": message, "finish_reason": reason}],
            "usage": _usage(answer),
        }
    )


def _calls(answer: Reply, request: Request) -> list[dict[str, Any]]:
    return [
        {
            "id": f"call_{number()}",
            "type": "function",
            "function": {
                "name": full_name(call.name, request.tools),
                "arguments": json.dumps(call.arguments),
            },
        }
        for call in answer.calls
    ]


def _usage(answer: Reply) -> dict[str, Any]:
    use = answer.usage
    return {
        "prompt_tokens": use.input_tokens + use.cached_tokens,
        "completion_tokens": use.output_tokens,
        "total_tokens": use.input_tokens + use.cached_tokens + use.output_tokens,
        "prompt_tokens_details": {"cached_tokens": use.cached_tokens},
    }
