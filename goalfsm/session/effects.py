"""What to do about it: imperative, plain data, done after the commit and at least once."""

from __future__ import annotations

from typing import Literal

import msgspec

from goalfsm.goal.model import Goal, Source, Status


class SetEntry(msgspec.Struct, frozen=True, kw_only=True, gc=False, tag="set"):
    """The goal as it then was."""

    source: Source
    goal: Goal


class ClearEntry(msgspec.Struct, frozen=True, kw_only=True, gc=False, tag="clear"):
    """The goal was given up."""

    source: Source
    cleared: str | None


class UserStartEntry(
    msgspec.Struct, frozen=True, kw_only=True, gc=False, tag="user_start_required"
):
    """Whether the next run has to start with a visible message."""

    active: bool


Entry = SetEntry | ClearEntry | UserStartEntry


class _Effect(msgspec.Struct, frozen=True, kw_only=True, gc=False, tag=True):
    """The base of all effects; the tag is the class name."""


class AppendEntry(_Effect, frozen=True, kw_only=True):
    """Append to the thread's history; done by the commit itself."""

    entry: Entry


class SendWork(_Effect, frozen=True, kw_only=True):
    """Hand goal work to the host: a continuation, or the last turn of a goal out of budget.

    ``follow_up`` waits for the running turn, ``steer`` joins it; ``trigger_turn`` starts one
    when none is running.
    """

    kind: Literal["continuation", "wind_down"]
    goal_id: str
    deliver_as: Literal["follow_up", "steer"]
    trigger_turn: bool = True


class AbortRun(_Effect, frozen=True, kw_only=True):
    """Abort the running turn: all of its work is stale."""


class StartRun(_Effect, frozen=True, kw_only=True):
    """Start the worker of a dispatched run."""

    run_id: str


class EndRun(_Effect, frozen=True, kw_only=True):
    """End a run's process group: its goal was replaced or cleared."""

    run_id: str
    reason: str


class DeliverSteering(_Effect, frozen=True, kw_only=True):
    """Give a steering message to the running worker."""

    run_id: str
    message_id: str
    text: str


class RunVerifier(_Effect, frozen=True, kw_only=True):
    """Run one verifier of the open claim."""

    claim_id: str
    index: int


class RunUntil(_Effect, frozen=True, kw_only=True):
    """Run the goal's ``until``: a turn has ended well, and nothing of it is left."""

    check_id: str


class CompactContext(_Effect, frozen=True, kw_only=True):
    """Ask the worker to compact its context."""

    goal_id: str


class WatchProcess(_Effect, frozen=True, kw_only=True):
    """Tell when the process ``pid`` has ended; ``started`` tells it from later ones, if known."""

    pid: int
    started: str = ""


class RunCallback(_Effect, frozen=True, kw_only=True):
    """Call the embedder's callback ``name``: the goal entered ``status``."""

    name: str
    goal_id: str
    status: Status


class AskPerson(_Effect, frozen=True, kw_only=True):
    """Tell people that the active goal goes no further without one: ``about`` says what for."""

    goal_id: str
    about: Literal["claim", "wait"]


class WriteReport(_Effect, frozen=True, kw_only=True):
    """Write the record of a goal that is complete to its file: as a report, or for a pull request.

    Written once more, it is the same file.
    """

    goal_id: str
    form: Literal["report", "pr"]


class TakeNextGoal(_Effect, frozen=True, kw_only=True):
    """Ask for the thread's next queued goal: the goal ``goal_id`` is complete, its run is over."""

    goal_id: str


Effect = (
    AppendEntry
    | SendWork
    | AbortRun
    | StartRun
    | EndRun
    | DeliverSteering
    | RunVerifier
    | RunUntil
    | CompactContext
    | WatchProcess
    | RunCallback
    | AskPerson
    | WriteReport
    | TakeNextGoal
)

LOCAL = (StartRun,)
"""Effects that are done where they are decided, or never: the open run tells what is to settle."""

TOLD = (SendWork, *LOCAL)
"""Effects that need no row of their own: the session itself tells of the turn that waits, and of
the run that is open."""
