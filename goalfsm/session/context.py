"""What one decision is given besides the session and the event, and what it returns."""

from __future__ import annotations

from datetime import tzinfo
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, Protocol

import msgspec

from goalfsm.session.continuation import GUARDS, Guard
from goalfsm.session.effects import Effect
from goalfsm.session.state import Decision, Reply, Session
from recovery.machine import TABLE as PHASES
from recovery.machine import Table as Phases
from recovery.stale_work import TABLE as LIFECYCLE
from recovery.stale_work import Table as Lifecycle

if TYPE_CHECKING:
    from goalfsm.goal.machine import GoalMachine


class Ids(Protocol):
    """Where new ids come from; given, so that the same inputs give the same session."""

    def __call__(self, kind: Literal["goal", "claim"]) -> str:
        """Return a new id of ``kind``."""
        ...


class Zones(Protocol):
    """Where time zones come from; given, because they are read from files."""

    def __call__(self, name: str) -> tzinfo | None:
        """Return the zone of that name; None when it is not known."""
        ...


class Rules(NamedTuple):
    """The rules that decisions are taken by, one for each machine; by default they are ours.

    ``machine`` moves goals (None: the default one), ``phases`` recovery, ``lifecycle`` stale work,
    and the first of the ``guards`` that holds decides whether work goes on.
    """

    machine: GoalMachine | None = None
    phases: Phases = PHASES
    lifecycle: Lifecycle = LIFECYCLE
    guards: tuple[Guard, ...] = GUARDS


OUR_RULES: Final = Rules()


class Context(NamedTuple):
    """What the world gives to one decision: the time (unix ms), ids, jitter in [0, 1), the rules.

    ``zones`` reads the time zones in what providers say of resets; without it such times are not
    understood.
    """

    now_ms: int
    ids: Ids
    jitter: float = 0.0
    zones: Zones | None = None
    rules: Rules = OUR_RULES

    @property
    def now(self) -> int:
        """Return the time in unix seconds."""
        return self.now_ms // 1000

    @property
    def machine(self) -> GoalMachine:
        """Return the goal machine that decides."""
        if self.rules.machine is not None:
            return self.rules.machine
        # Only who decides compiles it: whoever looks at a session loads less.
        from goalfsm.goal.machine import default_machine  # noqa: PLC0415

        return default_machine()


class Change(msgspec.Struct, frozen=True, gc=False):
    """What one concern made of an event: the session after it, effects in order, a reply.

    ``decide``: work may go on, the decision is to be taken. ``skipped``: the event was owed by
    stale work, nobody else reads it.
    """

    session: Session
    effects: tuple[Effect, ...] = ()
    reply: Reply | None = None
    decide: bool = False
    skipped: bool = False


class Step(NamedTuple):
    """What ``handle`` returns."""

    session: Session
    effects: tuple[Effect, ...] = ()
    reply: Reply | None = None
    decision: Decision | None = None
