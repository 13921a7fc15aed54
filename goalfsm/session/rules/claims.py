"""What the model claims, complete or blocked, and what is asked for when its run is over."""

from __future__ import annotations

import re
from hashlib import sha256
from typing import Final

import msgspec
from msgspec.structs import replace

from goalfsm.goal.model import ACTIVE, BLOCKED, COMPLETE, LIMITED, Evidence, Goal, Rejection, advice
from goalfsm.goal.transition import mark
from goalfsm.session.context import Change, Context
from goalfsm.session.effects import Effect, RunUntil, RunVerifier
from goalfsm.session.rules import steering
from goalfsm.session.rules.change import (
    charge,
    explained,
    extend,
    refuse,
    seconds,
    store_goal,
)
from goalfsm.session.state import (
    Blocking,
    Check,
    Claim,
    Completion,
    Reply,
    Session,
    SetAsideBy,
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
        return replace(change, reply=Reply(ok=True, code="already_complete", message="it is"))
    if refused := _inadmissible(session, read) or _too_early(session):
        return replace(change, session=refused[0], reply=refused[1])
    if session.policy.evidence_required and (missing := _missing(goal, evidence)):
        change = replace(change, session=counted(session, missing, _run_id(session)))
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
        return extend(change, accept(session, claim, ctx, by="engine"))
    session = replace(_claimed(session), claim=claim, set_aside=None)
    reply = Reply(
        ok=True,
        code="verifying",
        message="the claim is recorded; it is verified before the goal counts as complete",
    )
    return extend(replace(change, session=session, reply=reply), ask(session))


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


def due_check(session: Session, ctx: Context) -> Session:
    """Have the goal's command run, now that a run of the goal has ended well.

    What the run itself has claimed is verified instead.
    """
    goal = session.goal
    if goal is None or goal.until is None or session.claim is not None:
        return session
    if goal.status == COMPLETE:
        return session
    check = Check(check_id=ctx.ids("claim"), goal_id=goal.goal_id)
    return replace(session, check=check)


def ask_check(session: Session) -> Change:
    """Ask for the command once nothing of the run is left, and nothing else comes first.

    What the work waits for comes first, and so does whoever has stopped the goal.
    """
    check, goal = session.check, session.goal
    if check is None or check.asked or goal is None:
        return Change(session)
    free = session.run is None and session.host.idle and not session.stopping
    if not free or session.waits or goal.status not in {ACTIVE, LIMITED}:
        return Change(session)
    asked = replace(session, check=replace(check, asked=True))
    return Change(asked, (RunUntil(check_id=check.check_id),))


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


def counted(session: Session, gaps: str, run_id: str | None) -> Session:
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


def accept(session: Session, claim: Claim, ctx: Context, *, by: str) -> Change:
    """Complete the goal by ``claim``, on the word of ``by``: the engine or a person."""
    assert session.goal is not None  # noqa: S101  a claim belongs to a goal
    marked = mark(session.goal, "complete", seconds(session, ctx), ctx.machine)
    if isinstance(marked, Rejection):
        why = "the goal cannot be completed"
        if by == "engine":
            session = counted(session, f"{why}: {marked.code}", claim.run_id)
        hint = advice(marked) if by == "person" else marked.hint
        return refuse(Change(session), marked.code, why, hint)
    goal = explained(marked[0])
    change = store_goal(session, goal, "command" if by == "person" else "tool", ctx)
    if goal.status != COMPLETE:  # an embedder's row leads elsewhere first
        reply = Reply(ok=True, code="marked", message=f"the goal is {goal.status}")
        after = replace(change.session, claim=None)
        if goal.status == ACTIVE:
            after = counted(after, "the claim changes nothing", claim.run_id)
        return replace(change, session=after, reply=reply)
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
    return replace(change, session=done, reply=reply)


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
            why = f"the goal cannot be blocked: {rejected}"
            change = replace(change, session=counted(session, why, _run_id(session)))
        return refuse(change, rejected, f"the goal is {goal.status}", hint)
    marked, code = planned
    if goal.status == BLOCKED:
        return replace(change, reply=Reply(ok=True, code=code, message="it is"))
    if refused := _inadmissible(session, read):
        return replace(change, session=refused[0], reply=refused[1])
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
        session = counted(session, "the claim changes nothing", _run_id(session))
    stored = store_goal(
        session, explained(marked, note=reason or None, blocked_by="model"), "tool", ctx
    )
    reply = Reply(ok=True, code="marked", message=f"the goal is {marked.status}")
    return extend(change, replace(stored, reply=reply))


def turn_over(session: Session, *, counts: bool) -> Session:
    """Start the blocked audit afresh after a goal turn without a blocked claim.

    A turn that failed does not count: it had no chance to say anything.
    """
    blocking = session.blocking
    if not blocking.count:
        return session
    kept = blocking.claimed or not counts
    return replace(session, blocking=replace(blocking, claimed=False) if kept else Blocking())
