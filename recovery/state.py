"""What the recovery machine knows of a thread, what it is told, and what it answers.

Three things that move apart from each other: ``Counters`` of failures since the last success,
``Attention`` for a person, and the ``phase`` of recovery from a context overflow.
"""

from __future__ import annotations

from typing import Final, Literal, Protocol, TypeAlias

import msgspec

PhaseName: TypeAlias = Literal[
    "idle",
    "host_overflow_recovering",
    "host_overflow_needs_user_start",
    "host_overflow_recovering_needs_user_start",
]


class Classified(Protocol):
    """What the machine needs of a classified error; ``recovery.failures`` produces such values."""

    @property
    def overflow(self) -> bool:
        """Return whether the context window was exceeded."""

    @property
    def retryable(self) -> bool:
        """Return whether the same request may succeed later."""

    @property
    def signature(self) -> str:
        """Return the text that is equal for equal failures."""


class Fault(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The smallest classified error."""

    signature: str
    overflow: bool = False
    retryable: bool = False


class Counters(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Failures since the last success: the last one's signature, and attempts to recover."""

    signature: str | None = None
    transient_attempts: int = 0
    compaction_attempts: int = 0


class Attention(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What a person should know: recovery is ``pending``, or ``paused`` until they act."""

    kind: Literal["pending", "paused"]
    reason: str


class RecoveryState(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The whole state of the recovery machine; the default is a thread without trouble."""

    counters: Counters = Counters()
    attention: Attention | None = None
    phase: PhaseName = "idle"


class Noop(msgspec.Struct, frozen=True, kw_only=True, gc=False, tag_field="type", tag="noop"):
    """Nothing to show: the host compacts and goes on by itself."""


class Pending(msgspec.Struct, frozen=True, kw_only=True, gc=False, tag_field="type", tag="pending"):
    """Another attempt follows; show that recovery is pending."""

    reason: str


class Pause(msgspec.Struct, frozen=True, kw_only=True, gc=False, tag_field="type", tag="pause"):
    """No further attempt helps: pause the goal and ask for attention."""

    reason: str


Action: TypeAlias = Noop | Pending | Pause
StartTurn: TypeAlias = Literal["hidden_follow_up", "user_follow_up"]

CALM: Final = RecoveryState()
NO_FAILURES: Final = Counters()
