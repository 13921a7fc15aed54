"""How four things go through the house, and what a turn costs: python -m tests.bench.traces.

Counted are calls of functions of ours, the files that they are in, and how often the way comes back
to a file that it had left before. Beside them: journal rows and processor time of a turn. With
``--files`` the files of each way are listed, each with the functions of it that are called.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

import goalfsm
import recovery
from goalfsm.daemon.engine import Engine
from goalfsm.session.events import ObjectiveGiven, SteeringReceived
from goalfsm.session.policy import Policy
from goalfsm.store.sqlite import SqliteStore
from goalfsm.workers.inprocess import CallableWorker
from goalfsm.workers.protocol import UsageReported, Work
from tests.bench.harness import Section, figure, markdown

ENDLESS = Policy(no_progress=0, max_continuations=0)
TURNS = 200
_WARM = 3
_ROUNDS = 3
_OURS = tuple(str(Path(package.__path__[0])) + "/" for package in (goalfsm, recovery))


class Way(NamedTuple):
    """How far something goes through our files."""

    calls: int
    files: int
    returns: int

    def __str__(self) -> str:
        """Return the figures as the page prints them."""
        return f"{self.calls:,} calls, {self.files} files, {self.returns} returns"


_BEFORE = {
    "a steer": Way(180, 38, 53),
    "a usage line": Way(139, 30, 44),
    "a turn's end to the next dispatch": Way(741, 53, 284),
    "a resume, to its first dispatch": Way(705, 61, 305),
}
"""The same four, counted by this module at 8914ac4, when every part stood around one hub."""


class Tracer:
    """Follows calls of functions of ours while it is switched on."""

    def __init__(self) -> None:
        self._files: list[str] = []
        self._calls: Counter[tuple[str, str]] = Counter()

    def on(self) -> None:
        sys.setprofile(self._profile)

    def off(self) -> None:
        sys.setprofile(None)

    @contextmanager
    def following(self) -> Iterator[None]:
        self.on()
        try:
            yield
        finally:
            self.off()

    @property
    def way(self) -> Way:
        seen: set[str] = set()
        returns = 0
        for file in self._files:
            returns += file in seen
            seen.add(file)
        return Way(self._calls.total(), len(seen), returns)

    def lines(self) -> Iterator[str]:
        """Yield each file of the way, in its order, and what is called in there, how often."""
        for file in dict.fromkeys(self._files):
            called = {name: n for (of, name), n in self._calls.items() if of == file}
            named = ", ".join(f"{name} {n}" if n > 1 else name for name, n in called.items())
            yield f"{sum(called.values()):5}  {_short(file)}: {named}"

    def _profile(self, frame: FrameType, event: str, _: Any) -> None:
        file = frame.f_code.co_filename
        if event != "call" or frame.f_code.co_name == "<module>" or not file.startswith(_OURS):
            return
        self._calls[file, frame.f_code.co_qualname] += 1
        if not self._files or self._files[-1] != file:
            self._files.append(file)


class Stage:
    """Turns that wait until they are told to go on."""

    def __init__(self) -> None:
        self.usage = asyncio.Event()
        self.end = asyncio.Event()
        self.began = asyncio.Event()
        self.tracer: Tracer | None = None

    async def turn(self, work: Work) -> AsyncIterator[Any]:
        if self.tracer is not None:
            self.tracer.off()
        self.began.set()
        yield UsageReported(input_tokens=1)
        await self.usage.wait()
        self.usage.clear()
        yield UsageReported(input_tokens=1)
        await self.end.wait()
        self.end.clear()
        yield f"turn {work.turn}"

    async def steer(self, *_: str) -> bool:
        return True

    async def next_turn(self) -> None:
        """End the turn that runs and wait for the next one."""
        await self.began.wait()
        await _settle()
        self.began.clear()
        self.usage.set()
        self.end.set()
        await self.began.wait()


def _short(file: str) -> str:
    root = next(root for root in _OURS if file.startswith(root))
    return file.removeprefix(str(Path(root).parent) + "/")


async def _settle() -> None:
    for _ in range(30):
        await asyncio.sleep(0)


async def followed(path: Path) -> dict[str, Tracer]:
    store, stage, ways = SqliteStore.open(path), Stage(), {}
    worker = CallableWorker(stage.turn, steer=stage.steer)
    engine = Engine(store, workers=worker, policy=ENDLESS, serve=False)
    async with engine:
        await engine.submit("t", ObjectiveGiven(objective="go on"))
        for number in range(_WARM):
            # What is done once only, such as imports, is no part of the way.
            await stage.next_turn()
            await engine.submit("t", SteeringReceived(message_id=f"m{number}", text="fast"))
        await _settle()
        tracer = Tracer()
        with tracer.following():
            await engine.submit("t", SteeringReceived(message_id="m", text="faster"))
            await _settle()
        ways["a steer"] = tracer
        tracer = Tracer()
        with tracer.following():
            stage.usage.set()
            await _settle()
        ways["a usage line"] = tracer
        stage.tracer = Tracer()
        stage.began.clear()
        stage.tracer.on()
        stage.end.set()
        await stage.began.wait()
        ways["a turn's end to the next dispatch"] = stage.tracer
        await engine.stop(0)
    stage = Stage()
    stage.tracer = Tracer()
    worker = CallableWorker(stage.turn, steer=stage.steer)
    engine = Engine(store, workers=worker, policy=ENDLESS, serve=False)
    stage.tracer.on()
    async with engine:
        await stage.began.wait()
        ways["a resume, to its first dispatch"] = stage.tracer
        await engine.stop(0)
    store.close()
    return ways


async def _cost(path: Path) -> tuple[float, float]:
    """Return the journal rows and the milliseconds of processor time of a turn of one report."""
    store, enough, begun = SqliteStore.open(path), asyncio.Event(), [0.0]

    async def turn(work: Work) -> AsyncIterator[Any]:
        if work.turn == _WARM:
            begun[0] = time.process_time()
        if work.turn == TURNS + _WARM:
            begun.append(time.process_time())
            enough.set()
        yield UsageReported(input_tokens=1)
        yield f"turn {work.turn}"

    engine = Engine(store, workers=CallableWorker(turn), policy=ENDLESS, serve=False)
    async with engine:
        await engine.submit("t", ObjectiveGiven(objective="go on"))
        await enough.wait()
        await engine.stop(0)
    goal = engine.session("t").goal
    rows = len(store.journal.read("t", after=0, limit=100_000))
    store.close()
    turns = TURNS if goal is None else goal.continuations
    return rows / turns, (begun[1] - begun[0]) * 1_000 / TURNS


def section() -> Section:
    """Return what was counted, beside what it was before a turn became two events."""
    told = Section("The way through the house, and what a turn costs")
    with tempfile.TemporaryDirectory() as folder:
        for what, tracer in asyncio.run(followed(Path(folder) / "ways.db")).items():
            way = tracer.way
            note = f"{way.files} files, {way.returns} returns; before: {_BEFORE[what]}"
            told.figures.append(figure(what, [float(way.calls)], "calls", note=note))
        costs = [asyncio.run(_cost(Path(folder) / f"{number}.db")) for number in range(_ROUNDS)]
    rows, spent = [cost[0] for cost in costs], [cost[1] for cost in costs]
    note = "of one usage report; before: 11"
    told.figures.append(figure("a turn, journal rows", rows, "rows", note=note))
    note = "before, measured by turns with this: 1.26 to 1.81 against 0.71 to 0.85"
    told.figures.append(figure("a turn, processor time", spent, "ms", note=note))
    told.lines.append(
        "Calls are those of functions of ours; returns tell how often the way comes back to a file "
        "that it has left. `python -m tests.bench.traces` counts them."
    )
    return told


def main() -> None:
    """Print what was counted, or the files of each way."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", action="store_true", help="list the files of each way")
    if not parser.parse_args().files:
        print(markdown(section()))
        return
    with tempfile.TemporaryDirectory() as folder:
        for what, tracer in asyncio.run(followed(Path(folder) / "ways.db")).items():
            print(f"{what}: {tracer.way}", *tracer.lines(), "", sep="\n")


if __name__ == "__main__":
    main()
