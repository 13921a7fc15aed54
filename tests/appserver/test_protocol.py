"""The words in which a wrong message is refused."""

from __future__ import annotations

from typing import Any

import pytest

from goalfsm.appserver import protocol
from goalfsm.appserver.goals import Asked, asked, origin_of
from goalfsm.appserver.protocol import Params, RequestRejected, error_of

I64 = "expected i64"
VARIANT = "expected string or map"
UUID = "an optional prefix of `urn:uuid:` followed by [0-9a-fA-F-]"
BELOW = -(2**63) - 1


@pytest.mark.parametrize(
    ("params", "text"),
    [
        (None, "Invalid request: missing field `params`"),
        ([], "Invalid request: invalid type: sequence, expected a map"),
        ({"objective": 5}, "Invalid request: invalid type: integer `5`, expected a string"),
        ({"objective": {}}, "Invalid request: invalid type: map, expected a string"),
        ({"tokenBudget": "9"}, 'Invalid request: invalid type: string "9", expected i64'),
        ({"tokenBudget": True}, "Invalid request: invalid type: boolean `true`, expected i64"),
        ({"tokenBudget": BELOW}, f"Invalid request: invalid value: integer `{BELOW}`, {I64}"),
        ({"status": 1.5}, f"Invalid request: invalid type: floating point `1.5`, {VARIANT}"),
        ({"origin": "x"}, "Invalid request: unknown variant `x`, expected `user` or `automatic`"),
        ({"status": "usageLimited"}, "goal status usageLimited is found out and cannot be set"),
    ],
)  # fmt: skip
def test_wrong_parameters_are_refused(params: Any, text: str) -> None:
    with pytest.raises(RequestRejected) as refused:
        asked(Params(params))
    error = {"code": -32600, "message": text}
    assert error_of(1, refused.value) == {"error": error, "id": 1}


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        ("", "invalid length: expected length 32 for simple format, found 0"),
        ("abc", "invalid length: expected length 32 for simple format, found 3"),
        ("a-b", "invalid group count: expected 5, found 2"),
        ("0000-0000-0000-0000-0000", "invalid group length in group 0: expected 8, found 4"),
        (
            "urn:uuid:00000000-0000-0000-0000-00000000000g",
            f"invalid character: expected {UUID}, found `g` at 45",
        ),
    ],
)
def test_what_is_no_thread_id_is_told(given: str, fault: str) -> None:
    with pytest.raises(RequestRejected, match="invalid thread id") as refused:
        protocol.canonical_id(given)
    assert refused.value.message == f"invalid thread id: {fault}"


@pytest.mark.parametrize(
    "given",
    [
        "00000000000070008000000000000ABC",
        "00000000-0000-7000-8000-000000000ABC",
        "{00000000-0000-7000-8000-000000000abc}",
        "urn:uuid:00000000-0000-7000-8000-000000000abc",
    ],
)
def test_a_thread_id_is_any_uuid_however_it_is_written(given: str) -> None:
    assert protocol.canonical_id(given) == "00000000-0000-7000-8000-000000000abc"


def test_parameters_may_come_in_their_order() -> None:
    told = Params(["t", "automatic", "Write", None, 5], "thread/goal/set")
    assert asked(told) == Asked("Write", None, 5, lift=False, origin="system")


def test_a_null_is_a_parameter_that_was_not_given_but_for_the_budget() -> None:
    nothing = asked(Params({"objective": None, "status": None, "origin": None}))
    assert (nothing.objective, nothing.status, nothing.tokens, nothing.lift) == (
        None,
        None,
        None,
        False,
    )
    assert asked(Params({"tokenBudget": None})).lift
    assert origin_of(Params({"origin": "automatic"})) == "system"


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({}, "Invalid request: missing field `input`"),
        ({"input": "x"}, 'Invalid request: invalid type: string "x", expected a sequence'),
        ({"input": [{"type": "image", "url": "x"}]}, "only text can be handed to a goal's turn"),
        ({"input": [{"type": "text"}]}, "Invalid request: missing field `text`"),
    ],
)
def test_what_is_no_text_for_a_turn_is_refused(given: Any, text: str) -> None:
    with pytest.raises(RequestRejected) as refused:
        Params(given).words("input")
    assert refused.value.message == text


def test_a_flag_is_true_or_false() -> None:
    assert Params({"ephemeral": True}).flag("ephemeral")
    assert not Params({}).flag("ephemeral")
    with pytest.raises(RequestRejected, match="expected a boolean"):
        Params({"ephemeral": None, "other": 1}).flag("other")
