"""Decisions about several threads that share a transaction."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from goalfsm.cluster.decider import Attempt, Decider, Decision
from goalfsm.cluster.memory_jobs import MemoryJobs
from goalfsm.cluster.memory_tx import MemoryDatabase
from goalfsm.cluster.together import Together
from goalfsm.daemon.flow.decide import Envelope
from goalfsm.daemon.host.platform import IdSource
from goalfsm.errors import OutcomeUnknown
from goalfsm.session import events as e
from goalfsm.session.context import Rules
from goalfsm.session.policy import Policy
from goalfsm.session.state import Session
from goalfsm.testing.loop import run
from goalfsm.testing.simulated import Counted

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from goalfsm.cluster.memory_tx import MemoryTx, Moment

THREADS = ("a", "b", "c", "d", "e")


class Database(MemoryDatabase):
    """A database that counts its transactions, and each of whose answers takes a moment."""

    begun = 0

    @contextlib.asynccontextmanager
    async def begin(self) -> AsyncGenerator[MemoryTx]:
        """Run the block as one transaction."""
        self.begun += 1
        async with super().begin() as tx:
            await asyncio.sleep(0.001)
            yield tx


class Parts:
    """A database with threads that have begun, and what decides about them."""

    def __init__(self) -> None:
        self.database = Database(lambda: 1, MemoryJobs(lambda: 1))
        ids = IdSource(Counted())
        self.decider = Decider(self.database, ids, policy=Policy(), rules=Rules())
        self.together = Together(self.decider, lambda doing, *_: self._spawn(doing))
        self._tasks: set[asyncio.Future[Any]] = set()

    def _spawn(self, doing: Any) -> None:
        task = asyncio.ensure_future(doing)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def begin(self) -> None:
        """Give every thread its goal."""
        for thread in THREADS:
            await self.decider.decide(attempt(thread, e.ObjectiveGiven(objective=thread)))

    async def decide(self, *asked: Attempt) -> list[Decision | BaseException]:
        """Decide them all at once."""
        doing = (self.together.decide(each) for each in asked)
        return await asyncio.gather(*doing, return_exceptions=True)

    def kinds(self, thread: str) -> int:
        """Return how many events of a thread are committed."""
        return len(self.database.thread(thread).commits)


def attempt(thread: str, event: Any) -> Attempt:
    """Return an event of a thread as it is to be decided."""
    return Attempt(thread, [Envelope(event, outside=True)])


def test_what_comes_at_once_shares_a_transaction() -> None:
    async def played() -> None:
        parts = Parts()
        await parts.begin()
        begun = parts.database.begun
        made = await parts.decide(*(attempt(each, e.PauseRequested()) for each in THREADS))
        assert parts.database.begun - begun == 1
        assert [each.session.goal.status for each in made] == ["paused"] * 5  # type: ignore[union-attr]
        assert [parts.kinds(each) for each in THREADS] == [2] * 5

    run(played())


def test_a_thread_that_somebody_has_holds_no_other_up() -> None:
    async def played() -> None:
        parts = Parts()
        await parts.begin()
        lock = parts.database.thread("b").lock
        await lock.acquire()
        doing = [
            asyncio.ensure_future(parts.together.decide(attempt(each, e.PauseRequested())))
            for each in ("a", "b", "new")
        ]
        await asyncio.sleep(1.0)
        assert [each.done() for each in doing] == [True, False, True]
        lock.release()
        assert (await doing[1]).decided

    run(played())


def test_one_that_cannot_be_decided_about_keeps_no_other_from_it() -> None:
    async def played() -> None:
        parts = Parts()
        await parts.begin()
        commits = parts.database.thread("b").commits
        commits[-1] = replace(commits[-1], state=b"nothing that anybody knows")
        first, second = await parts.decide(
            attempt("b", e.PauseRequested()), attempt("c", e.PauseRequested())
        )
        assert isinstance(first, Exception)
        assert isinstance(second, Decision)
        assert [parts.kinds("b"), parts.kinds("c")] == [1, 2]

    run(played())


def test_a_commit_of_which_nobody_knows_is_found_by_each_for_itself() -> None:
    """It is there, though its answer was lost: nothing is decided a second time."""

    async def played() -> None:
        parts = Parts()
        await parts.begin()
        broken = []

        def breaks(at: Moment) -> None:
            if at == "committed" and not broken:
                broken.append(at)
                raise OutcomeUnknown("lost")

        parts.database.met = breaks
        asked = [attempt(each, e.PauseRequested()) for each in THREADS]
        lost = await parts.decide(*asked)
        assert any(isinstance(each, OutcomeUnknown) for each in lost)
        found = await parts.decide(*asked)
        assert all(isinstance(each, Decision) for each in found)
        assert [parts.kinds(each) for each in THREADS] == [2] * 5

    run(played())


def test_what_was_encoded_last_is_what_is_decided_on() -> None:
    """The same session as when its bytes are decoded, and never one that others have changed."""

    async def played() -> None:
        parts = Parts()
        await parts.begin()
        other = Decider(parts.database, IdSource(), policy=Policy(), rules=Rules())
        remembered = (await parts.decider.look("a"))[1]
        assert remembered == (await other.look("a"))[1] != Session(policy=Policy())
        await other.decide(attempt("a", e.PauseRequested()))
        assert (await parts.decider.look("a"))[1] == (await other.look("a"))[1] != remembered

    run(played())
