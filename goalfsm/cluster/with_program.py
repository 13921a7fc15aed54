"""Store who runs a thread's turns in the very transaction that decides about it."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Final

from goalfsm.cluster.jobs import turn_job
from goalfsm.session.codec import decode_reply

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from goalfsm.cluster.postgres_tx import PostgresTransactions, PostgresTx
    from goalfsm.cluster.procrastinate_jobs import ProcrastinateJobs
    from goalfsm.cluster.tx import Ask, Loaded, Writes

_PROGRAM: Final = """
INSERT INTO goalfsm.worker (thread_id, place, config) VALUES (%s, %s, %s)
ON CONFLICT (thread_id) DO UPDATE SET place = EXCLUDED.place, config = EXCLUDED.config"""


_BEFORE: Final = "SELECT place, config FROM goalfsm.worker WHERE thread_id = %s FOR UPDATE"
_FORGET: Final = "DELETE FROM goalfsm.worker WHERE thread_id = %s"


class _NothingDecidedError(Exception):
    """Nothing was written, so the transaction is rolled back with the program."""


class _Noting:
    """A transaction that takes a program back where the event that it came with is refused."""

    def __init__(self, tx: PostgresTx, row: tuple[str, str, bytes]) -> None:
        self._tx = tx
        self._row = row
        self._before: tuple[str, bytes] | None = None
        self.wrote = False
        self.refused = False

    async def store(self) -> None:
        """Store the program, before the thread is loaded: the jobs that follow name the place."""
        execute, (thread_id, *_) = self._tx.connection.execute, self._row
        self._before = await (await execute(_BEFORE, (thread_id,), binary=True)).fetchone()
        await execute(_PROGRAM, self._row)

    async def _take_back(self) -> None:
        execute, (thread_id, *_) = self._tx.connection.execute, self._row
        if self._before is None:
            await execute(_FORGET, (thread_id,))
        else:
            await execute(_PROGRAM, (thread_id, *self._before))

    async def load(self, ask: Ask) -> Loaded:
        return await self._tx.load(ask)

    async def load_free(self, asks: Sequence[Ask]) -> dict[str, Loaded]:
        return await self._tx.load_free(asks)

    async def write(self, writes: Writes) -> None:
        self.wrote = True
        replies = (commit.reply for commit in writes.commits)
        self.refused = any(reply and not decode_reply(reply).ok for reply in replies)
        if self.refused:
            # The refusal is part of the record; the program is not.
            await self._take_back()
        await self._tx.write(writes)


class WithProgram:
    """`goalfsm.cluster.tx.Transactions` that store a program where something is decided."""

    def __init__(
        self,
        transactions: PostgresTransactions,
        jobs: ProcrastinateJobs,
        thread_id: str,
        place: str,
        config: bytes,
    ) -> None:
        """Store ``config`` and ``place`` for the thread in each of ``transactions``."""
        self._transactions = transactions
        self._jobs = jobs
        self._row = (thread_id, place, config)

    @contextlib.asynccontextmanager
    async def begin(self) -> AsyncGenerator[_Noting]:
        """Run the block as one transaction, see `goalfsm.cluster.tx.Transactions.begin`."""
        thread_id, place, _ = self._row
        with contextlib.suppress(_NothingDecidedError):
            async with self._transactions.begin() as tx:
                noting = _Noting(tx, self._row)
                await noting.store()
                yield noting
                if not noting.wrote:
                    raise _NothingDecidedError
                if not noting.refused:
                    await self._jobs.move(tx, turn_job(thread_id, place))
