"""What is gathered from an error before any rule looks at it."""

from __future__ import annotations

import errno
from types import SimpleNamespace
from typing import Any

import pytest

from recovery.failures import classify
from recovery.failures.evidence import MAX_TEXT, Evidence, bounded, gather, read
from recovery.failures.texts import codes_in


class SomeError(Exception):
    """An error of a client library."""


def error(text: str = "", **attributes: Any) -> SomeError:
    """Return an error with these attributes."""
    made = SomeError(text)
    for name, value in attributes.items():
        setattr(made, name, value)
    return made


def only(evidence: tuple[Evidence, ...]) -> Evidence:
    """Return the one piece of evidence."""
    (piece,) = evidence
    return piece


def test_the_text_of_a_response_that_was_read_is_evidence() -> None:
    """Not every client holds it as ``_content``."""
    response = SimpleNamespace(status_code=400, headers={}, text='{"code":"insufficient_quota"}')
    piece = only(gather(error("no", response=response)))
    assert piece.text == 'no\n{"code":"insufficient_quota"}'
    assert piece.given_status == 400
    assert classify(error("no", response=response)).kind == "quota"


def test_a_response_of_botocore_is_read_whole() -> None:
    response = {
        "Error": {"Code": "ThrottlingException", "Message": "m"},
        "ResponseMetadata": {"HTTPStatusCode": 400, "HTTPHeaders": {"Retry-After": "3"}},
    }
    piece = only(gather(error("no", response=response)))
    assert (piece.given_status, piece.headers) == (400, {"retry-after": "3"})
    assert "throttling" in piece.given_codes
    alone = only(gather(error("no", response={"Error": {"Code": "ThrottlingException"}})))
    assert (alone.given_status, "throttling" in alone.given_codes) == (None, True)
    own = only(gather(error("no", status_code=503, response=response)))
    assert own.given_status == 503


@pytest.mark.parametrize(
    ("headers", "code", "kind"),
    [
        ({"x-amzn-errortype": "ThrottlingException:http://x.y/"}, "throttling", "rate_limited"),
        ({"X-Amzn-ErrorType": "ThrottlingException"}, "throttling", "rate_limited"),
        ({"anthropic-ratelimit-unified-status": "rejected"}, "usagelimitreached", "quota"),
    ],
)
def test_some_providers_put_the_code_into_a_header_alone(
    headers: dict[str, str], code: str, kind: str
) -> None:
    assert only(gather("", headers=headers)).given_codes == {code}
    assert classify("", headers=headers).kind == kind


@pytest.mark.parametrize("status", ["allowed", "", "Rejected"])
def test_a_limit_that_is_not_reached_is_no_code(status: str) -> None:
    headers = {"anthropic-ratelimit-unified-status": status, "x-amzn-errortype": ":"}
    assert only(gather("", headers=headers)).given_codes == frozenset()


def test_what_is_told_twice_is_read_once() -> None:
    piece = only(gather(error("same", message="same", body="other", details="same other")))
    assert piece.text == "same\nother\nsame other"
    assert only(gather(error("", body="other"))).text == "other"


@pytest.mark.parametrize(
    ("given", "codes"),
    [
        (OSError(errno.ECONNRESET, "x"), {"connectionreset", "connection", "econnreset"}),
        (OSError(99_999, "x"), set()),
        (OSError("x"), set()),
    ],
)
def test_the_name_of_an_errno_is_a_code(given: OSError, codes: set[str]) -> None:
    assert only(gather(given)).given_codes == codes


def test_what_a_message_names_rather_than_says_is_put_aside() -> None:
    said = "See https://x.y/429 now --limit x limit=5 'quota' `quota`"
    assert read(Evidence(), said).head == "see   now   x      "
    assert read(Evidence(), said).text == said.lower()
    structured = '{"see": "https://x.y/429"}'
    assert read(Evidence(), structured).head == structured


def test_a_long_text_keeps_its_ends() -> None:
    text = "a" * 6_144 + "b" * 9_000 + "c" * 2_047
    assert bounded(text) == "a" * 6_144 + "\n" + "c" * 2_047
    assert bounded("x" * MAX_TEXT) == "x" * MAX_TEXT
    assert len(bounded("x" * (MAX_TEXT + 1))) == MAX_TEXT


def test_a_test_run_is_no_providers_error() -> None:
    assert classify("FAILED tests/x.py::test_it - 503 Service Unavailable").kind == "unknown"
    assert classify("503 Service Unavailable").kind == "transient"


@pytest.mark.parametrize(
    "type_of",
    [
        "ThrottlingException",
        "com.amazon.coral.service#ThrottlingException",
        "com.amazon.coral.service#ThrottlingException:http://x.y/",
        "ThrottlingException:http://x.y/",
    ],
)
def test_a_shape_is_named_between_its_service_and_its_address(type_of: str) -> None:
    assert codes_in(f'{{"__type":"{type_of}"}}') == {"throttling"}


def test_a_name_that_is_no_text_names_nothing() -> None:
    nameless = only(gather(error("no", code=SimpleNamespace(name=5), type=SimpleNamespace())))
    assert nameless.given_codes == {"some"}
    assert only(gather("no", code_given=SimpleNamespace(name="BAD_KEY"))).given_codes == {"badkey"}


def test_an_error_in_the_arguments_of_another_is_a_link() -> None:
    pieces = gather(SomeError("outer", SomeError("inner")))
    assert [piece.text for piece in pieces][1:] == ["inner"]


def test_an_object_that_cannot_be_asked_is_told_by_its_class() -> None:
    class Hostile:
        def __getattribute__(self, name: str) -> Any:
            raise RuntimeError(name)

        def __str__(self) -> str:
            raise RuntimeError

    assert classify(Hostile(), status=503).kind == "transient"
    assert classify(Hostile()).signature == "Hostile"


def test_the_wait_may_stand_in_another_link_of_the_chain() -> None:
    outer = error("429 Too Many Requests", original_exception=error("retry after 12 seconds"))
    assert classify(outer).retry_after == 12.0
