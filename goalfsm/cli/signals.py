"""Signals that end a command in order, at whatever moment they come."""

from __future__ import annotations

import contextlib
import signal
import threading
from typing import TYPE_CHECKING, Final

from goalfsm.cli import exits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_SIGNALS: Final = (signal.SIGTERM, signal.SIGHUP)


@contextlib.contextmanager
def leaving() -> Iterator[None]:
    """Have SIGTERM and SIGHUP end this process in order, unless they are ignored, as by nohup."""
    with _doing(_leave):
        yield


@contextlib.contextmanager
def interrupting() -> Iterator[None]:
    """Have SIGTERM and SIGHUP interrupt as Ctrl-C does, unless they are ignored, as by nohup."""
    with _doing(_interrupt):
        yield


def _leave(_number: int, _frame: object) -> None:
    # No KeyboardInterrupt: where that passes through code that is made of text, as an import does
    # it, the interpreter ends itself by SIGINT, whoever caught it.
    raise SystemExit(exits.INTERRUPTED)


def _interrupt(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt


@contextlib.contextmanager
def _doing(handler: Callable[[int, object], None]) -> Iterator[None]:
    ours = {}
    if threading.current_thread() is threading.main_thread():  # no other one hears of them
        ours = {
            number: before
            for number in _SIGNALS
            if (before := signal.getsignal(number)) in {signal.SIG_DFL, _leave}
        }
    for number in ours:
        signal.signal(number, handler)
    try:
        yield
    finally:
        for number, before in ours.items():
            signal.signal(number, before)


@contextlib.contextmanager
def ending() -> Iterator[None]:
    """Have a signal end the coroutine that runs, until something else heeds it.

    Raises KeyboardInterrupt where it did. What is inside ends in order: it is cancelled at its next
    wait, never between two steps of a transaction.
    """
    import asyncio  # noqa: PLC0415  most commands have no loop

    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    told = False

    def end() -> None:
        nonlocal told
        told = True
        if task is not None:
            task.cancel()

    heeded = [signal.SIGINT, *_SIGNALS]
    heeded = [each for each in heeded if signal.getsignal(each) is not signal.SIG_IGN]
    for number in heeded:
        loop.add_signal_handler(number, end)
    try:
        yield
    except asyncio.CancelledError:
        if told:
            raise KeyboardInterrupt from None
        raise
    finally:
        for number in heeded:
            loop.remove_signal_handler(number)
