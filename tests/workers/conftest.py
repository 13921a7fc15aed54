"""Real processes for tests, and ways to know for certain that they are gone."""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, Final, TypeVar

import pytest

from goalfsm.workers.command import CommandWorker
from goalfsm.workers.protocol import TurnEvent, Work
from goalfsm.workers.spec import CommandSpec
from goalfsm.workers.supervisor.client import Supervisor
from tests.work import make_work
from tests.workers.daemons import STUBBORN, Daemon
from tests.workers.reading import Python

T = TypeVar("T")

PATIENCE_S: Final = 60.0
"""How long a test waits for what must happen; only a failing test ever waits that long."""


class Bench:
    """Runs workers in an event loop of its own, under one supervisor a call."""

    def __init__(self, db: str) -> None:
        self.db = db

    def run(self, main: Callable[[Supervisor], Coroutine[Any, Any, T]]) -> T:
        """Run an async function with a supervisor and return what it returns."""

        async def body() -> T:
            async with self.supervisor() as supervisor, asyncio.timeout(PATIENCE_S):
                return await main(supervisor)

        return asyncio.run(body())

    @contextlib.asynccontextmanager
    async def supervisor(self) -> AsyncIterator[Supervisor]:
        supervisor = await Supervisor.start(db=self.db)
        try:
            yield supervisor
        finally:
            await supervisor.close()

    def work(self, **changes: Any) -> Work:
        return make_work(**{"db": self.db, **changes})

    def turn(
        self,
        argv: list[str],
        *,
        grace_s: float = 5.0,
        spec: dict[str, Any] | None = None,
        **work: Any,
    ) -> list[TurnEvent]:
        """Run one turn of a program and return all its events."""

        async def main(supervisor: Supervisor) -> list[TurnEvent]:
            worker = CommandWorker(
                CommandSpec(argv=tuple(argv), **(spec or {})), supervisor, grace_s=grace_s
            )
            return [event async for event in worker.run(self.work(**work))]

        return self.run(main)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(str(tmp_path / "goals.db"))


@pytest.fixture
def python(tmp_path: Path) -> Callable[[str], list[str]]:
    """Return how to run a Python program given as text."""

    def write(source: str) -> list[str]:
        path = tmp_path / f"worker{len(list(tmp_path.glob('worker*.py')))}.py"
        path.write_text(source, encoding="utf-8")
        return [sys.executable, "-I", "-S", str(path)]

    return write


class Lifeline:
    """A FIFO that processes hold open: its end is seen when the last of them is dead."""

    def __init__(self, path: Path) -> None:
        self.path = path
        os.mkfifo(path)
        self._fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        self._said = b""

    def wait_for(self, said: bytes) -> None:
        """Return when a holder has written these bytes."""
        while said not in self._said:
            assert self._read(), f"ended after {self._said!r} without {said!r}"

    def wait_end(self) -> None:
        """Return when nobody holds it any more; call `wait_for` first."""
        while self._read():
            pass

    def is_held(self) -> bool:
        """Return whether somebody still holds it; call `wait_for` first."""
        while True:
            try:
                data = os.read(self._fd, 4096)
            except BlockingIOError:
                return True
            if not data:
                return False
            self._said += data

    def close(self) -> None:
        os.close(self._fd)

    def _read(self) -> bytes:
        ready, _, _ = select.select([self._fd], [], [], PATIENCE_S)
        assert ready, f"nothing happened within {PATIENCE_S} s"
        data = os.read(self._fd, 4096)
        self._said += data
        return data


@pytest.fixture
def lifeline(tmp_path: Path) -> Iterator[Lifeline]:
    line = Lifeline(tmp_path / "lifeline")
    yield line
    line.close()


@pytest.fixture
def start_daemon(tmp_path: Path) -> Iterator[Callable[..., Daemon]]:
    daemons: list[Daemon] = []

    def start(argv: list[str], **given: Any) -> Daemon:
        daemon = Daemon(str(tmp_path / "goals.db"), argv, **given)
        daemons.append(daemon)
        return daemon

    yield start
    for daemon in daemons:
        daemon.close()


@pytest.fixture
def stubborn(python: Python, lifeline: Any) -> list[str]:
    return python(STUBBORN.format(path=str(lifeline.path)))
