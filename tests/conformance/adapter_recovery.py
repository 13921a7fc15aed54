"""Replays the recovery vectors: names are translated, nothing is decided."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from recovery import failures, machine, obligations, stale_work
from recovery.state import CALM, Fault, RecoveryState

_EVENT: Any = msgspec.json.Decoder(obligations.Event)


def _classified(message: str) -> Fault:
    failure = failures.classify(message)
    return Fault(
        signature=failure.signature,
        overflow=failure.kind == "overflow",
        retryable=failure.retryable,
    )


def failure(line: dict[str, Any]) -> Any:
    """Classify a text, or tell whether an answer overflowed."""
    if line["fn"] == "classify":
        fault = _classified(line["error_message"])
        return {
            "overflow": fault.overflow,
            "retryable": fault.retryable,
            "signature": fault.signature,
        }
    message, usage = line["message"], line["message"]["usage"]
    return failures.assistant_overflow(
        stop_reason=message["stop_reason"],
        usage_input=usage["input"],
        usage_output=usage["output"],
        cache_read=usage["cache_read"],
        error_message=message["error_message"],
        context_window=line["context_window"],
    )


def _operate(state: RecoveryState, step: dict[str, Any]) -> tuple[Any, Any]:  # noqa: PLR0911
    match step["op"]:
        case "assistant_error":
            return machine.assistant_error(state, _classified(step["error_message"]))
        case "silent_overflow":
            return machine.silent_overflow(state)
        case "turn_finished":
            return machine.turn_finished(state, step["stop_reason"])
        case "begin_overflow" | "require_user_start" as op:
            state, persist = getattr(machine, op)(state)
            return state, {"persist_user_start": persist}
        case "persist_user_start":
            state, changed = machine.persist_user_start(state, active=step["value"])
            return state, {"changed": changed}
        case "sync_user_start":
            return machine.sync_user_start(state, active=step["value"]), None
        case "set_pending" | "set_paused" as op:
            return getattr(machine, op)(state, step["reason"]), None
        case op:
            return getattr(machine, op)(state), None


def recovery_machine(line: dict[str, Any]) -> tuple[list[Any], list[Any]]:
    """Run the operations of one line."""
    state = CALM
    got = []
    for step in line["steps"]:
        state, returned = _operate(state, step)
        got.append(
            {
                "returned": msgspec.to_builtins(returned),
                "counters": msgspec.to_builtins(state.counters),
                "attention": msgspec.to_builtins(state.attention),
                "phase": state.phase,
                "blocks_continuation": machine.blocks_continuation(state),
                "needs_user_start": machine.needs_user_start(state),
                "start_turn": machine.start_turn(state),
                "repeat_overflow_due": machine.repeat_overflow_due(state),
            }
        )
    return got, [step["expect"] for step in line["steps"]]


def stale(line: dict[str, Any]) -> tuple[list[Any], list[Any]]:
    """Run the events of one line."""
    state: obligations.State = obligations.IDLE
    got = []
    for step in line["steps"]:
        event = _EVENT.decode(msgspec.json.encode(step["event"]))
        state, plan = (reduced := stale_work.reduce(state, event)).state, reduced.plan
        got.append(json.loads(msgspec.json.encode({"state": state, "plan": plan})))
    return got, [step["expect"] for step in line["steps"]]
