"""Durable backoff: when the next attempt is due, computed from what is stored and given.

Nothing here looks at a clock or draws a number: a restart that gives the same values gets the same
answer, so the time of the next attempt can be stored and found again.
"""

from __future__ import annotations

import math

import msgspec


class RetryPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """How attempts are spaced; durations in seconds.

    The wait after attempt ``n`` is ``initial * multiplier ** (n - 1)``, at most ``maximum``, plus
    up to ``jitter`` (a share of the wait, 0 to 1), so that many that failed together do not return
    together. No attempt is made later than ``window`` after the first failure, and at most
    ``max_attempts`` in all (None: as many as the window holds).
    """

    initial: float = 2.0
    maximum: float = 300.0
    multiplier: float = 2.0
    jitter: float = 0.2
    window: float = 86_400.0
    max_attempts: int | None = None

    def __post_init__(self) -> None:
        """Refuse a policy by which no time could be computed."""
        for name in ("initial", "maximum", "window"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                message = f"{name} is a number of seconds, at least 0, not {value!r}"
                raise ValueError(message)
        if not (math.isfinite(self.multiplier) and self.multiplier >= 1):
            message = (
                f"multiplier is at least 1, so that waits never shrink, not {self.multiplier!r}"
            )
            raise ValueError(message)
        if not 0 <= self.jitter <= 1:
            message = f"jitter is a share of the wait, 0 to 1, not {self.jitter!r}"
            raise ValueError(message)
        if self.max_attempts is not None and self.max_attempts < 1:
            message = f"max_attempts is at least 1, or None, not {self.max_attempts!r}"
            raise ValueError(message)


class Retry(msgspec.Struct, frozen=True, kw_only=True):
    """The next attempt is due at ``at_ms`` (unix ms), after ``wait_s`` seconds."""

    at_ms: int
    wait_s: float


class GiveUp(msgspec.Struct, frozen=True, kw_only=True):
    """No further attempt is made, because of ``reason``."""

    reason: str


def next_attempt(  # noqa: PLR0913 - everything is given, nothing is looked up
    policy: RetryPolicy,
    *,
    attempt: int,
    first_failure_ms: int,
    now_ms: int,
    jitter: float,
    retry_after: float | None = None,
) -> Retry | GiveUp:
    """Return when the next attempt is due, or why there is none.

    ``attempt`` is the number of the one that failed (1 = the first). ``jitter`` (0 up to 1) is the
    caller's draw. ``retry_after`` is what the provider asked for, in seconds: the next attempt is
    never earlier, and the jitter is added to it; one that ends after the window means that there
    is none. A ``retry_after`` that is no duration (negative, not a number) counts as not given.

    Raises ValueError for an ``attempt`` below 1 or a ``jitter`` outside its range.
    """
    if attempt < 1:
        message = f"attempt counts from 1, not {attempt!r}"
        raise ValueError(message)
    if not 0 <= jitter <= 1:
        message = f"jitter is a draw from 0 up to 1, not {jitter!r}"
        raise ValueError(message)
    if policy.max_attempts is not None and attempt >= policy.max_attempts:
        return GiveUp(reason=f"gave up after {attempt} attempts")
    backoff = _backoff(policy, attempt)
    asked = retry_after if retry_after is not None and retry_after >= 0 else 0.0
    wait = max(backoff, asked) + backoff * policy.jitter * jitter
    # A clock that was set back must not lengthen the window.
    left = policy.window - max(0, now_ms - first_failure_ms) / 1_000
    if asked and asked > left:
        return GiveUp(reason=_too_late(policy, asked))
    if wait > left:
        return GiveUp(reason=f"no success within {policy.window:g} seconds")
    return Retry(at_ms=now_ms + math.ceil(wait * 1_000), wait_s=wait)


def _backoff(policy: RetryPolicy, attempt: int) -> float:
    """Return the wait after an attempt, without jitter, as tenacity's strategy computes it."""
    # Imported where something failed: the package brings asyncio, which a start does without.
    from tenacity import RetryCallState, Retrying, wait_exponential  # noqa: PLC0415

    state = RetryCallState(Retrying(), None, (), {})
    state.attempt_number = attempt
    # A float overflows where an integer would grow without bound; tenacity then waits the maximum.
    strategy = wait_exponential(
        multiplier=policy.initial, max=policy.maximum, exp_base=float(policy.multiplier)
    )
    return float(strategy(state))


def _too_late(policy: RetryPolicy, asked: float) -> str:
    return f"the provider asks to wait {asked:g} seconds, beyond the window of {policy.window:g}"
