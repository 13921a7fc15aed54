"""The virtual loop: time that jumps, an order that never varies, errors instead of hanging."""

from __future__ import annotations

import asyncio
import gc
import itertools
import signal
import threading
import time
from collections.abc import AsyncIterator, Iterator

import pytest

from goalfsm.testing.loop import VirtualLoop, run
from goalfsm.testing.waiting import Deadlock, OutsideWorld, Spinning, Stalled


@pytest.fixture
def loop() -> Iterator[VirtualLoop]:
    made = VirtualLoop()
    yield made
    made.discard()
    made.close()


def test_an_hour_takes_no_time() -> None:
    began = time.perf_counter()

    async def main() -> float:
        await asyncio.sleep(3600)
        return asyncio.get_running_loop().time()

    assert run(main()) == pytest.approx(3600)
    assert time.perf_counter() - began < 10


def test_the_collector_ends_no_task_that_nobody_else_holds(loop: VirtualLoop) -> None:
    ended: list[bool] = []

    async def waits() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(True)

    loop.create_task(waits())
    loop.settle()
    gc.collect()
    assert ended == []
    loop.discard()
    assert ended == [True]


def test_no_thread_is_started() -> None:
    before = threading.active_count()

    async def main() -> int:
        return await asyncio.to_thread(threading.active_count)

    assert run(main()) == before


def test_timers_fire_in_the_order_of_their_time(loop: VirtualLoop) -> None:
    fired: list[str] = []
    loop.call_later(30, fired.append, "c")
    loop.call_later(10, fired.append, "a")
    loop.call_later(20, fired.append, "b")
    loop.call_later(20, fired.append, "b too")
    loop.call_later(31, fired.append, "not yet")
    loop.advance(30)
    assert fired == ["a", "b", "b too", "c"]
    assert loop.now_us == 30_000_000


def test_a_timer_that_a_timer_sets_fires_in_its_turn(loop: VirtualLoop) -> None:
    fired: list[tuple[str, int]] = []

    def first() -> None:
        fired.append(("first", loop.now_us))
        loop.call_later(1, lambda: fired.append(("second", loop.now_us)))

    loop.call_later(1, first)
    loop.call_later(5, lambda: fired.append(("third", loop.now_us)))
    loop.advance(10)
    assert fired == [("first", 1_000_000), ("second", 2_000_000), ("third", 5_000_000)]


def test_a_cancelled_timer_does_not_fire(loop: VirtualLoop) -> None:
    fired: list[str] = []
    loop.call_later(1, fired.append, "a").cancel()
    assert loop.next_timer_us() is None
    loop.advance(10)
    assert fired == []


def test_whole_milliseconds_stay_whole() -> None:
    """Truncating the loop's time to milliseconds gives the millisecond that was slept to."""

    async def main() -> list[int]:
        loop = asyncio.get_running_loop()
        seen = []
        for _ in range(2_000):
            await asyncio.sleep(0.007)
            seen.append(int(loop.time() * 1000))
        return seen

    assert run(main()) == [7 * (count + 1) for count in range(2_000)]


def test_advance_stops_between_timers(loop: VirtualLoop) -> None:
    fired: list[int] = []
    loop.call_later(10, fired.append, 10)
    loop.advance(9.5)
    assert fired == []
    loop.advance(0.5)
    assert fired == [10]


def test_settle_runs_what_is_ready_and_lets_no_time_pass(loop: VirtualLoop) -> None:
    seen: list[str] = []

    async def work() -> None:
        await asyncio.sleep(0)
        seen.append("began")
        await asyncio.sleep(1)
        seen.append("ended")

    task = loop.create_task(work())
    loop.settle()
    assert seen == ["began"]
    assert loop.now_us == 0
    loop.advance(1)
    assert seen == ["began", "ended"]
    assert task.done()


def test_time_does_not_run_backwards(loop: VirtualLoop) -> None:
    loop.advance(1)
    with pytest.raises(ValueError, match="backwards"):
        loop.advance(-1)
    assert loop.now_us == 1_000_000


def test_time_that_passes_is_told(loop: VirtualLoop) -> None:
    passed: list[int] = []
    loop.on_pass.append(passed.append)
    loop.call_later(1.5, lambda: None)
    loop.advance(2)
    assert passed == [1_500_000, 500_000]


def test_a_timeout_ends_a_wait() -> None:
    async def main() -> float:
        try:
            async with asyncio.timeout(60):
                await asyncio.Event().wait()
        except TimeoutError:
            return asyncio.get_running_loop().time()
        return -1

    assert run(main()) == pytest.approx(60)


def test_a_deadlock_names_who_waits_and_where() -> None:
    async def starve(queue: asyncio.Queue[None]) -> None:
        await queue.get()

    async def main() -> None:
        task = asyncio.create_task(starve(asyncio.Queue()), name="hungry")
        await task

    with pytest.raises(Deadlock) as caught:
        run(main())
    lines = caught.value.message.splitlines()
    assert lines[0] == "nothing is ready and no timer is set; waiting:"
    assert any("hungry: " in line and "starve (test_loop.py:" in line for line in lines)
    assert any("main (test_loop.py:" in line and "for task hungry" in line for line in lines)
    assert "timeout" in caught.value.hint


def test_a_deadlock_lets_tasks_clean_up() -> None:
    cleaned: list[str] = []

    async def main() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cleaned.append("main")

    with pytest.raises(Deadlock):
        run(main())
    assert cleaned == ["main"]


def test_many_waiting_tasks_are_counted() -> None:
    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(30):
                group.create_task(asyncio.Event().wait())

    with pytest.raises(Deadlock, match="and 11 more"):
        run(main())


def test_what_takes_too_long_is_stalled_even_while_timers_fire() -> None:
    async def beat() -> None:
        for _ in itertools.count():
            await asyncio.sleep(2)

    async def main() -> None:
        beating = asyncio.create_task(beat(), name="heartbeat")
        await asyncio.Event().wait()
        beating.cancel()

    with pytest.raises(Stalled, match="heartbeat") as caught:
        run(main(), within=60)
    assert "within=" in caught.value.hint


def test_run_until_stops_at_the_first_moment(loop: VirtualLoop) -> None:
    fired: list[int] = []
    for at in (1, 2, 3):
        loop.call_later(at, fired.append, at)
    loop.run_until(lambda: len(fired) == 2)
    assert fired == [1, 2]
    assert loop.now_us == 2_000_000


def test_run_until_says_when_it_cannot_happen(loop: VirtualLoop) -> None:
    with pytest.raises(Deadlock, match="no task is left"):
        loop.run_until(lambda: False)
    loop.call_later(100, lambda: None)
    with pytest.raises(Stalled, match="within 10 s"):
        loop.run_until(lambda: False, within=10)
    assert loop.now_us == 10_000_000


def test_run_until_looks_again_at_its_limit(loop: VirtualLoop) -> None:
    loop.call_later(100, lambda: None)
    loop.run_until(lambda: loop.now_us >= 10_000_000, within=10)
    assert loop.now_us == 10_000_000


def test_spinning_is_an_error() -> None:
    async def main() -> None:
        for _ in itertools.count():
            await asyncio.sleep(0)

    with pytest.raises(Spinning, match=r"main \(test_loop.py:"):
        run(main())


def test_the_outside_world_is_refused(loop: VirtualLoop) -> None:
    async def program() -> None:
        await asyncio.create_subprocess_exec("true")

    async def connection() -> None:
        await asyncio.open_connection("localhost", 1)

    async def signals() -> None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, print)

    for main, named in (
        (program, "subprocess_exec"),
        (connection, "create_connection"),
        (signals, "add_signal_handler"),
    ):
        with pytest.raises(OutsideWorld, match=named):
            loop.run(main())


def test_another_thread_is_refused() -> None:
    refused: list[BaseException] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()

        def call() -> None:
            try:
                loop.call_soon_threadsafe(print)
            except OutsideWorld as error:
                refused.append(error)

        thread = threading.Thread(target=call)
        thread.start()
        thread.join()

    run(main())
    assert len(refused) == 1


def test_an_executor_runs_on_the_loop_and_passes_errors_on() -> None:
    async def main() -> str:
        loop = asyncio.get_running_loop()
        name = await loop.run_in_executor(None, lambda: threading.current_thread().name)
        with pytest.raises(ZeroDivisionError):
            await asyncio.to_thread(lambda: 1 // 0)
        return name

    assert run(main()) == threading.current_thread().name


def test_what_waits_for_an_executor_can_be_cancelled(loop: VirtualLoop) -> None:
    called: list[str] = []

    async def main() -> None:
        future = asyncio.get_running_loop().run_in_executor(None, called.append, "a")
        future.cancel()
        with pytest.raises(asyncio.CancelledError):
            await future

    loop.run(main())
    assert called == []


def test_discard_ends_everything_and_the_loop_goes_on(loop: VirtualLoop) -> None:
    ended: list[str] = []

    async def stubborn() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(10)
            ended.append("never: no time passes for the dead")

    async def work() -> None:
        try:
            await asyncio.sleep(100)
        finally:
            ended.append("work")

    loop.create_task(stubborn())
    loop.create_task(work())
    loop.call_later(5, ended.append, "timer")
    loop.advance(1)
    loop.discard()
    assert loop.next_timer_us() is None
    loop.advance(1000)
    assert ended == ["work"]
    assert loop.run(asyncio.sleep(1, "alive")) == "alive"


def test_asynchronous_generators_are_closed() -> None:
    closed: list[str] = []

    async def numbers() -> AsyncIterator[int]:
        try:
            while True:
                yield 1
        finally:
            closed.append("numbers")

    async def main() -> int:
        async for number in numbers():
            return number
        return 0

    assert run(main()) == 1
    assert closed == ["numbers"]


def test_it_is_a_loop_for_any_runner() -> None:
    async def main() -> str:
        await asyncio.sleep(86_400)
        return "done"

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        assert runner.run(main()) == "done"


def test_two_runs_are_the_same() -> None:
    """Tasks that wake at one moment run in one order, always."""

    async def main() -> list[int]:
        order: list[int] = []

        async def work(number: int) -> None:
            for step in range(3):
                await asyncio.sleep((number * 7 + step) % 3)
                order.append(number)

        await asyncio.gather(*(work(number) for number in range(20)))
        return order

    assert run(main()) == run(main())
