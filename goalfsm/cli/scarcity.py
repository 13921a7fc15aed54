"""What is said where the system gives no more. It imports nothing: there may be no room for it."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

LIMITS: Final = "look at the limits on memory, files and processes: ulimit -a"
"""What to do where the system gives no more."""
_NO_ROOM: Final = ("failed to map segment from shared object", "Cannot allocate memory")
"""How the message of a library ends that found no room."""


def is_missing(error: BaseException) -> bool:
    """Tell whether a module is not there; one that finds no room is reported by Python alike."""
    return isinstance(error, ImportError) and not str(error).endswith(_NO_ROOM)
