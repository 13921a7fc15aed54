"""Keeps what turns answered and the end of their standard error, beside the journal."""

from __future__ import annotations

import contextlib
from collections import deque
from typing import TYPE_CHECKING, Final

import structlog

from goalfsm.errors import StoreError, TooLarge
from goalfsm.store.port import Transcript
from goalfsm.views.prompts import last_answer

if TYPE_CHECKING:
    from goalfsm.daemon.flow.turn import Gathered
    from goalfsm.daemon.host.clock import Clock
    from goalfsm.session.state import Run, Session
    from goalfsm.store.port import TranscriptKeeping

_SHOWN: Final = 2_000
"""How many characters of the last answer the next prompt carries."""

_LAST: Final = 1_000
"""Of how many threads the last answer is remembered until the next turn; the store has them all."""

_LATE: Final = 16
"""How many turns' words wait for a store in trouble."""

_log = structlog.get_logger(__name__)


class Transcripts:
    """What the runs of every thread said; losing one harms nobody."""

    def __init__(
        self, keeping: TranscriptKeeping, clock: Clock, *, elsewhere: bool = False
    ) -> None:
        """Keep them in ``keeping``; ``elsewhere``: others run turns of the same threads, too."""
        self._keeping = keeping
        self._clock = clock
        self._elsewhere = elsewhere
        self._last: dict[str, tuple[int, str]] = {}
        """The turn of a thread that ended last, and the end of its answer, for the next prompt."""
        self._late: deque[Transcript] = deque(maxlen=_LATE)
        """What the store did not take yet."""

    def keep(self, thread_id: str, run: Run, seen: Gathered) -> None:
        """Keep what a run said, where it said something."""
        words = "" if seen.exited is None else seen.clean(seen.exited.stderr_tail)
        answer = seen.clean(seen.said.kept().decode("utf-8", "replace")).encode()
        if not answer and not words:
            return
        stderr = words.encode("utf-8", "replace")
        transcript = Transcript(
            thread_id=thread_id,
            run_id=run.run_id,
            turn=run.turn,
            at_ms=self._clock.now_ms(),
            answer=answer,
            stderr=stderr,
            answer_bytes=max(seen.said.total, len(answer)),
            stderr_bytes=len(stderr),
        )
        self._late.append(transcript)
        if not self._elsewhere:
            self._last.pop(thread_id, None)
            if len(self._last) >= _LAST:
                del self._last[next(iter(self._last))]
            self._last[thread_id] = (run.turn, _end_of(answer))
        self._put_late()

    def _put_late(self) -> None:
        """Keep what could not be before; a store in trouble is asked again at the next turn."""
        try:
            while self._late:
                with contextlib.suppress(TooLarge):
                    self._keeping.put(self._late[0])
                self._late.popleft()
        except StoreError as error:
            _log.debug("what turns said is kept later", turns=len(self._late), code=error.code)

    def last_words(self, thread_id: str, session: Session) -> str:
        """Return what the run of ``session`` is told of the turn before it, for its prompt.

        "" for a worker that has a session of its own, and for the first turn of a goal.
        """
        goal, run = session.goal, session.run
        alone = session.worker_session is None and goal is not None and goal.continuations > 1
        if run is None or not alone:
            return ""
        turn, text = self._last.pop(thread_id, (0, ""))
        if turn != run.turn - 1:
            text = self._stored(thread_id, run)
        return last_answer(text) if text else ""

    def _stored(self, thread_id: str, run: Run) -> str:
        self._put_late()
        try:
            found = self._keeping.read(thread_id, before_turn=run.turn, limit=1)
        except StoreError:
            return ""
        return _end_of(found[0].answer) if found else ""


def _end_of(answer: bytes) -> str:
    """Return the end of an answer that a prompt shows."""
    return answer.decode("utf-8", "replace").strip()[-_SHOWN:]
