"""The recovery machine's operations and values, as its tests write them."""

from __future__ import annotations

import inspect
from typing import Any, NamedTuple

from recovery import machine
from recovery.machine import OVERFLOW_RECOVERY, OVERFLOW_SIGNATURE, TABLE, Table
from recovery.state import Attention, Counters, Fault, RecoveryState


class Op(NamedTuple):
    """One operation on the machine."""

    name: str
    value: Any = None


def run(state: RecoveryState, op: Op, table: Table = TABLE) -> tuple[RecoveryState, Any]:
    """Return the state after ``op`` and what it returned."""
    operation = getattr(machine, op.name)
    takes_table = "table" in inspect.signature(operation).parameters
    keywords: dict[str, Any] = {"table": table} if takes_table else {}
    if op.name in {"persist_user_start", "sync_user_start"}:
        keywords["active"] = op.value
        result = operation(state, **keywords)
    else:
        arguments = () if op.value is None else (op.value,)
        result = operation(state, *arguments, **keywords)
    return result if isinstance(result, tuple) else (result, None)


TRY_X = Op("assistant_error", Fault(signature="x", retryable=True))
TRY_Y = Op("assistant_error", Fault(signature="y", retryable=True))
FATAL = Op("assistant_error", Fault(signature="z"))
OVERFLOW = Op("assistant_error", Fault(signature=OVERFLOW_SIGNATURE, overflow=True))
BEGIN = Op("begin_overflow")
RELEASE = Op("persist_user_start", value=False)
COMPACT = Op("session_compact")
RECOVERING = "host_overflow_recovering"
RECOVERING_USER = "host_overflow_recovering_needs_user_start"
USER = "host_overflow_needs_user_start"
NOTICE = Attention(kind="pending", reason=OVERFLOW_RECOVERY)


def counted(signature: str | None, transient: int = 0, compaction: int = 0) -> Counters:
    """Return counters."""
    return Counters(
        signature=signature, transient_attempts=transient, compaction_attempts=compaction
    )


def state_of(phase: Any = "idle", attention: Any = None, counters: Any = None) -> RecoveryState:
    """Return a state."""
    return RecoveryState(phase=phase, attention=attention, counters=counters or Counters())
