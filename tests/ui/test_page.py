"""The page about the interface: its picture is of this interface, and it names every key."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

from textual.binding import Binding

from goalfsm.ui.app import HELP, GoalsApp
from tests.ui.picture import PLACE, picture

PAGE = (Path(__file__).parents[2] / "docs" / "ui.md").read_text("utf-8")
SIGNS = {"exclamation_mark": "!", "slash": "/", "question_mark": "?"}


def keys() -> set[str]:
    found = {bound.key for bound in Binding.make_bindings(GoalsApp.BINDINGS)}
    return {SIGNS.get(key, key) for key in found}


def test_the_picture_is_of_this_interface() -> None:
    assert PLACE.read_text("utf-8") == asyncio.run(picture())


def test_every_key_is_in_the_help_and_on_the_page() -> None:
    assert keys() == {*"nspebaxiwglrc!/?q", "enter"}
    for key in keys():
        assert re.search(rf"(^|\s{{2,}}|; ){re.escape(key)}  ", HELP, re.MULTILINE), key
        assert f"| `{key}` |" in PAGE, key
