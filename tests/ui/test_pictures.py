"""A picture of every state at three sizes, and of every window, as somebody has seen it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from textual.pilot import Pilot

from tests.ui.pressing import drawn, window
from tests.ui.states import STATES
from tests.ui.still import TOLD, Still, app_in, app_of

SIZES = ((60, 20), (80, 24), (120, 40))
WINDOWS = {
    "menu": ("running", ["enter"]),
    "steer": ("running", ["s"]),
    "edit": ("paused_user", ["e"]),
    "budget": ("limited_tokens", ["b"]),
    "reject": ("verifying", ["x"]),
    "replace": ("blocked", ["n"]),
    "new": ("complete", ["n"]),
    "clear": ("blocked", ["c"]),
    "why": ("recovering", ["w"]),
    "report": ("complete", ["r"]),
    "command": ("paused_usage_limit", ["exclamation_mark"]),
    "help": ("no_goal", ["question_mark"]),
}
Compare = Callable[..., bool]


def shown(*keys: str, live: bool = False) -> Callable[[Pilot[Any]], Any]:
    async def before(pilot: Pilot[Any]) -> None:
        await drawn(pilot, live=live)
        if keys:
            await window(pilot, *keys)

    return before


@pytest.mark.parametrize("size", SIZES, ids=lambda size: "x".join(map(str, size)))
@pytest.mark.parametrize("state", STATES)
def test_every_state(state: str, size: tuple[int, int], snap_compare: Compare) -> None:
    live = state == "running"
    app = app_in(state, TOLD if live else ())
    assert snap_compare(app, terminal_size=size, run_before=shown(live=live))


@pytest.mark.parametrize("window", WINDOWS)
def test_every_window(window: str, snap_compare: Compare) -> None:
    state, keys = WINDOWS[window]
    assert snap_compare(app_in(state), terminal_size=(100, 30), run_before=shown(*keys))


@pytest.mark.parametrize("size", SIZES, ids=lambda size: "x".join(map(str, size)))
def test_all_goals(size: tuple[int, int], snap_compare: Compare) -> None:
    app = app_of(Still(dict(STATES)), thread=None)
    assert snap_compare(app, terminal_size=size, run_before=shown())


@pytest.mark.parametrize("size", SIZES, ids=lambda size: "x".join(map(str, size)))
@pytest.mark.parametrize("state", ["queued", "advancing", "complete"])
def test_the_queue(state: str, size: tuple[int, int], snap_compare: Compare) -> None:
    """A queue that waits to be taken up, one that the thread goes on to, and an empty one."""
    assert snap_compare(app_in(state), terminal_size=size, run_before=shown("g"))
