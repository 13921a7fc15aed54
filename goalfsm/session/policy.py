"""What a thread is run by: thresholds, who retries and compacts, how usage weighs."""

from __future__ import annotations

from collections.abc import Mapping
from math import inf
from typing import Literal

import msgspec

from goalfsm.goal.model import MAX_COUNT
from goalfsm.session.routes import parse
from recovery.failures import Rule, classifier


class Policy(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The rules of one thread; stored with it, so that a restart changes nothing.

    Durations are in seconds. ``max_continuations`` 0 is unlimited. ``overrun_s`` is how long a turn
    may go on after its goal has stopped, and how long the turn that winds down may take; then it
    is ended, unless ``end_overrun`` is off. ``crash_retries``: how often in a row a turn is tried
    again whose worker failed for a reason that nobody knows.
    ``model_goals`` is how many goals in a row the model may give without a word of a person's
    between them; 0 is none but for a thread without any goal. ``inherit_limits``: such a goal
    stands under what is left of the last person's limits, and under their checks.
    ``short_wait_s``: what the work waited for less long than that does not count as progress; 0
    takes every wait as such. ``unread_claims``: what becomes of a claim from a run that has not
    read a person's last word. ``failure_rules`` are asked of a
    failed turn before the rules of `recovery.RULES`. ``advance``: when a goal is complete, the next
    queued one is taken up. ``on_complete`` says what is written then: a report, or the text of a
    pull request. ``routes`` are the programs that do turns when little is left of a
    budget, one a line: ``below 25% tokens: -- ./cheap.sh``.
    """

    blocked_after: int = 3
    evidence_required: bool = True
    no_progress: int = 3
    short_wait_s: float = 600.0
    steering_limit: int = 100
    model_goals: int = 0
    inherit_limits: bool = True
    unread_claims: Literal["refuse", "allow"] = "refuse"
    max_continuations: int = 100
    retries: Literal["engine", "host"] = "engine"
    compacts: Literal["engine", "host"] = "engine"
    cached_weight: float = 0.0
    on_start: Literal["resume", "ask", "pause"] = "resume"
    idle_time_counts: bool = False
    retry_initial_s: float = 2.0
    retry_maximum_s: float = 300.0
    retry_jitter: float = 0.2
    retry_window_s: float = 86_400.0
    overrun_s: float = 900.0
    end_overrun: bool = True
    crash_retries: int = 3
    failure_rules: tuple[Rule, ...] = ()
    advance: bool = False
    on_complete: Literal["nothing", "report", "pr"] = "nothing"
    routes: str = ""

    def __post_init__(self) -> None:
        """Refuse counts and durations that could never be meant."""
        counts = (
            self.no_progress,
            self.max_continuations,
            self.model_goals,
            self.crash_retries,
        )
        spans = (
            self.retry_initial_s,
            self.retry_maximum_s,
            self.retry_window_s,
            self.overrun_s,
        )
        if self.blocked_after < 1 or self.steering_limit < 1:
            raise ValueError("blocked_after and steering_limit are at least 1")
        if min(counts) < 0:
            raise ValueError(
                "no_progress, max_continuations, model_goals, crash_retries are 0 (off) or more"
            )
        if not 0 <= self.short_wait_s < inf:
            raise ValueError("short_wait_s is 0 seconds (off) or more, and ends")
        if not all(0 < span < inf for span in spans):
            raise ValueError("durations are more than 0 seconds, and end")
        if not (0 <= self.retry_jitter <= 1 and 0 <= self.cached_weight <= 1):
            raise ValueError("retry_jitter and cached_weight are shares from 0 to 1")
        if self.routes:
            parse(self.routes)  # refuses a line that is no route
        if self.failure_rules:
            classifier(self.failure_rules)  # refuses a rule that could never decide

    def changed(self, changes: Mapping[str, object]) -> Policy:
        """Return the policy with other settings; ValueError names the one that is not valid."""
        known = msgspec.structs.asdict(self)
        for name in changes:
            if name not in known:
                raise ValueError(f"there is no setting {name!r}; there are {', '.join(known)}")
        return msgspec.convert({**known, **changes}, Policy)

    @classmethod
    def reference(cls) -> Policy:
        """Return the policy with everything off that goalfsm adds to the reference behaviour."""
        return cls(
            blocked_after=1,
            evidence_required=False,
            no_progress=0,
            max_continuations=0,
            model_goals=MAX_COUNT,
            inherit_limits=False,
            unread_claims="allow",
            retries="host",
            compacts="host",
            on_start="resume",
            idle_time_counts=True,
            end_overrun=False,
            crash_retries=0,
        )
