"""What a scripted provider answers, call by call, and what it charged for it.

Everything here is a value. A script is a sequence of `Answer`; call number n of the model gets
answer n, and the last one is repeated. Counts are tokens, times are seconds.
"""

from __future__ import annotations

import dataclasses
from typing import Any


@dataclasses.dataclass(frozen=True)
class Usage:
    """What one call is charged; ``input_tokens`` are those that no cache had."""

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.cached_tokens + other.cached_tokens,
        )


@dataclasses.dataclass(frozen=True)
class Call:
    """The model calls a tool; ``name`` is the end of the name that the request gave it."""

    name: str
    arguments: dict[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Reply:
    """The model answers with a text, with tool calls, or with both.

    It waits ``delay`` before the first byte, and ``linger`` after the text; ``cut`` ends the
    connection there, before anything says that the answer is whole. What its call is charged is
    what the format has told of it by then.
    """

    text: str = ""
    calls: tuple[Call, ...] = ()
    usage: Usage = Usage(100, 10, 20)
    delay: float = 0.0
    linger: float = 0.0
    cut: bool = False


@dataclasses.dataclass(frozen=True)
class Fault:
    """The provider refuses the call, with this HTTP status and headers."""

    status: int
    code: str
    message: str
    headers: tuple[tuple[str, str], ...] = ()
    extra: tuple[tuple[str, Any], ...] = ()


Answer = Reply | Fault


def rate_limited(retry_after: int | None = 1) -> Fault:
    """Return a 429 that passes by itself, after ``retry_after`` seconds where it says so."""
    headers = () if retry_after is None else (("retry-after", str(retry_after)),)
    return Fault(429, "rate_limit_exceeded", "Rate limit reached, please slow down.", headers)


def quota_used_up(resets_at: int) -> Fault:
    """Return the 429 of a subscription whose quota comes back at ``resets_at`` (unix seconds)."""
    return Fault(
        429,
        "usage_limit_reached",
        "The usage limit has been reached.",
        (
            ("anthropic-ratelimit-unified-status", "rejected"),
            ("anthropic-ratelimit-unified-reset", str(resets_at)),
            ("anthropic-ratelimit-unified-representative-claim", "five_hour"),
            ("x-should-retry", "false"),
        ),
        (("resets_at", resets_at), ("plan_type", "plus")),
    )


OVERFLOW = Fault(
    400,
    "context_length_exceeded",
    "prompt is too long: 250000 tokens > 200000 maximum "
    "(your input exceeds the context window of this model)",
)
UNAUTHORIZED = Fault(401, "invalid_api_key", "Incorrect API key provided.")
UNAVAILABLE = Fault(503, "server_error", "The server is temporarily unavailable.")
OVERLOADED = Fault(529, "overloaded_error", "Overloaded")
CUT = Reply("This answer breaks o", usage=Usage(100, 0, 20), linger=0.2, cut=True)


def says(text: str, usage: Usage | None = None) -> Reply:
    """Return an answer that ends the agent's turn."""
    return Reply(text) if usage is None else Reply(text, usage=usage)


def calls(name: str, usage: Usage | None = None, /, **arguments: Any) -> Reply:
    """Return an answer that calls one tool."""
    reply = Reply(calls=(Call(name, arguments),))
    return reply if usage is None else dataclasses.replace(reply, usage=usage)
