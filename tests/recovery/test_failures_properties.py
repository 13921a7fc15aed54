"""What holds of every failure, whatever is passed; and that no text makes it slow."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recovery.failures import (
    MAX_SIGNATURE,
    OVERFLOW_SIGNATURE,
    assistant_overflow,
    classify,
    sign,
)
from recovery.failures.evidence import MAX_TEXT
from recovery.failures.texts import code, codes_in, folded, known, status_in, unwrapped

_VOCABULARY = """
429 503 500 400 502 4290 limit quota exceeded exceed rate context prompt tokens too long per
minute day try again in 5s retry after error: {"error": "code": "status": } timeout billing
connection reset invalid api key model not found Traceback File "x.py", line 502 resets at 3am
(UTC) 1767225600 | Jan 2 2026-01-01T00:00:00Z req_1 request overloaded stream ended \\"
"""
WORDS = st.sampled_from([*_VOCABULARY.split(), "\n", ""])
TEXTS = st.one_of(st.text(), st.lists(WORDS, max_size=60).map(" ".join))
VALUES = st.one_of(
    st.none(),
    st.integers(),
    st.booleans(),
    st.floats(),
    st.text(max_size=20),
    st.binary(max_size=9),
)
HEADERS = st.one_of(
    st.none(),
    st.dictionaries(
        st.one_of(
            st.sampled_from(["retry-after", "Retry-After-Ms", "x-ratelimit-reset-tokens", "date"]),
            st.text(max_size=12),
        ),
        st.one_of(st.text(max_size=30), st.integers(), st.sampled_from(["0", "1s", "9" * 30])),
        max_size=5,
    ),
    st.lists(st.tuples(st.text(max_size=5), st.text(max_size=5)), max_size=3),
)


@given(
    error=st.one_of(TEXTS, VALUES, TEXTS.map(RuntimeError), TEXTS.map(ValueError)),
    status=VALUES,
    given_code=VALUES,
    headers=HEADERS,
    now=st.one_of(st.none(), st.floats()),
)
@settings(max_examples=400, deadline=None)
def test_classify_holds_for_anything(
    error: Any, status: Any, given_code: Any, headers: Any, now: float | None
) -> None:
    """It never raises, answers the same twice, and its parts agree with one another."""
    failure = classify(error, status=status, code=given_code, headers=headers, now=now)
    assert failure == classify(error, status=status, code=given_code, headers=headers, now=now)
    assert failure.retryable == (failure.kind in {"transient", "rate_limited"})
    assert len(failure.signature) <= MAX_SIGNATURE
    assert len(failure.signature.splitlines()) <= 1
    assert (failure.signature == OVERFLOW_SIGNATURE) or failure.kind != "overflow"
    assert failure.retry_after is None or 0 <= failure.retry_after < float("inf")
    assert failure.resets_at is None or abs(failure.resets_at) < float("inf")
    if failure.kind not in {"transient", "rate_limited", "quota"}:
        assert (failure.retry_after, failure.resets_at) == (None, None)


@given(text=TEXTS)
@settings(max_examples=200, deadline=None)
def test_a_signature_is_a_fixed_point(text: str) -> None:
    """Masking what was masked changes nothing."""
    assert sign(sign(text)) == sign(text).strip()


@given(text=TEXTS)
@settings(max_examples=200, deadline=None)
def test_unwrapping_is_done_once(text: str) -> None:
    """What is left of a text is not unwrapped further, on however many lines it stood."""
    left = unwrapped(text)
    assert unwrapped(left) == left
    assert folded(folded(left)) == folded(left)


@given(number=st.integers(min_value=1_000, max_value=10**12), words=st.lists(WORDS, max_size=5))
def test_long_numbers_are_no_status(number: int, words: list[str]) -> None:
    """A status is a whole number: no part of a longer one."""
    assert status_in(f"error code {number}") is None
    assert classify(f"error code {number}").kind == "unknown"
    assert str(number) not in sign(f"{number} {words}")


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("a 123 b 1234 c 12345678", "a 123 b <n> c <n>"),
        ("timeout of 600000ms", "timeout of 600000ms"),
        ("550E8400-e29b-41d4-a716-446655440000 gone", "<id> gone"),
        ("REQ-ABCDEF failed", "req_<id> failed"),
        ("req_011CSHoEeqs5C35K2 failed", "req_<id> failed"),
        ("the request failed", "the request failed"),
        ("request id: 9c84b52ce87fbe62-SJC", "request id: req_<id>"),
        ('"request_id":"req_1"', '"request_id":"req_<id>"'),
        ("request id: unknown", "request id: unknown"),
        ("\n  first  \nsecond", "first"),
        ("\ufeffmarked\u2028second", "marked"),
        ("x" * 300, "x" * 200),
        ("", ""),
    ],
)
def test_signature(text: str, masked: str) -> None:
    """Ids and long numbers are masked, words are not; one line, 200 characters."""
    assert sign(text) == masked


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("500 internal server error", 500),
        ("error 503", 503),
        ("http/1.1 429 too many requests", 429),
        ('{"code":502}', 502),
        ('{\\"code\\": 502}', 502),
        ("got a 504 from upstream", 504),
        ("bad gateway (502)", 502),
        ("\u044f\u044f\u044f 503", 503),
        ("failed: 429", 429),
        ("api error: 529 overloaded", 529),
        ("5000 items", None),
        ("line 502", None),
        ("502 files changed", None),
        ("took 503 ms", None),
        ("localhost:500", None),
        ("$502", None),
        ("502.5 points", None),
        ("exit code 500", None),
        ("599 error", None),
        ("a 500 b 500 c", None),
        ("x " * 60 + "503", None),
        ("404 503 " * 50, None),
        ("", None),
    ],
)
def test_status_in_text(text: str, status: int | None) -> None:
    """A number is a status when its surroundings make it one."""
    assert status_in(text) == status


def test_codes_have_one_form() -> None:
    """Snake case, camel case and the suffixes of classes are one."""
    names = ("rate_limit_error", "RateLimitError", "RateLimitException", "RATE_LIMIT")
    assert {code(name) for name in names} == {"ratelimit"}
    assert code("Error") == "error"
    assert known(429) == 429
    assert known(200) is None
    assert "throttling" in codes_in('{"__type":"com.amazon.coral#ThrottlingException:http://x/"}')
    assert "unavailable" in codes_in("status = StatusCode.UNAVAILABLE")
    assert "unavailable" in codes_in("14 UNAVAILABLE: no")
    assert "permission" not in codes_in("PermissionError: [Errno 13]")


def test_a_traceback_speaks_through_its_last_error() -> None:
    """Frames quote source that names other errors; what was raised last counts."""
    frames = (
        "Traceback (most recent call last):\n"
        '  File "/v/site-packages/openai/_base_client.py", line 502, in request\n'
        "    raise APITimeoutError(request=request) from err\n"
    )
    assert (
        unwrapped(f"{frames}openai.AuthenticationError: 401") == "openai.AuthenticationError: 401"
    )
    assert "raise APITimeoutError" in unwrapped(frames)


def test_the_end_of_a_long_text_is_read() -> None:
    """A traceback's last line stands at its end, which is kept."""
    text = "x\n" * MAX_TEXT + "insufficient_quota"
    assert classify(text, source="provider").kind == "quota"
    hidden = "x\n" * 4_000 + "insufficient_quota" + "\nx" * MAX_TEXT
    assert classify(hidden).kind == "unknown"


def test_common_words_count_in_the_head_alone() -> None:
    """A word such as timeout in the middle of much else says nothing."""
    assert classify("all is well\n" * 9 + "timeout", source="provider").kind == "unknown"
    assert classify("word " * 400 + "timeout", source="provider").kind == "unknown"
    assert classify("timeout\n" + "all is well\n" * 9, source="provider").kind == "transient"
    assert classify('{"message":\n' + "\n" * 9 + '"Overloaded"}').kind == "transient"


@pytest.mark.parametrize("word", ["bad", "error", "failed", "retry", "", "42"])
def test_a_single_word_that_any_program_prints_means_no_kind(word: str) -> None:
    assert classify(word).kind == "unknown"


@pytest.mark.parametrize(
    ("message", "window", "expected"),
    [
        ({"stop_reason": "stop", "usage_input": 1_000}, 1_000, False),
        ({"stop_reason": "stop", "usage_input": 1_001}, 1_000, True),
        ({"stop_reason": "stop", "usage_input": 500, "cache_read": 501}, 1_000, True),
        ({"stop_reason": "stop", "usage_input": 1_001}, None, False),
        ({"stop_reason": "stop", "usage_input": 1_001}, 0, False),
        ({"stop_reason": "stop", "usage_input": 1_001}, -5, False),
        ({"stop_reason": "length", "usage_input": 990}, 1_000, True),
        ({"stop_reason": "length", "usage_input": 989}, 1_000, False),
        ({"stop_reason": "length", "usage_input": 600, "cache_read": 400}, 1_000, True),
        ({"stop_reason": "length", "usage_input": 990, "usage_output": 1}, 1_000, False),
        ({"stop_reason": "toolUse", "usage_input": 2_000}, 1_000, False),
        ({"stop_reason": "aborted", "usage_input": 2_000}, 1_000, False),
        ({"stop_reason": "error", "usage_input": 2_000, "error_message": "boom"}, 1_000, False),
        ({"stop_reason": "error", "error_message": "prompt is too long"}, None, True),
        ({"stop_reason": "error", "error_message": None}, 1_000, False),
        ({"stop_reason": "stop", "error_message": "prompt is too long"}, 1_000, False),
    ],
)
def test_assistant_overflow(message: dict[str, Any], window: float | None, expected: bool) -> None:
    """An error says it in words; a stop and a length stop say it in numbers."""
    assert assistant_overflow(**message, context_window=window) is expected


HOSTILE = {
    "letters": "a" * 100_000,
    "digits": "5" * 100_000,
    "spaces": " " * 100_000,
    "newlines": "\n" * 100_000,
    "statuses": "500 " * 30_000,
    "dots": "a." * 50_000,
    "underscores": "a_" * 50_000,
    "capitals": "aB" * 50_000,
    "slashes": "/a" * 50_000,
    "backslashes": "\\" * 100_000,
    "quotes": '{"error":{"code":' * 6_000,
    "durations": "try again in " + "1s " * 30_000,
    "limits": "limit exceeded your quota per " * 4_000,
    "prompts": "prompt input exceeds context " * 4_000,
    "frames": "\n    at " + "x:" * 50_000,
    "commands": "command (" * 12_000,
    "ids": "req_" * 25_000 + "request id: " * 9_000,
    "sdk": "openai." * 15_000,
    "ideas": "your model key request prompt tokens is not too long " * 2_000,
    "negations": "no enough don't have credits can't fit " * 3_000,
    "services": "the server the model the connection to our " * 3_000,
    "assignments": "a = b == c; if (x) y; " * 5_000,
    "megabytes": "the model request prompt key 429 " * 100_000,
}


@pytest.mark.parametrize("name", sorted(HOSTILE))
def test_no_text_makes_it_slow(name: str) -> None:
    """Input is bounded and no pattern backtracks without end: far below a second for 100 kB."""
    started = time.process_time()
    for prefix in ("", "rate limit ", "insufficient_quota "):
        classify(prefix + HOSTILE[name])
    assert time.process_time() - started < 3.0
