"""Signals that end a command in order, also where no engine of its own listens for them."""

from __future__ import annotations

import contextlib
import signal
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

_SIGNALS: Final = (signal.SIGTERM, signal.SIGHUP)


@contextlib.contextmanager
def interrupting() -> Iterator[None]:
    """Have SIGTERM and SIGHUP interrupt as Ctrl-C does, unless they are ignored, as by nohup."""

    def interrupt(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    ours = [number for number in _SIGNALS if signal.getsignal(number) is signal.SIG_DFL]
    for number in ours:
        signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number in ours:
            signal.signal(number, signal.SIG_DFL)
