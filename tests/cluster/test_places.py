"""Where things are done: in the place of the thread, and on the host where a process is."""

from __future__ import annotations

import asyncio
import socket
import subprocess
from collections import Counter
from typing import TYPE_CHECKING

import psycopg
import pytest

from goalfsm.cluster.engine import ClusterEngine
from goalfsm.daemon.remote.reading import driver_of
from goalfsm.goal.model import Verifier
from goalfsm.session.events import ObjectiveGiven, WakeRequested
from goalfsm.session.policy import Policy
from goalfsm.store.address import Server
from goalfsm.store.postgres import open_store
from goalfsm.workers import protocol as w
from goalfsm.workers.inprocess import CallableWorker

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from goalfsm.views.parts import Driver

pytestmark = pytest.mark.asyncio

FREE = Policy(no_progress=0)
BOUND_S = 60.0
DONE = w.ToolCalled(
    id=1, name="update_goal", arguments={"status": "complete", "evidence": [{"text": "seen"}]}
)


@pytest.fixture
def watched() -> Iterator[subprocess.Popen[bytes]]:
    """Run a process whose end a goal waits for."""
    process = subprocess.Popen(["sleep", "600"])
    try:
        yield process
    finally:
        process.kill()
        process.wait()


class Noting:
    """The worker and the verifier of a node: they note where they are run."""

    def __init__(self, seen: list[tuple[str, str]], name: str) -> None:
        self.seen, self.name = seen, name

    async def turn(self, work: w.Work) -> AsyncIterator[w.TurnEvent]:
        self.seen.append((self.name, work.thread_id))
        yield DONE

    def check(self, *_: object) -> bool:
        self.seen.append((self.name, "verifier"))
        return True

    def node(self, dsn: str, *places: str) -> ClusterEngine:
        return ClusterEngine(
            dsn,
            workers=CallableWorker(self.turn),
            verifiers={"check": self.check},
            policy=FREE,
            places=places,
            name=self.name,
            grace_s=0,
        )


async def test_a_verifier_is_run_in_the_place_of_its_thread(dsn: str) -> None:
    seen: list[tuple[str, str]] = []
    async with Noting(seen, "valley").node(dsn, "any"), Noting(seen, "hill").node(dsn, "hill") as h:
        for number in range(4):
            check = Verifier(kind="callable", name="check")
            given = ObjectiveGiven(objective="see", verifiers=(check,))
            await h.submit(f"t{number}", given)
        for number in range(4):
            session = await asyncio.wait_for(h.settled(f"t{number}"), BOUND_S)
            assert session.goal is not None
            assert session.goal.status == "complete"
    assert Counter(name for name, _ in seen) == {"hill": 8}


async def test_a_node_that_is_full_serves_every_place_in_turn(dsn: str) -> None:
    """Many threads of one place do not keep the one of another from its turns."""
    turns: Counter[str] = Counter()
    enough = asyncio.Event()

    async def turn(work: w.Work) -> AsyncIterator[str]:
        turns[work.thread_id] += 1
        if turns["hill"] >= 12:
            enough.set()
        await asyncio.sleep(0.01)
        yield f"step {work.turn}"

    engine = ClusterEngine(
        dsn,
        workers=CallableWorker(turn),
        policy=Policy(no_progress=0, max_continuations=0),
        places=["valley", "hill"],
        max_runs=2,
        grace_s=0,
    )
    async with engine:
        for number in range(12):
            await engine.submit(f"valley-{number}", ObjectiveGiven(objective="go on"))
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute("INSERT INTO goalfsm.worker VALUES ('hill', 'hill', '')")
        # Those of the valley have had the node for themselves so far: from now on it is counted.
        turns.clear()
        await engine.submit("hill", ObjectiveGiven(objective="go on"))
        await asyncio.wait_for(enough.wait(), BOUND_S)
    others = [count for thread, count in turns.items() if thread != "hill"]
    assert len(others) == 12
    # Jobs come in the order in which they were asked for: nobody has many more turns than another.
    assert max(others) <= 3 * 16
    assert min(others) >= 1


async def test_a_process_on_a_host_without_a_node_is_said_and_can_be_let_go(
    dsn: str, watched: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody elsewhere takes a process of its own for that one, whatever its number."""

    async def turn(work: w.Work) -> AsyncIterator[w.TurnEvent]:
        yield w.WaitDeclared(for_="process", pid=watched.pid) if work.turn == 1 else DONE

    def node(name: str) -> ClusterEngine:
        return ClusterEngine(
            dsn, workers=CallableWorker(turn), policy=FREE, name=name, grace_s=0, max_runs=1
        )

    monkeypatch.setattr(socket, "gethostname", lambda: "hill-host")
    async with node("one") as one:
        await one.submit("a", ObjectiveGiven(objective="wait for it"))
        await _until(lambda: _waits(dsn))
        assert (await asyncio.to_thread(_driver, dsn)).unwatched == ()
    monkeypatch.setattr(socket, "gethostname", lambda: "other-host")
    async with node("two") as two:
        assert (await asyncio.to_thread(_driver, dsn)).unwatched == ("hill-host",)
        watched.terminate()
        watched.wait()
        assert _waits(dsn)
        assert (await two.submit("a", WakeRequested())).ok
        session = await asyncio.wait_for(two.settled("a"), BOUND_S)
        assert session.goal is not None
        assert session.goal.status == "complete"
    assert (await asyncio.to_thread(_driver, dsn)).unwatched == ()


async def test_a_node_that_comes_back_to_the_host_sees_the_end_of_its_process(
    dsn: str, watched: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:

    async def turn(work: w.Work) -> AsyncIterator[w.TurnEvent]:
        yield w.WaitDeclared(for_="process", pid=watched.pid) if work.turn == 1 else DONE

    monkeypatch.setattr(socket, "gethostname", lambda: "hill-host")
    given = {"workers": CallableWorker(turn), "policy": FREE, "grace_s": 0}
    async with ClusterEngine(dsn, name="one", **given) as one:  # type: ignore[arg-type]
        await one.submit("a", ObjectiveGiven(objective="wait for it"))
        await _until(lambda: _waits(dsn))
    watched.terminate()
    watched.wait()
    async with ClusterEngine(dsn, name="two", **given) as two:  # type: ignore[arg-type]
        session = await asyncio.wait_for(two.settled("a"), BOUND_S)
        assert session.goal is not None
        assert session.goal.status == "complete"


def _driver(dsn: str) -> Driver:
    store = open_store(Server(dsn))
    try:
        return driver_of(store, "a")
    finally:
        store.close()


def _waits(dsn: str) -> bool:
    with psycopg.connect(dsn, autocommit=True) as connection:
        row = connection.execute(
            "SELECT EXISTS (SELECT 1 FROM goalfsm.session WHERE run_id IS NULL AND NOT turn)"
            " AND EXISTS (SELECT 1 FROM goalfsm.outbox"
            "   WHERE kind = 'WatchProcess' AND done_at_ms IS NULL)"
        ).fetchone()
    return row == (True,)


async def _until(reached: Callable[[], bool]) -> None:
    async with asyncio.timeout(BOUND_S):
        while not reached():  # noqa: ASYNC110
            await asyncio.sleep(0.05)
