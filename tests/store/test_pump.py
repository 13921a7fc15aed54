"""The group commit pump, on a loop whose time only moves when nothing is ready."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from goalfsm.errors import (
    DiskFull,
    Fenced,
    OutcomeUnknown,
    StoreClosed,
    StoreError,
    StoreUnavailable,
)
from goalfsm.store.memory import MemoryStore
from goalfsm.store.port import Commit, Committed, Conflict, Effect, Outcome
from goalfsm.store.pump import BATCH, TURN_S, Pump
from tests.store.handles import BOB, commit, nobody_lives, owned
from tests.store.pumping import Piece, Recorder, run, submit, submit_together


def test_what_is_ready_goes_in_one_batch() -> None:
    """What happens in one turn of the loop is one transaction, of one thread or of several."""

    async def main() -> None:
        store = Recorder()
        pump = Pump(store)
        threads = ["t0", "t1", "t2", "t3", "t4"]
        for expected in range(2):
            futures = [submit(pump, commit(t, expected=expected)) for t in threads]
            assert store.batches == [threads] * expected
            assert await asyncio.gather(*futures) == [Committed(revision=expected + 1)] * 5
        assert store.batches == [threads, threads]
        assert (pump.stats.events, pump.stats.batches, pump.stats.largest) == (10, 2, 5)
        await pump.close()

    run(main)


def test_batches_are_bounded_and_in_order() -> None:
    """More than a batch's worth goes in several, first come first served."""

    async def main() -> None:
        store = Recorder()
        pump = Pump(store)
        threads = [f"t{n:03}" for n in range(2 * BATCH + 5)]
        await asyncio.gather(*(submit(pump, commit(t)) for t in threads))
        assert [len(batch) for batch in store.batches] == [BATCH, BATCH, 5]
        assert [t for batch in store.batches for t in batch] == threads
        await pump.close()

    run(main)


def test_events_of_one_script_share_a_transaction() -> None:
    """They are not split, alone or beside others, even where they exceed a batch."""

    async def main() -> None:
        store = Recorder()
        pump = Pump(store)
        script = [commit("a", expected=n) for n in range(3)]
        assert await asyncio.gather(*submit_together(pump, script)) == [
            Committed(revision=n + 1) for n in range(3)
        ]
        async with pump.held():
            groups = [
                *(submit_together(pump, [commit(f"t{n}"), commit(f"t{n}", expected=1)])
                  for n in range(BATCH // 2 - 1)),
                submit_together(pump, [commit("x", expected=n) for n in range(3)]),
                submit_together(pump, [commit("y", expected=n) for n in range(BATCH + 5)]),
            ]  # fmt: skip
        for group in groups:
            results = await asyncio.gather(*group)
            assert results == [Committed(revision=n + 1) for n in range(len(group))]
        assert [len(batch) for batch in store.batches] == [3, BATCH - 2, 3, BATCH + 5]
        await pump.close()
        refused = submit(pump, commit("z"))
        with pytest.raises(StoreClosed):
            await refused

    run(main)


class Endless:
    """A source that has the next commit as soon as the last one is durable."""

    def __init__(self, pump: Pump, most: int) -> None:
        self.pump, self.most, self.revision = pump, most, 0

    def commits(self) -> list[Commit]:
        return [commit(expected=self.revision)]

    def settled(self, _result: Sequence[Outcome] | StoreError) -> None:
        self.revision += 1
        if self.revision < self.most:
            self.pump.ready(self)


def test_alone_nobody_waits() -> None:
    """One thread's commits follow each other in one turn of the loop."""

    async def main() -> None:
        store = Recorder()
        pump = Pump(store)
        source = Endless(pump, 20)
        pump.ready(source)
        await asyncio.sleep(0)
        assert store.batches == [["t"]] * 20
        await pump.close()

    run(main)


def test_one_thread_gives_way_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread with much to commit does not keep the loop for longer than its turn."""

    async def main() -> None:
        store = Recorder()
        pump = Pump(store)
        loop = asyncio.get_running_loop()
        times = iter(range(100))
        monkeypatch.setattr(loop, "time", lambda: next(times) * TURN_S / 2)
        source = Endless(pump, 10)
        pump.ready(source)
        await asyncio.sleep(0)
        assert 1 < source.revision < 10
        monkeypatch.undo()
        await pump.drain()
        assert source.revision == 10
        await pump.close()

    run(main)


def test_commit_of_one_that_fails_reaches_its_caller() -> None:
    """Alone, too, an error comes through the future, and the next commit goes on."""

    async def main() -> None:
        store = Recorder()
        pump = Pump(store)
        store.failures.append(DiskFull("full"))
        with pytest.raises(DiskFull):
            await submit(pump, commit())
        assert await submit(pump, commit()) == Committed(revision=1)
        await pump.close()

    run(main)


def test_many_threads_stay_in_step() -> None:
    """Threads that come back at different moments after a batch still share the next one."""

    async def main() -> None:
        store = Recorder()
        pump = Pump(store)

        async def thread(name: str, hops: int) -> None:
            for expected in range(20):
                await submit(pump, commit(name, expected=expected))
                for _ in range(hops):
                    await asyncio.sleep(0)

        await asyncio.gather(*(thread(f"t{n}", n % 3) for n in range(12)))
        assert pump.stats.events == 240
        assert pump.stats.events / pump.stats.batches > 5
        await pump.close()

    run(main)


def test_each_learns_its_own_outcome() -> None:
    """A conflict beside a success is told to whom it concerns."""

    async def main() -> None:
        pump = Pump(Recorder())
        good, stale = submit(pump, commit("a")), submit(pump, commit("b", expected=4))
        assert await good == Committed(revision=1)
        assert await stale == Conflict(actual_revision=0)
        await pump.close()

    run(main)


@pytest.mark.parametrize("failure", [Fenced, DiskFull, OutcomeUnknown, StoreUnavailable])
def test_failure_of_a_batch_reaches_everybody_in_it(failure: type[Exception]) -> None:
    """Each caller gets an error of its own; the pump goes on with the next batch."""

    async def main() -> None:
        store = Recorder()
        pump = Pump(store)
        store.failures.append(failure("no"))
        futures = [submit(pump, commit("a")), submit(pump, commit("b"))]
        results = await asyncio.gather(*futures, return_exceptions=True)
        assert [type(result) for result in results] == [failure] * 2
        assert results[0] is not results[1]
        assert await submit(pump, commit("a")) == Committed(revision=1)
        await pump.close()

    run(main)


def test_defect_in_the_store_hangs_nobody() -> None:
    """An error that is no StoreError reaches those who wait, too: nothing was written."""

    async def main() -> None:
        store = Recorder()
        pump = Pump(store)
        store.failures.append(ZeroDivisionError())
        with pytest.raises(StoreUnavailable, match="ZeroDivisionError"):
            await submit(pump, commit())
        assert await submit(pump, commit()) == Committed(revision=1)
        await pump.close()

    run(main)


def test_cancelled_before_its_batch_is_withdrawn() -> None:
    """Who gives up before the commit is not committed; the others are."""

    async def main() -> None:
        store = Recorder()
        pump = Pump(store)
        given_up, kept = submit(pump, commit("a")), submit(pump, commit("b"))
        given_up.cancel()
        await kept
        assert store.batches == [["b"]]
        await pump.close()

    run(main)


def test_nothing_is_committed_while_held() -> None:
    """Commits wait, holds nest, and everything goes at the release."""

    async def main() -> None:
        store = Recorder()
        pump = Pump(store)
        async with pump.held():
            async with pump.held():
                future = submit(pump, commit("a"))
                pump.mark_done("k", at_ms=1)
                await asyncio.sleep(1)
            await asyncio.sleep(1)
            assert store.batches == []
        assert await future == Committed(revision=1)
        await pump.drain()
        assert store.batches == [["a"]]
        await pump.close()

    run(main)


def test_hold_that_comes_before_the_flush_stops_it() -> None:
    """A batch that was about to be committed waits, too."""

    async def main() -> None:
        store = Recorder()
        pump = Pump(store)
        await submit(pump, commit("a"))
        future = submit(pump, commit("b"))
        async with pump.held():
            await asyncio.sleep(1)
            assert store.batches == [["a"]]
        assert await future == Committed(revision=1)
        await pump.close()

    run(main)


def test_close_commits_what_was_submitted_and_then_refuses() -> None:
    """Nothing that was taken is dropped; nothing more is taken."""

    async def main() -> None:
        store = Recorder()
        pump = Pump(store)
        await submit(pump, commit(outbox=(Effect(key="k", kind="K"),)))
        future = submit(pump, commit(expected=1))
        pump.mark_done("k", at_ms=1)
        await pump.close()
        assert future.result() == Committed(revision=2)
        assert store.outbox.open() == ()
        with pytest.raises(StoreClosed):
            await submit(pump, commit(expected=2))
        with pytest.raises(StoreClosed):
            pump.mark_done("k", at_ms=1)
        assert len(store.journal.read("t")) == 2

    run(main)


def test_superseded_owner_is_fenced_through_the_pump() -> None:
    """A successor's claim reaches whoever commits."""

    async def main() -> None:
        store = MemoryStore(is_alive=nobody_lives)
        owned(store)
        pump = Pump(store)
        owned(MemoryStore(store.disk, is_alive=nobody_lives), who=BOB)
        with pytest.raises(Fenced):
            await submit(pump, commit())
        await pump.close()

    run(main)


def test_a_source_with_a_defect_keeps_nothing_from_the_others() -> None:
    """Neither one that cannot say what it has nor one that fails at what became of it."""

    async def main() -> None:
        class Broken(Piece):
            def commits(self) -> Sequence[Commit]:
                raise ZeroDivisionError

        class Deaf(Piece):
            def settled(self, _result: Sequence[Outcome] | StoreError) -> None:
                raise LookupError

        store, told = Recorder(), []
        asyncio.get_running_loop().set_exception_handler(
            lambda _loop, context: told.append(type(context["exception"]))
        )
        pump = Pump(store)
        pump.ready(Broken([commit("a")]))
        pump.ready(Deaf([commit("b")]))
        assert await submit(pump, commit("c")) == Committed(revision=1)
        assert store.batches == [["b", "c"]]
        assert told == [ZeroDivisionError, LookupError]
        await pump.close()

    run(main)
