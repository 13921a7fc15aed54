"""Open what is named, to read it: a file or a database on a server."""

from __future__ import annotations

from typing import TYPE_CHECKING

from goalfsm.store.address import Server

if TYPE_CHECKING:
    from goalfsm.store.address import Address
    from goalfsm.store.reading import Reading


def open_to_read(place: Address) -> Reading:
    """Return a handle that reads what is kept at ``place``, and changes nothing.

    Raises `NoDatabase` where nothing is there yet, and what the store says of one that it cannot
    read; ``extra_missing`` where the driver of PostgreSQL is not installed.
    """
    # A command loads the driver that it needs.
    if isinstance(place, Server):
        from goalfsm.store.postgres import open_store  # noqa: PLC0415  see above

        return open_store(place)
    from goalfsm.store.sqlite import SqliteStore  # noqa: PLC0415  see above

    return SqliteStore.open(place, read_only=True)
