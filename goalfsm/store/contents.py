"""All rows of a store, in a form that is the same wherever threads are kept: to move them whole."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Row = tuple[Any, ...]

TABLES: Final[Mapping[str, tuple[str, ...]]] = {
    "session": (
        "thread_id", "revision", "status", "wake_at_ms", "updated_at_ms", "rules_version", "state"
    ),
    "journal": (
        "thread_id", "revision", "event_id", "at_ms", "rules_version", "digest", "event",
        "decision",
    ),
    "outbox": ("thread_id", "key", "revision", "at_ms", "done_at_ms", "kind", "payload"),
    "history": ("thread_id", "entry"),
    "answer": ("thread_id", "inbox_id", "at_ms", "revision", "reply"),
    "worker": ("thread_id", "config"),
    "transcript": (
        "thread_id", "run_id", "turn", "at_ms", "answer_bytes", "stderr_bytes", "answer", "stderr"
    ),
}  # fmt: skip
"""The columns of each table, of which the first says whose row it is."""


class Contents(Protocol):
    """All rows of a store."""

    def rows(self, table: str) -> Iterator[Row]:
        """Yield the rows of a table of `TABLES`, in the order in which they were written."""
        ...


class Sum(NamedTuple):
    """What a thread consists of: how many rows in each table, and a digest of all of them."""

    rows: tuple[int, ...]
    digest: str


def summed(contents: Contents) -> dict[str, Sum]:
    """Return what each thread consists of."""
    counts: dict[str, list[int]] = {}
    digests: dict[str, Any] = {}
    for place, table in enumerate(TABLES):
        for row in contents.rows(table):
            thread_id = row[0]
            if thread_id not in digests:
                counts[thread_id], digests[thread_id] = [0] * len(TABLES), hashlib.sha256()
            counts[thread_id][place] += 1
            add(digests[thread_id], (table, *row))
    return {
        thread_id: Sum(tuple(counts[thread_id]), digest.hexdigest())
        for thread_id, digest in digests.items()
    }


def add(digest: Any, row: Row) -> None:
    """Add a row to a digest, each value with its kind and length, so that no two rows are alike."""
    for value in row:
        kind, data = b"n", b""
        if isinstance(value, str):
            kind, data = b"s", value.encode("utf-8", "surrogatepass")
        elif isinstance(value, int):
            kind, data = b"i", str(value).encode()
        elif value is not None:
            kind, data = b"b", bytes(value)
        digest.update(b"%s%d:" % (kind, len(data)))
        digest.update(data)
    digest.update(b"\n")
