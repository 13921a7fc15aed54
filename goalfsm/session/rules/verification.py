"""What checks and people say of a claim: verifiers, the goal's ``until``, acceptance, rejection."""

from __future__ import annotations

from msgspec.structs import replace

from goalfsm.errors import Remedy
from goalfsm.goal.model import ACTIVE, PAUSED, Evidence, Goal, Rejection
from goalfsm.goal.transition import Fire
from goalfsm.session.context import Change, Context
from goalfsm.session.events import (
    ClaimAccepted,
    ClaimRejected,
    UntilChecked,
    VerificationFinished,
)
from goalfsm.session.rules import claims, steering
from goalfsm.session.rules.change import (
    charge,
    extend,
    notify,
    refuse,
    request,
    restate,
    resume,
)
from goalfsm.session.state import Claim, Reply, Session, VerifierResult

_UNREAD = Reply(
    ok=True,
    code="unread",
    message="a person has said something that no turn has read: one reads it first",
)


def verified(session: Session, event: VerificationFinished, ctx: Context) -> Change:
    """Note one verifier's outcome; the last one settles the claim."""
    claim, goal = session.claim, session.goal
    if claim is None or goal is None or claim.claim_id != event.claim_id:
        reply = Reply(ok=False, code="stale_claim", message="that claim is settled already")
        return Change(session, (), reply)
    if any(known.index == event.index for known in claim.results):
        return Change(session, (), Reply(ok=True, code="recorded"))
    checks = goal.verifiers
    if not 0 <= event.index < len(checks) or checks[event.index].kind == "person":
        return refuse(
            Change(session),
            "verifier_unknown",
            f"the goal has no verifier {event.index} that the engine runs",
            "answer for a verifier that RunVerifier named; a person accepts or rejects",
        )
    result = VerifierResult(
        index=event.index, outcome=event.outcome, detail=event.detail, digest=event.digest
    )
    claim = replace(claim, results=(*claim.results, result))
    return _settle(replace(session, claim=claim), claim, goal, ctx)


def _settle(session: Session, claim: Claim, goal: Goal, ctx: Context) -> Change:
    outcomes = {result.outcome for result in claim.results}
    automatic = sum(verifier.kind != "person" for verifier in goal.verifiers)
    if len(claim.results) < automatic:
        return Change(session, (), Reply(ok=True, code="recorded"))
    if "failed" in outcomes:
        return _failed(session, claim)
    if "unverifiable" in outcomes:
        why = _details(claim, "unverifiable")
        return _unverifiable(notify(session, "unverifiable", why), why, ctx)
    if automatic < len(goal.verifiers):
        reply = Reply(ok=True, code="waiting", message="a person has to accept the claim")
        return Change(session, (), reply)
    accepted = claims.accept(session, claim, ctx, by="engine")
    if accepted.reply is None or accepted.reply.ok:
        return accepted
    # An embedder's guard is against it: left open, the claim would be verified for ever.
    why = f"{accepted.reply.message}: {accepted.reply.hint or accepted.reply.code}"
    refused = replace(accepted.session, claim=None)
    refused = notify(refused, "verification_failed", why)
    return replace(accepted, session=refused, reply=Reply(ok=True, code="failed", message=why))


def _details(claim: Claim, outcome: str) -> str:
    return "\n".join(
        f"verifier {result.index + 1}: {result.detail or outcome}"
        for result in claim.results
        if result.outcome == outcome
    )


def _failed(session: Session, claim: Claim) -> Change:
    """Give the gaps back to the model; the same gaps again are no progress."""
    gaps = _details(claim, "failed")
    return Change(
        _rejected(session, "verification_failed", gaps), (), Reply(ok=True, code="failed")
    )


def _rejected(session: Session, kind: str, gaps: str) -> Session:
    run_id = None if session.claim is None else session.claim.run_id
    session = replace(claims.counted(session, gaps, run_id), claim=None)
    return notify(session, "rejected" if kind == "rejected" else "verification_failed", gaps)


def until_checked(session: Session, event: UntilChecked, ctx: Context) -> Change:
    """Settle what the command said: a claim of the engine's, nothing at all, or a pause."""
    check, goal = session.check, session.goal
    if check is None or goal is None or check.check_id != event.check_id:
        reply = Reply(ok=False, code="stale_check", message="that check is over already")
        return Change(session, (), reply)
    session = replace(session, check=None)
    if event.outcome == "passed":
        unread = bool(steering.unread(session)) or session.host.inputs > 0
        if unread and session.policy.unread_claims == "refuse":
            return Change(session, (), _UNREAD)
        # What the command said is the evidence for every criterion.
        numbers: list[int | None] = [*range(1, len(goal.criteria) + 1)] or [None]
        evidence = tuple(Evidence(text=event.detail, criterion=number) for number in numbers)
        return claims.claim_complete(session, evidence, ctx)
    if event.outcome == "failed" or (event.timed_out and session.until_late):
        return Change(session, (), Reply(ok=True, code="not_yet", message=event.detail))
    # Nobody knows whether the goal is complete. A second timeout is a no.
    session = replace(session, until_late=session.until_late or event.timed_out)
    return _unverifiable(session, event.detail, ctx)


def _unverifiable(session: Session, why: str, ctx: Context) -> Change:
    """Pause: no turn of the model can make a check able to tell."""
    reply = Reply(ok=True, code="unverifiable", message=why)
    if session.goal is None or session.goal.status != ACTIVE:
        return Change(session, (), reply)
    change = charge(session, ctx)
    paused = request(change.session, Fire("pause", "runtime"), ctx)
    if isinstance(paused, Rejection):  # an embedder's rule is against it, or a budget is used up
        return replace(change, reply=reply)
    explained = restate(paused, pause_reason="verification", note=why)
    return extend(change, replace(explained, reply=reply))


def _another(session: Session, expected: str | None, verb: str) -> Change | None:
    """Return the refusal of an answer to a claim that is not open, or not the one that is meant."""
    claim, aside = session.claim, session.set_aside
    if claim is not None and expected in {None, claim.claim_id}:
        return None
    if claim is not None:
        return refuse(
            Change(session),
            "claim_changed",
            f"the open claim is another one by now: {claim.claim_id}",
            Remedy("status", does="shows it as it is; then answer it"),
        )
    if aside is not None:
        return refuse(
            Change(session),
            "no_claim",
            f"there is no claim to {verb}: {steering.why_set_aside(aside)}",
            "the work goes on with that; the next claim follows, and can be answered then",
        )
    hint = {
        "accept": Remedy("complete", does="completes the goal without one"),
        "reject": Remedy("steer", {"text": None}, "tells the work what is wrong"),
    }[verb]
    return refuse(Change(session), "no_claim", f"there is no claim to {verb}", hint)


def accepted(session: Session, event: ClaimAccepted, ctx: Context) -> Change:
    """Complete the goal on a person's word about the open claim."""
    refused = _another(session, event.expected_claim, "accept")
    if refused is not None or session.claim is None:
        return refused or Change(session)
    change = charge(session, ctx)
    done = claims.accept(change.session, session.claim, ctx, by="person")
    record = done.session.completion
    if event.by is not None and record is not None:
        record = replace(record, by=event.by)
        done = replace(done, session=replace(done.session, completion=record))
    return extend(change, done)


def rejected(session: Session, event: ClaimRejected, ctx: Context) -> Change:
    """Give a person's feedback to the model; a goal that was paused for it goes on."""
    refused = _another(session, event.expected_claim, "reject")
    if refused is not None or session.goal is None:
        return refused or Change(session)
    goal = session.goal
    feedback = event.feedback.strip() or "a person rejected the claim without saying why"
    session = _rejected(session, "rejected", feedback)
    reply = Reply(ok=True, code="rejected", message="the feedback goes to the next turn")
    if goal.status != PAUSED or goal.pause_reason != "verification":
        return Change(session, (), reply)
    resumed = resume(session, ctx)
    if isinstance(resumed, Rejection):
        return Change(session, (), reply)
    return replace(resumed, reply=reply)
