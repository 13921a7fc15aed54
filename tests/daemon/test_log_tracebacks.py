"""What a log shows of an exception, and that an engine is quiet in somebody else's program."""

from __future__ import annotations

import asyncio
import errno
import logging
import os

import pytest
import structlog

from goalfsm.daemon import logs
from goalfsm.daemon.engine import Engine
from goalfsm.store.memory import MemoryStore


@pytest.fixture(autouse=True)
def _as_it_was() -> object:
    yield
    structlog.reset_defaults()


def _fail_with_a_secret() -> None:
    local = "hunter2-" + "x" * 3
    raise RuntimeError(f"failed with {len(local)} characters")


@pytest.mark.parametrize("json", [True, False])
def test_a_traceback_shows_no_local_variable(
    capsys: pytest.CaptureFixture[str], *, json: bool
) -> None:
    logs.configure(json=json)
    try:
        _fail_with_a_secret()
    except RuntimeError:
        structlog.get_logger().exception("it failed")
    shown = capsys.readouterr().err
    assert "failed with 11 characters" in shown
    assert "_fail_with_a_secret" in shown
    assert "hunter2-xxx" not in shown


def _enter_an_engine() -> None:
    async def enter() -> None:
        async with Engine(MemoryStore()):
            pass

    asyncio.run(enter())


def test_an_unconfigured_program_sees_warnings_only_and_on_stderr(
    capsys: pytest.CaptureFixture[str],
) -> None:
    structlog.reset_defaults()
    _enter_an_engine()
    structlog.get_logger().info("chatter")
    structlog.get_logger().warning("trouble")
    seen = capsys.readouterr()
    assert seen.out == ""
    assert "trouble" in seen.err
    assert "chatter" not in seen.err


def test_a_configured_program_keeps_its_configuration() -> None:
    def drop(*_: object) -> str:
        raise structlog.DropEvent

    structlog.configure(processors=[drop])
    _enter_an_engine()
    assert structlog.get_config()["processors"] == [drop]


def test_no_text_controls_the_terminal_or_forges_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    """Neither a value, nor the message, nor what an exception says."""
    evil = "\x1b]0;PWNED\x07\u202ered\n2026 [info] engine stopped"
    logs.configure(level="info")
    log = structlog.get_logger()
    log.info("goal tool", tool=evil, thread_id=evil)
    log.warning(evil)
    try:
        int(evil)
    except ValueError:
        log.exception("worker raised")
    said = capsys.readouterr().err
    assert "PWNED" in said
    for unseen in ("\x1b", "\x07", "\u202e"):
        assert unseen not in said
    lines = said.split("\n")
    assert sum("engine stopped" in row for row in lines) == 3
    assert "engine stopped" in lines[0]
    assert "engine stopped" in lines[1]


def test_a_loop_that_can_let_nobody_in_says_so_in_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says so a hundred times a second, and nothing else of it is kept from the log."""
    monkeypatch.setattr(logs, "_said_at", None)
    logs.configure(level="warning")
    loop = asyncio.new_event_loop()
    error = OSError(errno.EMFILE, os.strerror(errno.EMFILE))
    message = "socket.accept() out of system resource"
    for _ in range(100):
        loop.call_exception_handler({"message": message, "exception": error})
    shown = capsys.readouterr().err
    assert shown.count("nobody can connect") == 1
    assert os.strerror(errno.EMFILE) in shown
    assert "ulimit -n" in shown
    assert "Traceback" not in shown
    asyncio_log = logging.getLogger("asyncio")
    other = asyncio_log.makeRecord("asyncio", logging.ERROR, "", 0, "a task failed", (), None)
    assert asyncio_log.filter(other)
    monkeypatch.setattr(logs, "_SAY_AGAIN_S", 0.0)
    loop.call_exception_handler({"message": message, "exception": error})
    assert capsys.readouterr().err.count("nobody can connect") == 1
    loop.close()
