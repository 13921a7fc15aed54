"""The pump's checkpoints: off the loop, held for the last move, and harmless when they fail."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path

from goalfsm.errors import DiskFull, StoreUnavailable
from goalfsm.store.port import Committed
from goalfsm.store.pump import Pump
from goalfsm.store.sqlite import SqliteStore
from tests.store.handles import commit, owned
from tests.store.pumping import Recorder, run, submit


class Keeper:
    """A log of one frame a commit, which a run empties unless it is told not to."""

    def __init__(self, store: Recorder) -> None:
        """Watch that store."""
        self.store = store
        self.moved = 0
        self.works = True
        self.most = 10**6
        self.lost = False
        self.failure: BaseException | None = None
        self.runs: list[tuple[int, str]] = []
        self.closed_on = ""
        self.during: Callable[[int], None] = lambda _run: None

    def room(self) -> int:
        """Return how long the log may grow on this disk."""
        return self.most

    def backlog(self) -> int:
        """Return how many commits were not moved."""
        if self.lost:
            raise StoreUnavailable("I/O error")
        return len(self.store.batches) - self.moved

    def run(self) -> bool:
        """Move all."""
        self.runs.append((len(self.store.batches), threading.current_thread().name))
        self.during(len(self.runs))
        if self.failure is not None:
            raise self.failure
        if self.works:
            self.moved = len(self.store.batches)
        return self.works

    def close(self) -> None:
        """Note the thread."""
        self.closed_on = threading.current_thread().name


def _kept() -> tuple[Recorder, Keeper]:
    store = Recorder()
    keeper = Keeper(store)
    store.keeper = keeper
    return store, keeper


async def _commits(pump: Pump, count: int, *, begin: int = 0) -> None:
    for expected in range(begin, begin + count):
        await submit(pump, commit(expected=expected))


async def _settled(pump: Pump) -> None:
    """Wait until no checkpoint is under way."""
    running = pump._log._running
    if running is not None:
        await running


def test_log_is_moved_sooner_on_a_small_disk() -> None:
    """What the disk has room for ends it, however long it might grow elsewhere."""

    async def work() -> None:
        store, keeper = _kept()
        keeper.most = 100
        pump = Pump(store, checkpoint_frames=1_000, look_every=1)
        for expected in range(300):
            await _commits(pump, 1, begin=expected)
            await _settled(pump)
        await pump.close()
        assert [at for at, _ in keeper.runs] == [128, 128, 256, 256]

    run(work)


def test_small_disk_that_is_held_back_is_not_tried_at_every_look() -> None:
    """Each try would hold the commits for nothing; the log doubles between two."""

    async def work() -> None:
        store, keeper = _kept()
        keeper.most, keeper.works = 100, False
        pump = Pump(store, checkpoint_frames=1_000, look_every=1)
        for expected in range(600):
            await _commits(pump, 1, begin=expected)
            await _settled(pump)
        await pump.close()
        assert [at for at, _ in keeper.runs] == [128, 128, 256, 256, 512, 512]

    run(work)


def test_long_log_is_moved_off_the_loop() -> None:
    """Past the threshold it is moved twice, on one thread of its own, then there is peace."""

    async def main() -> None:
        store, keeper = _kept()
        pump = Pump(store, checkpoint_frames=10, look_every=1)
        await _commits(pump, 9)
        assert keeper.runs == []
        await _commits(pump, 1, begin=9)
        await _settled(pump)
        assert len(keeper.runs) == 2
        assert keeper.runs[0][1] == keeper.runs[1][1] != threading.current_thread().name
        assert pump.stats.checkpoints == 1
        await _commits(pump, 5, begin=10)
        assert len(keeper.runs) == 2
        await pump.close()
        assert keeper.closed_on == keeper.runs[0][1]

    run(main)


def test_commits_are_held_for_the_last_move() -> None:
    """During the first move commits go on; during the last they wait, and follow it."""

    async def main() -> None:
        store, keeper = _kept()
        loop = asyncio.get_running_loop()
        inside: asyncio.Queue[int] = asyncio.Queue()
        leave = threading.Semaphore(0)

        def stay(run: int) -> None:
            loop.call_soon_threadsafe(inside.put_nowait, run)
            assert leave.acquire(timeout=30)

        keeper.during = stay
        pump = Pump(store, checkpoint_frames=3, look_every=1)
        await _commits(pump, 3)
        assert await inside.get() == 1
        assert await submit(pump, commit("beside")) == Committed(revision=1)
        leave.release()
        assert await inside.get() == 2
        waiting = submit(pump, commit("held"))
        for _ in range(10):
            await asyncio.sleep(0)
        assert not waiting.done()
        assert store.batches[-1] == ["beside"]
        leave.release()
        assert await waiting == Committed(revision=1)
        await pump.close()

    run(main)


def test_log_that_cannot_be_moved_is_tried_less_and_less() -> None:
    """A reader in the way does not make every commit wait."""

    async def main() -> None:
        store, keeper = _kept()
        keeper.works = False
        pump = Pump(store, checkpoint_frames=10, look_every=1)
        for n in range(100):
            await _commits(pump, 1, begin=n)
            await _settled(pump)
        assert [at for at, _ in keeper.runs[::2]] == [10, 20, 40, 80]
        keeper.works = True
        for n in range(100, 180):
            await _commits(pump, 1, begin=n)
            await _settled(pump)
        assert [at for at, _ in keeper.runs[8::2]] == [160, 170, 180]
        await pump.close()

    run(main)


def test_failed_checkpoint_is_kept_for_doctor_and_harms_no_commit() -> None:
    """Commits go on; the error goes away when a later run succeeds."""

    async def main() -> None:
        store, keeper = _kept()
        pump = Pump(store, checkpoint_frames=4, look_every=1)
        keeper.failure = StoreUnavailable("I/O error")
        await _commits(pump, 6)
        await _settled(pump)
        assert isinstance(pump.checkpoint_error, StoreUnavailable)
        keeper.failure = None
        await _commits(pump, 6, begin=6)
        await _settled(pump)
        assert pump.checkpoint_error is None
        await pump.close()

    run(main)


def test_log_that_a_disk_refuses_to_move_does_not_double_before_the_next_try() -> None:
    """It would take the room that a full disk was given, and could then not be moved at all."""

    async def main() -> None:
        store, keeper = _kept()
        keeper.failure = DiskFull("full")
        pump = Pump(store, checkpoint_frames=10, look_every=1)
        for n in range(50):
            await _commits(pump, 1, begin=n)
            await _settled(pump)
        assert [at for at, _ in keeper.runs] == [10, 20, 30, 40, 50]
        await pump.close()

    run(main)


def test_log_is_looked_at_now_and_then() -> None:
    """Not every commit asks how long it is."""

    async def main() -> None:
        store, keeper = _kept()
        pump = Pump(store, checkpoint_frames=1, look_every=4)
        await _commits(pump, 3)
        await _settled(pump)
        assert keeper.runs == []
        await _commits(pump, 1, begin=3)
        await _settled(pump)
        assert [at for at, _ in keeper.runs] == [4, 4]
        await pump.close()

    run(main)


def test_log_whose_length_cannot_be_told_harms_no_commit() -> None:
    """The commit is durable; what is wrong with the log is kept for doctor."""

    async def main() -> None:
        store, keeper = _kept()
        keeper.lost = True
        pump = Pump(store, checkpoint_frames=1, look_every=1)
        assert await submit(pump, commit()) == Committed(revision=1)
        assert isinstance(pump.checkpoint_error, StoreUnavailable)
        keeper.lost = False
        await _commits(pump, 1, begin=1)
        await _settled(pump)
        assert pump.checkpoint_error is None
        await pump.close()

    run(main)


def test_no_thread_without_a_checkpointer() -> None:
    """A store that wants none leaves one thread."""

    async def main() -> None:
        before = threading.active_count()
        pump = Pump(Recorder(), checkpoint_frames=1, look_every=1)
        await _commits(pump, 3)
        assert threading.active_count() == before
        await pump.close()

    run(main)


def test_pump_on_a_file_keeps_the_log_short(tmp_path: Path) -> None:
    """With the SQLite store, on real threads, the log starts over again and again."""

    async def main() -> None:
        store = SqliteStore.open(tmp_path / "goals.db")
        owned(store)
        pump = Pump(store, checkpoint_frames=50, look_every=1)

        async def thread(name: str) -> None:
            for expected in range(40):
                outcome = await submit(pump, commit(name, expected=expected, state=bytes(3_000)))
                assert outcome == Committed(revision=expected + 1)

        await asyncio.gather(*(thread(f"t{n}") for n in range(8)))
        await _settled(pump)
        assert pump.checkpoint_error is None
        assert pump.stats.checkpoints >= 1
        frames = store.facts().wal_frames
        assert frames is not None
        assert frames < 1_000
        assert store.integrity() == ()
        await pump.close()
        store.close()

    asyncio.run(main())
