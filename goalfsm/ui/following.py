"""Follow an engine from a thread of the process, and come back to it after it was gone.

Whoever comes back is told what was missed: the events since, what turns have said that are over by
then, and what the running one has said so far. What was heard before is not told again.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from tenacity import Retrying, retry_if_result, sleep_using_event, wait_fixed

from goalfsm.daemon.flow.notices import Ended, Happened, Heard, Output, StatusChanged
from goalfsm.errors import GoalError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from goalfsm.daemon.flow.notices import Notice
    from goalfsm.ui.source import Source

AGAIN_S: Final = 1.0
"""How long nobody is asked after an engine was gone."""
_ENDS: Final = frozenset({"RunFinished", "RunInterrupted"})


class Follower:
    """Hands on what an engine tells about one thread, and never takes over from it."""

    def __init__(self, source: Source, thread_id: str, tell: Callable[[str, Notice], None]) -> None:
        """Hand the thread's name and each notice to ``tell``, in another thread."""
        self._source, self._thread_id, self._tell = source, thread_id, tell
        self._stopped = threading.Event()
        self._told: int | None = None
        """The revision of the newest event that was told, or was there when it began."""
        self._heard = Heard()
        # It waits for the engine as long as it takes, so the process must not wait for it.
        self._worker = threading.Thread(target=self._run, name="follower", daemon=True)

    def start(self) -> None:
        """Begin to follow, as soon as there is an engine."""
        self._worker.start()

    def stop(self) -> None:
        """Hand on no notice any more."""
        self._stopped.set()

    def _run(self) -> None:
        Retrying(
            sleep=sleep_using_event(self._stopped),
            wait=wait_fixed(AGAIN_S),
            retry=retry_if_result(lambda _: not self._stopped.is_set()),
        )(self._listen)

    def _listen(self) -> None:
        """Hand on what an engine tells, until it stops or is gone."""
        if self._stopped.is_set():
            return
        # No engine, or one that died in the middle: what is stored is shown meanwhile.
        with suppress(GoalError, OSError):
            if self._told is None:
                self._told = self._source.revision(self._thread_id)
            for notice in self._news(self._source.follow(self._thread_id, self._told)):
                if self._stopped.is_set():
                    return
                self._tell(self._thread_id, notice)
                if isinstance(notice, Ended):
                    return

    def _news(self, notices: Iterator[Notice]) -> Iterator[Notice]:
        """Yield what is new of an engine's notices, with what was said while nobody listened."""
        missed = True
        for notice in notices:
            if isinstance(notice, StatusChanged):
                missed = False
            elif isinstance(notice, Happened):
                if missed and notice.event["type"] in _ENDS:
                    yield from self._said(notice.event["run_id"])
                self._told = notice.revision
            elif isinstance(notice, Output):
                yield from self._unheard(notice)
                continue
            yield notice

    def _said(self, run_id: str) -> Iterator[Notice]:
        """Yield what is kept of a run that has ended while nobody listened."""
        kept = self._source.said(self._thread_id, run_id)
        if kept is not None and kept.answer:
            text = kept.answer.decode("utf-8", "ignore")
            left_out = kept.answer_bytes - len(text.encode())
            yield from self._unheard(
                Output(
                    thread_id=self._thread_id,
                    run_id=run_id,
                    text=text,
                    again=True,
                    left_out=left_out,
                )
            )

    def _unheard(self, said: Output) -> Iterator[Notice]:
        if (left := self._heard.unheard(said)) is not None:
            yield left
