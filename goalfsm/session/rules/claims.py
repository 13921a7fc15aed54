"""What the model claims, complete or blocked; evidence, verification, acceptance are separate."""

from __future__ import annotations

import re
from hashlib import sha256
from typing import Final

import msgspec
from msgspec.structs import replace

from goalfsm.errors import Remedy
from goalfsm.goal.model import ACTIVE, BLOCKED, COMPLETE, PAUSED, Evidence, Goal
from goalfsm.goal.rejection import Rejection, advice
from goalfsm.goal.transition import Fire, mark
from goalfsm.session.context import Change, Context
from goalfsm.session.effects import Effect, RunVerifier
from goalfsm.session.events import ClaimAccepted, ClaimRejected, VerificationFinished
from goalfsm.session.rules import steering
from goalfsm.session.rules.change import (
    charge,
    explained,
    extend,
    notify,
    refuse,
    request,
    restate,
    resume,
    seconds,
    store_goal,
)
from goalfsm.session.state import (
    Blocking,
    Claim,
    Completion,
    Reply,
    Session,
    SetAsideBy,
    VerifierResult,
)

_encode: Final = msgspec.json.Encoder(order="deterministic").encode
# What differs between two runs of one check that found the same: how long it took, when it ran,
# where in memory things were, ids.
_VARYING: Final = re.compile(
    r"\b[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\b"
    r"|\b0x[0-9a-f]+\b"
    r"|\b\d{4}-\d\d-\d\d\b"
    r"|\b\d{1,2}:\d\d(?::\d\d)?(?:[.,]\d+)?\b"
    r"|\b\d+(?:[.,]\d+)?\s?(?:ns|us|µs|ms|s|secs?|seconds?|mins?|minutes?)\b"
    r"|(?<=pid[ =:])\s?\d+"
    r"|(?<=/pytest-)\d+",
    re.IGNORECASE | re.ASCII,
)


def seal(evidence: tuple[Evidence, ...]) -> str:
    """Return the SHA-256 of the evidence's canonical JSON."""
    return sha256(_encode(evidence)).hexdigest()


def claim_complete(
    session: Session, evidence: tuple[Evidence, ...], ctx: Context, *, read: int | None = None
) -> Change:
    """Record the claim; without verifiers it is decided here.

    ``read`` gives back the word that a refusal of the same run named.
    """
    change = charge(session, ctx)
    session = change.session
    goal = session.goal
    if goal is None:
        return refuse(change, "no_goal", "there is no goal to complete", "create one first")
    if goal.status == COMPLETE:
        return change._replace(reply=Reply(ok=True, code="already_complete", message="it is"))
    if refused := _inadmissible(session, read) or _too_early(session):
        return change._replace(session=refused[0], reply=refused[1])
    if session.policy.evidence_required and (missing := _missing(goal, evidence)):
        change = change._replace(session=_counted(session, missing, _run_id(session)))
        hint = "give evidence that shows it as it is today, criterion by criterion"
        return refuse(change, "evidence_missing", missing, hint)
    claim = Claim(
        claim_id=ctx.ids("claim") if goal.verifiers else "",
        goal_id=goal.goal_id,
        evidence=evidence,
        digest=seal(evidence) if evidence else "",
        run_id=_run_id(session),
        at_ms=ctx.now_ms,
    )
    if not goal.verifiers:
        return extend(change, _accept(session, claim, ctx, by="engine"))
    session = replace(_claimed(session), claim=claim, set_aside=None)
    reply = Reply(
        ok=True,
        code="verifying",
        message="the claim is recorded; it is verified before the goal counts as complete",
    )
    return extend(change._replace(session=session, reply=reply), ask(session))


def _inadmissible(session: Session, read: int | None) -> tuple[Session, Reply] | None:
    """Return why a claim is not taken, whatever it shows; None lets it through."""
    goal = session.goal
    if goal is not None and goal.status == BLOCKED and goal.blocked_by == "person":
        reply = Reply(
            ok=False,
            code="blocked_by_person",
            message="a person has declared the goal blocked, and takes it up again",
            hint="end the turn",
        )
        return session, reply
    refused = steering.refusal(session, read)
    return None if refused is None else (_claimed(refused[0]), refused[1])


def _too_early(session: Session) -> tuple[Session, Reply] | None:
    """Return why a completion claim has to wait for something else; None lets it through."""
    if session.waits:
        reply = Reply(
            ok=False,
            code="waiting",
            message="the work waits for something that this turn declared: it is not complete",
            hint="end the turn; claim in the one that follows the wait",
        )
        return session, reply
    if session.claim is not None:
        reply = Reply(
            ok=False,
            code="claim_open",
            message="a completion claim is being verified",
            hint="wait for its outcome",
        )
        return session, reply
    return None


def ask(session: Session, *, over: bool = False) -> Change:
    """Ask for the verifiers of the open claim, once nothing of the run that made it is left.

    ``over``: the run of a host is over, whether or not the host has said that it is idle.
    """
    claim, goal = session.claim, session.goal
    if claim is None or goal is None or claim.asked or session.run is not None:
        return Change(session)
    if not over and (session.host.in_run or not session.host.idle):
        return Change(session)
    effects: tuple[Effect, ...] = tuple(
        RunVerifier(claim_id=claim.claim_id, index=index)
        for index, verifier in enumerate(goal.verifiers)
        if verifier.kind != "person"
    )
    return Change(replace(session, claim=replace(claim, asked=True)), effects)


def void(session: Session, ctx: Context, by: SetAsideBy = "failed_run") -> Session:
    """Return the session without the claim of a run that failed, unless it is being verified."""
    if session.claim is None or session.claim.asked:
        return session
    return steering.set_aside(session, by, ctx)


def _run_id(session: Session) -> str | None:
    return None if session.run is None else session.run.run_id


def _claimed(session: Session) -> Session:
    """Note that the running turn claimed something: that counts as getting somewhere."""
    if session.run is None:
        return session
    return replace(session, run=replace(session.run, claimed=True))


def _counted(session: Session, gaps: str, run_id: str | None) -> Session:
    """Count a claim that came to nothing, once a turn; the same gaps again are no progress."""
    essence = " ".join(_VARYING.sub("_", gaps).split())
    digest = sha256(essence.encode()).hexdigest()[:16]
    before = session.progress
    if digest != before.last_gaps:
        same = 1
    else:
        same = before.same_gaps + (run_id is None or run_id != before.gaps_in)
    progress = replace(before, same_gaps=same, last_gaps=digest, gaps_in=run_id or "")
    return replace(session, progress=progress)


def _missing(goal: Goal, evidence: tuple[Evidence, ...]) -> str:
    if not goal.criteria:
        return "" if evidence else "a completion claim needs evidence"
    shown = {item.criterion for item in evidence}
    if len(goal.criteria) == 1 and None in shown:
        shown.add(1)  # what speaks for the whole goal speaks for its one criterion
    if unknown := sorted(n for n in shown if n is not None and not 1 <= n <= len(goal.criteria)):
        return f"there is no criterion {unknown[0]}; the goal has {len(goal.criteria)}"
    missing = [n for n in range(1, len(goal.criteria) + 1) if n not in shown]
    if not missing:
        return ""
    listed = ", ".join(f"{n} ({goal.criteria[n - 1].text[:80]})" for n in missing)
    return f"no evidence for criterion {listed}"


def _accept(session: Session, claim: Claim, ctx: Context, *, by: str) -> Change:
    assert session.goal is not None  # noqa: S101  a claim belongs to a goal
    marked = mark(session.goal, "complete", seconds(session, ctx), ctx.machine)
    if isinstance(marked, Rejection):
        why = "the goal cannot be completed"
        if by == "engine":
            session = _counted(session, f"{why}: {marked.code}", claim.run_id)
        hint = advice(marked) if by == "person" else marked.hint
        return refuse(Change(session), marked.code, why, hint)
    goal = explained(marked[0])
    change = store_goal(session, goal, "command" if by == "person" else "tool", ctx)
    if goal.status != COMPLETE:  # an embedder's row leads elsewhere first
        reply = Reply(ok=True, code="marked", message=f"the goal is {goal.status}")
        after = replace(change.session, claim=None)
        if goal.status == ACTIVE:
            after = _counted(after, "the claim changes nothing", claim.run_id)
        return change._replace(session=after, reply=reply)
    record = Completion(
        goal_id=goal.goal_id,
        evidence=claim.evidence,
        results=claim.results,
        digest=claim.digest,
        run_id=claim.run_id,
        accepted_by="person" if by == "person" else "engine",
        unread=steering.left_unread(session, claimed=True),
        at_ms=ctx.now_ms,
    )
    done = replace(
        change.session,
        claim=None,
        check=None,
        set_aside=None,
        completion=record,
        waits=(),
        steering=(),
    )
    reply = Reply(ok=True, code="marked", message="the goal is complete")
    if by == "person":
        reply = steering.with_unread(reply, record.unread)
    return change._replace(session=done, reply=reply)


def claim_blocked(
    session: Session, reason: str, ctx: Context, *, read: int | None = None
) -> Change:
    """Count the claim; only as many goal turns in a row as the policy says block the goal.

    ``read`` gives back the word that a refusal of the same run named.
    """
    change = charge(session, ctx)
    session = change.session
    goal = session.goal
    planned = None if goal is None else mark(goal, "blocked", seconds(session, ctx), ctx.machine)
    if goal is None:
        return refuse(change, "no_goal", "there is no goal to block", "create one first")
    if planned is None or isinstance(planned, Rejection):
        rejected = planned.code if planned is not None else "no_goal"
        hint = "" if planned is None else planned.hint
        if goal.status == ACTIVE:  # an embedder's guard is against it, turn after turn
            counted = _counted(session, f"the goal cannot be blocked: {rejected}", _run_id(session))
            change = change._replace(session=counted)
        return refuse(change, rejected, f"the goal is {goal.status}", hint)
    marked, code = planned
    if goal.status == BLOCKED:
        return change._replace(reply=Reply(ok=True, code=code, message="it is"))
    if refused := _inadmissible(session, read):
        return change._replace(session=refused[0], reply=refused[1])
    before = session.blocking
    count = before.count if before.claimed else before.count + 1
    needed = session.policy.blocked_after
    session = replace(session, blocking=Blocking(count=count, claimed=True, reason=reason))
    if count < needed:
        session = _claimed(session)
        reply = Reply(
            ok=True,
            code="recorded",
            message=f"recorded {count} of {needed}: the goal stays active",
            hint="try another way; only the same blocker in consecutive turns blocks the goal",
        )
        return extend(change, Change(session, (), reply))
    if marked.status == ACTIVE:
        session = _counted(session, "the claim changes nothing", _run_id(session))
    stored = store_goal(
        session, explained(marked, note=reason or None, blocked_by="model"), "tool", ctx
    )
    reply = Reply(ok=True, code="marked", message=f"the goal is {marked.status}")
    return extend(change, stored._replace(reply=reply))


def turn_over(session: Session, *, counts: bool) -> Session:
    """Start the blocked audit afresh after a goal turn without a blocked claim.

    A turn that failed does not count: it had no chance to say anything.
    """
    blocking = session.blocking
    if not blocking.count:
        return session
    kept = blocking.claimed or not counts
    return replace(session, blocking=replace(blocking, claimed=False) if kept else Blocking())


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
        return _unverifiable(session, claim, ctx)
    if automatic < len(goal.verifiers):
        reply = Reply(ok=True, code="waiting", message="a person has to accept the claim")
        return Change(session, (), reply)
    accepted = _accept(session, claim, ctx, by="engine")
    if accepted.reply is None or accepted.reply.ok:
        return accepted
    # An embedder's guard is against it: left open, the claim would be verified for ever.
    why = f"{accepted.reply.message}: {accepted.reply.hint or accepted.reply.code}"
    refused = replace(accepted.session, claim=None)
    refused = notify(refused, "verification_failed", why)
    return accepted._replace(session=refused, reply=Reply(ok=True, code="failed", message=why))


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
    session = replace(_counted(session, gaps, run_id), claim=None)
    return notify(session, "rejected" if kind == "rejected" else "verification_failed", gaps)


def _unverifiable(session: Session, claim: Claim, ctx: Context) -> Change:
    """Pause: no turn of the model can make a verifier able to tell."""
    why = _details(claim, "unverifiable")
    session = notify(session, "unverifiable", why)
    if session.goal is None or session.goal.status != ACTIVE:
        return Change(session, (), Reply(ok=True, code="unverifiable", message=why))
    change = charge(session, ctx)
    reply = Reply(ok=True, code="unverifiable", message=why)
    paused = request(change.session, Fire("pause", "runtime"), ctx)
    if isinstance(paused, Rejection):  # the time of the claim used the last budget up
        return change._replace(reply=reply)
    explained = restate(paused, pause_reason="verification", note=why)
    return extend(change, explained._replace(reply=reply))


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
    done = _accept(change.session, session.claim, ctx, by="person")
    record = done.session.completion
    if event.by is not None and record is not None:
        record = replace(record, by=event.by)
        done = done._replace(session=replace(done.session, completion=record))
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
    return resumed._replace(reply=reply)
