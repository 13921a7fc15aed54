"""The recorded sequences of the recovery machine, replayed with any table."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from recovery import machine
from recovery.machine import OVERFLOW_SIGNATURE, Table
from recovery.state import CALM, Fault, RecoveryState
from tests.recovery.recovery_operations import Op, run

if TYPE_CHECKING:
    from collections.abc import Iterator


VECTORS = Path(__file__).parents[1] / "conformance" / "vectors" / "recovery_machine.jsonl"

TRANSIENT = (
    "429 rate limited",
    "500 upstream connect <n>",
    "Overloaded",
    "ThrottlingException: Too many tokens, rate limit",
    "call req_<id> failed: internal error",
    "fetch failed",
    "websocket closed",
)
FAULTS: Final = {
    "500 upstream connect 12345678": Fault(signature="500 upstream connect <n>", retryable=True),
    "call req_abc123 failed: internal error": Fault(
        signature="call req_<id> failed: internal error", retryable=True
    ),
    "context_length_exceeded": Fault(signature=OVERFLOW_SIGNATURE, overflow=True),
    "prompt is too long: 213462 tokens > 200000 maximum": Fault(
        signature=OVERFLOW_SIGNATURE, overflow=True
    ),
    **{text: Fault(signature=text, retryable=True) for text in TRANSIENT},
    **{text: Fault(signature=text) for text in ("", "insufficient_quota", "invalid api key")},
}


def recorded_op(step: dict[str, Any]) -> Op:
    """Return the operation of a recorded step."""
    match step["op"]:
        case "assistant_error":
            return Op("assistant_error", FAULTS[step["error_message"]])
        case "turn_finished":
            return Op("turn_finished", step["stop_reason"])
        case "persist_user_start" | "sync_user_start":
            return Op(step["op"], step["value"])
        case "set_pending" | "set_paused":
            return Op(step["op"], step["reason"])
        case name:
            return Op(name)


def shown(op: Op, state: RecoveryState, returned: Any) -> dict[str, Any]:
    """Return a step's outcome in the recorded shape."""
    if op.name in {"begin_overflow", "require_user_start"}:
        returned = {"persist_user_start": returned}
    elif op.name == "persist_user_start":
        returned = {"changed": returned}
    return {
        "returned": msgspec.to_builtins(returned),
        **msgspec.to_builtins(state),
        "blocks_continuation": machine.blocks_continuation(state),
        "needs_user_start": machine.needs_user_start(state),
        "start_turn": machine.start_turn(state),
        "repeat_overflow_due": machine.repeat_overflow_due(state),
    }


@cache
def recorded() -> tuple[tuple[Any, tuple[tuple[Op, dict[str, Any]], ...]], ...]:
    """Return (id, steps) of every recorded sequence."""
    lines = map(msgspec.json.decode, VECTORS.read_text(encoding="utf-8").splitlines())
    return tuple(
        (line["id"], tuple((recorded_op(step), step["expect"]) for step in line["steps"]))
        for line in lines
    )


def replay(table: Table) -> Iterator[str]:
    """Yield where ``table`` departs from the recorded sequences."""
    for sequence, steps in recorded():
        state = CALM
        for number, (op, expected) in enumerate(steps):
            state, returned = run(state, op, table)
            if shown(op, state, returned) != expected:
                yield f"recovery_machine[{sequence}] step {number}: {op} gave {state}"
                return
