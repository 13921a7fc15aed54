"""The threads as a node sees them: the inbox of its parts, and how they stood when last looked at.

There is no owner and no cache that anybody relies on: every decision reads the thread under its
lock. What is kept is the session as of the last look, for those who have to know something of a
thread that they have just decided about.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from typing import TYPE_CHECKING, Final

import structlog
from tenacity import AsyncRetrying, retry_if_exception_type, wait_chain, wait_fixed

from goalfsm.cluster.decider import Attempt, Decider, Decision
from goalfsm.cluster.together import Together
from goalfsm.daemon.flow.decide import Envelope, failure_of
from goalfsm.daemon.flow.ports import Landed
from goalfsm.errors import GoalError, OutcomeUnknown, StoreClosed, StoreError

if TYPE_CHECKING:
    from goalfsm.cluster.tx import Loaded, Program
    from goalfsm.daemon.flow.ports import Aftermath, EventBatch, Spawn
    from goalfsm.session.events import Event
    from goalfsm.session.state import Reply, Session

MOST: Final = 64
"""Most envelopes that are decided in one transaction."""
KEEP: Final = 512
"""How many threads with nothing going on are remembered."""
PATIENCE_S: Final = 5.0
"""How long somebody from outside waits for a database that cannot be reached."""
SOON_S: Final = 0.05
"""How soon what failed is tried again for the first time."""
_WAITS: Final = wait_chain(*map(wait_fixed, (0.1, 0.25, 0.5)))

_log = structlog.get_logger(__name__)


class Line:
    """What waits to be decided about one thread, and how it stood last."""

    __slots__ = (
        *("attempt", "has_run", "mail", "program", "revision", "session", "wake_at_ms"),
        "working",
    )

    def __init__(self) -> None:
        """Have no mail, and know no session yet."""
        self.mail: deque[Envelope] = deque()
        self.session: Session | None = None
        self.revision = 0
        self.wake_at_ms: int | None = None
        self.program: Program | None = None
        self.attempt: Attempt | None = None
        self.working = False
        self.has_run = False


class ClusterThreads:
    """`Inbox` and `Sessions` of a node's parts, and the programs of threads as last seen."""

    def __init__(self, decider: Decider, spawn: Spawn, aftermath: Aftermath) -> None:
        """Decide by ``decider``; ``aftermath`` follows what has landed."""
        self._decider = decider
        self._together = Together(decider, spawn)
        self._spawn = spawn
        self._aftermath = aftermath
        self._lines: OrderedDict[str, Line] = OrderedDict()
        self._over: StoreError | None = None

    # The inbox.

    def send(
        self, thread_id: str, event: Event, *, done: tuple[str, ...] = (), event_id: str = ""
    ) -> asyncio.Future[Reply]:
        """Decide one event of the node's own, which reports ``done``; it is always kept."""
        return self.take(thread_id, Envelope(event, event_id=event_id, done=done))

    def run(self, thread_id: str, batch: EventBatch) -> asyncio.Future[Reply]:
        """Decide and commit the events of ``batch`` as one piece; they are always kept."""
        return self.take(thread_id, Envelope(batch))

    def take(
        self, thread_id: str, envelope: Envelope, *, first: bool = False
    ) -> asyncio.Future[Reply]:
        """Decide ``envelope`` after all that waits here for the thread, or ``first``."""
        if self._over is not None:
            envelope.fail(self._over)
            return envelope.future
        line = self._line(thread_id)
        if first:
            line.mail.appendleft(envelope)
        else:
            line.mail.append(envelope)
        if not line.working:
            line.working = True
            self._spawn(self._work(thread_id, line), f"decide {thread_id}")
        return envelope.future

    def waiting(self, thread_id: str) -> int:
        """Return how many envelopes of the thread wait to be decided here."""
        line = self._lines.get(thread_id)
        return 0 if line is None else len(line.mail)

    # How threads stood last.

    def session(self, thread_id: str) -> Session:
        """Return the session as it was last seen here. Raises `StoreError` where it never was."""
        session = self.known(thread_id)
        if session is None:
            raise StoreClosed(f"thread {thread_id} has not been looked at", hint="Look first.")
        return session

    def known(self, thread_id: str) -> Session | None:
        """Return the session as it was last seen here, None where it never was."""
        line = self._lines.get(thread_id)
        return None if line is None else line.session

    def revision(self, thread_id: str) -> int:
        """Return the revision at which the thread was last seen."""
        line = self._lines.get(thread_id)
        return 0 if line is None else line.revision

    def busy(self, thread_id: str) -> bool:
        """Tell whether something of the thread is being decided here."""
        line = self._lines.get(thread_id)
        return line is not None and line.working

    def has_run(self, thread_id: str) -> bool:
        """Tell whether this node has the thread's open run, as last seen."""
        line = self._lines.get(thread_id)
        return line is not None and line.has_run

    def open_runs(self) -> list[str]:
        """Return the threads of which this node has the open run, as last seen."""
        return [thread_id for thread_id, line in self._lines.items() if line.has_run]

    def loaded(self, thread_id: str) -> Loaded | None:
        """Return how the thread stands under the lock, within a batch that is being decided."""
        line = self._lines.get(thread_id)
        return None if line is None or line.attempt is None else line.attempt.loaded

    def program(self, thread_id: str) -> Program | None:
        """Return who runs the thread's turns, as last seen."""
        loaded = self.loaded(thread_id)
        line = self._lines.get(thread_id)
        if loaded is not None:
            return loaded.program
        return None if line is None else line.program

    def get(self, thread_id: str) -> bytes | None:
        """Return what is stored as the thread's worker, as last seen."""
        program = self.program(thread_id)
        return None if program is None else program.config or None

    async def look(self, thread_id: str) -> tuple[Loaded, Session]:
        """Look at the thread now. Raises `StoreError`, and `GoalError` where it cannot be read."""
        loaded, session = await self._decider.look(thread_id)
        line = self._line(thread_id)
        if loaded.revision >= line.revision:
            line.session, line.revision = session, loaded.revision
            line.program, line.wake_at_ms = loaded.program, loaded.wake_at_ms
            line.has_run = self._decider.is_holder(loaded)
        return loaded, session

    async def refresh(self, thread_id: str) -> None:
        """Look at the thread, and have the stages follow what others have decided about it."""
        before, revision = self.known(thread_id), self.revision(thread_id)
        loaded, session = await self.look(thread_id)
        if before is not None and loaded.revision > revision:
            self._aftermath.landed(Landed(thread_id, before, session, (), ()))

    def abandon(self, error: StoreError) -> None:
        """Fail everything that waits or comes."""
        self._over = error
        for line in self._lines.values():
            while line.mail:
                line.mail.popleft().fail(error)

    # Deciding.

    async def _work(self, thread_id: str, line: Line) -> None:
        try:
            while line.mail:
                group = [line.mail.popleft() for _ in range(min(MOST, len(line.mail)))]
                group = [each for each in group if not each.future.cancelled()]
                if group:
                    await self._decide(thread_id, line, group)
        finally:
            line.working = False
            # Cut off in the middle: nobody is to wait for ever for what may be there or not.
            cut, line.attempt = line.attempt, None
            for envelope in () if cut is None else cut.envelopes:
                envelope.fail(self._over or StoreClosed("the node stopped meanwhile"))
        self._aftermath.quiet(thread_id)
        self._trim()

    async def _decide(self, thread_id: str, line: Line, group: list[Envelope]) -> None:
        attempt = line.attempt = Attempt(thread_id, group)
        begun = asyncio.get_running_loop().time()
        unknown = False

        async def decide() -> Decision | None:
            nonlocal attempt, unknown
            try:
                return await self._together.decide(attempt)
            except StoreError as error:
                unknown = unknown or isinstance(error, OutcomeUnknown)
                late = asyncio.get_running_loop().time() - begun > PATIENCE_S
                if (late and not unknown) or self._over is not None:
                    kept = self._give_up(attempt.envelopes, self._over or error)
                    if not kept:
                        return None
                    if len(kept) < len(attempt.envelopes):
                        attempt = line.attempt = Attempt(thread_id, kept)
                self._aftermath.stuck(thread_id, error)
                raise
            except GoalError as error:
                for envelope in attempt.envelopes:
                    envelope.fail(error)
                return None

        unreachable = retry_if_exception_type(StoreError)
        try:
            decision = await decide()
        except StoreError:
            retrying = AsyncRetrying(wait=_WAITS, retry=unreachable)
            await asyncio.sleep(SOON_S)
            decision = await retrying(decide)
        line.attempt = None
        if decision is not None:
            self._land(thread_id, line, decision)

    def _give_up(self, envelopes: tuple[Envelope, ...], error: StoreError) -> list[Envelope]:
        """Tell whoever does not wait for ever; return the envelopes of those who do."""
        kept = []
        for envelope in envelopes:
            if envelope.kept and self._over is None:
                kept.append(envelope)
            else:
                envelope.fail(error)
        return kept

    def _land(self, thread_id: str, line: Line, decision: Decision) -> None:
        if decision.revision >= line.revision:
            line.session, line.revision = decision.session, decision.revision
            line.wake_at_ms, line.program = decision.wake_at_ms, decision.program
        line.has_run = decision.has_run
        if decision.decided:
            self._aftermath.landed(
                Landed(
                    thread_id, decision.before, decision.session, decision.decided, decision.done
                )
            )
        for envelope, reply in decision.answers:
            envelope.answer(reply)
        for failure in decision.failures:
            failure.envelope.fail(failure.error)
            self._aftermath.failed(thread_id, failure.error, failure.undecided)

    def fault(self, thread_id: str, event: Event, done: tuple[str, ...] = ()) -> None:
        """Record a fault before anything else is decided: the goal waits for a person then."""
        self.take(thread_id, Envelope(event, done=done), first=True)

    # What is remembered.

    def _line(self, thread_id: str) -> Line:
        line = self._lines.get(thread_id)
        if line is None:
            line = self._lines[thread_id] = Line()
        self._lines.move_to_end(thread_id)
        return line

    def _trim(self) -> None:
        for thread_id in list(self._lines)[: max(0, len(self._lines) - KEEP)]:
            if not self._lines[thread_id].working and not self._aftermath.is_needed(thread_id):
                del self._lines[thread_id]


__all__ = ["ClusterThreads", "failure_of"]
