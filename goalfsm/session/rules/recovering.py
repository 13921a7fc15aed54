"""What a failed model call means for the thread: attention, pauses, the next attempt."""

from __future__ import annotations

import re
from datetime import tzinfo
from math import ceil
from typing import Final

from msgspec.structs import replace

from goalfsm.goal.model import ACTIVE, Rejection
from goalfsm.goal.transition import Fire, RecoveryPause
from goalfsm.session.context import Change, Context
from goalfsm.session.effects import AppendEntry, CompactContext, UserStartEntry
from goalfsm.session.events import CompactionEnded, Message
from goalfsm.session.policy import Policy
from goalfsm.session.rules.change import notify, request, restate
from goalfsm.session.state import Quota, Retry, Session
from recovery import failures
from recovery import machine as recovery
from recovery.failures import Failure, assistant_overflow, classifier
from recovery.retry import GiveUp, RetryPolicy, next_attempt
from recovery.state import Action, Noop, Pause, Pending, RecoveryState

_FAR_MS: Final = 366 * 86_400_000
"""A reset later than that is no reset that anybody waits for: somebody has to look."""
_PROCESS: Final = re.compile(
    r"exit_\d+|signal_\d+|(?:turn|silence)_timeout|supervisor_lost|processes_left"
    r"|other_format|isolation_\w+|spawn_\w+"
)
"""The codes of an error that is about the worker's process, whatever its model call came to."""
_TELLS_ITSELF: Final = re.compile(r"exited with status \d+|was ended by \w+")
"""What is said of a process that ended without a word of its own."""


def overflowed(session: Session, message: Message) -> bool:
    """Tell whether a call that looks successful overflowed the context window silently."""
    usage = message.usage
    return assistant_overflow(
        stop_reason=message.stop_reason or "",
        usage_input=usage.input_tokens,
        usage_output=usage.output_tokens,
        cache_read=usage.cached_tokens,
        error_message=None,
        context_window=session.host.context_window or 0,
    )


def turn_ended(session: Session, message: Message, ctx: Context) -> Change:
    """Follow the recovery machine through the end of one model call."""
    state, finished = recovery.turn_finished(session.recovery, message.stop_reason)
    if finished:
        state = recovery.clear_overflow_active(state, table=ctx.rules.phases)
        if state is not session.recovery or session.retry.attempts or session.quota.refusals:
            session = replace(session, recovery=state, retry=Retry(), quota=Quota())
    return Change(session)


def is_recovering(session: Session) -> bool:
    """Tell whether an overflow is being recovered from."""
    return recovery.blocks_continuation(session.recovery)


def overflow_seen(session: Session, ctx: Context) -> Change:
    """Show at once that a host recovers from an overflow; the end of the run counts it."""
    if session.policy.compacts == "engine":
        return Change(session)
    return _overflow(session, Noop(), ctx)


def silent_overflow(session: Session, ctx: Context) -> Change:
    """Count and handle an overflow that no provider reported."""
    state, action = recovery.silent_overflow(session.recovery)
    return _overflow(replace(session, recovery=state), action, ctx)


def failed(session: Session, message: Message, ctx: Context) -> Change:
    """Handle the error that a run ended with."""
    failure = _failure_of(message, session.policy, ctx, now=ctx.now_ms / 1000)
    active = session.goal is not None and session.goal.status == ACTIVE
    if not active and failure.kind != "overflow":
        return Change(session)
    classified = _Classified(failure, message)
    state, action = recovery.assistant_error(
        session.recovery, classified, source=_blamed(failure, message)
    )
    session = replace(session, recovery=state)
    if failure.kind == "overflow":
        return _overflow(session, action, ctx)
    if failure.kind == "quota" and session.policy.retries == "engine":
        # Without the present only what was said as a duration is one.
        lasts = _failure_of(message, session.policy, ctx, now=None).retry_after is not None
        return _quota(session, failure, ctx, lasts=lasts)
    if isinstance(action, Pending):
        pending = recovery.set_pending(session.recovery, action.reason)
        return _retry(replace(session, recovery=pending), action.reason, failure, ctx)
    assert isinstance(action, Pause)  # noqa: S101  only an overflow is left to the host
    if failure.kind == "unknown" and message.died:
        return _crashed(session, failure, classified.signature, action.reason, ctx)
    return _pause(session, action.reason, ctx)


def _blamed(failure: Failure, message: Message) -> str:
    """Return whose error it is called: a provider's only where that is known.

    A host that tells nothing but words has called a model.
    """
    code, source = message.code or "", failure.source
    own = failure.kind == "unknown" and (source == "tool" or (code and source != "provider"))
    return "worker" if own or _PROCESS.fullmatch(code) else "provider"


def _crashed(
    session: Session, failure: Failure, signature: str, reason: str, ctx: Context
) -> Change:
    """Try a turn again whose worker died for a reason that nobody knows, a few times in a row."""
    crashes, policy = session.retry.crashes, session.policy
    if crashes >= policy.crash_retries or policy.retries == "host":
        tried = f"; it was tried again {crashes} times" if crashes else ""
        return _pause(session, f"{reason}{tried}", ctx)
    why = f"worker error ({signature})"
    session = replace(session, retry=replace(session.retry, crashes=crashes + 1))
    pending = recovery.set_pending(session.recovery, why)
    return _retry(replace(session, recovery=pending), why, failure, ctx)


def _failure_of(message: Message, policy: Policy, ctx: Context, *, now: float | None) -> Failure:
    after = message.retry_after
    return classifier(policy.failure_rules).classify(
        message.error or "",
        source=message.source,
        kind=message.failure,
        status=message.status,
        code=message.code,
        headers=None if after is None else {"retry-after": str(after)},
        now=now,
        zones=_zones(ctx, message.zone),
    )


def _zones(ctx: Context, local: str | None) -> failures.Zones | None:
    """Return where zones come from, ``local`` standing for the one that nobody names."""
    find = ctx.zones
    if find is None:
        return None

    def zone(name: str | None) -> tzinfo | None:
        named = name or local
        return None if named is None else find(named)

    return zone


def _quota(session: Session, failure: Failure, ctx: Context, *, lasts: bool) -> Change:
    """Pause until the quota is there again; without a known time somebody has to look.

    A provider may name a reset that has passed, or one that is always a moment away: each further
    refusal waits longer, as the attempts after other errors do, and the window ends that as well.
    ``lasts``: it said how long, not until when.
    """
    reason, policy = f"usage limit ({failure.signature})", session.policy
    resets_ms = _resets_ms(failure, ctx)
    if resets_ms is None:
        return _quota_pause(session, RecoveryPause(reason), reason, ctx)
    refusals, since = session.quota.refusals + 1, None
    at_ms = max(resets_ms, _not_before(policy, refusals, ctx))
    if at_ms > resets_ms:
        before = session.quota.overdue_since_ms
        since = ctx.now_ms if before is None else before
        if ctx.now_ms - since > policy.retry_window_s * 1000:
            reason = f"{reason}; it is refused after the reset that the provider names"
            return _quota_pause(session, RecoveryPause(reason), reason, ctx)
    relative = lasts or since is not None
    quota = Quota(refusals=refusals, overdue_since_ms=since, relative=relative)
    session = replace(session, quota=quota)
    return _quota_pause(session, Fire("pause", "runtime"), reason, ctx, at_ms)


def _not_before(policy: Policy, refusals: int, ctx: Context) -> int:
    """Return when (unix ms) a quota that was refused so often in a row is asked for again."""
    following = next_attempt(
        # The window is the caller's: it does not begin with the first refusal.
        replace(_backoff(policy), window=2 * policy.retry_maximum_s),
        attempt=refusals,
        first_failure_ms=ctx.now_ms,
        now_ms=ctx.now_ms,
        jitter=ctx.jitter,
    )
    assert not isinstance(following, GiveUp)  # noqa: S101  no wait is longer than that window
    return following.at_ms


def _resets_ms(failure: Failure, ctx: Context) -> int | None:
    """Return when (unix ms) the quota is there again; None when nobody knows, or far too late."""
    resets_at = failure.resets_at
    if resets_at is None or resets_at * 1000 > ctx.now_ms + _FAR_MS:
        return None
    # Resuming a moment early would only meet the same refusal again.
    return ceil(resets_at * 1000)


def _quota_pause(
    session: Session,
    asked: Fire | RecoveryPause,
    reason: str,
    ctx: Context,
    at_ms: int | None = None,
) -> Change:
    paused = request(session, asked, ctx)
    if isinstance(paused, Rejection):
        return Change(session)
    return restate(paused, pause_reason="usage_limit", resume_at_ms=at_ms, note=reason)


def _backoff(policy: Policy) -> RetryPolicy:
    return RetryPolicy(
        initial=policy.retry_initial_s,
        maximum=policy.retry_maximum_s,
        jitter=policy.retry_jitter,
        window=policy.retry_window_s,
    )


class _Classified:
    """A failure in the words of the recovery machine."""

    __slots__ = ("overflow", "retryable", "signature")

    def __init__(self, failure: Failure, message: Message) -> None:
        self.overflow = failure.kind == "overflow"
        self.retryable = failure.retryable
        self.signature = failure.signature
        told = failure.kind != "unknown" or _TELLS_ITSELF.search(message.error or "")
        if message.died and not told:
            # Its words need not be about its end: the last thing that it said may be good news.
            self.signature = f"{message.died}: {failure.signature}"


def _overflow(session: Session, action: Action, ctx: Context) -> Change:
    if session.goal is None or session.goal.status != ACTIVE:
        state, persist = recovery.require_user_start(session.recovery, table=ctx.rules.phases)
        return _user_start(replace(session, recovery=state), persist=persist, active=True)
    if isinstance(action, Pause):
        return _pause(session, action.reason, ctx)
    if session.policy.compacts == "engine" and not session.host.can_compact:
        return _pause(session, "the context window is exceeded and cannot be compacted", ctx)
    state, persist = recovery.begin_overflow(session.recovery, table=ctx.rules.phases)
    change = _user_start(replace(session, recovery=state), persist=persist, active=True)
    if session.policy.compacts == "host":
        return change
    compact = CompactContext(goal_id=session.goal.goal_id)
    return replace(change, effects=(*change.effects, compact))


def _user_start(session: Session, *, persist: bool, active: bool) -> Change:
    if not persist:
        return Change(session)
    return Change(session, (AppendEntry(entry=UserStartEntry(active=active)),))


def user_started(session: Session, ctx: Context) -> Change:
    """Note that a visible message started the run, which was required."""
    state, persist = recovery.persist_user_start(
        session.recovery, active=False, table=ctx.rules.phases
    )
    return _user_start(replace(session, recovery=state), persist=persist, active=False)


def _pause(session: Session, reason: str, ctx: Context) -> Change:
    paused = request(session, RecoveryPause(reason), ctx)
    if isinstance(paused, Rejection):
        return Change(session)
    return restate(paused, pause_reason="recovery", note=reason)


def _retry(session: Session, reason: str, failure: Failure, ctx: Context) -> Change:
    """Schedule the next attempt where the engine retries; give up at the end of the window."""
    policy, before = session.policy, session.retry
    if policy.retries == "host":
        return Change(session)
    first = ctx.now_ms if before.first_failure_ms is None else before.first_failure_ms
    attempts = before.attempts + 1
    following = next_attempt(
        _backoff(policy),
        attempt=attempts,
        first_failure_ms=first,
        now_ms=ctx.now_ms,
        jitter=ctx.jitter,
        retry_after=failure.retry_after,
    )
    if isinstance(following, GiveUp):
        return _pause(session, f"{reason}; {following.reason}", ctx)
    retry = Retry(
        attempts=attempts,
        crashes=before.crashes,
        first_failure_ms=first,
        at_ms=following.at_ms,
        reason=reason,
        owed=True,
    )
    return Change(notify(replace(session, retry=retry), "turn_failed", reason))


def user_input(session: Session, ctx: Context) -> Change:
    """Start counting afresh: a person wrote, and trouble so far is theirs to judge."""
    return _calmed(session, recovery.user_input(session.recovery, table=ctx.rules.phases))


def reset(session: Session, ctx: Context) -> Change:
    """Forget the failures so far."""
    return _calmed(session, recovery.reset(session.recovery, table=ctx.rules.phases))


def _calmed(session: Session, state: RecoveryState) -> Change:
    if state is session.recovery and not session.retry.attempts:
        return Change(session)
    return Change(replace(session, recovery=state, retry=Retry()))


def compacted(session: Session, event: CompactionEnded, ctx: Context) -> Change:
    """Follow the recovery machine through a compaction; one that failed pauses the goal."""
    if not event.ok:
        if not is_recovering(session):
            return Change(session)  # nothing hung on it: somebody compacted for comfort
        reason = "the context window is exceeded and the compaction failed"
        return _pause(session, reason, ctx)
    phases = ctx.rules.phases
    state = recovery.session_compact(session.recovery, table=phases)
    if session.policy.compacts == "engine":
        state = recovery.clear_overflow_active(state, table=phases)
        session = notify(session, "compacted")
    return Change(session if state is session.recovery else replace(session, recovery=state))
