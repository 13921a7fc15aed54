"""What every run of an engine is given: whom it reports to, and what it may ask."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from goalfsm.daemon.config import Assignment
    from goalfsm.daemon.flow.ports import Events, Inbox, Report, Sessions, Spawn
    from goalfsm.daemon.flow.threads import Holds
    from goalfsm.daemon.flow.turn import Gathered
    from goalfsm.daemon.host.platform import Clock
    from goalfsm.daemon.stages.subscriptions import Subscriptions
    from goalfsm.errors import StoreError
    from goalfsm.session.state import Run, Session
    from goalfsm.workers.protocol import Spawned


class RunPorts(NamedTuple):
    """What every run of an engine reports to, and asks."""

    db: str
    """The path of the store's file, empty where it has none."""
    inbox: Inbox
    sessions: Sessions
    clock: Clock
    holds: Holds
    subscriptions: Subscriptions
    spawn: Spawn
    report: Report
    confirm: Callable[[], bool]
    """Tells whether the store is still this engine's. Raises `StoreError` where nobody knows."""
    stuck: Callable[[StoreError], None]
    """Is told of a store that cannot be read or written."""
    follow_on: Callable[[str, Assignment, Session], Events]
    """Yields the dispatch of the turn that the run's end leaves queued."""
    gone: Callable[[Iterable[int]], Awaitable[None]]
    """Returns when all of these processes have ended."""
    ends_whole: bool
    """Whether a run ends with the last of its processes: who takes it over then knows of them."""
    spawned: Callable[[str, str, Spawned], None]
    """Is told the thread and the run of a process that has started."""
    recorded: Callable[[str], None]
    """Is told of a run with processes whose end is recorded, and of which nothing is left."""
    said: Callable[[str, Run, Gathered], None]
    """Is told the thread and the run of what a worker has said, at its end."""
    over: Callable[[str, str], None]
    """Is told the thread and the run of a worker that is gone, its end recorded."""
