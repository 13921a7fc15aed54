"""Usage and budgets: what is charged to which goal, when a budget is crossed, what runs came to."""

from __future__ import annotations

from math import isfinite
from typing import Literal

import msgspec

from goalfsm.goal.model import ACTIVE, LIMITED, MAX_COUNT, Goal, Limit, Usage, used_up

RunOutcome = Literal["open", "finished", "failed", "aborted", "timed_out", "interrupted"]


class Ledger(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """All usage that was ever reported to the thread, charged or not.

    Each row of it is in the journal; these are the sums. ``uncharged`` counts by reason.
    """

    reported: Usage = Usage()
    charged_tokens: int = 0
    charged_cost: int = 0
    uncharged: dict[str, int] = {}


class RunRecord(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One run of a goal, open or over; ``turn`` is the number of the goal's turn, from 1."""

    run_id: str
    turn: int
    started_ms: int
    ended_ms: int | None = None
    outcome: RunOutcome = "open"
    wind_down: bool = False


class Tally(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What the runs of a goal came to, added up since its beginning, or since ``since_ms``.

    ``refused_claims`` failed verification or were rejected by a person. ``ledger_before`` is what
    the thread's ledger held when the counting began.
    """

    runs: int = 0
    finished: int = 0
    interrupted: int = 0
    refused_claims: int = 0
    last_run: RunRecord | None = None
    ledger_before: Usage = Usage()
    since_ms: int | None = None


class Clock(msgspec.Struct, frozen=True, gc=False):
    """Whose active time is being measured, and up to when it has been charged.

    While it stands still it keeps ``remainder_ms`` for the goal that it ran for last: turns of less
    than a second add up.
    """

    goal_id: str | None = None
    last_ms: int | None = None
    remainder_ms: int = 0
    kept_for: str | None = None


STOPPED_CLOCK = Clock()


class Charge(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The goal after a charge, whether anything changed, and whether a budget was crossed."""

    goal: Goal | None
    changed: bool = False
    crossed: Limit | None = None


def whole(delta: float) -> int:
    """Return ``delta`` truncated to an integer between 0 and ``MAX_COUNT``; not a number is 0."""
    if delta != delta or delta <= 0:  # noqa: PLR0124  the test for not-a-number
        return 0
    return min(int(delta), MAX_COUNT) if isfinite(delta) else MAX_COUNT


def counted(usage: Usage) -> Usage:
    """Return ``usage`` with 0 for what cannot be a count: a figure below 0."""
    figures = usage.input_tokens, usage.output_tokens, usage.cached_tokens, usage.cost
    if min(figures) >= 0:
        return usage
    tokens_in, tokens_out, cached, cost = (max(0, figure) for figure in figures)
    return Usage(input_tokens=tokens_in, output_tokens=tokens_out, cached_tokens=cached, cost=cost)


def tokens_of(usage: Usage, cached_weight: float = 0.0) -> int:
    """Return the tokens that ``usage`` charges: input, output and the weighted cached share."""
    cached = whole(usage.cached_tokens * cached_weight) if cached_weight else 0
    return usage.input_tokens + usage.output_tokens + cached


def apply_usage(  # noqa: PLR0913  the charge is what it is
    goal: Goal | None,
    *,
    now: int,
    tokens: float = 0,
    seconds: float = 0,
    cost: float = 0,
    expected_goal_id: str | None = None,
    account_limited: bool = False,
) -> Charge:
    """Return ``goal`` after a charge at ``now`` (unix seconds).

    Deltas are truncated and floored at 0. A goal is charged while it is active, and in its
    wind-down turn (``account_limited``). Another goal than ``expected_goal_id`` is never charged.
    """
    if goal is None or (expected_goal_id is not None and goal.goal_id != expected_goal_id):
        return Charge(goal=goal)
    if goal.status != ACTIVE and not (account_limited and goal.status == LIMITED):
        return Charge(goal=goal)
    more_tokens = whole(tokens) if tokens else 0
    more_seconds = whole(seconds) if seconds else 0
    more_cost = whole(cost) if cost else 0
    if not (more_tokens or more_seconds or more_cost):
        return Charge(goal=goal)
    charged = msgspec.structs.replace(
        goal,
        tokens_used=min(MAX_COUNT, goal.tokens_used + more_tokens),
        active_seconds=min(MAX_COUNT, goal.active_seconds + more_seconds),
        cost_used=min(MAX_COUNT, goal.cost_used + more_cost),
        updated_at=now,
    )
    exhausted: Limit | None = used_up(charged) if charged.status == ACTIVE else None
    if exhausted is None:
        return Charge(goal=charged, changed=True)
    return Charge(
        goal=msgspec.structs.replace(charged, status=LIMITED, limited_by=exhausted),
        changed=True,
        crossed=exhausted if used_up(goal) is None else None,
    )


def elapsed(clock: Clock, now_ms: int) -> tuple[int, Clock]:
    """Return the whole seconds since the last charge, and the clock with the rest carried.

    A clock that jumped back charges nothing and goes on from the new time.
    """
    if clock.last_ms is None:
        return 0, clock
    passed = max(0, now_ms - clock.last_ms) + clock.remainder_ms
    return passed // 1000, Clock(clock.goal_id, now_ms, passed % 1000)


def stopped(clock: Clock) -> Clock:
    """Return the clock standing still, its rest kept for the goal that it ran for."""
    if clock.goal_id is None:
        return clock
    return Clock(remainder_ms=clock.remainder_ms, kept_for=clock.goal_id)


def started(clock: Clock, goal_id: str, now_ms: int) -> Clock:
    """Return the clock running for a goal from ``now_ms``, with the goal's own rest."""
    same = goal_id in {clock.goal_id, clock.kept_for}
    return Clock(goal_id, now_ms, clock.remainder_ms if same else 0)


def live(goal: Goal | None, clock: Clock, now_ms: int) -> Goal | None:
    """Return ``goal`` as a person should see it now, running seconds included."""
    if goal is None or goal.status != ACTIVE or clock.goal_id != goal.goal_id:
        return goal
    seconds, _ = elapsed(clock, now_ms)
    if not seconds:
        return goal
    return msgspec.structs.replace(goal, active_seconds=goal.active_seconds + seconds)
