"""Python's collector of garbage, in a process that is an engine and nothing else."""

from __future__ import annotations

import gc
from typing import Final

_THRESHOLDS: Final = (10_000, 20, 50)


def collect_rarely() -> None:
    """Have the collector look at what is new, and seldom: there is little for it to find.

    Sessions, events and effects are values that refer to nothing of themselves; what is dropped is
    freed at once. With a thousand goals each look at everything would hold all of them up. What
    the process has loaded by now stays as long as it does.
    """
    if gc.get_threshold() == _THRESHOLDS:
        return
    gc.freeze()
    gc.set_threshold(*_THRESHOLDS)
