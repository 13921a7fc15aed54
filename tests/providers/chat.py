"""The wire format of OpenAI's Chat Completions API, streaming, as far as agents read it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from tests.providers.names import PAUSE, full_name, number
from tests.providers.responses import fault, told_when_cut

if TYPE_CHECKING:
    from tests.providers.script import Reply
    from tests.providers.server import Request

__all__ = ["fault", "stream", "told_when_cut"]


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
    for index, call in enumerate(answer.calls):
        function = {
            "name": full_name(call.name, request.tools),
            "arguments": json.dumps(call.arguments),
        }
        tool = {
            "index": index,
            "id": f"call_{number()}",
            "type": "function",
            "function": function,
        }
        yield chunk({"tool_calls": [tool]})
    yield chunk({}, "tool_calls" if answer.calls else "stop")
    use = answer.usage
    usage = {
        "prompt_tokens": use.input_tokens + use.cached_tokens,
        "completion_tokens": use.output_tokens,
        "total_tokens": use.input_tokens + use.cached_tokens + use.output_tokens,
        "prompt_tokens_details": {"cached_tokens": use.cached_tokens},
    }
    yield f"data: {json.dumps({**head, 'choices': [], 'usage': usage})}\n\n"
    yield "data: [DONE]\n\n"
