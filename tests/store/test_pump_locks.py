"""A pump whose store another process has locked: the loop goes on, and gives up in time."""

from __future__ import annotations

import asyncio

import pytest

from goalfsm.errors import Busy
from goalfsm.store.port import Committed, Outcome
from goalfsm.store.pump import LOCKED_S, PATIENCE_S, Pump
from tests.store.handles import commit
from tests.store.pumping import Recorder, run, submit


class Locked(Recorder):
    """Is another process's for so many tries."""

    def __init__(self, tries: float) -> None:
        super().__init__()
        self.tries = tries

    def commit(self, *args: object, **given: object) -> list[Outcome]:
        if self.tries > 0:
            self.tries -= 1
            raise Busy("database is locked")
        return super().commit(*args, **given)  # type: ignore[arg-type]


def test_a_lock_that_is_held_for_a_moment_is_waited_for_without_standing_still() -> None:
    async def main() -> None:
        store = Locked(3)
        pump = Pump(store)
        pump.mark_done("effect", at_ms=1)
        first = submit(pump, commit("a"))
        second = submit(pump, commit("b"))
        begun = asyncio.get_running_loop().time()
        turns = 0
        while not second.done():
            await asyncio.sleep(LOCKED_S / 10)
            turns += 1
        assert turns > 10
        assert (first.result(), second.result()) == (Committed(revision=1), Committed(revision=1))
        assert asyncio.get_running_loop().time() - begun < PATIENCE_S
        assert store.batches[0][0] == "a"
        await pump.close()

    run(main)


def test_one_that_lasts_is_told_and_from_then_on_at_once() -> None:
    async def main() -> None:
        store = Locked(float("inf"))
        pump, loop = Pump(store), asyncio.get_running_loop()
        begun = loop.time()
        with pytest.raises(Busy):
            await submit(pump, commit("a"))
        assert PATIENCE_S <= loop.time() - begun < 2 * PATIENCE_S
        begun = loop.time()
        with pytest.raises(Busy):
            await submit(pump, commit("a"))
        assert loop.time() - begun < LOCKED_S
        store.tries = 0
        assert await submit(pump, commit("a")) == Committed(revision=1)
        store.tries = 2
        assert await submit(pump, commit("a", expected=1)) == Committed(revision=2)
        await pump.close()

    run(main)


def test_what_is_withdrawn_meanwhile_is_not_committed() -> None:
    async def main() -> None:
        store = Locked(2)
        pump = Pump(store)
        given_up, kept = submit(pump, commit("a")), submit(pump, commit("b"))
        given_up.cancel()
        assert await kept == Committed(revision=1)
        assert [thread for batch in store.batches for thread in batch] == ["b"]
        await pump.close()

    run(main)
