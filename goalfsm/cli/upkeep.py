"""Commands that look after the database: doctor, backup, move."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

import click

from goalfsm.cli import asking, exits, options, places
from goalfsm.cli.arguments import HintedError
from goalfsm.cli.asking import open_file
from goalfsm.cli.output import now_ms, print_json, say
from goalfsm.errors import Corrupt, GoalError, NewerDatabase, NotOurDatabase, OlderDatabase
from goalfsm.store.address import Address, Server, address
from goalfsm.store.contents import TABLES
from goalfsm.store.postgres import open_store

if TYPE_CHECKING:
    from collections.abc import Iterator

    from goalfsm.cli.health import Finding
    from goalfsm.cluster.moving import Moved


@click.command("doctor")
@options.database_only
@click.option("--repair", is_flag=True, help="Mend what can be mended without a risk.")
@options.JSON
def doctor_command(db: Address, repair: bool, as_json: bool) -> int:
    """Examine the database: integrity, replay, owner, open runs, settings, permissions, space.

    Exits with 0 when it is healthy, else with 1.
    """
    findings = list(_examined(db, repair=repair))
    healthy = all(finding.ok for finding in findings)
    if as_json:
        print_json({"db": str(db), "healthy": healthy, "findings": findings})
    else:
        for finding in findings:
            mark = "mended" if finding.repaired else "ok" if finding.ok else "WRONG"
            say(f"{mark:<7} {finding.check:<12} {finding.found}")
            if finding.hint:
                say(f"{'':<20} Hint: {finding.hint}")
        say(f"{db} is {'healthy' if healthy else 'not healthy'}")
    return exits.OK if healthy else exits.FAILED


def _examined(db: Address, *, repair: bool) -> Iterator[Finding]:
    """Yield what was found, and mended before; a file that cannot be opened is a finding too."""
    from goalfsm.cli import health, health_of_file  # noqa: PLC0415  they load the whole engine

    if isinstance(db, Server):
        yield from _examined_server(db, repair=repair)
        return
    try:
        store = open_file(db)
    except Corrupt as error:
        yield health.unreadable("integrity", error, health_of_file.RESTORE)
        return
    except (NotOurDatabase, NewerDatabase) as error:
        # A copy in its place would not help: nothing is damaged.
        yield health.Finding(check="file", ok=False, found=error.message, hint=error.hint)
        return
    with contextlib.closing(store):
        if repair:
            yield from health_of_file.mend(store)
        yield from health_of_file.examine(store, now_ms())


def _examined_server(db: Server, *, repair: bool) -> Iterator[Finding]:
    from goalfsm.cli import health, health_of_server  # noqa: PLC0415  they load the whole engine
    from goalfsm.store.postgres import open_store  # noqa: PLC0415  it loads the driver

    if repair:
        raise GoalError(
            "a server is not mended from here",
            code="not_a_file",
            hint="goalfsm doctor without --repair says what is wrong",
        )
    try:
        store = open_store(db)
    except (NewerDatabase, OlderDatabase) as error:
        yield health.Finding(check="schema", ok=False, found=error.message, hint=error.hint)
        return
    with contextlib.closing(store):
        yield from health_of_server.examine(store, now_ms())


@click.command("backup")
@click.argument("target", metavar="FILE")
@options.database_only
def backup_command(db: Address, target: str) -> None:
    """Write a consistent copy of the database to FILE, also while a daemon is working."""
    path = places.file(db, "what is copied here is", "pg_dump copies the database of a server")
    with contextlib.closing(open_file(path)) as store:
        store.backup(Path(target).absolute())
    say(f"{db} is copied to {target}")


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
