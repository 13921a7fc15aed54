"""Commands that look after the database: doctor, backup."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from goalfsm.cli import asking, exits, options
from goalfsm.cli.reading import now_ms, print_json
from goalfsm.errors import Corrupt, NewerDatabase, NotOurDatabase

if TYPE_CHECKING:
    from collections.abc import Iterator

    from goalfsm.cli.health import Finding


@click.command("doctor")
@options.database_only
@click.option("--repair", is_flag=True, help="Mend what can be mended without a risk.")
@options.JSON
def doctor_command(db: Path, repair: bool, as_json: bool) -> int:
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
            click.echo(f"{mark:<7} {finding.check:<12} {finding.found}")
            if finding.hint:
                click.echo(f"{'':<20} Hint: {finding.hint}")
        click.echo(f"{db} is {'healthy' if healthy else 'not healthy'}")
    return exits.OK if healthy else exits.FAILED


def _examined(db: Path, *, repair: bool) -> Iterator[Finding]:
    """Yield what was found, and mended before; a file that cannot be opened is a finding too."""
    from goalfsm.cli import health  # noqa: PLC0415  it loads the whole engine

    try:
        store = asking.open_existing(db)
    except Corrupt as error:
        yield health.unreadable("integrity", error)
        return
    except (NotOurDatabase, NewerDatabase) as error:
        # A copy in its place would not help: nothing is damaged.
        yield health.Finding(check="file", ok=False, found=error.message, hint=error.hint)
        return
    try:
        if repair:
            yield from health.mend(store)
        yield from health.examine(store, now_ms())
    finally:
        store.close()


@click.command("backup")
@click.argument("target", metavar="FILE")
@options.database_only
def backup_command(db: Path, target: str) -> None:
    """Write a consistent copy of the database to FILE, also while a daemon is working."""
    store = asking.open_existing(db)
    try:
        store.backup(Path(target).absolute())
    finally:
        store.close()
    click.echo(f"{db} is copied to {target}")
