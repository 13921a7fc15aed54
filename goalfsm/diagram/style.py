"""The colours and type of the drawings, once for every renderer.

``LIGHT`` and ``DARK`` dress the SVG. Mermaid and DOT know nothing of a reader's scheme: ``BOTH``
keeps its contrast on a white and on a black page.
"""

from __future__ import annotations

from typing import Final

import msgspec


class Palette(msgspec.Struct, frozen=True, kw_only=True):
    """Colours by what they are for, as CSS."""

    page: str
    rim: str
    ink: str
    muted: str
    guard: str
    line: str
    node: str
    edge: str
    group: str
    accent: str
    accent_ink: str
    now: str
    fault: str


LIGHT: Final = Palette(
    page="#ffffff",
    rim="#d8dee6",
    ink="#1b2430",
    muted="#5b6776",
    guard="#7a3e9d",
    line="#66758a",
    node="#eef4fb",
    edge="#7d97b8",
    group="#f7f9fc",
    accent="#b4530a",
    accent_ink="#7c3a06",
    now="#ffe3c2",
    fault="#c2273d",
)
DARK: Final = Palette(
    page="#12171e",
    rim="#2c3541",
    ink="#e7edf5",
    muted="#9fadbd",
    guard="#d3a4f2",
    line="#8b9aae",
    node="#1d2a3a",
    edge="#5f7fa8",
    group="#171e27",
    accent="#f2a154",
    accent_ink="#ffd9ad",
    now="#4a300f",
    fault="#ff8a98",
)
FONT: Final = "Helvetica Neue, Helvetica, Arial, Liberation Sans, Noto Sans, sans-serif"
NAME_SIZE: Final = 15.0
TEXT_SIZE: Final = 12.5
TITLE_SIZE: Final = 17.0

FILL: Final = "#4f7cac33"
"""A translucent fill is light on a white page and dark on a black one."""
STROKE: Final = "#6f8fb5"
NOW_FILL: Final = "#e08a2e55"
NOW_STROKE: Final = "#d9822b"
TAKEN: Final = "#d9822b"
FAULT: Final = "#d64550"
FAINT: Final = "#8892a055"
FAINT_STROKE: Final = "#8a97a6"
