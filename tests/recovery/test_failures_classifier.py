"""The table of rules as something to extend, to ask why, and to tell what is known already."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest

import recovery
from recovery import RULES, Classifier, Failure, Rule, Why, classify, load_rules, only_error
from recovery.failures.table import check_rules
from recovery.failures.texts import code
from tests.recovery.raising import make, raised

MINE = Rule(
    name="team_budget",
    kind="quota",
    why="the gateway's budget of a team",
    text=r"Budget of team \w+ is gone",
    example="[gateway] WARN budget of team blue is gone until 2026-08-01",
)


def rule(**fields: Any) -> Rule:
    """Return a rule with a name and a kind, and these fields."""
    return Rule(name="mine", kind="auth", **fields)


# --- rules of one's own ---------------------------------------------------------------------


def test_a_rule_of_ones_own_comes_first_and_is_asked_of_every_text() -> None:
    mine = Classifier(rules=(MINE, *RULES))
    failure = mine.classify("[gateway] WARN Budget of\n  team blue is gone. 503 from upstream")
    assert (failure.kind, failure.source) == ("quota", "provider")
    assert failure.why == Why(
        row="team_budget", reason=MINE.why, words="budget of team blue is gone"
    )
    assert mine.classify("503 Service Unavailable").kind == "transient"
    assert mine.rules == (MINE, *RULES)


@pytest.mark.parametrize(
    ("given", "text", "holds"),
    [
        ({"text": "no entry"}, "NO  ENTRY", True),
        ({"text": "no entry"}, "entry: no", False),
        ({"text": "No Entry"}, "no entry", True),
        ({"text": "no entry", "also": "today"}, "no entry", False),
        ({"text": "no entry", "also": "today"}, "no entry today", True),
        ({"text": "no entry", "unless": "today"}, "no entry today", False),
        ({"ideas": ("door", "closed")}, "closed is the door", True),
        ({"ideas": ("door", "closed")}, "door", False),
        ({"ideas": ("door", "closed")}, "door " + "x " * 300 + "closed", False),
        ({"codes": ("NoEntry",)}, "error: no_entry", True),
        ({"codes": ("NoEntry",)}, "error: entry", False),
        ({"statuses": (418,)}, "418 I'm a teapot", True),
        ({"statuses": (418,)}, "499 gone", False),
        ({"text": "teapot", "statuses": (418,)}, "418 I'm a teapot", True),
        ({"text": "teapot", "statuses": (418,)}, "teapot", False),
        ({"text": "teapot", "unless_statuses": (418,)}, "418 I'm a teapot", False),
        ({"text": "more", "exceeds": r"(?P<asked>\d+) of (?P<most>\d+)"}, "more: 3 of 2", True),
        ({"text": "more", "exceeds": r"(?P<asked>\d+) of (?P<most>\d+)"}, "more: 2 of 2", False),
        ({"text": "more", "exceeds": r"(?P<asked>\d+) of (?P<most>\d+)"}, "more: 2 of 0", False),
        ({"text": "more", "exceeds": r"(?P<asked>\d+) of (?P<most>\d+)"}, "more", False),
        ({"text": "down"}, "All is well.\n" * 12 + "down", True),
        ({"text": "down", "common": True}, "All is well.\n" * 12 + "down", False),
        ({"text": "well", "common": True}, "All is well.\n" * 12 + "down", True),
    ],
)
def test_what_a_rule_asks_for_must_all_hold(given: Any, text: str, holds: bool) -> None:
    failure = Classifier((rule(**given),)).classify(text)
    assert failure.kind == ("auth" if holds else "unknown")


@pytest.mark.parametrize(
    ("given", "hint"),
    [
        ({}, "says nothing: give it text, ideas, codes or statuses"),
        ({"text": "("}, "text is no regular expression"),
        ({"ideas": ("[",)}, "an idea is no regular expression"),
        ({"text": "x", "also": "*"}, "also is no regular expression"),
        ({"text": "x", "unless": "*"}, "unless is no regular expression"),
        ({"text": "x", "exceeds": "(?P<asked>1)"}, "exceeds names two numbers"),
    ],
)
def test_a_rule_that_can_never_decide_is_refused(given: Any, hint: str) -> None:
    with pytest.raises(ValueError, match="rule 'mine'") as refused:
        Classifier((rule(**given),))
    assert hint in str(refused.value)


def test_the_words_of_several_ideas_are_told() -> None:
    found = Classifier((rule(ideas=("door", "closed"), codes=("E_DOOR",)),))
    assert found.classify("e_door: the door is closed").why.words == "door … closed … edoor"
    assert found.classify("418", status=418).why == Why(row="none", reason="no rule recognises it")


def test_a_rule_survives_json() -> None:
    assert msgspec.json.decode(msgspec.json.encode(MINE), type=Rule) == MINE
    assert b"statuses" not in msgspec.json.encode(MINE)


# --- rules in a file ------------------------------------------------------------------------


def test_rules_are_read_from_toml(tmp_path: Path) -> None:
    path = tmp_path / "rules.toml"
    path.write_text(
        "[[rule]]\n"
        'name = "team_budget"\n'
        'kind = "quota"\n'
        "text = 'budget of team \\w+'\n"
        'codes = []\nexample = "Budget of team blue is gone"\n',
        "utf-8",
    )
    (read,) = load_rules(path)
    assert (read.name, read.kind, read.text) == ("team_budget", "quota", r"budget of team \w+")
    assert load_rules(str(path)) == (read,)
    path.write_text("", "utf-8")
    assert load_rules(path) == ()


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("rule = 1", "Expected `array`"),
        ("[[rule]]\nname = 'x'\nkind = 'sad'", "Invalid enum value 'sad'"),
        ("[[rule]]\nname = 'x'\nkind = 'auth'\ntxt = 'y'", "unknown field `txt`"),
        ("[rule", "Expected ']'"),
        ("[[rule]]\nname = 'x'\nkind = 'auth'", "says nothing"),
        ("[[rule]]\nname='x'\nkind='auth'\ntext='y'\nexample='z'", "does not decide its own"),
    ],
)
def test_a_file_that_is_wrong_is_refused_whole(tmp_path: Path, text: str, hint: str) -> None:
    path = tmp_path / "rules.toml"
    path.write_text(text, "utf-8")
    with pytest.raises(ValueError, match=r"rules\.toml|rule 'x'") as refused:
        load_rules(path)
    assert hint in str(refused.value)
    with pytest.raises(FileNotFoundError):
        load_rules(tmp_path / "none.toml")


def test_every_rule_of_the_project_could_stand_in_a_file() -> None:
    check_rules(RULES)


# --- what the caller knows ------------------------------------------------------------------

LOG = "2026-01-01 12:00:00 INFO app: upstream returned 503 Service Unavailable"


@pytest.mark.parametrize("rule", RULES, ids=[rule.name for rule in RULES])
def test_a_rule_names_a_code_once(rule: Rule) -> None:
    """Rules compare what is left of a code: ``RateLimitError`` is ``rate_limit_error``."""
    assert len(set(map(code, rule.codes))) == len(rule.codes)


def test_what_the_caller_knows_is_not_guessed() -> None:
    assert (classify(LOG).kind, classify(LOG).source) == ("unknown", "tool")
    said = classify(LOG, source="provider")
    assert (said.kind, said.source) == ("transient", "provider")
    told = classify("429 Too Many Requests", source="tool")
    assert (told.kind, told.source) == ("unknown", "tool")
    assert told.why.row == "stated_source"
    assert classify("hm", source="provider").source == "provider"
    assert classify("hm").source == "unknown"


def test_a_rule_of_ones_own_judges_a_tool_as_well() -> None:
    mine = Classifier((MINE, *RULES))
    assert mine.classify(MINE.example, source="tool").kind == "quota"


def test_a_kind_that_is_stated_is_the_kind() -> None:
    failure = classify("Budget used up, try again in 2 hours", kind="quota", source="tool")
    assert (failure.kind, failure.retryable, failure.retry_after) == ("quota", False, 7200.0)
    assert failure.why == Why(row="stated", reason="the caller states the kind")
    assert classify("hm", kind="overflow").signature == "context_overflow"
    assert classify("", kind="transient").retryable
    mine = Classifier((MINE, *RULES))
    assert mine.classify(MINE.example, kind="rate_limited").kind == "quota"
    assert mine.classify("429 Too Many Requests", kind="auth").kind == "auth"


def test_given_codes_outlive_a_text_that_is_nobodys() -> None:
    """A shape takes the text away, and nothing that the caller gave."""
    failure = classify("FAILED tests/x.py::test_it - insufficient_quota", status=503)
    assert (failure.kind, failure.why.row) == ("transient", "status_5xx")


def test_why_is_one_line() -> None:
    assert str(classify("insufficient_quota").why) == (
        "quota_codes: the provider's own word for money or an allowance that is used up"
        " ('insufficientquota')"
    )
    assert str(classify("hm").why) == "none: no rule recognises it"


# --- exceptions as they are -----------------------------------------------------------------


@pytest.mark.parametrize(
    "error",
    [
        asyncio.CancelledError(),
        asyncio.CancelledError("stream timed out"),
        KeyboardInterrupt(),
        SystemExit(1),
        make("CancelledError", module="concurrent.futures"),
        BaseExceptionGroup("both", [asyncio.CancelledError(), TimeoutError()]),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_was_stopped_on_purpose_is_not_tried_again(error: BaseException) -> None:
    failure = classify(error)
    assert (failure.kind, failure.why.row) == ("unknown", "cancelled")


def test_a_timeout_passes_though_a_cancellation_carried_it_out() -> None:
    assert classify(raised(TimeoutError(), asyncio.CancelledError())).kind == "transient"


@pytest.mark.parametrize(
    "error",
    [
        KeyError("rate_limit_exceeded"),
        ValueError("rate limit must be positive"),
        AttributeError("'NoneType' object has no attribute 'quota_exceeded'"),
        TypeError("timeout() takes 1 positional argument"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_programming_error_is_no_providers(error: BaseException) -> None:
    failure = classify(error)
    assert (failure.kind, failure.source) == ("unknown", "tool")


# --- an answer that is nothing but an error -------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ("API Error: getaddrinfo EAI_AGAIN aigw.example.net", "transient"),
        ("API Error: Server is temporarily limiting requests · Rate limited", "rate_limited"),
        ('API Error: 529 {"type":"error","error":{"type":"overloaded_error"}}', "transient"),
        (
            '{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}',
            "transient",
        ),
        ('{"base_resp": {"status_code": 1001, "status_msg": "request timeout"}}', "transient"),
        ("[API Error: Model stream ended without a finish reason.]", "transient"),
        ("You've hit your limit · resets 3pm (Europe/Berlin)", "quota"),
        ("Claude usage limit reached. Your limit will reset at 1pm.", "quota"),
        ("Credit balance is too low", "quota"),
        ("Prompt is too long", "overflow"),
        ("Invalid API key · Please run /login", "auth"),
        ("429 Too Many Requests", "rate_limited"),
        ("HTTP 529: overloaded", "transient"),
        ("HTTP/1.1 429 Too Many Requests", "rate_limited"),
        ("<html><head><title>502 Bad Gateway</title></head></html>", "transient"),
    ],
)
def test_an_answer_that_is_an_error(answer: str, kind: str) -> None:
    failure = only_error(answer)
    assert failure is not None
    assert failure.kind == kind


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "Done.",
        "I fixed the rate limit error: requests that exceed the quota are answered 429 now.",
        "All 12 tests pass. The client retries on 503 Service Unavailable.",
        "The upload handler now answers 413 when the request is too large.",
        "Rate limiting is implemented; the server is overloaded no more.",
        "Error handling is done, all tests pass.",
        "Timeout increased to 60 s.",
        "API Error: 503. " + "Then I looked further and found the reason. " * 60,
        "Summary\n\n- retry after a timeout\n- connection errors are logged",
        "Looking at the log, the service was unavailable for two minutes.",
        "400",
        "  503\n",
        "HTTP 200 OK",
        "The HTTP 429 answer is handled by the new loop, and tests pass.",
        '{"error": null, "result": "done"}',
        '{"usage": {"input_tokens": 5, "output_tokens": 7}}',
        '{"type": "usage", "input_tokens": 5}',
    ],
)
def test_an_answer_that_reports_is_none(answer: str) -> None:
    assert only_error(answer) is None


def test_an_answer_says_when_to_come_back() -> None:
    failure = only_error("429 Too Many Requests. Try again in 20s", now=1_000.0)
    assert isinstance(failure, Failure)
    assert (failure.retry_after, failure.resets_at) == (20.0, 1_020.0)


# --- the package ----------------------------------------------------------------------------


def test_every_public_name_is_there() -> None:
    for name in recovery.__all__:
        assert getattr(recovery, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = recovery.nothing
