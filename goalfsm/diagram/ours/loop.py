"""The loop of one thread as a sequence, played through the ``handle()`` that really decides.

What is told here is who says what when; what comes of it (effects, decisions) is what ``handle()``
returns. A change of the rules therefore changes the picture.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from goalfsm.diagram.model import Frame, Message, Participant, Remark, Step
from goalfsm.diagram.model import Sequence as Drawn
from goalfsm.goal.model import Usage
from goalfsm.session import events as e
from goalfsm.session.thread import GoalThread

PERSON: Final = "person"
DAEMON: Final = "daemon"
DECIDE: Final = "handle"
STORE: Final = "store"
WORKER: Final = "worker"

_PARTICIPANTS: Final = (
    Participant(name=PERSON, label="Person"),
    Participant(name=DAEMON, label="Daemon"),
    Participant(name=DECIDE, label="handle()"),
    Participant(name=STORE, label="Store"),
    Participant(name=WORKER, label="Worker"),
)
_RUN: Final = "run-1"
_END: Final = e.RunFinished(run_id=_RUN, answer_length=40, tools_ok=1)


def session_sequence() -> Drawn:
    """Return the loop: an objective, a turn, the decision after it, a completion claim."""
    play = _Play()
    given = play.asked(
        "gives an objective", e.ObjectiveGiven(objective="Make the tests pass."), reply=True
    )
    dispatched = play.decided(
        "the run is written down before it starts",
        e.RunDispatched(run_id=_RUN, token=_RUN),
    )
    used = play.decided(
        "usage counts once, by its key",
        e.UsageReported(
            run_id=_RUN, run_token=_RUN, key="1", usage=Usage(input_tokens=900, output_tokens=80)
        ),
    )
    before_end = play.thread.session
    ended = play.decided("the end, and what follows from it", _END)
    # The same turn once more, but with a claim in it.
    play.thread = GoalThread(before_end)
    claimed = play.asked(
        "claims that the goal is met",
        e.ToolCalled(
            name="update_goal",
            arguments={"status": "complete", "evidence": ["All 214 tests pass."]},
            run_token=_RUN,
        ),
        who=WORKER,
        reply=True,
    )
    closed = play.decided("the end, and what follows from it", _END)
    return Drawn(
        title="One thread: the loop",
        participants=_PARTICIPANTS,
        steps=(
            *given,
            Frame(
                kind="loop",
                text="while the decision is to continue",
                steps=(
                    *dispatched,
                    Remark(
                        over=(DAEMON, STORE),
                        text="A crash from here on: the run is reconciled, never sent again",
                    ),
                    Message(source=DAEMON, dest=WORKER, text="starts the turn with its prompt"),
                    Message(source=WORKER, dest=DAEMON, text="reports usage", reply=True),
                    *used,
                    Frame(kind="opt", text="the model says that it is done", steps=claimed),
                    Message(source=WORKER, dest=DAEMON, text="exits", reply=True),
                    *ended,
                ),
            ),
            Remark(
                over=(DAEMON, STORE), text="After an accepted claim the same end stops the loop"
            ),
            *closed,
        ),
    )


class _Play:
    """A thread that is driven through its events, and what is told of it."""

    def __init__(self) -> None:
        self.thread = GoalThread.new()
        self._now_ms = 0

    def _handled(self, events: Sequence[e.Event]) -> tuple[str, str]:
        """Return what ``handle()`` made of the events: its effects and decision, its reply."""
        found: list[str] = []
        reply = ""
        decision = None
        for event in events:
            self._now_ms += 1_000
            step = self.thread.step(event, id="", at_ms=self._now_ms)
            found += [type(effect).__name__ for effect in step.effects]
            decision = step.decision or decision
            reply = reply if step.reply is None else step.reply.code
        if decision is not None:
            found.append(f"{decision.decision} ({decision.guard})")
        return ", ".join(dict.fromkeys(found)) or "no effect", reply

    def decided(self, why: str, *events: e.Event) -> tuple[Step, ...]:
        """Tell how the daemon has events decided and commits what comes of them."""
        outcome, _ = self._handled(events)
        return tuple(self._told(why, events, outcome))

    def asked(
        self, what: str, event: e.Event, *, who: str = PERSON, reply: bool = False
    ) -> tuple[Step, ...]:
        """Tell how somebody asks for something; the answer comes after the commit."""
        outcome, code = self._handled([event])
        steps: list[Step] = [Message(source=who, dest=DAEMON, text=what)]
        steps += self._told("the event, the state and the effects, at once", [event], outcome)
        if reply:
            steps.append(Message(source=DAEMON, dest=who, text=code, reply=True))
        return tuple(steps)

    def _told(self, why: str, events: Sequence[e.Event], outcome: str) -> Iterator[Step]:
        names = "\n".join(dict.fromkeys(type(event).__name__ for event in events))
        yield Message(source=DAEMON, dest=DECIDE, text=names)
        yield Message(source=DECIDE, dest=DAEMON, text=outcome, reply=True)
        yield Message(source=DAEMON, dest=STORE, text=f"commits: {why}")
