"""The goal's tools: what a model may ask for, what is refused and why, what it is told."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from goalfsm.goal.model import (
    MAX_ITEMS,
    MAX_TEXT_LENGTH,
    Evidence,
    Rejection,
)
from goalfsm.session.tool_requests import (
    ClaimBlocked,
    ClaimComplete,
    CreateGoal,
    DeclareWait,
    GetGoal,
    ToolRequest,
    parse,
)
from goalfsm.session.tools import TOOLS, canonical

NOW_MS = 1_800_000_000_000
NAMES = [tool.name for tool in TOOLS]


@pytest.mark.parametrize(
    ("name", "arguments", "asked"),
    [
        ("get_goal", {}, GetGoal()),
        ("create_goal", {"objective": " ship it\n"}, CreateGoal(objective="ship it")),
        (
            "create_goal",
            {"objective": "x", "token_budget": 7},
            CreateGoal(objective="x", token_budget=7),
        ),
        (
            "create_goal",
            {"objective": "x", "token_budget": 7.0},
            CreateGoal(objective="x", token_budget=7),
        ),
        ("create_goal", {"objective": "x", "token_budget": None}, CreateGoal(objective="x")),
        ("update_goal", {"status": "complete"}, ClaimComplete()),
        ("update_goal", {"status": "complete", "evidence": [], "reason": ""}, ClaimComplete()),
        ("update_goal", {"status": "complete", "evidence": None}, ClaimComplete()),
        (
            "update_goal",
            {
                "status": "complete",
                "evidence": [" a ", {"text": "b"}, {"text": "c", "criterion": 2}],
            },
            ClaimComplete(
                evidence=(
                    Evidence(text="a"),
                    Evidence(text="b"),
                    Evidence(text="c", criterion=2),
                )
            ),
        ),
        (
            "update_goal",
            {"status": "complete", "evidence": [{"text": "d", "criterion": None}]},
            ClaimComplete(evidence=(Evidence(text="d"),)),
        ),
        ("update_goal", {"status": "blocked"}, ClaimBlocked()),
        ("update_goal", {"status": "blocked", "reason": None, "evidence": []}, ClaimBlocked()),
        (
            "update_goal",
            {"status": "blocked", "reason": " no login "},
            ClaimBlocked(reason="no login"),
        ),
    ],
)
def test_call_is_parsed(name: str, arguments: dict[str, Any], asked: object) -> None:
    assert parse(name, arguments) == asked


COMPLETE = {"status": "complete"}


@pytest.mark.parametrize(
    ("name", "arguments", "code", "message", "hint"),
    [
        ("pause_goal", {}, "unknown_tool", "no tool pause_goal", "create_goal, get_goal, update"),
        ("", {}, "unknown_tool", "there is no tool ", "the tools are"),
        ("get_goal", {"id": 1}, "unknown_argument", "get_goal has no argument id", "no arguments"),
        (
            "update_goal",
            {**COMPLETE, "token_budget": 5},
            "unknown_argument",
            "update_goal has no argument token_budget",
            "it takes status, evidence, reason",
        ),
        ("create_goal", {}, "objective_empty", "empty", "sentence"),
        ("create_goal", {"objective": "  "}, "objective_empty", "empty", "sentence"),
        ("create_goal", {"objective": "x" * 8_001}, "objective_too_long", "8,001", "file"),
        ("create_goal", {"objective": 5}, "argument_invalid", "objective", "give a text"),
        (
            "create_goal",
            {"objective": "x", "token_budget": 0},
            "budget_invalid",
            "positive whole number",
            "leave the budget out",
        ),
        ("create_goal", {"objective": "x", "token_budget": "9"}, "budget_invalid", "", ""),
        ("create_goal", {"objective": "x", "token_budget": True}, "budget_invalid", "", ""),
        ("update_goal", {}, "argument_missing", "status is missing", '"complete" or "blocked"'),
        ("update_goal", {"status": None}, "argument_missing", "status is missing", "blocked"),
        (
            "update_goal",
            {"status": "paused"},
            "status_not_allowed",
            "cannot set the status paused",
            "belongs to the person",
        ),
        ("update_goal", {"status": "active"}, "status_not_allowed", "active", "person"),
        ("update_goal", {"status": ["complete"]}, "status_not_allowed", "['complete']", "person"),
        (
            "update_goal",
            {**COMPLETE, "reason": "r"},
            "argument_invalid",
            "the reason does not fit",
            'it goes with "blocked"',
        ),
        (
            "update_goal",
            {"status": "blocked", "evidence": ["x"]},
            "argument_invalid",
            "the evidence does not fit",
            'it goes with "complete"',
        ),
        ("update_goal", {"status": "blocked", "reason": 3}, "argument_invalid", "reason", "text"),
        ("update_goal", {"status": "blocked", "reason": " "}, "text_empty", "reason", ""),
        (
            "update_goal",
            {"status": "blocked", "reason": "x" * (MAX_TEXT_LENGTH + 1)},
            "text_too_long",
            "16,001",
            "",
        ),
        ("update_goal", {**COMPLETE, "evidence": "done"}, "argument_invalid", "evidence", "list"),
        ("update_goal", {**COMPLETE, "evidence": [3]}, "argument_invalid", "evidence", "objects"),
        ("update_goal", {**COMPLETE, "evidence": [{}]}, "argument_invalid", "evidence's text", ""),
        (
            "update_goal",
            {**COMPLETE, "evidence": [{"text": "a", "proof": 1}]},
            "argument_invalid",
            "evidence",
            "objects",
        ),
        ("update_goal", {**COMPLETE, "evidence": [" "]}, "text_empty", "the evidence is empty", ""),
        (
            "update_goal",
            {**COMPLETE, "evidence": ["x" * (MAX_TEXT_LENGTH + 1)]},
            "text_too_long",
            "16,001",
            "",
        ),
        (
            "update_goal",
            {**COMPLETE, "evidence": ["x"] * (MAX_ITEMS + 1)},
            "too_many_items",
            "101 pieces of evidence, 100 are allowed",
            "sum",
        ),
        *(
            (
                "update_goal",
                {**COMPLETE, "evidence": [{"text": "a", "criterion": criterion}]},
                "argument_invalid",
                "criterion",
                "a number from 1",
            )
            for criterion in (0, -1, MAX_ITEMS + 1, "1", 1.0, True)
        ),
    ],
)
def test_call_is_refused(
    name: str, arguments: dict[str, Any], code: str, message: str, hint: str
) -> None:
    """Each refusal says what is wrong and what to do about it."""
    refused = parse(name, arguments)
    assert isinstance(refused, Rejection)
    assert refused.code == code
    assert message in refused.message
    assert hint in refused.hint
    assert refused.hint


def test_hostile_name_is_shown_short_and_on_one_line() -> None:
    refused = parse("\x1b[2J\n" + "x" * 5_000, {})
    assert isinstance(refused, Rejection)
    assert len(refused.message) < 150
    assert not set("\x1b\n") & set(refused.message)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "spelled", ["{}", "goalfsm.{}", "mcp__goalfsm__{}", "functions.goalfsm/{}", "goalfsm:{}"]
)
def test_namespaced_name_is_the_same_tool(name: str, spelled: str) -> None:
    assert canonical(spelled.format(name)) == name
    refused = parse(spelled.format(name), {"surprise": 1})
    assert isinstance(refused, Rejection)
    assert refused.message == f"{name} has no argument surprise"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=6,
)
ARGUMENTS = ["objective", "token_budget", "status", "evidence", "reason", "surprise"]


@given(
    st.sampled_from([*NAMES, "other"]),
    st.dictionaries(st.sampled_from(ARGUMENTS), JSON | st.sampled_from(["complete", "blocked"])),
)
def test_parsing_never_raises(name: str, arguments: dict[str, Any]) -> None:
    parsed = parse(name, arguments)
    assert isinstance(parsed, Rejection | ToolRequest)


@pytest.mark.parametrize(
    ("arguments", "asked"),
    [
        ({"for": "timer", "seconds": 90}, DeclareWait(kind="timer", seconds=90)),
        ({"for": "event", "seconds": 0.5}, DeclareWait(kind="event", seconds=0.5)),
        ({"for": "person", "note": " a key "}, DeclareWait(kind="person", note="a key")),
        (
            {"for": "process", "pid": 12, "start_time": "s"},
            DeclareWait(kind="process", pid=12, start_time="s"),
        ),
    ],
)
def test_a_wait_is_parsed(arguments: dict[str, Any], asked: DeclareWait) -> None:
    assert parse("wait", arguments) == asked


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ({}, "argument_invalid"),
        ({"for": "rain"}, "argument_invalid"),
        ({"for": "timer"}, "argument_missing"),
        ({"for": "timer", "seconds": 0}, "argument_invalid"),
        ({"for": "timer", "seconds": True}, "argument_invalid"),
        ({"for": "timer", "seconds": 1e12}, "argument_invalid"),
        ({"for": "timer", "seconds": 5, "pid": 7}, "argument_invalid"),
        ({"for": "process"}, "argument_invalid"),
        ({"for": "process", "pid": 0}, "argument_invalid"),
        ({"for": "process", "pid": True}, "argument_invalid"),
        ({"for": "process", "pid": 7, "start_time": 5}, "argument_invalid"),
        ({"for": "person", "note": 5}, "argument_invalid"),
        ({"for": "person", "note": "x" * (MAX_TEXT_LENGTH + 1)}, "text_too_long"),
    ],
)
def test_a_wait_that_says_nothing_sensible_is_refused(arguments: dict[str, Any], code: str) -> None:
    refused = parse("wait", arguments)
    assert isinstance(refused, Rejection)
    assert refused.code == code
    assert refused.hint


@pytest.mark.parametrize("tool", TOOLS, ids=NAMES)
def test_definition_is_plain_json_of_a_closed_object(tool: Any) -> None:
    """Hosts pass the schema on as it is; what it names is what the parser takes."""
    schema = msgspec.json.decode(msgspec.json.encode(tool))["parameters"]
    assert schema["type"] == "object"
    assert schema["additionalProperties"] is False
    assert set(schema.get("required", ())) <= set(schema["properties"])
    for name in schema["properties"]:
        refused = parse(tool.name, {name: {"no": "such value"}})
        assert isinstance(refused, Rejection)
        assert refused.code != "unknown_argument"


def test_model_may_claim_two_statuses_and_no_other() -> None:
    (update,) = [tool for tool in TOOLS if tool.name == "update_goal"]
    assert update.parameters["properties"]["status"]["enum"] == ["complete", "blocked"]
