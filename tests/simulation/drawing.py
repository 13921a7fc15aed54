"""Draws a plan from a seed: who says what when, what turns do, and what breaks."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Final, TypeVar

from msgspec.structs import replace

from goalfsm.goal.model import Criterion, Evidence, Limits, Verifier
from goalfsm.session import events as e
from goalfsm.session.policy import Policy
from tests.simulation import plan as p
from tests.simulation.strangers import strangers

T = TypeVar("T")

HOUR_MS: Final = 3_600_000
CHECKED: Final = Verifier(kind="callable", name="check", timeout_s=5.0)
PERSON: Final = Verifier(kind="person")

_PLACES: Final = tuple(where for where, _, weight in p.WHERE for _ in range(weight))
_OFTEN: Final = {where: often for where, often, _ in p.WHERE}


_SORTS: Final = 10
"""One seed of so many has each of these: what the others draw is not changed by that.

Queues (those that end in 9); other programs on the machine, and reads of every kind that fail (8);
threads that nobody works on at first, and effects that raise (7);
a disk with a size that is unreadable for a while, a file with two names, clients that repeat
themselves late, and what breaks breaks more than once in a row (6); the engine's door, with who
comes to it (5); faults that meet the ends of runs, one and two in a row (4)."""


def draw(seed: int) -> p.Plan:
    """Return the plan of a seed; equal seeds give equal plans."""
    return _Drawing(seed).plan()


class _Drawing:
    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.random = random.Random(seed)
        self.items: list[p.Any_Item] = []
        self.chaos_ms = self.random.choice((40_000, 70_000, 110_000))
        threads = self.random.choice((2, 2, 3, 3, 4))
        self.threads = [f"t{number}" for number in range(1, threads + 1)]
        self.workers = {thread: self._worker() for thread in self.threads}
        self.said = 0

    def plan(self) -> p.Plan:
        policy = self._policy()
        for thread in self.threads:
            self._work(thread)
            self._people(thread)
        self._trouble()
        plan = p.Plan(
            seed=self.seed,
            workers=self.workers,
            policy=policy,
            max_runs=self.random.choice((1, 2, 2, 4)),
            keep_quiet=self.random.choice((0, 1, 256)),
            keys_kept=self.random.choice((1, 2, 128)),
            chaos_ms=self.chaos_ms,
        )
        match self.seed % _SORTS:
            case 9:
                for thread in self.threads:
                    self._queue(thread)
            case 8:
                self._machine()
            case 7:
                self._unserved()
            case 6:
                self._meetings()
            case 5:
                plan = replace(plan, door=True)
                self.items += strangers(self.random, self.threads, self.chaos_ms)
            case 4:
                self._ends()
        return replace(plan, items=tuple(self.items))

    def _one(self, *of: T) -> T:
        return self.random.choice(of)

    def _chance(self, share: float) -> bool:
        return self.random.random() < share

    def _moment(self, *, first: int = 0) -> int:
        return self.random.randrange(first, self.chaos_ms)

    def _worker(self) -> p.Worker:
        can = tuple(name for name in ("steer", "compact", "probe") if self._chance(0.6))
        return p.Worker(can=can)  # type: ignore[arg-type]  # they are among those

    def _policy(self) -> Policy:
        return Policy(
            blocked_after=self._one(1, 2, 3),
            no_progress=self._one(0, 0, 3),
            max_continuations=self._one(0, 0, 6, 100),
            cached_weight=self._one(0.0, 0.0, 0.5),
            idle_time_counts=self._chance(0.2),
            evidence_required=self._chance(0.8),
            steering_limit=self._one(2, 100),
            on_start=self._one("resume", "resume", "resume", "resume", "ask", "pause"),
            retry_initial_s=self._one(0.5, 2.0),
            retry_maximum_s=20.0,
            retry_window_s=self._one(60.0, 86_400.0),
        )

    # What turns do.

    def _work(self, thread: str) -> None:
        for _ in range(self.random.randrange(2, 9)):
            steps = self._steps(remote="probe" in self.workers[thread].can)
            self.items.append(p.Turn(thread=thread, steps=tuple(steps)))
        for _ in range(self.random.randrange(4)):
            does = self._one("passed", "passed", "failed", "raises", "hangs")
            after_ms = self.random.randrange(4_000)
            self.items.append(p.Check(thread=thread, does=does, after_ms=after_ms))

    def _steps(self, *, remote: bool) -> list[p.Step]:
        steps: list[p.Step] = []
        for _ in range(self.random.randrange(1, 6)):
            steps += self._step()
        if self._chance(0.25):
            steps.append(self._bad_end())
        elif self._chance(0.15):
            steps.append(("complete", self._one("all", "all", "none")))
        if self._chance(0.06) and not remote:
            steps.append(("leaves", self.random.randrange(500, 20_000)))
        return steps

    def _step(self) -> list[p.Step]:  # noqa: PLR0911  one return a kind of step
        draw = self.random.random()
        if draw < 0.25:
            return [("sleep", self.random.randrange(0, 6_000))]
        if draw < 0.50:
            key = self._one("", "", "a", "b")
            usage = ("usage", [key, self.random.randrange(1, 400), self.random.randrange(3)])
            return [usage, usage] if self._chance(0.3) else [usage]
        if draw < 0.60:
            return [("tool", self._chance(0.8))]
        if draw < 0.70:
            return [("model_turn", None), ("sleep", self.random.randrange(500)), ("end_turn", None)]
        if draw < 0.78:
            return [("text", self._one("same", "unique", "unique"))]
        if draw < 0.86:
            return [("acknowledge", self._one("heard", "heard", "stranger"))]
        return [self._rare()]

    def _rare(self) -> p.Step:
        return self._one(
            ("blocked", None),
            ("blocked", None),
            ("get", None),
            ("create", None),
            ("bad_tool", None),
            ("wait", ["timer", self.random.randrange(500, 30_000)]),
            ("wait", ["person", self._one(None, 20_000)]),
            ("wait", ["event", self._one(None, 20_000)]),
            ("wait", ["process", self.random.randrange(500, 30_000)]),
            ("skipped", None),
            ("deaf", None),
        )

    def _bad_end(self) -> p.Step:
        return self._one(
            ("error", ["503 service overloaded", 503, None]),
            ("error", ["connection reset by peer", None, None]),
            ("error", ["rate limited, try again", 429, 7.0]),
            ("error", ["prompt is too long: context length exceeded", None, None]),
            ("error", ["prompt is too long: context length exceeded", None, None]),
            ("error", ["You have hit your usage limit", 429, 40.0]),
            ("error", ["You have hit your usage limit", 429, 90.0]),
            ("error", ["invalid api key", 401, None]),
            ("raise", None),
            ("hang", None),
            ("stubborn", self.random.randrange(1, 4)),
            ("lost", None),
        )

    # What people do.

    def _people(self, thread: str) -> None:
        at_ms = self.random.randrange(4_000)
        self._say(thread, self._objective(), at_ms, by=self._one("socket", "socket", "inbox"))
        for _ in range(self.random.randrange(1, 8)):
            self._say(thread, self._command(), self._moment(first=at_ms))
        for _ in range(self.random.randrange(4)):
            call = self._one("complete", "blocked", "create", "usage", "wait", "acknowledge")
            back = self._one(0, 0, 1, 2)
            moment = self._moment(first=at_ms)
            self.items.append(p.Ghost(at_ms=moment, thread=thread, back=back, call=call))

    def _queue(self, thread: str) -> None:
        """Have people queue goals, and let the thread go on to them."""
        advance = e.PolicyChanged(changes={"advance": True})
        self._say(thread, advance, self._moment(), by="socket")
        for number in range(self.random.randrange(1, 6)):
            event = self._one(
                e.GoalQueued(objective=f"queued {number}", first=self._chance(0.3)),
                e.GoalQueued(objective=f"queued {number}", limits=Limits(continuations=3)),
                e.QueueMoved(queue_id=self._one("q1", "q2"), place=1),
                e.QueueDropped(queue_id=self._one("q1", "q2")),
                e.NextGoalRequested(),
                e.CompletionRequested(),
            )
            self._say(thread, event, self._moment())

    def _say(self, thread: str, event: e.Command, at_ms: int, *, by: p.Route | None = None) -> None:
        if by is None:
            by = self._one("socket", "socket", "socket", "socket", "inbox")
        if isinstance(event, e.PauseRequested) and self._chance(0.2):
            by = "halt"
        again: Sequence[int] = ()
        if self._chance(0.4):
            again = sorted(self.random.randrange(20_000) for _ in range(self._one(1, 2)))
        expecting: p.Expectation | None = self._one("right", "wrong") if self._chance(0.1) else None
        said = p.Say(
            at_ms=at_ms,
            thread=thread,
            event=event,
            by=by,
            expecting=expecting,
            again=tuple(again),
        )
        self.items.append(said)

    def _objective(self, *, replace: bool = False) -> e.ObjectiveGiven:
        self.said += 1
        verifiers = self._one((), (), (CHECKED,), (CHECKED, CHECKED), (PERSON,), (CHECKED, PERSON))
        criteria = self._one((), (Criterion(text="it works"), Criterion(text="it is written down")))
        return e.ObjectiveGiven(
            objective=f"objective {self.said}",
            limits=self._limits(),
            verifiers=verifiers,
            criteria=criteria,
            replace=replace,
            policy=self._one({}, {}, {"no_progress": 2}, {"steering_limit": 3}),
        )

    def _limits(self) -> Limits:
        return Limits(
            tokens=self._one(None, None, 300, 2_000),
            seconds=self._one(None, None, None, 20),
            cost=self._one(None, None, None, 3),
            continuations=self._one(None, None, None, 0, 3),
        )

    def _command(self) -> e.Command:
        self.said += 1
        steering = e.SteeringReceived(
            message_id=f"m{self.said}", text=f"<steering {self.said}> & no more"
        )
        return self._one(
            steering,
            steering,
            steering,
            steering,
            steering,
            e.PauseRequested(),
            e.ResumeRequested(),
            e.ResumeRequested(),
            e.ResumeRequested(),
            e.ClearRequested(),
            self._objective(replace=True),
            self._objective(replace=True),
            self._objective(),
            e.EditRequested(objective=f"objective {self.said}, reworded"),
            e.BudgetChanged(
                limits=Limits(tokens=self._one(None, 5_000), continuations=self._one(None, 9)),
                unlimited=self._one((), ("tokens",), ("seconds", "cost")),
            ),
            e.BudgetChanged(limits=Limits(tokens=self.random.randrange(1, 800))),
            e.CompletionRequested(evidence=(Evidence(text="I saw it"),)),
            e.BlockRequested(reason="wait for me"),
            e.ClaimAccepted(),
            e.ClaimRejected(feedback=f"not yet {self.said}"),
            e.WakeRequested(note="it happened"),
            e.PolicyChanged(changes={"no_progress": self._one(0, 1, 4)}),
            e.PolicyChanged(changes={"blocked_after": 1, "cached_weight": 0.25}),
            e.PauseRequested(origin="model"),
        )

    # What breaks.

    def _trouble(self) -> None:
        for _ in range(self._one(0, 1, 1, 2, 3, 5)):
            where = self._one(*_PLACES)
            nth = self.random.randrange(1, _OFTEN[where] + 1)
            self.items.append(p.Kill(where=where, nth=nth, orphans=self._chance(0.4)))
        for _ in range(self._one(0, 0, 1, 2)):
            self.items.append(p.KillAt(at_ms=self._moment()))
        for _ in range(self._one(0, 0, 1, 2, 3)):
            self._stall()
        for _ in range(self._one(0, 0, 1, 2, 4)):
            kind = self._one("full", "busy", "failing", "unknown_kept", "unknown_lost")
            of, most = self._one(
                ("any", 90), ("any", 90), ("repeat", 4), ("asked", 8), ("marks", 20)
            )
            nth = self.random.randrange(1, most + 1)
            self.items.append(p.Fault(kind=kind, nth=nth, times=self._one(1, 1, 2, 5), of=of))  # type: ignore[arg-type]
        for _ in range(self._one(0, 0, 0, 1, 2)):
            self.items.append(p.ReadFault(nth=self.random.randrange(1, 200)))
        for _ in range(self._one(0, 0, 0, 1)):
            grace_ms = self._one(0, 3_000, 30_000)
            self.items.append(p.Shutdown(at_ms=self._moment(), grace_ms=grace_ms))
        for _ in range(self._one(0, 0, 0, 1)):
            self.items.append(p.Rival(at_ms=self._moment()))
        for _ in range(self._one(0, 0, 0, 1)):
            by_ms = self._one(-HOUR_MS, HOUR_MS, 2_000, -90_000)
            self.items.append(p.Jump(at_ms=self._moment(), by_ms=by_ms))
        for _ in range(self._one(0, 0, 0, 1, 2)):
            self.items.append(p.Poison(nth=self.random.randrange(1, 250)))

    def _machine(self) -> None:
        """Have others fill the disk and hold the lock, the supervisor stand still, reads fail."""
        for _ in range(self.random.randrange(3)):
            for_ms = self._one(200, 2_000, 15_000)
            self.items.append(p.Locked(at_ms=self._moment(), for_ms=for_ms))
        for _ in range(self.random.randrange(3)):
            at_ms, for_ms = self._moment(), self._one(1_000, 20_000)
            self.items.append(p.SmallDisk(at_ms=at_ms, for_ms=for_ms, kept=self._one(0, 2, 10)))
        for _ in range(self.random.randrange(4)):
            for_ms = self.random.randrange(500, 20_000)
            self.items.append(p.Hushed(at_ms=self._moment(), for_ms=for_ms))
        for sort, often in (("workers", 30), ("processes", 3), ("transcripts", 30), ("threads", 3)):
            for _ in range(self._one(0, 1, 2)):
                nth = self.random.randrange(1, often + 1)
                self.items.append(p.ReadFault(nth=nth, of=sort))  # type: ignore[arg-type]

    def _ends(self) -> None:
        """Have the decisions raise by which runs end."""
        for _ in range(self._one(1, 2, 3)):
            nth = self.random.randrange(1, 12)
            self.items += [p.Poison(nth=nth + more, of="end") for more in range(self._one(1, 2))]

    def _unserved(self) -> None:
        """Have workers come late, and have performers raise."""
        for thread in self.threads:
            if self._chance(0.3):
                self.items.append(p.Unserved(thread=thread, until_ms=self._moment()))
        for _ in range(self._one(0, 1, 2)):
            self.items.append(p.Breaks(nth=self.random.randrange(1, 31)))

    def _meetings(self) -> None:
        """Have the disk, the file's name and old commands come back at a bad time; see above."""
        if self._chance(0.5):
            room, pinned_ms = self._one(20, 40, 100), self._one(0, 300, 12_000)
            self.items.append(p.SizedDisk(at_ms=self._moment(), room=room, pinned_ms=pinned_ms))
        for _ in range(self.random.randrange(3)):
            for_ms = self._one(100, 1_500, 8_000, 30_000)
            self.items.append(p.Unreadable(at_ms=self._moment(), for_ms=for_ms))
        for _ in range(self._one(0, 1, 3)):
            self.items.append(p.ReadFault(nth=self.random.randrange(1, 400), of="each"))
        for _ in range(self._one(0, 2, 6)):
            self.items.append(p.ReadFault(nth=self.random.randrange(1, 30), of="workers"))
        for _ in range(self._one(0, 0, 1, 2)):
            self.items.append(p.Renamed(at_ms=self._moment(), rival=self._chance(0.5)))
        for _ in range(self.random.randrange(4)):
            nth = self.random.randrange(1, 250)
            self.items += [p.Poison(nth=nth + more) for more in range(self._one(1, 2, 3))]
        for _ in range(self._one(0, 1, 2)):
            self._stall()
        self.items = [self._late(i) if isinstance(i, p.Say) else i for i in self.items]

    def _late(self, said: p.Say) -> p.Say:
        """Have somebody who was answered long ago ask once more, and once more."""
        late = sorted(self.random.randrange(self.chaos_ms) for _ in range(self._one(0, 1, 3)))
        return replace(said, again=(*said.again, *late))

    def _stall(self) -> None:
        where = self._one(*_PLACES)
        # Owners are deposed after ten seconds of silence.
        for_ms, rival_ms = self._one(
            (800, None),
            (6_000, 100),
            (14_000, None),
            (20_000, 6_000),
            (40_000, 100),
            (40_000, 6_000),
        )
        nth = self.random.randrange(1, _OFTEN[where] + 1)
        self.items.append(p.Stall(where=where, nth=nth, for_ms=for_ms, rival_ms=rival_ms))
