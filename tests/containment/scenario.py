"""A scenario: goals on frozen time, and rows that say what each part of it cost."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

from goalfsm.session import codec
from goalfsm.session import events as e
from goalfsm.session.state import Session
from goalfsm.testing import GoalClock, MemoryGoals, ScriptedWorker, uses
from goalfsm.views.activity import activity
from goalfsm.workers.protocol import UsageReported

THREAD: Final = "thread"
OBJECTIVE: Final = "Release version 2"
TURN: Final = 10_000
"""What one turn of these scenarios costs, in tokens."""
START: Final = "2026-03-14 00:00"


class Row(NamedTuple):
    """One part of a scenario: what it cost, what it ended as, and what it may cost at most.

    ``continuations`` are the goal's turns as they are counted against its limit, ``runs`` all
    starts of a worker: attempts after an error and wind-downs included.
    """

    part: str
    continuations: int
    runs: int
    tokens: int
    ended: str
    most_continuations: int
    most_runs: int
    most_tokens: int
    ends: str

    @property
    def contained(self) -> bool:
        """Return whether the part cost no more than it may and ended as it has to."""
        return (
            self.continuations <= self.most_continuations
            and self.runs <= self.most_runs
            and self.tokens <= self.most_tokens
            and self.ended == self.ends
        )


class Scenario(NamedTuple):
    """One complaint, what plays it, and the module that it is in."""

    name: str
    complaint: str
    play: Callable[[], Iterator[Row]]
    home: str


SCENARIOS: Final[list[Scenario]] = []
"""Every scenario, in the order of the table."""


class Stage(MemoryGoals):
    """Goals on virtual time, and how much one thread of them has cost since last asked."""

    def __init__(self, **options: Any) -> None:
        """Start at `START` with a worker that has no turns yet."""
        clock = GoalClock(START)
        super().__init__(clock, ScriptedWorker(clock), **options)
        self._seen = (0, 0, 0)

    def row(
        self,
        part: str,
        ends: str,
        *,
        most: int,
        runs: int | None = None,
        tokens: int | None = None,
    ) -> Row:
        """Return what the thread cost since the last row; ``most`` caps what nothing else does."""
        session = self.session(THREAD)
        dispatched = sum(isinstance(event, e.RunDispatched) for event in self.events())
        reported = session.ledger.reported
        # An attempt after an error is the same turn once more.
        ran = {(run.work.goal_id, run.work.turn) for run in self.worker.runs}
        now = (len(ran), dispatched, reported.input_tokens + reported.output_tokens)
        before, self._seen = self._seen, now
        most_runs = most if runs is None else runs
        return Row(
            part=part,
            continuations=now[0] - before[0],
            runs=now[1] - before[1],
            tokens=now[2] - before[2],
            ended=where(session),
            most_continuations=most,
            most_runs=most_runs,
            most_tokens=most_runs * TURN if tokens is None else tokens,
            ends=ends,
        )

    def events(self) -> list[e.Event]:
        """Return every committed event of the thread."""
        return [codec.decode_event(row.event) for row in self.journal(THREAD)]


def where(session: Session) -> str:
    """Return where a thread stands, as its status says it."""
    return activity(session).text


def turn_tokens() -> UsageReported:
    """Return the usage of one turn."""
    return uses(input=TURN - 1_000, output=1_000)


def scenario(
    name: str, complaint: str, **options: Any
) -> Callable[[Callable[[Stage], Iterator[Row]]], Callable[[Stage], Iterator[Row]]]:
    """Register a scenario; it is played on a stage of its own, made with ``options``."""

    def register(play: Callable[[Stage], Iterator[Row]]) -> Callable[[Stage], Iterator[Row]]:
        def played() -> Iterator[Row]:
            with contextlib.closing(Stage(**options)) as stage:
                yield from play(stage)
                stage.worker.check()
                stage.clock.check()

        SCENARIOS.append(Scenario(name, complaint, played, play.__module__))
        return play

    return register
