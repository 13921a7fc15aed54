"""Generated blocks in Markdown files: kept fresh between two markers.

    <!-- goalfsm:diagram goal direction=LR -->
    (what is here is replaced)
    <!-- /goalfsm:diagram -->

Markers inside code fences are text. A file is rewritten only where a block is stale, and its
line ends stay as they are.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import msgspec

from goalfsm.diagram.docs.order import Order, fulfil, read_order
from goalfsm.diagram.model import DiagramError, Drawing
from goalfsm.diagram.table import fence
from goalfsm.files import write_whole

_OPEN: Final = re.compile(r"^\s*<!--\s*goalfsm:diagram\s+(?P<order>.*?)\s*-->\s*$")
_CLOSE: Final = re.compile(r"^\s*<!--\s*/goalfsm:diagram\s*-->\s*$")
_LINE: Final = re.compile(r"(?=.)([^\n]*?)(\r?\n|\Z)", re.DOTALL)
"""A line and its end; the other breaks that Unicode knows are letters in a Markdown file."""
_FENCE: Final = re.compile(r"^ {0,3}(?P<ticks>`{3,}|~{3,})(?P<info>[^`]*)$")


class Block(msgspec.Struct, frozen=True, kw_only=True):
    """One generated block: where its marker is (from 1), what was asked for, what is there."""

    line: int
    order: Order
    body: str
    fresh: str

    @property
    def stale(self) -> bool:
        """Tell whether the block is not what its machine gives now."""
        return self.body != self.fresh


class Stale(msgspec.Struct, frozen=True, kw_only=True):
    """A block that has to be written again."""

    path: Path
    line: int
    machine: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: the block of {self.machine!r} is stale"


def read_blocks(text: str) -> tuple[Block, ...]:
    """Return the generated blocks of a Markdown text, in order.

    Raises ``DiagramError``, with the line, for a marker without its partner or an order that
    cannot be drawn.
    """
    return _Reader(text).blocks()


def refreshed(text: str) -> tuple[str, tuple[Block, ...]]:
    """Return ``text`` with every block fresh, and the blocks that were stale."""
    reader = _Reader(text)
    blocks = reader.blocks()
    stale = tuple(block for block in blocks if block.stale)
    whole = [line + end for line, end in zip(reader.lines, reader.ends, strict=True)]
    for block in reversed(stale):
        last = block.line + block.body.count("\n")
        end = reader.ends[block.line - 1]
        whole[block.line : last] = [block.fresh.replace("\n", end)]
    return "".join(whole), stale


def check(paths: Iterable[Path | str]) -> tuple[Stale, ...]:
    """Return the stale blocks of Markdown files; nothing is written."""
    return tuple(
        Stale(path=Path(path), line=block.line, machine=block.order.machine)
        for path in paths
        for block in _refresh(Path(path))[1]
    )


def write(paths: Iterable[Path | str]) -> tuple[Stale, ...]:
    """Write the stale blocks of Markdown files again and return which they were.

    All files are read before the first one is written, and each is replaced as a whole: an error
    in one leaves all as they are.
    """
    found = [(Path(path), *_refresh(Path(path))) for path in paths]
    for path, text, stale in found:
        if stale:
            write_whole(path, text.encode())
    return tuple(
        Stale(path=path, line=block.line, machine=block.order.machine)
        for path, _, stale in found
        for block in stale
    )


def _refresh(path: Path) -> tuple[str, tuple[Block, ...]]:
    try:
        text = path.read_bytes().decode()
    except FileNotFoundError as error:
        raise DiagramError(f"there is no {path}", hint="name a Markdown file") from error
    except (OSError, UnicodeDecodeError) as error:
        raise DiagramError(f"cannot read {path}: {error}", hint="name a Markdown file") from error
    try:
        return refreshed(text)
    except DiagramError as error:
        raise DiagramError(f"{path}:{error.message}", hint=error.hint) from error


class _Reader:
    """Walks through a text line by line, past code fences, from marker to marker."""

    def __init__(self, text: str) -> None:
        found = _LINE.findall(text)
        self.lines: list[str] = [line for line, _ in found]
        self.ends: list[str] = [end for _, end in found]
        self.drawings: dict[str, Drawing] = {}

    def blocks(self) -> tuple[Block, ...]:
        found: list[Block] = []
        fenced = ""
        opened: tuple[int, str] | None = None
        for number, line in enumerate(self.lines, start=1):
            if opened is None:
                fenced, is_fence = _after(fenced, line)
                if is_fence or fenced:
                    continue
            if match := _OPEN.match(line):
                if opened is not None:
                    raise _broken(number, f"the block of line {opened[0]} is still open")
                opened = number, match["order"]
            elif _CLOSE.match(line):
                if opened is None:
                    raise _broken(number, "this marker closes nothing")
                found.append(self._block(*opened, number))
                opened = None
        if opened is not None:
            raise _broken(opened[0], "this block is never closed")
        return tuple(found)

    def _block(self, start: int, text: str, end: int) -> Block:
        try:
            order = read_order(text)
            fresh = block_body(order, self.drawings)
        except DiagramError as error:
            raise DiagramError(f"{start}: {error.message}", hint=error.hint) from error
        body = "".join(f"{line}\n" for line in self.lines[start : end - 1])
        return Block(line=start, order=order, body=body, fresh=fresh)


def _after(fenced: str, line: str) -> tuple[str, bool]:
    """Return the fence that is open after ``line``, and whether the line is one itself."""
    match = _FENCE.match(line)
    if match is None:
        return fenced, False
    ticks, info = match["ticks"], match["info"].strip()
    if not fenced:
        return ticks, True
    closes = ticks[0] == fenced[0] and len(ticks) >= len(fenced) and not info
    return ("" if closes else fenced), True


def _broken(line: int, what: str) -> DiagramError:
    return DiagramError(
        f"{line}: {what}",
        hint="a block starts with <!-- goalfsm:diagram NAME --> and ends with"
        " <!-- /goalfsm:diagram -->",
    )


def block_body(order: Order, drawings: dict[str, Drawing] | None = None) -> str:
    """Return what stands between the markers of ``order``; it ends with a line break.

    Empty lines around it keep Markdown from reading it as part of an HTML comment's block.
    """
    if order.format == "svg":
        raise DiagramError(
            "a forge does not show SVG that is inside a Markdown file",
            hint="write it to a file (goalfsm diagram NAME --format svg -o FILE) and link that",
        )
    if order.format == "md" and order.title is None:
        # The document has headings of its own.
        order = msgspec.structs.replace(order, title="")
    body = fulfil(order, drawings=drawings)
    if order.format in {"mermaid", "dot", "plantuml", "json"}:
        body = fence(order.format, body)
    return f"\n{body}\n"
