"""The failure table against labelled texts: what providers say, and what only sounds like it."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from recovery.failures import Failure, assistant_overflow, classifier, classify, only_error
from recovery.failures.false_positives import SHAPES, Shape
from recovery.failures.kinds import Rule
from recovery.failures.rules import RULES
from recovery.failures.sifting import sift
from recovery.failures.table import Classifier

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


@pytest.mark.parametrize("rule", RULES, ids=[rule.name for rule in RULES])
def test_each_rule_decides_its_example(rule: Rule) -> None:
    """No row of the table is dead, and each says why in words of its own."""
    failure = classify(rule.example)
    assert (failure.why.row, failure.kind) == (rule.name, rule.kind)
    assert failure.why.reason == rule.why
    assert failure.why.words
    others = Classifier(row for row in RULES if row is not rule)
    assert others.classify(rule.example).why.row != rule.name


@pytest.mark.parametrize("shape", SHAPES, ids=[shape.name for shape in SHAPES])
def test_each_shape_decides_its_example(shape: Shape) -> None:
    """The shape alone keeps its example from being taken for a provider's error."""
    assert sift(shape.example) is shape
    failure = classify(shape.example)
    assert (failure.kind, failure.source) == ("unknown", "tool")
    assert (failure.why.row, failure.why.reason) == (
        shape.name,
        f"no provider's error: {shape.why}",
    )
    assert classify(shape.example, source="provider").kind != "unknown"


def test_names_and_reasons_are_given_once() -> None:
    """A name stands for one row, and so does a reason."""
    for names in (
        [rule.name for rule in RULES] + [shape.name for shape in SHAPES],
        [rule.why for rule in RULES],
        [shape.why for shape in SHAPES],
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
        and classify(ended + line["error"], **_given(line))
        != classify(line["error"], **_given(line))
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
