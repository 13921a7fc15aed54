"""The locks of a process that stands still: the server takes them back."""

from __future__ import annotations

from typing import Any
from unittest import mock

import psycopg
import pytest

from goalfsm.cluster import postgres_tx
from goalfsm.cluster.decider import Attempt, Decider
from goalfsm.cluster.postgres_tx import Connection, Pool, PostgresTransactions, PostgresTx
from goalfsm.cluster.procrastinate_jobs import ProcrastinateJobs
from goalfsm.cluster.tx import Ask
from goalfsm.daemon.flow.decide import Envelope
from goalfsm.daemon.host.platform import IdSource
from goalfsm.session.context import Rules
from goalfsm.session.events import ObjectiveGiven, PauseRequested
from goalfsm.session.policy import Policy
from goalfsm.testing.simulated import Counted

pytestmark = pytest.mark.asyncio


@pytest.mark.parametrize("sending", [False, True], ids=["between", "sending"])
async def test_a_thread_is_decided_about_while_another_process_stands_still(
    dsn: str, *, sending: bool
) -> None:
    """Both where the server waits for the next statement, and where it waits for the rest."""
    bound = mock.patch.object(postgres_tx, "_BOUND", "SET LOCAL transaction_timeout = 400")
    with bound, mock.patch.object(postgres_tx, "STALLED_MS", 300):
        await _decided_beside(dsn, sending=sending)


async def _decided_beside(dsn: str, *, sending: bool) -> None:
    async with Pool(dsn, most=2) as pool:
        connection = Connection(pool)
        jobs: Any = ProcrastinateJobs(connection)
        decider = Decider(
            PostgresTransactions(connection, jobs),
            IdSource(Counted()),
            policy=Policy(),
            rules=Rules(),
        )
        begun = Envelope(ObjectiveGiven(objective="go on"), outside=True)
        await decider.decide(Attempt("a", [begun]))
        other = await pool.getconn()
        await PostgresTx(other, jobs).load(Ask("a"))
        pipeline = other.pipeline()
        if sending:
            await pipeline.__aenter__()
            await other.execute("SELECT 1")
        paused = await decider.decide(Attempt("a", [Envelope(PauseRequested(), outside=True)]))
        assert paused.session.goal is not None
        assert paused.session.goal.status == "paused"
        with pytest.raises(psycopg.Error):
            await other.commit()
        await other.close()
        await pool.putconn(other)
