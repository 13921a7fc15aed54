"""The parts of a status: what is open in a session, without what only the engine may know.

Times are unix seconds unless the name ends in ``_ms``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec

from goalfsm.goal.model import Limits
from goalfsm.session.state import Decision

if TYPE_CHECKING:
    from goalfsm.session.state import Session


class LastDecision(Decision, frozen=True, kw_only=True):
    """Why work last went on, waited or stopped."""

    at: int


class OpenRun(msgspec.Struct, frozen=True, kw_only=True):
    """The run that is under way; ``ending`` is why it is being ended, if it is.

    ``route`` says which program does it in place of the thread's own, and why.
    """

    run_id: str
    goal_id: str | None
    turn: int
    started_at: int
    started_ms: int
    elapsed_seconds: int
    wind_down: bool = False
    can_steer: bool = False
    ending: str | None = None
    route: str | None = None


class OpenClaim(msgspec.Struct, frozen=True, kw_only=True):
    """The completion claim that is being verified: verifiers done and passed, of how many."""

    claim_id: str
    at_ms: int
    evidence: int
    verified: int
    passed: int
    verifiers: int


class OpenWord(msgspec.Struct, frozen=True, kw_only=True):
    """A word of a person's that is not taken into account yet; ``got``: the running turn has it."""

    message_id: str
    kind: Literal["message", "edit"]
    text: str
    at_ms: int
    got: bool = False


class OpenQueued(msgspec.Struct, frozen=True, kw_only=True):
    """A goal that comes after this one, in its place of the queue."""

    queue_id: str
    objective: str
    limits: Limits
    criteria: int
    verifiers: int
    until: str
    at_ms: int


class Driver(msgspec.Struct, frozen=True, kw_only=True):
    """Who works on a thread; ``pid`` None is nobody in particular.

    Of a file that is its owner. ``alive`` False: it has ended. ``since_ms`` is when it began,
    ``seen_ms`` when it was last seen alive; None where nobody can tell. ``nodes`` is None.

    On a server it is the ``node`` on ``host`` that has the thread's turn. ``place`` is where turns
    of the thread may run, empty where no program is stored for it; ``nodes`` names the living nodes
    that serve the place, ``free`` is how many more turns they would take. ``alive``: the turn's
    node lives or, where no turn runs, one that serves the place. ``unwatched`` are hosts without a
    living node where processes are whose end the thread waits for.

    ``answers`` False: it is there, and does not answer. ``held`` says what it keeps turns of the
    thread from starting for; "" where nothing is known of that. ``lacks_program``: no program is
    stored for the thread, and no embedder's worker is known that would do without.
    """

    pid: int | None = None
    alive: bool = False
    since_ms: int | None = None
    seen_ms: int | None = None
    node: str = ""
    host: str = ""
    place: str = ""
    nodes: tuple[str, ...] | None = None
    free: int = 0
    unwatched: tuple[str, ...] = ()
    answers: bool = True
    held: str = ""
    lacks_program: bool = False

    @property
    def works(self) -> bool:
        """Return whether the process is known to be there and to answer."""
        return self.alive and self.answers


class BlockedClaims(msgspec.Struct, frozen=True, kw_only=True):
    """The blocked audit: consecutive goal turns with a blocked claim, of how many it takes."""

    count: int
    needed: int
    reason: str = ""


def last_decision(session: Session) -> LastDecision | None:
    """Return the decision that the session made last, None before the first."""
    return None if session.decision is None else told(session.decision)


def told(made: Decision) -> LastDecision:
    """Return a decision as surfaces show it."""
    return LastDecision(at=made.at_ms // 1000, **msgspec.structs.asdict(made))


def open_run(session: Session, now_ms: int) -> OpenRun | None:
    """Return the run that is under way at ``now_ms``, None when there is none."""
    run = session.run
    if run is None:
        return None
    return OpenRun(
        run_id=run.run_id,
        goal_id=run.goal_id,
        turn=run.turn,
        started_at=run.started_ms // 1000,
        started_ms=run.started_ms,
        elapsed_seconds=max(0, now_ms - run.started_ms) // 1000,
        wind_down=run.wind_down,
        can_steer=run.can_steer,
        ending=run.ending,
        route=None if run.route is None else run.route.text,
    )


def open_claim(session: Session) -> OpenClaim | None:
    """Return the claim that is being verified, None when there is none."""
    claim = session.claim
    if claim is None:
        return None
    return OpenClaim(
        claim_id=claim.claim_id,
        at_ms=claim.at_ms,
        evidence=len(claim.evidence),
        verified=len(claim.results),
        passed=sum(result.outcome == "passed" for result in claim.results),
        verifiers=0 if session.goal is None else len(session.goal.verifiers),
    )


def open_words(session: Session) -> tuple[OpenWord, ...]:
    """Return what a person has said and no turn has taken into account yet, oldest first."""
    return tuple(
        OpenWord(
            message_id=kept.message_id,
            kind=kept.kind,
            text=kept.text,
            at_ms=kept.at_ms,
            got=kept.carried_by is not None,
        )
        for kept in session.steering
    )


def open_queue(session: Session) -> tuple[OpenQueued, ...]:
    """Return the goals that come after this one, the next first."""
    return tuple(
        OpenQueued(
            queue_id=one.queue_id,
            objective=one.objective,
            limits=one.limits,
            criteria=len(one.criteria),
            verifiers=len(one.verifiers),
            until="" if one.until is None else one.until.name,
            at_ms=one.at_ms,
        )
        for one in session.queue
    )
