"""Transactions and the floor of nodes in memory: for tests and simulations, one process only."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Collection, Sequence
from typing import TYPE_CHECKING, Literal

from goalfsm.cluster.jobs import ANY, MAIL, Job, effect_job, timer_job, turn_job
from goalfsm.cluster.lease import Other, Registration, Renewed
from goalfsm.cluster.tx import LEASE_MS, Ask, Holder, Known, Loaded, Program, Writes
from goalfsm.store.rows import Commit, OpenEffect, Transcript

if TYPE_CHECKING:
    from goalfsm.cluster.jobs import Jobs
    from goalfsm.cluster.saying import SoFar

Moment = Literal["load", "write", "commit", "committed"]


class _Thread:
    """One thread: what its rows hold."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.commits: list[Commit] = []
        self.known: dict[str, Known] = {}
        self.run_id: str | None = None
        self.node_id: str | None = None
        self.turn = False


class _Effect:
    """A row of the outbox."""

    def __init__(self, row: OpenEffect, place: str) -> None:
        self.row = row
        self.place = place
        self.done = False
        self.node_id: str | None = None


class MemoryDatabase:
    """What PostgreSQL holds for a cluster; every node of a test shares one."""

    def __init__(
        self,
        now_ms: Callable[[], int],
        jobs: Jobs[MemoryTx],
        *,
        met: Callable[[Moment], None] = lambda _: None,
    ) -> None:
        """Begin empty; ``now_ms`` is the clock.

        ``met(moment)`` is called at each moment of a transaction and may raise a `StoreError`: at
        ``committed`` what was written stays.
        """
        self._now_ms = now_ms
        self._jobs = jobs
        self.met = met
        self.threads: dict[str, _Thread] = {}
        self.outbox: dict[str, _Effect] = {}
        self.programs: dict[str, Program] = {}
        self.nodes: dict[str, tuple[Registration, int]] = {}
        self.last_words: dict[str, Transcript] = {}
        self.saying: dict[str, SoFar] = {}
        # In the order of arrival, which a set does not keep: a simulation is to be repeated.
        self.listeners: dict[asyncio.Queue[str], None] = {}

    def thread(self, thread_id: str) -> _Thread:
        """Return a thread, without any commit where there is none."""
        return self.threads.setdefault(thread_id, _Thread())

    @contextlib.asynccontextmanager
    async def begin(self) -> AsyncGenerator[MemoryTx]:
        """Run the block as one transaction; `goalfsm.cluster.tx.Transactions`."""
        tx = MemoryTx(self)
        try:
            yield tx
            self.met("commit")
            tx.apply()
            self.met("committed")
        finally:
            tx.release()

    # `goalfsm.cluster.floor.Floor`.

    async def register(self, node: Registration) -> int:
        """Add the node; return the clock."""
        now_ms = self._now_ms()
        self.nodes[node.node_id] = (node, now_ms)
        return now_ms

    async def renew(self, node_id: str) -> Renewed | None:
        """Say that the node lives; None where its lease has run out."""
        self.met("load")
        if not self._lives(node_id):
            return None
        now_ms = self._now_ms()
        self.nodes[node_id] = (self.nodes[node_id][0], now_ms)
        others = tuple(
            Other(other, (seen + LEASE_MS - now_ms) / 1000)
            for other, (_, seen) in self.nodes.items()
            if other != node_id and seen > now_ms - 20 * LEASE_MS
        )
        return Renewed(now_ms, others)

    async def remove(self, node_id: str) -> None:
        """Take the node away."""
        self.nodes.pop(node_id, None)

    async def address_of(self, node_id: str, host: str) -> str | None:
        """Return nothing: no programs are left anywhere."""
        del node_id, host
        return None

    async def claim(self, key: str, node_id: str) -> OpenEffect | None:
        """Take an effect for a node; None where it is done, or another living node is at it."""
        self.met("load")
        effect = self.outbox.get(key)
        if effect is None or effect.done:
            return None
        if effect.node_id not in {None, node_id} and self._lives(effect.node_id):
            return None
        effect.node_id = node_id
        return effect.row

    async def mail(self, thread_id: str) -> list[OpenEffect]:
        """Return the effects that wait for the node that has the thread's run."""
        return [
            each.row
            for each in self.outbox.values()
            if each.row.thread_id == thread_id and not each.done and each.row.kind in MAIL
        ]

    async def revisions(self, thread_ids: Collection[str]) -> dict[str, int]:
        """Return how far these threads are."""
        return {each: len(self.thread(each).commits) for each in thread_ids}

    async def mark(self, keys: Collection[str]) -> None:
        """Record that effects were done."""
        self.met("write")
        for key in keys:
            if key in self.outbox:
                self.outbox[key].done = True

    async def trim(self, thread_ids: Collection[str]) -> None:
        """Keep the last only, as ever."""

    async def say(self, said: Sequence[SoFar], over: Collection[str]) -> None:
        """Write down what running turns have said; forget those that are ``over``."""
        self.met("write")
        self.saying |= {each.run_id: each for each in said}
        for run_id in over:
            self.saying.pop(run_id, None)

    async def words(self, thread_id: str, after: int | None) -> tuple[list[SoFar], int]:
        """Return what running turns of the thread have said; nothing is followed in memory."""
        del after
        return [each for each in self.saying.values() if each.thread_id == thread_id], 0

    async def last_said(self, thread_id: str) -> Transcript | None:
        """Return what the thread's last turn said."""
        return self.last_words.get(thread_id)

    async def give_home(self, thread_id: str, place: str) -> None:
        """Say where the thread's turns run, where nobody has said that."""
        self.programs.setdefault(thread_id, Program(place, b""))

    async def has_open(self, thread_id: str) -> bool:
        """Tell whether an effect of the thread is still to be done."""
        return any(e.row.thread_id == thread_id and not e.done for e in self.outbox.values())

    async def left(self) -> list[Job] | None:
        """Return the jobs that the state asks for."""
        self.met("load")
        found: list[Job] = []
        now_ms = self._now_ms()
        for thread_id, thread in self.threads.items():
            program = self.programs.get(thread_id)
            is_lost = thread.run_id is not None and not self._lives(thread.node_id)
            if is_lost or (thread.turn and program is not None):
                found.append(turn_job(thread_id, ANY if program is None else program.place))
            wake = thread.commits[-1].wake_at_ms if thread.commits else None
            if wake is not None and wake <= now_ms - 1000:
                found.append(timer_job(thread_id, wake))
        for key, effect in self.outbox.items():
            taken = effect.node_id is not None and self._lives(effect.node_id)
            if not effect.done and effect.row.kind not in MAIL and not taken:
                found.append(effect_job(effect.row.thread_id, key, effect.place))
        return found

    async def runs_of(self, node_id: str) -> list[Job]:
        """Return the jobs that take a node's open runs over."""
        return [
            turn_job(thread_id, self.programs.get(thread_id, Program(ANY, b"")).place)
            for thread_id, thread in self.threads.items()
            if thread.run_id is not None and thread.node_id == node_id
        ]

    async def forget(self) -> None:
        """Keep every node: what is in memory never grows old."""

    def _lives(self, node_id: str | None) -> bool:
        _, seen = self.nodes.get(node_id or "", (None, 0))
        return self._now_ms() - seen < LEASE_MS

    def holder(self, thread: _Thread) -> Holder | None:
        """Return who has the thread's open run."""
        if thread.run_id is None:
            return None
        node_id = thread.node_id or ""
        _, seen = self.nodes.get(node_id, (None, 0))
        return Holder(node_id, seen, self._lives(node_id))

    def now_ms(self) -> int:
        """Return the clock."""
        return self._now_ms()

    async def enqueue(self, tx: MemoryTx, jobs: tuple[Job, ...]) -> None:
        """Enqueue with the transaction."""
        await self._jobs.enqueue(tx, jobs)


class MemoryTx:
    """`goalfsm.cluster.tx.Tx` in memory."""

    def __init__(self, database: MemoryDatabase) -> None:
        """Work on ``database``."""
        self._database = database
        self._locked: list[asyncio.Lock] = []
        self._at_commit: list[Callable[[], None]] = []

    async def load(self, ask: Ask) -> Loaded:
        """Lock the thread and return how it stands."""
        database = self._database
        thread = database.thread(ask.thread_id)
        await thread.lock.acquire()
        self._locked.append(thread.lock)
        database.met("load")
        last = thread.commits[-1] if thread.commits else None
        now_ms = database.now_ms()
        return Loaded(
            revision=len(thread.commits),
            state=None if last is None else last.state,
            rules_version=0 if last is None else last.rules_version,
            wake_at_ms=None if last is None else last.wake_at_ms,
            now_ms=now_ms if last is None else max(now_ms, last.at_ms),
            holder=database.holder(thread),
            program=database.programs.get(ask.thread_id),
            known={each: thread.known[each] for each in ask.event_ids if each in thread.known},
            open=frozenset(
                key for key in ask.keys if key in database.outbox and not database.outbox[key].done
            ),
        )

    async def load_free(self, asks: Sequence[Ask]) -> dict[str, Loaded]:
        """Lock those of the threads that are there and that nobody has locked; return them."""
        found = {}
        for ask in asks:
            thread = self._database.thread(ask.thread_id)
            if thread.commits and not thread.lock.locked():
                found[ask.thread_id] = await self.load(ask)
        return found

    async def write(self, writes: Writes) -> None:
        """Write a change of the thread that was loaded, when the transaction commits."""
        self._database.met("write")
        self.at_commit(lambda: _apply(self._database, writes))
        if writes.jobs:
            await self._database.enqueue(self, writes.jobs)

    def at_commit(self, change: Callable[[], None]) -> None:
        """Have something done when the transaction commits."""
        self._at_commit.append(change)

    def apply(self) -> None:
        """Commit: make the changes of the transaction."""
        for change in self._at_commit:
            change()

    def release(self) -> None:
        """Let the locks go; a second time is no error."""
        while self._locked:
            self._locked.pop().release()


def _apply(database: MemoryDatabase, writes: Writes) -> None:
    thread_id, at_ms = writes.commits[-1].thread_id, writes.commits[-1].at_ms
    thread = database.thread(thread_id)
    for commit in writes.commits:
        thread.commits.append(commit)
        revision = len(thread.commits)
        kept = commit.reply if commit.inbox_id is not None else None
        thread.known[commit.event_id] = Known(revision, kept)
        for effect in commit.outbox:
            row = OpenEffect(
                seq=len(database.outbox) + 1,
                thread_id=thread_id,
                revision=revision,
                at_ms=at_ms,
                key=effect.key,
                kind=effect.kind,
                payload=effect.payload,
            )
            database.outbox.setdefault(effect.key, _Effect(row, writes.places[effect.key]))
        for key in commit.outbox_done:
            if key in database.outbox:
                database.outbox[key].done = True
    for each in database.outbox.values() if writes.over else ():
        if each.row.thread_id == thread_id and each.row.kind in writes.over:
            each.done = True
    database.last_words.update((said.thread_id, said) for said in writes.said)
    thread.run_id, thread.node_id, thread.turn = writes.run_id, writes.node_id, writes.turn
    if writes.told:
        for listener in database.listeners:
            listener.put_nowait(thread_id)
