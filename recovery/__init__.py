"""What went wrong and what to do about it: failures, the recovery machine, stale queued work.

Pure functions over immutable values; knows nothing of goals.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from recovery.failures import (
    Failure,
    Kind,
    Rule,
    Source,
    Why,
    assistant_overflow,
    classify,
    only_error,
)
from recovery.machine import PHASE_TRANSITIONS, PHASES
from recovery.retry import GiveUp, Retry, RetryPolicy, next_attempt
from recovery.stale_work import IDLE, LIFECYCLE, Plan, Reduction, reduce
from recovery.state import CALM, Attention, Counters, Fault, Noop, Pause, Pending, RecoveryState

if TYPE_CHECKING:
    from recovery.failures.rules import RULES
    from recovery.failures.table import Classifier, load_rules

__all__ = [
    "CALM",
    "IDLE",
    "LIFECYCLE",
    "PHASES",
    "PHASE_TRANSITIONS",
    "RULES",
    "Attention",
    "Classifier",
    "Counters",
    "Failure",
    "Fault",
    "GiveUp",
    "Kind",
    "Noop",
    "Pause",
    "Pending",
    "Plan",
    "RecoveryState",
    "Reduction",
    "Retry",
    "RetryPolicy",
    "Rule",
    "Source",
    "Why",
    "assistant_overflow",
    "classify",
    "load_rules",
    "next_attempt",
    "only_error",
    "reduce",
]

# The table is compiled where it is asked for: most programs never meet a failure.
_LATER: Final = {
    "RULES": "recovery.failures.rules",
    "Classifier": "recovery.failures.table",
    "load_rules": "recovery.failures.table",
}


def __getattr__(name: str) -> Any:
    """Return a public name of the failure table, which is loaded with the first use of one."""
    if name in _LATER:
        return getattr(import_module(_LATER[name]), name)
    message = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(message)
