"""What went wrong and what to do about it: failures, the recovery machine, stale queued work.

Pure functions over immutable values; knows nothing of goals.
"""

from recovery.failures import Failure, Kind, assistant_overflow, classify
from recovery.machine import PHASE_TRANSITIONS, PHASES
from recovery.retry import GiveUp, Retry, RetryPolicy, next_attempt
from recovery.stale_events import IDLE, Plan, Reduction
from recovery.stale_work import LIFECYCLE, reduce
from recovery.state import CALM, Attention, Counters, Fault, Noop, Pause, Pending, RecoveryState

__all__ = [
    "CALM",
    "IDLE",
    "LIFECYCLE",
    "PHASES",
    "PHASE_TRANSITIONS",
    "Attention",
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
    "assistant_overflow",
    "classify",
    "next_attempt",
    "reduce",
]
