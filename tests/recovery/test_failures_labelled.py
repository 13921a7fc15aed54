"""The failure table against labelled texts: what providers say, and what only sounds like it."""

from __future__ import annotations

import json
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from recovery.failures import Failure, assistant_overflow, classifier, classify, only_error
from recovery.failures.kinds import Rule, Source
from recovery.failures.rules import RULES
from recovery.failures.table import Classifier
from recovery.failures.wording import FALSE_POSITIVE, features, shape, sift

_HERE = Path(__file__).parent
_VECTORS = _HERE.parent / "conformance" / "vectors" / "failures.jsonl"


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def _judged(line: dict[str, Any], text: str) -> Failure:
    return classify(text, **_given(line))


LABELLED = _lines(_HERE / "errors.jsonl")
VECTORS = _lines(_VECTORS)


def _given(line: dict[str, Any]) -> dict[str, Any]:
    return {name: line[name] for name in ("status", "code", "headers") if name in line}


PROVIDERS = sorted({line["provider"] for line in LABELLED})


@cache
def unknown_source() -> dict[str, Failure]:
    """Return what each labelled error is taken for where nobody says who spoke, by its id."""
    return {line["id"]: _judged(line, line["error"]) for line in LABELLED}


def _shown(failure: Failure, expect: dict[str, Any]) -> dict[str, Any]:
    """Return of ``failure`` what ``expect`` names."""
    return {name: getattr(failure, name) for name in expect}


@pytest.mark.parametrize("provider", PROVIDERS)
def test_labelled_errors(provider: str) -> None:
    """Of a provider an error has its kind, and its wait and its reset where the label names them.

    A text that no provider said is no failure where the caller knows as much.
    """
    wrong = {}
    for line in LABELLED:
        if line["provider"] == provider:
            expect = line["expect"]
            false_positive = provider in {"false_positive", "prose"} and expect["kind"] == "unknown"
            source: Source = "tool" if false_positive else "provider"
            failure = classify(line["error"], **_given(line), source=source)
            if (shown := _shown(failure, expect)) != pytest.approx(expect, abs=1e-6):
                wrong[line["id"]] = shown
    assert wrong == {}


def test_hardly_a_labelled_error_is_sifted_and_hardly_a_false_positive_passes() -> None:
    """Nobody says who spoke: the sieve alone tells a provider's error from other texts."""
    real, false = [], []
    for line in LABELLED:
        right = unknown_source()[line["id"]].kind == line["expect"]["kind"]
        (false if line["expect"]["kind"] == "unknown" else real).append(right)
    assert sum(real) / len(real) >= 0.99
    assert sum(false) / len(false) >= 0.98


def test_labelled_set_covers_every_kind_and_many_false_positives() -> None:
    """The set is what it claims to be: large, of all kinds and providers, each id once."""
    kinds = Counter(line["expect"]["kind"] for line in LABELLED)
    providers = Counter(line["provider"] for line in LABELLED)
    assert len({line["id"] for line in LABELLED}) == len(LABELLED)
    assert min(kinds[kind] for kind in ("overflow", "transient", "rate_limited", "quota")) >= 60
    assert min(kinds[kind] for kind in ("auth", "invalid_request", "content_refused")) >= 30
    assert providers["false_positive"] >= 150
    assert len(providers) >= 30


@pytest.mark.parametrize("rule", RULES, ids=[rule.name for rule in RULES])
def test_each_rule_decides_its_example(rule: Rule) -> None:
    """No row of the table is dead, and each says why in words of its own."""
    failure = classify(rule.example)
    assert (failure.why.row, failure.kind) == (rule.name, rule.kind)
    assert failure.why.reason == rule.why
    assert failure.why.words
    others = Classifier(row for row in RULES if row is not rule)
    assert others.classify(rule.example).why.row != rule.name


@pytest.mark.parametrize(
    "text",
    [
        "KeyError: 'rate_limit_exceeded'",
        "npm ERR! 429 Too Many Requests - GET https://npm.example.com/left-pad",
        "FAILED tests/test_api.py::test_timeout - TimeoutError: timed out",
        "@@ -429,7 +429,7 @@ class RateLimiter:",
        "fix(client): retry after 529 overloaded_error",
        "Fixed the rate limit exceeded error in the client, and added a test.",
        'raise RateLimitError("too many requests")',
    ],
)
def test_what_is_written_as_no_provider_writes_is_sifted(text: str) -> None:
    """It says so and by which marks; of a provider the same text is believed."""
    failure = classify(text)
    assert (failure.kind, failure.source) == ("unknown", "tool")
    assert failure.why.row == FALSE_POSITIVE
    assert failure.why.words == sift(text)
    assert classify(text, source="provider").kind != "unknown"


def test_of_a_text_the_words_and_their_neighbours_are_looked_at() -> None:
    assert features("Retry src/a.py at 429\n  https://x.y RateLimitError is_it iPhone 7?") == (
        *("<start>", "retry", "<file>", "at", "<status>", "<indent>", "<url>", "<error>"),
        *("<snake>", "<camel>", "<number>", "?", "<end>"),
        *("<start> retry", "retry <file>", "<file> at", "at <status>", "<status> <indent>"),
        *("<indent> <url>", "<url> <error>", "<error> <snake>", "<snake> <camel>"),
        *("<camel> <number>", "<number> ?", "? <end>"),
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Le serveur est surchargé, réessayez plus tard.", {"server", "overloaded", "again"}),
        ("Das Kontingent ist erschöpft, bitte später erneut.", {"quota", "exhausted", "later"}),
        ("Su clave no es válida: autenticación requerida", {"key", "authentication"}),
        ("当前并发过高 请稍后再试", {"rate", "please", "later", "again"}),
        # Letters of English, and words that English has not.
        ("Die Verbindung wurde nicht angenommen, bitte warten", {"connection", "please", "wait"}),
        ("Su solicitud fue bloqueada por contenido inapropiado.", {"request", "inappropriate"}),
        (
            "リクエストが多すぎます。しばらくお待ちください。",
            {"request", "later", "wait", "please"},
        ),
    ],
)
def test_of_another_language_the_words_of_failures_count_as_english(
    text: str, words: set[str]
) -> None:
    assert words <= set(features(text))


def test_one_word_of_another_language_makes_no_other_language() -> None:
    assert "la" in features("la solicitud")
    assert "request" not in features("la solicitud")


def test_a_long_word_is_there_by_its_beginning_too() -> None:
    assert {"overloading", "overl~"} <= set(features("overloading"))
    assert not [name for name in features("short words") if name.endswith("~")]
    assert features("You\u2019ve lost") == features("You've lost")


@pytest.mark.parametrize(
    ("text", "marks"),
    [
        ("", {"<lines 0>", "<size 0>", "<ends >", "<begins >"}),
        ('API Error: 529 {"type":"error"}', {"<first AA>", "<brace>", "<answer>", "<ends }>"}),
        ("a.b.C: gone", {"<begins a>", "<first a.a:>", "<ends a>"}),
        ("RateLimited", {"<begins A>", "<first aA>"}),
        ("Sorry, no", {"<first A>"}),
        ("429 it is", {"<begins 0>", "<first 0>"}),
        ("- gone", {"<begins ->", "<first a>"}),
        ("npm and git and curl and ssh, for claude", {"<programs 3>", "<models 1>"}),
        ("x 10:00:01\n+f(1);\na.b()\n\n-", {"<clock>", "<change>", "<statement>", "<call>"}),
        ("x\ny\nz\na.b()", {"<lines 2>", "<method>"}),
    ],
)
def test_the_shape_of_a_text_is_told_in_marks(text: str, marks: set[str]) -> None:
    assert marks <= set(shape(text))


def test_of_a_long_text_its_beginning_and_its_end_are_looked_at() -> None:
    long = features("first " + "middling\n" * 40 + "x" * 2_000 + " last")
    assert "<start> first" in long
    assert "last <end>" in long
    many = features("word " * 300 + "last")
    assert many[-1] == "word <end>"


def test_names_and_reasons_are_given_once() -> None:
    """A name stands for one row, and so does a reason."""
    for names in (
        [rule.name for rule in RULES] + [FALSE_POSITIVE],
        [rule.why for rule in RULES],
    ):
        assert len(set(names)) == len(names)
        assert all(names)


@pytest.mark.parametrize(
    "ended", ["worker.sh exited with status 1: ", "run.py was ended by SIGKILL: "]
)
def test_how_the_process_ended_changes_nothing(ended: str) -> None:
    """The sentence that the engine puts before a worker's words is not judged with them."""
    changed = [
        line["id"]
        for line in LABELLED
        if line["error"].strip()
        and _judged(line, ended + line["error"]) != unknown_source()[line["id"]]
    ]
    assert changed == []


@pytest.mark.parametrize("line", VECTORS, ids=[str(line["id"]) for line in VECTORS])
def test_vector(line: dict[str, Any]) -> None:
    """A recorded vector holds: of a text the kind's family and signature, of a message a bool."""
    if line["fn"] == "classify":
        failure = classify(line["error_message"])
        got = {
            "overflow": failure.kind == "overflow",
            "retryable": failure.retryable,
            "signature": failure.signature,
        }
        assert got == line["expect"]
        return
    message = line["message"]
    assert line["expect"] is assistant_overflow(
        stop_reason=message["stop_reason"],
        usage_input=message["usage"]["input"],
        usage_output=message["usage"]["output"],
        cache_read=message["usage"]["cache_read"],
        error_message=message["error_message"],
        context_window=line["context_window"],
    )


def test_the_quick_look_at_an_answer_overlooks_none_that_is_a_failure() -> None:
    """Most answers are no failure, and are not to cost what a failure costs."""
    table = classifier()
    texts = [
        text
        for name in ("errors.jsonl", "messages.jsonl")
        for row in (Path(__file__).parent / name).read_text("utf-8").splitlines()
        if isinstance(text := json.loads(row).get("error"), str)
    ]
    found = [text for text in texts if table.only_error(text) is not None]
    assert len(found) > 1_000
    assert [text for text in found if only_error(text) is None] == []
    assert only_error("wrote step 3, and all of them are there") is None
