"""Who is told of each row that fires: nobody, unless somebody looks on.

Every machine tells of the row that it has chosen, whoever asked it and by whichever table. What is
told changes nothing of what is decided: it is there for coverage of rows and for drawings.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

Observer = Callable[[object, Any], None]
"""Is called with the table that decided and with its row, as the table's owner defines both."""
OBSERVERS: Final[list[Observer]] = []


def fired(table: object, row: object) -> None:
    """Tell every observer that ``row`` of ``table`` was chosen."""
    for observer in tuple(OBSERVERS):
        observer(table, row)
