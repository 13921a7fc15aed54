"""What a world changes of the process that it is played in, and puts back."""

from __future__ import annotations

import gc
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, Final

import structlog

from goalfsm.daemon.flow import threads
from goalfsm.session import thread as deciding
from goalfsm.session.rules import runs
from tests.simulation.endings import Poisoned

if TYPE_CHECKING:
    from tests.simulation.world import World

FAULTY_EVENTS: Final = frozenset({"event failed", "task failed", "run failed"})
"""Lines of the engine's log that tell of a fault of its own."""


@contextmanager
def surroundings(world: World) -> Iterator[None]:
    """Put a world in the place of the log, the limits and the decisions of this process."""

    def logged(
        _logger: Any, _level: str, line: MutableMapping[str, Any]
    ) -> MutableMapping[str, Any]:
        said = line["event"]
        ended = isinstance(line.get("exc_info"), SystemExit | Poisoned)
        if not world.burying and said in FAULTY_EVENTS and not ended:
            world.fail("the engine met a fault of its own", f"{said}: {line.get('exc_info')!r}")
        raise structlog.DropEvent

    before, kept = structlog.get_config(), (threads.KEEP_QUIET, runs.KEYS_KEPT)
    decided = vars(deciding)["handle"]
    structlog.configure(
        processors=[logged],
        wrapper_class=structlog.BoundLogger,
        cache_logger_on_first_use=False,
    )
    threads.KEEP_QUIET = world.plan.keep_quiet  # type: ignore[misc]
    runs.KEYS_KEPT = world.plan.keys_kept
    setattr(deciding, "handle", world.decide)  # noqa: B010
    # What is let go must not depend on when the collector happens to run.
    collects = gc.isenabled()
    gc.disable()
    try:
        with world.callers.around() if world.plan.door else nullcontext():
            yield
    finally:
        if collects:
            gc.enable()
        threads.KEEP_QUIET, runs.KEYS_KEPT = kept  # type: ignore[misc]
        setattr(deciding, "handle", decided)  # noqa: B010
        structlog.configure(**before)
