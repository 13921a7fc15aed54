"""The command line: it reads arguments, asks the engine and shows what comes back.

It may use everything below it, through public names; it has no rules of its own.
"""

from __future__ import annotations

import os

from goalfsm.cli.scarcity import LIMITS, is_missing

# Ctrl-C before anything of this has begun shows where: what takes time is imported later.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Final, NoReturn

__all__ = ["main", "program"]

_INTERRUPTED: Final = 130
"""As in `exits`, which cannot be imported while nothing is."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command, by default that of this process, and return its exit status."""
    try:
        from goalfsm.cli.app import run  # noqa: PLC0415  importing the package stays cheap

        return run(arguments)
    except KeyboardInterrupt:
        return _INTERRUPTED
    except (MemoryError, ImportError, OSError, SystemError) as error:
        if is_missing(error):
            raise
        # As plainly as can be: whatever says more would need what there is none of.
        what = str(error) or "out of memory"
        os.write(2, f"goalfsm: the system gives no more: {what}\nHint: {LIMITS}\n".encode())
        return 1


def program() -> NoReturn:
    """Run the command of this process and end the process with its exit status.

    Somebody waits for it at a prompt. So what modules allocate is not looked through for garbage
    while they are loaded, and not taken apart in the end: the system does that at once.
    """
    try:
        import atexit  # noqa: PLC0415  Ctrl-C may come while anything is imported
        import gc  # noqa: PLC0415
        import sys  # noqa: PLC0415
        import threading  # noqa: PLC0415

        from goalfsm.cli.streams import flush  # noqa: PLC0415

        gc.set_threshold(100_000, 10, 10)
        status = main()
        flush()
        if threading.active_count() > 1:
            sys.exit(status)
        atexit._run_exitfuncs()  # noqa: SLF001  it has no public name
        flush()
    except KeyboardInterrupt:
        status = _INTERRUPTED
    os._exit(status)
