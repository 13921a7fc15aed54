"""A daemon whose log nobody can read any more works on, and ends when it is told to."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

from goalfsm.cli import exits
from goalfsm.daemon.signals import stopping_on_signals
from tests.cli.processes import daemon, goalfsm, terminal
from tests.cli.workers import COMPLETE, worker


def test_a_daemon_whose_log_is_read_no_more_works_on_and_ends_in_order() -> None:
    with daemon("--db", "goals.db") as serving:
        assert serving.process.stderr is not None
        serving.process.stderr.close()
        program = worker(COMPLETE)
        done = goalfsm("run", "do it", "--db", "goals.db", "--", program)
        assert done.status == exits.OK, done
        serving.process.send_signal(signal.SIGTERM)
        assert serving.process.wait(60) == exits.OK
    assert "healthy" in goalfsm("doctor", "--db", "goals.db").out


def test_a_daemon_whose_log_is_read_no_more_from_its_first_line_on_serves() -> None:
    with terminal("daemon", "--db", "goals.db") as serving:
        serving.until("engine started", where="stderr")
        assert serving.process.stderr is not None
        serving.process.stderr.close()
        done = goalfsm("run", "do it", "--db", "goals.db", "--", worker(COMPLETE))
        assert "serves this database; following it" in done.out, done
        serving.process.send_signal(signal.SIGTERM)
        assert serving.process.wait(60) == exits.OK


class Engine:
    """Notes that it was told to stop, and how much time turns have."""

    def __init__(self) -> None:
        self.told = asyncio.Event()
        self.grace_s: float | None = None

    def stop_soon(self, grace_s: float = 0.0) -> None:
        """Note it."""
        self.grace_s = grace_s
        self.told.set()


def _no_log(*_: object) -> object:
    raise OSError("the log cannot be written")


def test_a_log_that_fails_does_not_keep_an_engine_from_stopping(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("goalfsm.daemon.signals._log.info", _no_log)
    failed = []

    async def told() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _loop, context: failed.append(context["exception"]))
        engine = Engine()
        with stopping_on_signals(engine, 3.0):
            os.kill(os.getpid(), signal.SIGTERM)
            await engine.told.wait()
        assert engine.grace_s == 3.0

    asyncio.run(asyncio.wait_for(told(), 30))
    assert len(failed) == 1
