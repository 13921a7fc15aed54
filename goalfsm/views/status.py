"""The one projection of a session that every surface shows; none computes its own.

Times are unix seconds unless the name ends in ``_ms``; costs are integer millionths. The run's
token is not in it: whoever reads a status must not be able to act as the run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

import msgspec

from goalfsm.errors import Remedy
from goalfsm.goal.accounting import live
from goalfsm.goal.model import ACTIVE, BLOCKED, COMPLETE, LIMITED, PAUSED, Goal, Usage
from goalfsm.session.continuation import Progress, budget_lines, max_continuations, progress
from goalfsm.session.state import SET_ASIDE_BY, Retry, Wait
from goalfsm.text import line
from goalfsm.views.activity import ActivityKind, hint, remedies, standing
from goalfsm.views.parts import (
    BlockedClaims,
    Driver,
    LastDecision,
    OpenClaim,
    OpenQueued,
    OpenRun,
    OpenWord,
    last_decision,
    open_claim,
    open_queue,
    open_run,
    open_words,
)
from recovery.state import Attention

if TYPE_CHECKING:
    from goalfsm.session.state import Session, SetAside

Label = Literal[
    "pursuing",
    "paused",
    "blocked",
    "budget_limited",
    "complete",
    "recovery_pending",
    "needs_attention",
]


class StatusLine(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The goal in one word, and why, where somebody has to know that."""

    label: Label
    reason: str | None = None


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """One thread, as every surface shows it.

    ``usage`` is all that workers reported, charged or not; ``uncharged`` counts the rest of its
    tokens by reason. ``hint`` is the command that takes the work on, ``remedies`` are the same as
    data, none where an engine has to be started. ``driver`` is the process that works on the
    database, None where nobody has asked; when it is dead no turn runs and no time passes.
    ``toothless`` names the budgets that can never be used up, because the worker reports no such
    use. ``set_aside`` says which claim came to nothing, and why. ``left_unread`` is what a
    person had said and no turn had taken into account when the goal was completed. ``queue`` are
    the goals that come after this one; ``advances``: the thread goes on to them by itself.
    ``record`` is the file with the record of a complete goal, "" where none is known of.
    """

    thread_id: str
    goal: Goal | None
    activity: str
    activity_kind: ActivityKind
    detail: str
    until_ms: int | None
    hint: str
    remedies: tuple[Remedy, ...]
    status_line: StatusLine | None
    progress: Progress | None
    last_decision: LastDecision | None
    run: OpenRun | None
    claim: OpenClaim | None
    waits: tuple[Wait, ...]
    retry: Retry | None
    blocked_claims: BlockedClaims
    attention: Attention | None
    steering_pending: int
    words: tuple[OpenWord, ...]
    left_unread: tuple[str, ...]
    queue: tuple[OpenQueued, ...]
    advances: bool
    set_aside: str
    toothless: tuple[str, ...]
    driver: Driver | None
    notices: tuple[str, ...]
    usage: Usage
    uncharged: dict[str, int]
    shutting_down: bool
    record: str = ""

    @property
    def waiting_messages(self) -> tuple[str, ...]:
        """Return the messages of a person that no turn has got yet."""
        return tuple(said.text for said in self.words if said.kind == "message" and not said.got)


def project(
    session: Session,
    now_ms: int,
    *,
    thread_id: str = "",
    driver: Driver | None = None,
    held: str = "",
) -> Status:
    """Return everything that a surface may show of ``session`` at ``now_ms``.

    ``driver`` says which process works on the thread; without it one is taken to, but for what
    ``held`` says that it is kept from.
    """
    dead = driver is not None and not driver.works
    goal = session.goal if dead else live(session.goal, session.clock, now_ms)
    now, advice = standing(session, driver, held)
    return Status(
        thread_id=thread_id,
        goal=None if goal is None else _with_limit(goal, session),
        activity=now.text,
        activity_kind=now.kind,
        detail=now.detail,
        until_ms=now.until_ms,
        hint=advice,
        remedies=remedies(session) if advice == hint(session) else (),
        status_line=status_line(session),
        progress=None if goal is None else progress(goal, session.policy),
        last_decision=last_decision(session),
        run=None if dead else open_run(session, now_ms),
        claim=open_claim(session),
        waits=session.waits,
        retry=_retries(session.retry),
        blocked_claims=BlockedClaims(
            count=session.blocking.count,
            needed=session.policy.blocked_after,
            reason=session.blocking.reason,
        ),
        attention=session.recovery.attention,
        steering_pending=len(session.steering),
        words=open_words(session),
        left_unread=_left_unread(session),
        queue=open_queue(session),
        advances=session.policy.advance,
        set_aside="" if session.set_aside is None else why_set_aside(session.set_aside),
        toothless=toothless(session),
        driver=driver,
        notices=session.notices,
        usage=session.ledger.reported,
        uncharged=session.ledger.uncharged,
        shutting_down=session.stopping,
    )


def _retries(retry: Retry) -> Retry | None:
    """Return the retries that are going on, None when there are none."""
    return retry if retry.attempts or retry.at_ms is not None else None


def _left_unread(session: Session) -> tuple[str, ...]:
    goal, done = session.goal, session.completion
    return done.unread if done is not None and goal is not None and goal.status == COMPLETE else ()


_LABELS: Final[dict[str, Label]] = {
    ACTIVE: "pursuing",
    PAUSED: "paused",
    BLOCKED: "blocked",
    LIMITED: "budget_limited",
    COMPLETE: "complete",
}


def _with_limit(goal: Goal, session: Session) -> Goal:
    """Return the goal with the limit of continuations that holds for it; 0 is none."""
    most = max_continuations(goal, session.policy)
    return msgspec.structs.replace(goal, max_continuations=most or 0)


def status_line(session: Session) -> StatusLine | None:
    """Return the goal's label; None without a goal.

    Attention outranks the status until somebody acts: also of a goal that was blocked meanwhile.
    """
    goal = session.goal
    if goal is None:
        return None
    attention = session.recovery.attention
    if attention is None:
        return StatusLine(label=_LABELS[goal.status])
    label: Label = "recovery_pending" if attention.kind == "pending" else "needs_attention"
    return StatusLine(label=label, reason=attention.reason)


def toothless(session: Session) -> tuple[str, ...]:
    """Return the budgets that can never be used up: a turn ended, and none reported such use.

    A turn that was cut off says nothing of what its worker reports.
    """
    goal, reported, progress = session.goal, session.ledger.reported, session.progress
    if goal is None or not (progress.last_answer or progress.empty):
        return ()
    used = (
        ("tokens", goal.token_budget, reported.input_tokens + reported.output_tokens),
        ("cost", goal.cost_budget, reported.cost),
    )
    return tuple(name for name, budget, use in used if budget is not None and not use)


def why_set_aside(aside: SetAside) -> str:
    """Return in words which claim was set aside, and by what."""
    said = f": {aside.text}" if aside.text else ""
    return f"claim {aside.claim_id}, when {SET_ASIDE_BY[aside.by]}{said}"


def summary(status: Status) -> str:
    """Return the status on one line: what goes on, why, and the use against the budgets."""
    text = f"{status.activity}: {line(status.detail)}" if status.detail else status.activity
    used = () if status.progress is None else budget_lines(status.progress)
    queued = (f"{len(status.queue)} queued",) if status.queue else ()
    return " · ".join((text, *used, *queued))
