"""A message is the same message whatever carries it."""

from __future__ import annotations

import pytest

from recovery import classify

OVERLOADED = 'API Error: 529 {"type":"error","error":{"type":"overloaded_error"}}'


@pytest.mark.parametrize(
    ("carried", "kind"),
    [
        pytest.param("Request timed\n      out.", "transient", id="wrapped"),
        pytest.param("prompt is too\\n   long: 203511 tokens", "overflow", id="escaped-newline"),
        pytest.param(f"  \u23bf  {OVERLOADED}", "transient", id="glyph"),
        pytest.param("\u2715 [API Error: fetch failed]", "transient", id="cross"),
        pytest.param("\x1b[31m429 Too Many Requests\x1b[0m", "rate_limited", id="colour"),
        pytest.param(
            "2026-11-20 10:00:00,123 - agent.llm - ERROR - 429 Too Many Requests",
            "rate_limited",
            id="log",
        ),
        pytest.param(
            "2026-03-07T18:35:13Z ERROR goose::agents::loop: Context length exceeded",
            "overflow",
            id="log-of-rust",
        ),
        pytest.param(
            "LlmError: <html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>",
            "transient",
            id="html-after-a-prefix",
        ),
        pytest.param(
            "Error: prompt is too long: 203511 tokens > 200000 maximum\n"
            "    at generate (/app/cli.js:12:3)\n    at async run (/app/cli.js:40:9)",
            "overflow",
            id="stack-below",
        ),
        pytest.param(
            "Model is having trouble responding right now\n\nLocation:\n   crates/chat/mod.rs:1717",
            "transient",
            id="frames-of-rust",
        ),
        pytest.param(
            "litellm.RateLimitError: provider\nTraceback (most recent call last):\n"
            '  File "/v/litellm/utils.py", line 5, in f\n    raise error\nException',
            "rate_limited",
            id="bare-class-below",
        ),
        pytest.param(
            "Traceback (most recent call last):\n"
            '  File "/v/site-packages/openai/_base_client.py", line 5, in request\n'
            "    raise self._make_status_error(err.response)\n"
            "openai.RateLimitError: Error code: 429 - {'error': {'code': 'insufficient_quota'}}",
            "quota",
            id="mark-of-an-sdk",
        ),
        pytest.param(
            "aiohttp.client_exceptions.ClientPayloadError: Response payload is not completed: "
            "<TransferEncodingError: 400, message='Not enough data to satisfy transfer length "
            "header.'>",
            "transient",
            id="cut-stream",
        ),
        pytest.param(
            f"worker.sh exited with status 1: {OVERLOADED}", "transient", id="end-of-a-process"
        ),
    ],
)
def test_what_carries_a_message_says_nothing(carried: str, kind: str) -> None:
    failure = classify(carried)
    assert (failure.kind, failure.source) == (kind, "provider")


@pytest.mark.parametrize(
    "text",
    [
        "E           TimeoutError: 429 Too Many Requests",
        "FAILED tests/test_api.py::test_429 - AssertionError: 429 Too Many Requests",
        "ssh: connect to host build-7 port 22: Connection timed out",
        "An error occurred (ThrottlingException) when calling the DescribeInstances operation: no",
        "fix(api): do not retry on 401",
        "$ ./build.sh\nerror: failed to fetch dependencies",
    ],
)
def test_what_a_tool_says_stays_a_tools_whatever_words_it_has(text: str) -> None:
    failure = classify(text)
    assert (failure.kind, failure.source) == ("unknown", "tool")
