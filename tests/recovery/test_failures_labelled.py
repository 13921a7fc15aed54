"""The failure table against labelled texts: what providers say, and what only sounds like it."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from recovery.failures.engine import RULES, place_of

from recovery.failures import assistant_overflow, classify
from recovery.failures.evidence import gather

_HERE = Path(__file__).parent
_VECTORS = _HERE.parent / "conformance" / "vectors" / "failures.jsonl"


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


LABELLED = _lines(_HERE / "errors.jsonl")
VECTORS = _lines(_VECTORS)


def _given(line: dict[str, Any]) -> dict[str, Any]:
    return {name: line[name] for name in ("status", "code", "headers") if name in line}


@pytest.mark.parametrize("line", LABELLED, ids=[line["id"] for line in LABELLED])
def test_labelled_error(line: dict[str, Any]) -> None:
    """A labelled error has its kind, and its wait and its reset where the label names them."""
    expect = line["expect"]
    failure = classify(line["error"], **_given(line))
    assert failure.kind == expect["kind"]
    for name in ("retry_after", "resets_at"):
        if name in expect:
            assert getattr(failure, name) == pytest.approx(expect[name], abs=1e-6)


def test_labelled_set_covers_every_kind_and_many_decoys() -> None:
    """The set is what it claims to be: large, of all kinds and providers, each id once."""
    kinds = Counter(line["expect"]["kind"] for line in LABELLED)
    providers = Counter(line["provider"] for line in LABELLED)
    assert len({line["id"] for line in LABELLED}) == len(LABELLED)
    assert min(kinds[kind] for kind in ("overflow", "transient", "rate_limited", "quota")) >= 60
    assert min(kinds[kind] for kind in ("auth", "invalid_request", "content_refused")) >= 30
    assert providers["decoy"] >= 150
    assert len(providers) >= 30


def test_every_rule_decides_a_labelled_error() -> None:
    """No row of the table is dead: each is the one that decides at least one labelled line."""
    deciding = {
        place_of(gather(line["error"], **_evidence(line))[0])
        for line in [*LABELLED, *({"error": v["error_message"]} for v in _classify_vectors())]
    }
    idle = [RULES[place].why for place in range(len(RULES)) if place not in deciding]
    assert idle == []


def test_needs_never_hide_a_match() -> None:
    """The literals that spare a search occur in every labelled text that the search matches."""
    hidden: list[tuple[str, str]] = []
    for line in LABELLED:
        text = line["error"].lower()
        hidden.extend(
            (rule.why, line["id"])
            for rule in RULES
            if rule.text is not None
            and rule.text.search(text) is not None
            and not any(need in text for need in rule.needs)
        )
    assert hidden == []


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


def _classify_vectors() -> list[dict[str, Any]]:
    return [line for line in VECTORS if line["fn"] == "classify"]


def _evidence(line: dict[str, Any]) -> dict[str, Any]:
    given = _given(line)
    if "code" in given:
        given["code_given"] = given.pop("code")
    return given
