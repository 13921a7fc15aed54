"""Move all goals from a file to a server, or back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from goalfsm.cli import asking, exits, places
from goalfsm.cli.arguments import HintedError
from goalfsm.cli.output import print_json, say
from goalfsm.store.address import Server, address
from goalfsm.store.contents import TABLES
from goalfsm.store.postgres import open_store

if TYPE_CHECKING:
    from goalfsm.cluster.moving import Moved


@click.command("move")
@click.option("--from", "source", required=True, metavar="PATH|URL", help="Where the goals are.")
@click.option("--to", "target", required=True, metavar="PATH|URL", help="Where they go; empty yet.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def move_command(source: str, target: str, as_json: bool) -> int:
    """Move every goal from a file to a PostgreSQL server, or back, with all that happened to it.

    Nobody may work on them meanwhile. Rows are counted and compared before anybody sees them: all
    are there in the end, or none. What they were moved from is set aside, not deleted.
    """
    old, new = address(source), address(target)
    for db in (old, new):
        asking.require_person(db, "moving goals")
    moved = _moved(old, new)
    places.remember(new)
    if as_json:
        print_json(moved._asdict() | {"rows": dict(zip(TABLES, moved.rows, strict=True))})
        return exits.OK
    counts = ", ".join(
        f"{count:,} of {name}" for name, count in zip(TABLES, moved.rows, strict=True)
    )
    done = "were moved before" if moved.already else "are moved"
    say(f"{moved.threads:,} threads {done} to {new}; rows: {counts}")
    say(f"what they were moved from is kept as {moved.kept}; remove it when you like")
    return exits.OK


def _moved(old: Path | Server, new: Path | Server) -> Moved:
    if isinstance(old, Path) and isinstance(new, Path):
        raise HintedError("both are files", "goalfsm backup copies a file")
    if isinstance(old, Server) and isinstance(new, Server):
        raise HintedError("both are on a server", "pg_dump and psql copy a database")
    if isinstance(old, Path) and isinstance(new, Server):
        asking.open_file(old).close()  # which says what is wrong with it
        asking.cluster(new)
        from goalfsm.cluster import moving  # noqa: PLC0415  it loads the driver

        return moving.to_server(old, new)
    assert isinstance(old, Server)  # noqa: S101  what is left
    assert isinstance(new, Path)  # noqa: S101  the same
    open_store(old).close()
    from goalfsm.cluster import moving  # noqa: PLC0415  it loads the driver

    return moving.to_file(old, new)
