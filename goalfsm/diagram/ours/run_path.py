"""The way that a thread's runs took through their life, as far as the journal proves it.

The journal tells of beginnings and ends, and by whom each was written down; what lies between is
inferred, and only where there is no other way from the one to the other:

- A dispatch after an end proves that the work was sent; work that was given up is not counted.
- What a worker reported, and an end of which its engine tells how the worker's went, prove that
  there was a worker.
- An end that another engine wrote down than the one that had dispatched the run proves a crash. It
  is counted where the run is last known to have been: a worker that reported nothing may have run.

Crashes between two runs, and those of engines that tried to reconcile, leave no trace here.
"""

from __future__ import annotations

from typing import Final

from goalfsm.diagram.ours.life import (
    CRASH,
    ENDED,
    INTERRUPTED,
    OPEN,
    RECONCILING,
    RECORDED,
    RUNNING,
    WANTED,
)
from goalfsm.session import events as e

Step = tuple[str, str, str]
NOWHERE: Final = ""
"""Where a thread is that has had no run."""


class RunPath:
    """Follows a thread's runs from event to event: ``steps`` so far, ``at`` is where they led."""

    def __init__(self) -> None:
        """Begin before the first run."""
        self.at = NOWHERE
        self.steps: list[Step] = []
        self._run: e.RunDispatched | None = None
        self._epoch = 0

    def take(self, event: e.Event, epoch: int) -> None:
        """Follow the next committed event, which the engine of ``epoch`` wrote down."""
        run = self._run
        match event:
            case e.RunDispatched() if run is None:
                self.wanted()
                self._go("RunDispatched", OPEN)
                self._run, self._epoch = event, epoch
            case e.RunFinished(run_id=run_id) | e.RunInterrupted(run_id=run_id):
                if run is not None and run.run_id == run_id:
                    self._end(event, epoch)
            case _ if run is not None and epoch == self._epoch and _of_worker(event, run):
                self.running()

    def wanted(self) -> None:
        """Have another run wanted, unless one is open: work was sent."""
        if self.at in {RECORDED, INTERRUPTED}:
            self._go("SendWork", WANTED)
        elif self.at == NOWHERE:
            self.at = WANTED

    def running(self) -> None:
        """Have the open run's worker work, if that is not known before."""
        if self.at == OPEN:
            self._go("Spawned", RUNNING)

    def _end(self, event: e.RunFinished | e.RunInterrupted, epoch: int) -> None:
        if epoch != self._epoch:
            self._go(CRASH, RECONCILING)
        elif self.at == RUNNING or _tells_of_worker(event):
            self.running()
            self._go("Exited", ENDED)
        dest = RECORDED if isinstance(event, e.RunFinished) else INTERRUPTED
        self._go(type(event).__name__, dest)
        self._run = None

    def _go(self, trigger: str, dest: str) -> None:
        self.steps.append((self.at, trigger, dest))
        self.at = dest


def _of_worker(event: e.Event, run: e.RunDispatched) -> bool:
    """Tell whether only a worker that runs makes the engine say this."""
    token = getattr(event, "run_token", None)
    return isinstance(event, e.ToolFinished) or token == run.token


def _tells_of_worker(event: e.RunFinished | e.RunInterrupted) -> bool:
    """Tell whether this end is that of a worker: one that was prevented says neither."""
    return isinstance(event, e.RunFinished) or event.ended_ms is not None
