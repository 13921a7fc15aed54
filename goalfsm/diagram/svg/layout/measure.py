"""How wide a text is, near enough to lay it out without a font.

The widths are those of the Helvetica family, in thousandths of the font size. The fonts that a
reader falls back to are up to a tenth wider; ``SLACK`` leaves room for that.
"""

from __future__ import annotations

import unicodedata
from typing import Final

SLACK: Final = 1.1
BOLD: Final = 1.06
LINE: Final = 1.35
"""The height of a line, in font sizes."""

HALVINGS: Final = 7
"""After which lines are as even as can be seen."""

_BY_WIDTH: Final = {
    191: "'",
    222: "ijl",
    260: "|",
    278: " !,./:;I[]\\ft",
    333: "()-`r",
    334: "{}",
    355: '"',
    389: "*",
    469: "^",
    500: "Jckvxsyz",
    556: "#$0123456789?L_abdeghnopqu",
    584: "+<=>~",
    611: "FTZ",
    667: "&ABEKPSVXY",
    722: "CDHNRUw",
    778: "GOQ",
    833: "Mm",
    889: "%",
    944: "W",
    1015: "@",
}
_WIDTH: Final = {char: width for width, chars in _BY_WIDTH.items() for char in chars}
_OTHER: Final = 620
_WIDE: Final = 1000


def char_width(char: str) -> int:
    """Return the width of ``char`` in thousandths of the font size."""
    width = _WIDTH.get(char)
    if width is not None:
        return width
    if unicodedata.combining(char) or unicodedata.category(char) in {"Cf", "Cc"}:
        return 0
    return _WIDE if unicodedata.east_asian_width(char) in "WF" else _OTHER


def text_width(text: str, size: float, *, bold: bool = False) -> float:
    """Return the width of one line of ``text`` set in ``size``, in the unit of ``size``."""
    width = sum(map(char_width, text)) * size / 1000 * SLACK
    return width * BOLD if bold else width


def wrap(text: str, size: float, limit: float) -> tuple[str, ...]:
    """Break ``text`` into lines that are at most ``limit`` wide.

    It breaks at spaces; a word that is wider than a line breaks after a ``_``, ``-``, ``.`` or
    ``,`` where it has one, and anywhere where it has none. Line breaks in ``text`` stay.
    """
    lines: list[str] = []
    for paragraph in text.splitlines() or [""]:
        line = ""
        for word in paragraph.split(" "):
            joined = f"{line} {word}" if line else word
            if text_width(joined, size) <= limit:
                line = joined
                continue
            if line:
                lines.append(line)
            *full, line = _pieces(word, size, limit)
            lines.extend(full)
        lines.append(line)
    return tuple(lines)


def balanced(text: str, size: float, limit: float) -> tuple[str, ...]:
    """Break ``text`` as ``wrap()`` does, into as many lines, but none much shorter than others."""
    lines = wrap(text, size, limit)
    low = max((text_width(word, size) for word in text.split()), default=0.0)
    if len(lines) == 1 or low > limit:
        return lines
    for _ in range(HALVINGS):
        middle = (low + limit) / 2
        if len(wrap(text, size, middle)) > len(lines):
            low = middle
        else:
            limit = middle
    return wrap(text, size, limit)


def _pieces(word: str, size: float, limit: float) -> list[str]:
    """Return ``word`` in pieces that fit, as few as there can be."""
    pieces: list[str] = []
    while text_width(word, size) > limit:
        fits = max(
            (n for n in range(1, len(word)) if text_width(word[:n], size) <= limit), default=1
        )
        if fits >= len(word):
            break
        at = max((n for n in range(fits // 2 + 1, fits + 1) if word[n - 1] in "_-.,"), default=fits)
        pieces.append(word[:at])
        word = word[at:]
    return [*pieces, word]
