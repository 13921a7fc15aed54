"""Follow an engine from a thread of the process, and come back to it after it was gone."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

from goalfsm.daemon.flow.notices import Ended
from goalfsm.errors import GoalError

if TYPE_CHECKING:
    from collections.abc import Callable

    from goalfsm.daemon.flow.notices import Notice
    from goalfsm.ui.source import Source

AGAIN_S: Final = 1.0
"""How long nobody is asked after an engine was gone."""


class Follower:
    """Hands on what an engine tells about one thread, and never takes over from it."""

    def __init__(self, source: Source, thread_id: str, tell: Callable[[str, Notice], None]) -> None:
        """Prepare; ``tell`` gets the thread's name and each notice, in another thread."""
        self._source, self._thread_id, self._tell = source, thread_id, tell
        self._stopped = threading.Event()
        # It waits for the engine as long as it takes, so the process must not wait for it.
        self._worker = threading.Thread(target=self._run, name="follower", daemon=True)

    def start(self) -> None:
        """Begin to follow, as soon as there is an engine."""
        self._worker.start()

    def stop(self) -> None:
        """Hand on no notice any more."""
        self._stopped.set()

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                for notice in self._source.follow(self._thread_id):
                    if self._stopped.is_set():
                        return
                    self._tell(self._thread_id, notice)
                    if isinstance(notice, Ended):
                        break
            except (GoalError, OSError):
                # No engine, or one that died in the middle: what is stored is shown meanwhile.
                pass
            self._stopped.wait(AGAIN_S)
