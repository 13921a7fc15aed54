"""An engine as the command line runs it: it tells whom its user has named."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from goalfsm.cli.notifying import targets
from goalfsm.daemon.engine import Engine
from goalfsm.daemon.host.collector import collect_rarely
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
