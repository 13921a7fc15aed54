"""The command that draws a machine: ours, where a thread is in it, or a user's own."""

from __future__ import annotations

import contextlib
import errno
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click
from click.core import ParameterSource

from goalfsm.cli import asking, exits, places
from goalfsm.cli.arguments import HintedError
from goalfsm.diagram import DIRECTIONS, FORMATS, named, render
from goalfsm.diagram.docs import blocks
from goalfsm.diagram.ours.thread import of_thread
from goalfsm.errors import CannotWrite, GoalError

if TYPE_CHECKING:
    from goalfsm.diagram.model import Direction, Drawing
    from goalfsm.diagram.render import Format


_ENDINGS: Final[Mapping[str, Format]] = {
    ".svg": "svg",
    ".dot": "dot",
    ".gv": "dot",
    ".json": "json",
    ".md": "md",
    ".mmd": "mermaid",
    ".mermaid": "mermaid",
    ".txt": "mermaid",
    "": "mermaid",
}
_FILES: Final = ("checked", "updated")
_BAD_PLACES: Final = frozenset(
    {
        errno.EACCES,
        errno.EINVAL,
        errno.EISDIR,
        errno.ELOOP,
        errno.ENAMETOOLONG,
        errno.ENOENT,
        errno.ENOTDIR,
        errno.EPERM,
        errno.EROFS,
        errno.ETXTBSY,
    }
)
"""What is wrong with the name of a file, not with the disk behind it."""


@click.command("diagram")
@click.argument("machine", required=False)
@click.option(
    "--format",
    "format_",
    type=click.Choice(FORMATS),
    help="What to write; default: what the ending of -o FILE says, or mermaid.",
)
@click.option("--guards/--no-guards", default=True, help="Guards on the labels; default: yes.")
@click.option("--effects/--no-effects", default=False, help="Effects on the labels; default: no.")
@click.option("--highlight", multiple=True, metavar="STATE", help="Highlight a state; repeatable.")
@click.option("--thread", metavar="NAME", help="Show where a thread is, and the path it took.")
@click.option("--db", metavar="PATH", help="The thread's database; default: this directory's.")
@click.option("--direction", type=click.Choice(DIRECTIONS), help="Top to bottom or left to right.")
@click.option("--title", metavar="TEXT", help="A title of your own.")
@click.option("-o", "--output", metavar="FILE", help="Write to a file instead of stdout.")
@click.option(
    "--check",
    "checked",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE.md",
    help="Instead: are the generated blocks of a Markdown file fresh? Exits with 1 when not.",
)
@click.option(
    "--update",
    "updated",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE.md",
    help="Instead: write the generated blocks of a Markdown file again.",
)
@click.pass_context
def diagram_command(
    ctx: click.Context,
    machine: str | None,
    format_: Format | None,
    guards: bool,
    effects: bool,
    highlight: tuple[str, ...],
    thread: str | None,
    db: str | None,
    direction: Direction | None,
    title: str | None,
    output: str | None,
    checked: tuple[Path, ...],
    updated: tuple[Path, ...],
) -> int:
    """Draw MACHINE: goal, recovery, stale-work, continuation, run, session, or module:object.

    In a Markdown file, what is between <!-- goalfsm:diagram MACHINE --> and
    <!-- /goalfsm:diagram --> is generated: --update writes it, --check holds it fresh.
    """
    if checked or updated:
        _refuse_drawing(ctx)
        return _blocks(checked, updated)
    if machine is None:
        raise HintedError("no machine was named", "goalfsm diagram goal")
    drawing = named(machine) if thread is None and db is None else _thread(machine, db, thread)
    text = render(
        drawing,
        format=format_ or _format_of(output),
        guards=guards,
        effects=effects,
        highlight=highlight or None,
        direction=direction,
        title=title,
    )
    _write(text, output)
    return exits.OK


def _refuse_drawing(ctx: click.Context) -> None:
    """Raise where files are looked at and something says how a machine is to be drawn."""
    for parameter in ctx.command.params:
        name = parameter.name or ""
        if name not in _FILES and ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            raise HintedError(
                "either a machine is drawn or files are looked at",
                f"leave {parameter.opts[-1] if name != 'machine' else 'MACHINE'} out: "
                "each block of a file says what is in it",
            )


def _format_of(output: str | None) -> Format:
    """Return the format that a file's name asks for; raise where it asks for one there is not."""
    ending = Path(output or "").suffix.lower()
    if ending not in _ENDINGS:
        raise HintedError(
            f"nothing is known of files that end in {ending}",
            "end it in .svg, or say what to write: --format mermaid",
        )
    return _ENDINGS[ending]


def _thread(machine: str, db: str | None, thread: str | None) -> Drawing:
    place = places.find(db, thread)
    with asking.reading(place) as store:
        asking.require_thread(store, place)
        return of_thread(machine, store, place.thread_id)


def _blocks(checked: tuple[Path, ...], updated: tuple[Path, ...]) -> int:
    """Write blocks again, then tell which ones are stale."""
    blocks.check((*checked, *updated))  # Raises for a file that cannot be read, before any writes.
    for path in (*checked, *updated):
        if not blocks.read_blocks(path.read_text("utf-8")):
            raise GoalError(
                f"{path} has no generated block",
                code="no_block",
                hint="put <!-- goalfsm:diagram goal --> and <!-- /goalfsm:diagram --> in it",
            )
    with _writing():
        written = blocks.write(updated)
    for was in written:
        click.echo(f"{was.path}:{was.line}: wrote {was.machine!r} again")
    stale = blocks.check(checked)
    for block in stale:
        click.echo(f"{block}", err=True)
    if stale:
        names = " ".join(f"--update {path}" for path in sorted({block.path for block in stale}))
        click.echo(f"Hint: goalfsm diagram {names}", err=True)
    return exits.FAILED if stale else exits.OK


def _write(text: str, output: str | None) -> None:
    """Write a drawing to a file, or to stdout."""
    if output is None:
        click.echo(text, nl=not text.endswith("\n"))
        return
    with _writing(output):
        Path(output).write_text(text, encoding="utf-8")


@contextlib.contextmanager
def _writing(output: str = "") -> Iterator[None]:
    """Tell a place where nothing can be written, which is wrong usage, from a disk that failed.

    Of a file whose name an error does not say, ``output`` is the name.
    """
    try:
        yield
    except OSError as error:
        name = str(error.filename or output)
        if error.errno not in _BAD_PLACES:
            raise OSError(error.errno, error.strerror, name) from None
        raise CannotWrite(
            f"cannot write {name}: {error.strerror}", hint=_elsewhere(Path(name))
        ) from None


def _elsewhere(path: Path) -> str:
    elsewhere = "name another file, as goalfsm diagram -o FILE does"
    if path.parent.exists():
        return elsewhere
    return f"mkdir -p {shlex.quote(str(path.parent))}, or {elsewhere}"
