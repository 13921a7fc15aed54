"""What was done is marked with the next commit, or soon; nothing waits for ever for a mark."""

from __future__ import annotations

import asyncio

import pytest

from goalfsm.errors import DiskFull, Fenced, StoreError
from goalfsm.store.port import Effect
from goalfsm.store.pump import LINGER_S, RETRY_S, Pump
from tests.store.handles import commit
from tests.store.pumping import Recorder, run, submit


def test_marks_ride_with_the_next_commit() -> None:
    """Marking an effect costs no transaction where a commit follows."""

    async def main() -> None:
        store = Recorder()
        pump = Pump(store)
        await submit(pump, commit(outbox=(Effect(key="k", kind="K"),)))
        pump.mark_done("k", at_ms=1)
        assert [row.key for row in store.outbox.open()] == ["k"]
        await submit(pump, commit(expected=1))
        assert store.outbox.open() == ()
        assert store.marks == [[], ["k"]]
        await asyncio.sleep(2 * LINGER_S)
        assert len(store.batches) == 2
        await pump.close()

    run(main)


def test_marks_alone_are_written_soon() -> None:
    """Without a commit a mark waits no longer than it may."""

    async def main() -> None:
        store = Recorder()
        pump = Pump(store)
        await submit(pump, commit(outbox=(Effect(key="k", kind="K"),)))
        pump.mark_done("k", at_ms=1)
        await asyncio.sleep(LINGER_S * 0.9)
        assert len(store.batches) == 1
        await asyncio.sleep(LINGER_S * 0.2)
        assert store.marks == [[], ["k"]]
        assert store.outbox.open() == ()
        await pump.close()

    run(main)


def test_marks_survive_a_failed_batch() -> None:
    """They are tried again, with the next commit or alone."""

    async def main() -> None:
        store = Recorder()
        pump = Pump(store)
        await submit(pump, commit(outbox=(Effect(key="k", kind="K"),)))
        pump.mark_done("k", at_ms=1)
        store.failures.append(DiskFull("full"))
        with pytest.raises(DiskFull):
            await submit(pump, commit(expected=1))
        assert [row.key for row in store.outbox.open()] == ["k"]
        await asyncio.sleep(2 * LINGER_S)
        assert store.outbox.open() == ()
        await pump.close()

    run(main)


def test_marks_alone_survive_a_failure() -> None:
    """They are tried again after a while, or with the next commit; nobody waits for them."""

    async def main() -> None:
        store = Recorder()
        pump = Pump(store)
        keys = ("k1", "k2")
        await submit(pump, commit(outbox=tuple(Effect(key=key, kind="K") for key in keys)))
        for key in keys:
            pump.mark_done(key, at_ms=1)
            store.failures += [DiskFull("full"), DiskFull("full")]
            await pump.drain()
            await pump.drain()
            assert key in {row.key for row in store.outbox.open()}
            await asyncio.sleep(RETRY_S + LINGER_S)
            assert key in {row.key for row in store.outbox.open()}
            if key == "k1":
                await asyncio.sleep(RETRY_S)
            else:
                await submit(pump, commit(expected=1))
            assert key not in {row.key for row in store.outbox.open()}
        await pump.close()

    run(main)


def test_marks_that_a_commit_failed_with_do_not_keep_the_pump_from_closing() -> None:
    """They were put off, rode with a commit, and have one more try."""

    async def main() -> None:
        store = Recorder()
        pump = Pump(store)
        await submit(pump, commit(outbox=(Effect(key="k", kind="K"),)))
        pump.mark_done("k", at_ms=1)
        store.failures += [DiskFull("full")] * 3
        await pump.drain()
        with pytest.raises(DiskFull):
            await submit(pump, commit(expected=1))
        await pump.close()
        assert store.failures == []
        assert store.marks == [[], ["k"], ["k"], ["k"]]

    run(main)


@pytest.mark.parametrize("failure", [Fenced, RuntimeError])
def test_marks_that_a_failed_commit_gave_up_keep_nobody_waiting(failure: type[Exception]) -> None:
    """Who drains goes on, whatever kept the commit out that the marks were to ride with."""

    async def main() -> None:
        store = Recorder()
        pump = Pump(store)
        pump.mark_done("k", at_ms=1)
        draining = asyncio.create_task(pump.drain())
        await asyncio.sleep(0)
        store.failures.append(failure("no"))
        future = submit(pump, commit())
        async with asyncio.timeout(1):
            await draining
        with pytest.raises(StoreError):
            await future
        await pump.close()

    run(main)


def test_a_pump_closes_over_a_store_that_takes_no_marks() -> None:
    """One more try is made, then they are left to the next start."""

    async def main() -> None:
        store = Recorder()
        pump = Pump(store)
        pump.mark_done("k", at_ms=1)
        store.failures += [DiskFull("full")] * 3
        await pump.close()
        assert len(store.failures) == 2

    run(main)


def test_marks_that_nobody_waits_for_ask_for_room() -> None:
    """The disk may be full of the log: with no commit to come, nobody else has it moved."""

    async def main() -> None:
        store = Recorder()
        asked = []
        store.release_reserve = lambda: bool(asked.append(store.batches[-1]))  # type: ignore[method-assign]
        pump = Pump(store)
        await submit(pump, commit(outbox=(Effect(key="k", kind="K"),)))
        store.failures = [DiskFull("full")]
        pump.mark_done("k", at_ms=1)
        await asyncio.sleep(LINGER_S + RETRY_S * 1.1)
        assert asked == [[]]
        assert store.outbox.open() == ()
        await pump.close()

    run(main)
