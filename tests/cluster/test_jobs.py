"""The contract of a job engine, over procrastinate and the one in memory."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import time
from collections import Counter
from typing import TYPE_CHECKING, Any, Protocol

import pytest
import pytest_asyncio

from goalfsm.cluster.jobs import Job, Kind, effect_job, host_place, timer_job, turn_job
from goalfsm.cluster.memory_jobs import MemoryJobs
from goalfsm.cluster.memory_tx import MemoryDatabase
from goalfsm.cluster.postgres_tx import Connection, Pool, PostgresTransactions, statements
from goalfsm.cluster.procrastinate_jobs import ProcrastinateJobs
from goalfsm.cluster.setup import prepare

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from goalfsm.cluster.jobs import Jobs

pytestmark = pytest.mark.asyncio
BOUND_S = 30.0
STALLED_S = 1.0


class Engine(Protocol):
    """A job engine under test."""

    jobs: Jobs[Any]

    def begin(self) -> contextlib.AbstractAsyncContextManager[Any]: ...
    async def die(self, server: asyncio.Task[None]) -> None: ...


class InMemory:
    def __init__(self) -> None:
        self.jobs = MemoryJobs(now_ms, stalled_s=STALLED_S)
        self._database = MemoryDatabase(now_ms, self.jobs)

    def begin(self) -> contextlib.AbstractAsyncContextManager[Any]:
        return self._database.begin()

    async def die(self, server: asyncio.Task[None]) -> None:
        await self.jobs.die(server)


class Procrastinate:
    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.jobs = ProcrastinateJobs(connection, stalled_s=STALLED_S)
        self._transactions = PostgresTransactions(connection, self.jobs)

    def begin(self) -> contextlib.AbstractAsyncContextManager[Any]:
        return self._transactions.begin()

    async def die(self, server: asyncio.Task[None]) -> None:
        """Forget what the server was, as its machine's death does for everybody else."""
        async with statements(self.connection) as connection:
            await connection.execute(
                "UPDATE goalfsm.procrastinate_jobs SET worker_id = NULL WHERE status = 'doing'"
            )
        server.cancel()


@pytest_asyncio.fixture(params=["memory", "procrastinate"])
async def engine(request: pytest.FixtureRequest) -> AsyncIterator[Engine]:
    if request.param == "memory":
        yield InMemory()
        return
    dsn = request.getfixturevalue("dsn")
    await asyncio.to_thread(prepare, dsn)
    pool = Pool(dsn, most=6)
    await pool.open()
    try:
        yield Procrastinate(Connection(pool))
    finally:
        await pool.close()


async def eventually(reached: Callable[[], bool]) -> None:
    """Wait for something that servers do beside the test; they tell nobody of it."""
    async with asyncio.timeout(BOUND_S):
        while not reached():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def gone(engine: Engine, keys: list[str]) -> None:
    """Wait until no job of these keys is there."""
    async with asyncio.timeout(BOUND_S):
        while await engine.jobs.alive(keys):  # noqa: ASYNC110
            await asyncio.sleep(0.01)


class Served:
    """What servers were given, and what they are to do with it."""

    def __init__(self) -> None:
        self.given: Counter[str] = Counter()
        self.at: dict[str, float] = {}
        self.now = 0
        self.peak = 0
        self.gate: asyncio.Event | None = None
        self.raises: set[str] = set()

    async def do(self, job: Job) -> None:
        self.given[job.key] += 1
        self.at[job.key] = time.time()
        self.now += 1
        self.peak = max(self.peak, self.now)
        try:
            if job.key in self.raises:
                raise RuntimeError(job.key)
            if self.gate is not None:
                await self.gate.wait()
        finally:
            self.now -= 1

    async def until(self, *keys: str) -> None:
        await eventually(lambda: set(keys) <= set(self.given))


@contextlib.asynccontextmanager
async def serving(
    engine: Engine,
    served: Served,
    *,
    kinds: Sequence[Kind] = ("turn", "effect", "timer"),
    places: Sequence[str] = ("any",),
    most: int = 4,
) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.ensure_future(
        engine.jobs.serve(served.do, kinds=kinds, places=places, most=most)
    )
    try:
        yield task
    finally:
        if served.gate is not None:
            served.gate.set()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def now_ms() -> int:
    return time.time_ns() // 1_000_000


async def enqueue(engine: Engine, *jobs: Job) -> None:
    async with engine.begin() as tx:
        await engine.jobs.enqueue(tx, jobs)


async def test_a_job_comes_after_its_transaction_and_not_before(engine: Engine) -> None:
    served = Served()
    async with serving(engine, served):
        async with engine.begin() as tx:
            await engine.jobs.enqueue(tx, [turn_job("a", "any")])
            await enqueue(engine, turn_job("b", "any"))
            await served.until("turn/b")
            assert served.given["turn/a"] == 0
        await served.until("turn/a")


async def test_a_transaction_that_is_rolled_back_enqueues_nothing(engine: Engine) -> None:
    served = Served()
    with contextlib.suppress(LookupError):
        async with engine.begin() as tx:
            await engine.jobs.enqueue(tx, [turn_job("a", "any")])
            raise LookupError
    assert await engine.jobs.alive(["turn/a"]) == set()
    await enqueue(engine, turn_job("b", "any"))
    async with serving(engine, served):
        await served.until("turn/b")
    assert served.given["turn/a"] == 0


async def test_a_key_that_waits_is_not_enqueued_a_second_time(engine: Engine) -> None:
    served = Served()
    await enqueue(engine, turn_job("a", "any"))
    await enqueue(engine, turn_job("a", "any"), turn_job("b", "any"))
    async with serving(engine, served, most=1):
        await served.until("turn/a", "turn/b")
    assert served.given == {"turn/a": 1, "turn/b": 1}


async def test_a_job_that_is_being_done_keeps_no_other_of_its_key_away(engine: Engine) -> None:
    served = Served()
    served.gate = asyncio.Event()
    await enqueue(engine, turn_job("a", "any"))
    async with serving(engine, served):
        await served.until("turn/a")
        await enqueue(engine, turn_job("a", "any"))
        await eventually(lambda: served.given["turn/a"] == 2)


async def test_a_delayed_job_does_not_come_early(engine: Engine) -> None:
    served = Served()
    due = now_ms() + 900
    await enqueue(engine, timer_job("a", due))
    async with serving(engine, served):
        await served.until("timer/a")
    assert served.at["timer/a"] * 1000 >= due - 1


async def test_the_earlier_of_two_times_counts(engine: Engine) -> None:
    served = Served()
    await enqueue(engine, timer_job("a", now_ms() + 3_600_000))
    await enqueue(engine, timer_job("a", now_ms() + 100))
    await enqueue(engine, timer_job("a", now_ms() + 3_600_000))
    async with serving(engine, served):
        await served.until("timer/a")
    assert served.given["timer/a"] == 1


async def test_a_server_takes_the_kinds_and_places_that_it_serves(engine: Engine) -> None:
    served = Served()
    await enqueue(
        engine, turn_job("a", "hill"), turn_job("b", "any"), effect_job("c", "c/1/0", "any")
    )
    async with serving(engine, served, kinds=["turn"]):
        await served.until("turn/b")
    assert set(served.given) == {"turn/b"}
    waits = await engine.jobs.waiting(["hill"], 1)
    assert waits
    assert await engine.jobs.waiting(["any"], 1) == []
    await enqueue(engine, turn_job("d", "hill"))
    assert await engine.jobs.waiting(["hill"], 1) == waits
    async with serving(engine, served, places=["hill", "any"]):
        await served.until("turn/a", "c/1/0")


async def test_a_place_of_any_length_is_served(engine: Engine) -> None:
    """The name of a host in a cloud is longer than what a server tells of jobs by."""
    served, host = Served(), host_place("ip-10-120-30-140.eu-central-1.compute.internal")
    other, hill = host.replace("-140", "-141"), "ü" * 80
    async with serving(engine, served, places=[host, hill]):
        await enqueue(engine, effect_job("c", "other", other), turn_job("a", hill))
        await enqueue(engine, effect_job("c", "here", host))
        await served.until("turn/a", "here")
    assert set(served.given) == {"turn/a", "here"}


async def test_no_more_at_once_than_allowed(engine: Engine) -> None:
    served = Served()
    served.gate = asyncio.Event()
    keys = [f"turn/{number}" for number in range(5)]
    await enqueue(engine, *(turn_job(str(number), "any") for number in range(5)))
    async with serving(engine, served, most=2):
        await eventually(lambda: served.now == 2)
        served.gate.set()
        await served.until(*keys)
    assert served.peak == 2


async def test_a_job_that_fails_is_over_and_keeps_no_other_from_being_done(engine: Engine) -> None:
    served = Served()
    served.raises.add("turn/a")
    await enqueue(engine, turn_job("a", "any"), turn_job("b", "any"))
    async with serving(engine, served, most=1):
        await served.until("turn/a", "turn/b")
        await gone(engine, ["turn/a", "turn/b"])
    assert served.given == {"turn/a": 1, "turn/b": 1}


async def test_the_job_of_a_server_that_died_comes_again(engine: Engine) -> None:
    first, second = Served(), Served()
    first.gate = asyncio.Event()
    await enqueue(engine, turn_job("a", "any"))
    async with serving(engine, first) as dying:
        await first.until("turn/a")
        await engine.die(dying)
        async with serving(engine, second):
            await second.until("turn/a")
    assert second.given["turn/a"] == 1


async def test_a_job_that_waits_or_is_being_done_is_alive(engine: Engine) -> None:
    served = Served()
    served.gate = asyncio.Event()
    await enqueue(engine, turn_job("a", "any"))
    assert await engine.jobs.alive(["turn/a", "turn/b"]) == {"turn/a"}
    async with serving(engine, served):
        await served.until("turn/a")
        assert await engine.jobs.alive(["turn/a", "turn/b"]) == {"turn/a"}
        served.gate.set()
        await gone(engine, ["turn/a"])


async def test_a_server_that_is_cancelled_finishes_what_it_has_begun(engine: Engine) -> None:
    served = Served()
    served.gate = asyncio.Event()
    await enqueue(engine, turn_job("a", "any"))
    async with serving(engine, served) as server:
        await served.until("turn/a")
        server.cancel()
        await asyncio.sleep(0)
        await enqueue(engine, turn_job("b", "any"))
        served.gate.set()
        await asyncio.wait({server}, timeout=BOUND_S)
        assert server.done()
    assert served.now == 0
    assert served.given == {"turn/a": 1}


async def test_a_job_whose_end_cannot_be_written_is_left_without_a_word(dsn: str) -> None:
    """Nobody waits for the library's task: what it raised would be told in a traceback."""
    said: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: said.append(context))
    async with Pool(dsn, most=6) as pool:
        engine, served = Procrastinate(Connection(pool)), Served()
        async with statements(engine.connection) as connection:
            await connection.execute(
                "ALTER FUNCTION goalfsm.procrastinate_finish_job_v1 RENAME TO unfinished"
            )
        await enqueue(engine, turn_job("a", "any"))
        async with serving(engine, served):
            await served.until("turn/a")
        assert await engine.jobs.alive(["turn/a"]) == set()
    gc.collect()
    assert said == []
