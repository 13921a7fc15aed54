"""A run's life with the points at which a crash may hit it, and what becomes of it then.

A run is one dispatch of goal work to a worker. The rows follow the daemon's order: a run is
written down before anything of it starts, its effects are marked after they are done.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from goalfsm.diagram.model import Diagram
from goalfsm.diagram.rows import from_rows

CRASH: Final = "crash"


class Row(NamedTuple):
    """One step of a run's life; ``actions`` are what is done about it, in order."""

    trigger: str
    source: str
    dest: str
    when: str | None = None
    actions: tuple[str, ...] = ()
    reason: str = ""

    @property
    def fault(self) -> bool:
        """Tell whether this befalls the run instead of being done."""
        return self.trigger == CRASH


WANTED: Final = "wanted"
OPEN: Final = "open"
RUNNING: Final = "running"
ENDED: Final = "ended"
RECORDED: Final = "recorded"
RECONCILING: Final = "reconciling"
INTERRUPTED: Final = "interrupted"

NOTES: Final = {
    WANTED: "a turn of the goal is queued",
    OPEN: "the run is committed, no process exists",
    RUNNING: "the worker works; usage commits as it arrives",
    ENDED: "the worker is gone, its end is not committed",
    RECONCILING: "a new engine has the thread; the old process group is gone",
    RECORDED: "end, usage and the next decision are committed",
    INTERRUPTED: "counts neither as no progress nor as blocked",
}

ROWS: Final[tuple[Row, ...]] = (
    Row("RunDispatched", WANTED, OPEN, actions=("StartRun",),
        reason="The run is written down before anything of it starts."),
    Row("Spawned", OPEN, RUNNING,
        reason="From here on there is something that a crash would have to end."),
    Row("Exited", RUNNING, ENDED,
        reason="The worker ended by itself, was aborted or timed out."),
    Row("RunFinished", ENDED, RECORDED, actions=("decide",),
        reason="The turn's result and the decision after it are one transaction."),
    Row("RunInterrupted", ENDED, INTERRUPTED,
        reason="Nobody knows how the turn went: its supervisor was lost, or it was ended early."),
    Row("RunInterrupted", OPEN, INTERRUPTED,
        reason="It was ended before a worker was started, or a fault kept one from being started."),
    Row(CRASH, WANTED, WANTED,
        reason="The session says that the turn waits: the successor dispatches it."),
    Row(CRASH, OPEN, RECONCILING,
        reason="Whether the worker was started is not known."),
    Row(CRASH, RUNNING, RECONCILING, actions=("end the process group",),
        reason="The supervisor ends the run's process group as soon as the daemon is gone."),
    Row(CRASH, ENDED, RECONCILING,
        reason="The result was not committed: it counts only where a probe finds it."),
    Row(CRASH, RECORDED, RECORDED,
        reason="The commit holds all of it; effects done twice are harmless by their keys."),
    Row("RunFinished", RECONCILING, RECORDED, when="the probe finds it finished",
        actions=("decide",), reason="Its result is taken as if nothing had happened."),
    Row("RunInterrupted", RECONCILING, INTERRUPTED,
        reason="It is not sent again blindly."),
    Row("Probe", RECONCILING, RECONCILING, when="it still runs", actions=("abort",),
        reason="A run that goes on somewhere is ended before anything else is started."),
    Row(CRASH, RECONCILING, RECONCILING,
        reason="The next successor finds the run as open as this one did."),
    Row(CRASH, INTERRUPTED, INTERRUPTED,
        reason="The commit holds all of it."),
    Row("SendWork", INTERRUPTED, WANTED, when="decided to continue",
        reason="The next prompt says that the run before it was interrupted."),
    Row("SendWork", RECORDED, WANTED, when="decided to continue",
        reason="The objective is not met yet."),
)  # fmt: skip


def run_life() -> Diagram:
    """Return a run's life as a diagram."""
    return from_rows(
        ROWS, title="A run's life, and where it may crash", initial=WANTED, notes=NOTES
    )
