"""Press keys, and wait for what they bring about rather than for a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from textual.pilot import Pilot
from textual.screen import ModalScreen
from textual.widgets import Input, RichLog

from goalfsm.ui.app import GoalsApp

_LOOKS = 400


async def until(pilot: Pilot[Any], holds: Callable[[], bool]) -> None:
    """Return as soon as something holds."""
    for _ in range(_LOOKS):
        await pilot.pause()
        if holds():
            await pilot.pause()
            return
    raise AssertionError(f"it never came: {pilot.app.screen.tree}")


async def drawn(pilot: Pilot[Any], *, live: bool = False) -> None:
    """Return when the first screen shows what is stored, and what an engine has told."""
    app = cast("GoalsApp", pilot.app)
    await app.refresh_now()
    if live:
        await until(pilot, lambda: len(app.screen.query_one(RichLog).lines) > 1)
    await pilot.pause()


async def window(pilot: Pilot[Any], *keys: str) -> None:
    """Press keys and return when the window that they open is drawn."""
    await pilot.press(*keys)
    await until(pilot, lambda: isinstance(pilot.app.screen, ModalScreen))
    for each in pilot.app.screen.query(Input):
        each.cursor_blink = False
    await pilot.pause()
