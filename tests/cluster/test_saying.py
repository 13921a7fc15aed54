"""What a turn says is told while it runs, to whoever follows it from another machine."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator

import psycopg
import pytest

from goalfsm.cluster.client import ClusterClient
from goalfsm.cluster.engine import ClusterEngine
from goalfsm.cluster.postgres_nodes import PostgresNodes
from goalfsm.cluster.postgres_tx import Connection, Pool
from goalfsm.cluster.saying import SoFar
from goalfsm.daemon.flow.notices import Happened, Notice, Output, Settled
from goalfsm.session.events import ObjectiveGiven
from goalfsm.session.policy import Policy
from goalfsm.store.address import Server
from goalfsm.workers.inprocess import CallableWorker
from goalfsm.workers.protocol import Work

pytestmark = pytest.mark.asyncio

BOUND_S = 60.0
LONG = "a" * 40_000


async def test_who_follows_hears_each_word_once_and_before_the_turn_ends(dsn: str) -> None:
    """Of much at once the end is told while the turn runs, with what is left out before it."""
    heard: list[Notice] = []
    loop, changed = asyncio.get_running_loop(), asyncio.Event()

    def note(notice: Notice) -> None:
        heard.append(notice)
        changed.set()

    def follow() -> None:
        client = ClusterClient(Server(dsn), policy=Policy())
        for notice in client.follow("books"):
            loop.call_soon_threadsafe(note, notice)
            if isinstance(notice, Settled):
                return

    async def until(text: str) -> None:
        while not "".join(words(heard)).endswith(text):
            changed.clear()
            await asyncio.wait_for(changed.wait(), BOUND_S)

    async def turn(_: Work) -> AsyncIterator[str]:
        yield "one "
        await until("one ")
        yield "two é "
        await until("two é ")
        yield f"{LONG}."
        await until(".")
        yield "three"

    policy = Policy(max_continuations=1)
    async with ClusterEngine(dsn, workers=CallableWorker(turn), policy=policy) as engine:
        await engine.submit("books", ObjectiveGiven(objective="count"))
        following = threading.Thread(target=follow, daemon=True)
        following.start()
        await asyncio.wait_for(asyncio.to_thread(following.join), BOUND_S)
    said = [notice for notice in heard if isinstance(notice, Output)]
    assert words(heard)[:2] == ["one ", "two é "]
    assert sum(each.left_out + len(each.text.encode()) for each in said) == len(
        f"one two é {LONG}.three".encode()
    )
    assert said[2].left_out > 0
    assert not any(each.again for each in said[1:])
    ends = [
        at
        for at, notice in enumerate(heard)
        if isinstance(notice, Happened) and notice.event["type"] == "RunFinished"
    ]
    assert heard.index(said[-1]) < ends[0]


class Dictated:
    """A worker whose turns say what they are told, until they are told to end."""

    def __init__(self) -> None:
        self.said = asyncio.Queue[str]()
        self.second = asyncio.Event()

    async def turn(self, work: Work) -> AsyncIterator[str]:
        if work.turn == 2:
            self.second.set()
        yield f"{work.turn}: "
        while (text := await self.said.get()) != "end":
            yield text

    def say(self, *words: str) -> None:
        for each in words:
            self.said.put_nowait(each)


@pytest.mark.parametrize("where", ["at the node that has the turn", "at another"])
async def test_who_follows_at_a_node_hears_each_word_once(dsn: str, where: str) -> None:
    """Also those of a turn that is over before anybody has looked, and none from before."""
    policy, spoken, dictated = Policy(max_continuations=0, no_progress=0), "", Dictated()
    worker = CallableWorker(dictated.turn)
    async with (
        ClusterEngine(dsn, workers=worker, policy=policy) as engine,
        ClusterEngine(dsn, policy=policy, places=["elsewhere"]) as other,
    ):
        await engine.submit("books", ObjectiveGiven(objective="count"))
        dictated.say("before ", "end")
        await asyncio.wait_for(dictated.second.wait(), BOUND_S)
        notices = (other if where == "at another" else engine).follow("books")
        for told, expected in (
            (["one "], "2: one "),
            (["two é "], "2: one two é "),
            (["three ", "end", "four ", "end", "five "], "2: one two é three 3: four 4: five "),
        ):
            dictated.say(*told)
            while spoken != expected:
                notice = await asyncio.wait_for(anext(notices), BOUND_S)
                if isinstance(notice, Output):
                    assert notice.left_out == 0
                    spoken += notice.text
                    assert expected.startswith(spoken)
        await notices.aclose()
        await engine.stop(0)


def words(heard: list[Notice]) -> list[str]:
    """Return what was told of a turn's words, as it came."""
    return [notice.text for notice in heard if isinstance(notice, Output)]


async def test_what_a_turn_said_so_far_is_forgotten_when_it_is_over(dsn: str) -> None:
    """A node that died leaves words behind; whoever tidies up removes those of no open run."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        async with Pool(dsn, most=1) as pool:
            nodes = PostgresNodes(Connection(pool))
            await nodes.say([SoFar("r1", "books", 3, b"one"), SoFar("r2", "tea", 3, b"two")], ())
            await nodes.say([SoFar("r1", "books", 7, b"one two")], {"r2"})
            left = connection.execute("SELECT run_id, total, tail FROM goalfsm.saying").fetchall()
            assert left == [("r1", 7, b"one two")]
            await nodes.forget()
        assert connection.execute("SELECT 1 FROM goalfsm.saying").fetchall() == []


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("goalfsm.cluster.saying.BEAT_S", 0.05)
