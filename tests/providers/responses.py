"""The wire format of OpenAI's Responses API, as far as agents read it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from tests.providers.names import PAUSE, full_name, number
from tests.providers.script import Usage

if TYPE_CHECKING:
    from tests.providers.script import Fault, Reply
    from tests.providers.server import Request


def fault(answer: Fault) -> str:
    """Return the body of an answer that is not 200."""
    kind = "insufficient_quota" if answer.code == "insufficient_quota" else answer.code
    error = {"message": answer.message, "type": kind, "code": answer.code, "param": None}
    return json.dumps({"error": {**error, **dict(answer.extra)}})


def told_when_cut(_answer: Reply, _request: Request) -> Usage:
    """Return what is known of the usage in the middle of an answer."""
    return Usage()


def stream(answer: Reply, request: Request) -> Iterator[str]:
    """Yield the answer's server-sent events."""
    response: dict[str, Any] = {
        "id": f"resp_{number()}",
        "object": "response",
        "model": request.body.get("model"),
        "status": "in_progress",
        "output": [],
    }
    yield _event("response.created", response=response)
    output: list[dict[str, Any]] = []
    if answer.text:
        yield from _text(answer, output)
    if answer.cut:
        return
    for call in answer.calls:
        name = full_name(call.name, request.tools)
        space, _, plain = name.rpartition(".")
        item = {
            "id": f"fc_{number()}",
            "type": "function_call",
            "status": "completed",
            "call_id": f"call_{number()}",
            "name": plain,
            "arguments": json.dumps(call.arguments),
            **({"namespace": space} if space else {}),
        }
        yield _event("response.output_item.added", output_index=len(output), item=item)
        yield _event("response.output_item.done", output_index=len(output), item=item)
        output.append(item)
    use = answer.usage
    usage = {
        "input_tokens": use.input_tokens + use.cached_tokens,
        "input_tokens_details": {"cached_tokens": use.cached_tokens},
        "output_tokens": use.output_tokens,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": use.input_tokens + use.cached_tokens + use.output_tokens,
    }
    done = {**response, "status": "completed", "output": output, "usage": usage}
    yield _event("response.completed", response=done)


def whole(answer: Reply, request: Request) -> str:
    """Return the answer in one piece, for whoever does not ask for a stream."""
    *_, last = stream(answer, request)
    response = json.loads(last.partition("data: ")[2])["response"]
    more = {"created_at": 0, "tools": [], "tool_choice": "auto", "parallel_tool_calls": False}
    return json.dumps({**more, **response})


def _text(answer: Reply, output: list[dict[str, Any]]) -> Iterator[str]:
    where = {"output_index": 0, "content_index": 0}
    item: dict[str, Any] = {
        "id": f"msg_{number()}",
        "type": "message",
        "role": "assistant",
        "status": "in_progress",
        "content": [],
    }
    part = {"type": "output_text", "text": "", "annotations": []}
    yield _event("response.output_item.added", output_index=0, item=item)
    yield _event("response.content_part.added", item_id=item["id"], part=part, **where)
    yield _event("response.output_text.delta", item_id=item["id"], delta=answer.text, **where)
    yield PAUSE
    if answer.cut:
        return
    whole = {**part, "text": answer.text}
    yield _event("response.output_text.done", item_id=item["id"], text=answer.text, **where)
    yield _event("response.content_part.done", item_id=item["id"], part=whole, **where)
    item = {**item, "status": "completed", "content": [whole]}
    yield _event("response.output_item.done", output_index=0, item=item)
    output.append(item)


def _event(kind: str, **fields: Any) -> str:
    data = json.dumps({"type": kind, "sequence_number": number(), **fields})
    return f"event: {kind}\ndata: {data}\n\n"
