"""The standard streams at the end of a process: what nobody takes goes nowhere."""

from __future__ import annotations

import os
import sys


def let_go(number: int) -> None:
    """Have what is still to be written to a descriptor go nowhere: nobody took it before either."""
    # The number itself: where something stands for a stream, its file is not ours to replace.
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, number)
    os.close(nowhere)


def flush() -> None:
    """Flush what was said; where nobody can be told, the exit status still says it.

    The interpreter would try once more as it ends, and exit with a status of its own.
    """
    for number, stream in ((1, sys.stdout), (2, sys.stderr)):
        try:
            stream.flush()
        except OSError:
            let_go(number)
