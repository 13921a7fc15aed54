"""What keeps a living engine from writing, told beside its socket: the database cannot be asked.

It is a symbolic link that leads nowhere: its name and its words need no room on a full disk.
"""

from __future__ import annotations

import contextlib
import os
import re
from typing import Final

_SUFFIX: Final = ".outage"
_CODE: Final = re.compile(r"[a-z_]{1,40}")


def show(socket: str, code: str) -> None:
    """Tell that an error of this code keeps the engine at ``socket`` from writing; "" clears it."""
    if not socket:
        return
    # It is a convenience: where it cannot be told, nothing else is the worse for it.
    with contextlib.suppress(OSError):
        os.unlink(f"{socket}{_SUFFIX}")  # noqa: PTH108 - texts are enough
    if code:
        with contextlib.suppress(OSError):
            os.symlink(code, f"{socket}{_SUFFIX}")  # noqa: PTH211 - the same


def shown(socket: str) -> str:
    """Return the code of the error that keeps the engine at ``socket`` from writing, or ""."""
    if not socket:
        return ""
    try:
        code = os.readlink(f"{socket}{_SUFFIX}")  # noqa: PTH115 - the same
    except OSError:
        return ""
    return code if _CODE.fullmatch(code) else "store_unavailable"
