"""The command that draws a machine: ours, where a thread is in it, or a user's own."""

from __future__ import annotations

import contextlib
import errno
import glob
import re
import shlex
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import click
from click.core import ParameterSource

from goalfsm.cli import asking, exits, places
from goalfsm.cli.arguments import HintedError
from goalfsm.cli.output import say
from goalfsm.diagram import BUILTINS, DIRECTIONS, FORMATS, named, render, render_png
from goalfsm.diagram.docs import blocks
from goalfsm.diagram.ours.thread import of_thread
from goalfsm.errors import CannotWrite
from goalfsm.files import write_whole

if TYPE_CHECKING:
    from goalfsm.diagram.model import Direction, Drawing
    from goalfsm.diagram.render import Format


PNG: Final = "png"
_ENDINGS: Final[Mapping[str, Format | Literal["png"]]] = {
    ".svg": "svg",
    ".dot": "dot",
    ".gv": "dot",
    ".puml": "plantuml",
    ".plantuml": "plantuml",
    ".png": "png",
    ".json": "json",
    ".md": "md",
    ".mmd": "mermaid",
    ".mermaid": "mermaid",
    ".txt": "mermaid",
    "": "mermaid",
}
_FILES: Final = ("checked", "updated", "targets")
_PATTERN: Final = re.compile(r"[*?\[]")
_BLOCKS_SAY: Final = "each block of a file says what is in it"
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
@click.argument("targets", nargs=-1, metavar="[MACHINE | FILE.md...]")
@click.option(
    "--format",
    "format_",
    type=click.Choice((*FORMATS, PNG)),
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
    is_flag=True,
    help="Instead: are the generated blocks of these files fresh? Exits with 1 when not.",
)
@click.option(
    "--update",
    "updated",
    is_flag=True,
    help="Instead: write the generated blocks of these files again.",
)
@click.pass_context
def diagram_command(
    ctx: click.Context,
    targets: tuple[str, ...],
    format_: Format | Literal["png"] | None,
    guards: bool,
    effects: bool,
    highlight: tuple[str, ...],
    thread: str | None,
    db: str | None,
    direction: Direction | None,
    title: str | None,
    output: str | None,
    checked: bool,
    updated: bool,
) -> int:
    """Draw MACHINE: goal, recovery, stale-work, continuation, run, session, or module:object.

    In a Markdown file, what is between <!-- goalfsm:diagram MACHINE --> and
    <!-- /goalfsm:diagram --> is generated: --update writes it, --check holds it fresh. Both take
    many files, and patterns in quotes.
    """
    if checked or updated:
        _refuse_drawing(ctx)
        if checked and updated:
            raise HintedError(
                "files are either checked or written", "leave --check or --update out"
            )
        return _check(_files(targets)) if checked else _update(_files(targets))
    if not targets:
        raise HintedError("no machine was named", "goalfsm diagram goal")
    if len(targets) > 1:
        raise HintedError(
            f"one machine is drawn at a time, not {len(targets)}",
            "name one; several files are for --check and --update",
        )
    (machine,) = targets
    drawing = named(machine) if thread is None and db is None else _thread(machine, db, thread)
    options: dict[str, Any] = {
        "guards": guards,
        "effects": effects,
        "highlight": highlight or None,
        "direction": direction,
        "title": title,
    }
    chosen = format_ or _format_of(output)
    if chosen == PNG:
        _write_picture(render_png(drawing, **options), output)
    else:
        _write(render(drawing, format=chosen, **options), output)
    return exits.OK


def _refuse_drawing(ctx: click.Context) -> None:
    """Raise where files are looked at and something says how a machine is to be drawn."""
    for parameter in ctx.command.params:
        name = parameter.name or ""
        if name not in _FILES and ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            raise HintedError(
                "either a machine is drawn or files are looked at",
                f"leave {parameter.opts[-1]} out: {_BLOCKS_SAY}",
            )


def _format_of(output: str | None) -> Format | Literal["png"]:
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


def _files(targets: tuple[str, ...]) -> tuple[Path, ...]:
    """Return the files that words name, each once; a pattern that a shell left stands for many."""
    found: dict[Path, None] = {}
    for word in targets:
        path = Path(word)
        if not path.exists() and _PATTERN.search(word):
            many = [Path(name) for name in sorted(glob.glob(word, recursive=True))]  # noqa: PTH207
            files = [one for one in many if one.is_file()]
            if not files:
                raise HintedError(f"no file matches {word}", "quote it, as in 'docs/**/*.md'")
            found |= dict.fromkeys(files)
        elif path.is_dir():
            raise HintedError(f"{word} is a folder", f"name its files: '{path}/**/*.md'")
        elif not path.exists() and (word in BUILTINS or ":" in word):
            raise HintedError(
                "either a machine is drawn or files are looked at", f"leave it out: {_BLOCKS_SAY}"
            )
        else:
            found[path] = None
    if not found:
        raise HintedError("no file was named", "goalfsm diagram --check README.md 'docs/**/*.md'")
    return tuple(found)


def _update(files: tuple[Path, ...]) -> int:
    """Write blocks again and tell which they were."""
    with _writing():
        written = blocks.write(files)
    for was in written:
        say(f"{was.path}:{was.line}: wrote {was.machine!r} again")
    _tell_of_none(files)
    return exits.OK


def _check(files: tuple[Path, ...]) -> int:
    """Tell which blocks are stale."""
    stale = blocks.check(files)
    for block in stale:
        say(f"{block}", err=True)
    if stale:
        names = shlex.join(dict.fromkeys(str(block.path) for block in stale))
        say(f"Hint: goalfsm diagram --update {names}", err=True)
    _tell_of_none(files)
    return exits.FAILED if stale else exits.OK


def _tell_of_none(files: tuple[Path, ...]) -> None:
    """Say where there was nothing to do: of many files only some have blocks, but one may lack."""
    if any(blocks.read_blocks(path.read_text("utf-8")) for path in files):
        return
    what = (
        f"{files[0]} has no generated block"
        if len(files) == 1
        else f"none of the {len(files)} files has a generated block"
    )
    say(what, err=True)
    say("Hint: put <!-- goalfsm:diagram goal --> and <!-- /goalfsm:diagram --> in it", err=True)


def _write_picture(data: bytes, output: str | None) -> None:
    """Write bytes to a file, or to stdout where that is no terminal."""
    if output is not None:
        with _writing(output):
            write_whole(Path(output), data)
    elif sys.stdout.isatty():
        raise HintedError("a terminal shows no PNG", "name a file, as goalfsm diagram -o FILE does")
    else:
        click.echo(data, nl=False)


def _write(text: str, output: str | None) -> None:
    """Write a drawing to a file, or to stdout."""
    if output is None:
        click.echo(text, nl=not text.endswith("\n"))
        return
    with _writing(output):
        write_whole(Path(output), text.encode())


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
