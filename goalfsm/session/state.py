"""Everything that one thread is: immutable, encoded whole as its snapshot."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from goalfsm.goal.accounting import STOPPED_CLOCK, Clock, Ledger, Tally
from goalfsm.goal.model import Criterion, Evidence, Goal, Limits, Verifier
from goalfsm.goal.model import Reply as Reply  # noqa: PLC0414  a value of the session too
from goalfsm.session.events import By, Setting
from goalfsm.session.policy import Policy
from goalfsm.session.routes import Routed
from recovery.obligations import IDLE as STALE_IDLE
from recovery.obligations import State as StaleState
from recovery.state import CALM, RecoveryState

FAULT_CODE: Final = "internal_error"
"""The code of the reply to an event that could not be decided."""

BY_A_FAULT: Final = "could not be decided"
"""What every reason says by which a fault stopped a thread."""

RULES_VERSION: Final = 6
"""Raised whenever ``handle`` decides differently: replay compares rows of the same version."""


class Host(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What the host last said about itself; ``context_window`` None is unknown.

    ``turn_goal`` is the goal of the last turn, of its run or else the active one when it started:
    its tokens are that goal's, or nobody's. ``in_run`` holds from the start of an agent run to its
    end. ``inputs`` counts what a person has written to the host and no run has read yet.
    """

    idle: bool = True
    pending_messages: bool = False
    context_window: int | None = None
    turn_index: int | None = None
    turn_goal: str | None = None
    can_compact: bool = False
    in_run: bool = False
    inputs: int = 0


class Continuation(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Whose continuation is queued, whose is wanted as soon as the host is idle.

    ``warned`` is the goal whose used-up budget has been announced.
    """

    queued: str | None = None
    wanted: str | None = None
    warned: str | None = None


class Flush(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What the history still lacks, and when it was last written (ms; None since load or clear)."""

    dirty: bool = False
    written_ms: int | None = None


class Steering(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One word of a person that no run has taken into account yet: a message, or an edit.

    ``word`` is its number among the words about the goal. ``carried_by`` is the run whose prompt
    carries it, or that has acknowledged it: it is kept until that run has ended well.
    """

    message_id: str
    text: str
    at_ms: int
    carried_by: str | None = None
    kind: Literal["message", "edit"] = "message"
    word: int = 0


class VerifierResult(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What one verifier said of a claim."""

    index: int
    outcome: Literal["passed", "failed", "unverifiable"]
    detail: str = ""
    digest: str = ""


class Claim(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A completion claim that waits for its verification.

    ``digest`` seals the evidence as it was shown: SHA-256 of its canonical JSON. ``asked``: its
    verifiers have been asked for, because the run that made it is over.
    """

    claim_id: str
    goal_id: str
    evidence: tuple[Evidence, ...] = ()
    results: tuple[VerifierResult, ...] = ()
    digest: str = ""
    run_id: str | None = None
    asked: bool = False
    at_ms: int


class Check(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The run of the goal's ``until`` that is due after a turn; ``asked``: it is under way."""

    check_id: str
    goal_id: str
    asked: bool = False


SetAsideBy = Literal["message", "edit", "verifiers", "block", "failed_run", "interrupt"]


SET_ASIDE_BY: Final[dict[SetAsideBy, str]] = {
    "message": "a person's message came",
    "edit": "a person changed the objective or its criteria",
    "verifiers": "a person changed what completion is checked by",
    "block": "a person declared the goal blocked",
    "failed_run": "the turn that had made it failed",
    "interrupt": "a person interrupted the turn that had made it",
}
"""What sets a claim aside, in words."""


class SetAside(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The claim that no longer counts, and what set it aside: ``by``, and its words."""

    claim_id: str
    by: SetAsideBy
    text: str = ""
    at_ms: int


class Completion(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Why a goal counts as complete: the claim, what the verifiers said, who accepted it.

    ``unread`` are the messages that no turn had taken into account by then. ``by`` is who accepted
    it, where the receiver found that out.
    """

    goal_id: str
    evidence: tuple[Evidence, ...] = ()
    results: tuple[VerifierResult, ...] = ()
    digest: str = ""
    run_id: str | None = None
    accepted_by: Literal["engine", "person"] = "engine"
    unread: tuple[str, ...] = ()
    by: By | None = None
    at_ms: int


class Blocking(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The audit of blocked claims: how many goal turns in a row had one.

    ``claimed`` says that the running turn has had its claim.
    """

    count: int = 0
    claimed: bool = False
    reason: str = ""


class Progress(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What the no-progress rules count over consecutive turns.

    ``gaps_in`` is the run whose claim was counted last: a turn may claim more than once.
    ``shapes`` are the last answers without their numbers, times and ids, of turns that did nothing
    else; ``step`` is the n of m that the last one named.
    """

    empty: int = 0
    same_answer: int = 0
    failing_tools: int = 0
    same_gaps: int = 0
    last_answer: str = ""
    last_gaps: str = ""
    gaps_in: str = ""
    shapes: tuple[str, ...] = ()
    step: tuple[int, int] | None = None


class Wait(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What the work waits for; ``until_ms`` None waits for the event alone.

    ``relative``: the time was asked for as a duration. ``held``: somebody asked for a pause that a
    rule refused; nothing but a wake or a resume ends it. ``any``: its end ends the others too.
    """

    kind: Literal["timer", "process", "person", "event"]
    until_ms: int | None = None
    pid: int | None = None
    note: str = ""
    since_ms: int = 0
    relative: bool = False
    held: bool = False
    any: bool = False


class Retry(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The schedule of the retries that the engine does itself.

    ``owed``: the next turn is the last one once more, and does not count as another. ``crashes``
    counts the failures in a row that nobody can explain.
    """

    attempts: int = 0
    crashes: int = 0
    first_failure_ms: int | None = None
    at_ms: int | None = None
    reason: str = ""
    owed: bool = False


class Quota(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """How often in a row the provider has refused because its quota is used up.

    ``overdue_since_ms``: since when it refuses although the reset that it names has passed.
    ``relative``: the goal's ``resume_at_ms`` is a duration from the last refusal.
    """

    refusals: int = 0
    overdue_since_ms: int | None = None
    relative: bool = False


class Run(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The open run: dispatched, its end not known yet.

    ``charged`` holds the latest usage keys, ``notices`` what its prompt carries and the session
    has given up for it, ``waits_for`` the note of the wait that it declared, ``ending`` why it is
    being ended early. ``ends_ms`` is when it has to be over: a budget of its goal is used up.
    ``refused``: a goal tool that it called was refused. ``route`` is the program that does it in
    place of the thread's own, and why.
    """

    run_id: str
    token: str
    goal_id: str | None
    turn: int
    started_ms: int
    wind_down: bool = False
    can_steer: bool = False
    can_compact: bool = False
    charged: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()
    waits_for: str | None = None
    claimed: bool = False
    refused: bool = False
    ending: str | None = None
    ends_ms: int | None = None
    route: Routed | None = None


class Decision(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Whether work goes on, and the guard that decided it.

    A journal also says ``refused`` of what was asked for in vain; the guard is the reply's code.
    """

    decision: Literal["continue", "wait", "stop", "refused"]
    guard: str
    reason: str
    until_ms: int | None = None
    at_ms: int = 0


class WorkerSession(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What a goal's worker saved of its own session, as bytes that only the worker understands.

    ``argv`` is the program of the route that it was saved on, empty of the thread's own worker.
    """

    goal_id: str | None
    data: bytes
    argv: tuple[str, ...] = ()


class QueuedGoal(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A goal that a person has in mind for the thread, after those before it.

    Its budgets are its own; ``policy`` are settings that come with it. ``by`` is who queued it.
    """

    queue_id: str
    objective: str
    limits: Limits = Limits()
    criteria: tuple[Criterion, ...] = ()
    verifiers: tuple[Verifier, ...] = ()
    until: Verifier | None = None
    policy: dict[str, Setting] = {}
    by: By | None = None
    at_ms: int


class Imported(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Where a goal came from that another program worked on; ``digest`` seals what was read."""

    goal_id: str
    source: str
    digest: str
    at_ms: int


class Session(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The session of one thread. ``handle`` is the only thing that makes a new one of an old one.

    ``first_policy`` is what the thread began with, once that was changed: a replay starts there.
    ``model_goals`` is how many goals in a row the model has given without a word of a person's.
    ``grant`` is what a person's limits had left for the goal that the model gave last, before any
    number of its own. ``told_word`` is the word up to which a refused claim has shown the run what
    it had not read; ``set_aside`` is the last claim that came to nothing in that way.
    ``tally`` is None of a goal of an earlier version, until something is counted.
    ``until_late``: the goal's ``until`` has timed out before, and a person knows.
    ``queue`` are the goals that come after this one, ``queue_count`` how many were ever queued.
    """

    policy: Policy = Policy()
    first_policy: Policy | None = None
    goal: Goal | None = None
    clock: Clock = STOPPED_CLOCK
    host: Host = Host()
    recovery: RecoveryState = CALM
    stale: StaleState = STALE_IDLE
    continuation: Continuation = Continuation()
    flush: Flush = Flush()
    steering: tuple[Steering, ...] = ()
    notices: tuple[str, ...] = ()
    claim: Claim | None = None
    check: Check | None = None
    until_late: bool = False
    set_aside: SetAside | None = None
    told_word: int | None = None
    completion: Completion | None = None
    blocking: Blocking = Blocking()
    progress: Progress = Progress()
    waits: tuple[Wait, ...] = ()
    retry: Retry = Retry()
    quota: Quota = Quota()
    overflow_noted: bool = False
    run: Run | None = None
    worker: WorkerSession | None = None
    wind_down: Literal["none", "owed", "running", "done"] = "none"
    ledger: Ledger = Ledger()
    tally: Tally | None = None
    decision: Decision | None = None
    stopping: bool = False
    model_goals: int = 0
    grant: Limits | None = None
    queue: tuple[QueuedGoal, ...] = ()
    queue_count: int = 0
    imported: Imported | None = None

    @property
    def began_with(self) -> Policy:
        """Return the policy that the thread began with: a replay of its journal starts there."""
        return self.policy if self.first_policy is None else self.first_policy

    @property
    def model_may_create(self) -> bool:
        """Return whether the model may give this thread a goal, once none is unfinished."""
        return self.goal is None or self.model_goals < self.policy.model_goals

    @property
    def next_turn(self) -> int:
        """Return the number of the goal's next turn; one that failed for a while keeps its own."""
        done = 0 if self.goal is None else self.goal.continuations
        return max(1, done + (not self.retry.owed))

    @property
    def worker_session(self) -> bytes | None:
        """Return what the goal's worker saved, None where it saved nothing for this goal.

        Of what one program saved another one understands nothing.
        """
        if self.worker is None or self.goal is None or self.worker.goal_id != self.goal.goal_id:
            return None
        if self.run is not None and program_of(self.run.route) != self.worker.argv:
            return None
        return self.worker.data

    @property
    def held(self) -> bool:
        """Return whether a pause that a rule refused keeps further turns from starting."""
        return any(wait.held for wait in self.waits)


def program_of(route: Routed | None) -> tuple[str, ...]:
    """Return the program of a route; empty where the thread's own worker does the turn."""
    return () if route is None else route.argv
