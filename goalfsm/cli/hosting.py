"""An engine as the command line runs it: it tells whom its user has named, and collects rarely."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING, Any, Final

from goalfsm.cli.notifying import targets
from goalfsm.daemon.engine import Engine
from goalfsm.daemon.stages.notifications import CALLBACK, Notifier
from goalfsm.daemon.stages.performers import PERSON_ASKED
from goalfsm.workers.supervisor.orphans import adopt_orphans

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from goalfsm.store.port import Store
    from goalfsm.views.status import Status


NOTICE_S: Final = 5.0
"""How long a command that ends waits for its last notice to be sent."""


def engine_on(store: Store, db: Path, **options: Any) -> tuple[Engine, Notifier]:
    """Return an engine on the store, and what sends its notices; see `Engine` for ``options``."""
    adopt_orphans()
    collect_rarely()

    def status(thread_id: str) -> Status:
        return engine.status(thread_id)

    notifier, told = notices(str(db), status)
    engine = Engine(store, **options | told)
    return engine, notifier


def notices(
    db: str, status: Callable[[str], Status | Awaitable[Status]]
) -> tuple[Notifier, dict[str, Any]]:
    """Return what sends notices, and the options of an engine that has it send them."""
    notifier = Notifier(told := targets(), db=db)
    if not told:
        return notifier, {}
    callback = notifier.callback(status)
    callbacks = {CALLBACK: callback, PERSON_ASKED: callback}
    return notifier, {"machine": Notifier.machine(), "callbacks": callbacks}


_THRESHOLDS: Final = (10_000, 20, 50)


def collect_rarely() -> None:
    """Have the collector look at what is new, and seldom: there is little for it to find.

    Sessions, events and effects are values that refer to nothing of themselves; what is dropped is
    freed at once. With a thousand goals each look at everything would hold all of them up. What
    the process has loaded by now stays as long as it does.
    """
    if gc.get_threshold() == _THRESHOLDS:
        return
    gc.freeze()
    gc.set_threshold(*_THRESHOLDS)
