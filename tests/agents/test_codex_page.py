"""Every command of the page about Codex's terminal, typed as it is written there."""

from __future__ import annotations

import json
import re
import shlex
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.agents.screen import TMUX, Screen
from tests.agents.terminal import DONE
from tests.agents.test_codex_terminal import EMPTY, busy, db, gone, screen, wait_for
from tests.cli.processes import goalfsm, terminal
from tests.providers.script import says
from tests.providers.server import Provider

PAGE: Final = (Path(__file__).parents[2] / "docs" / "codex.md").read_text("utf-8")
TYPED: Final = frozenset(
    inline or block
    for inline, block in re.findall(r"`(goalfsm [^`]+)`|^(goalfsm [a-z -]+)$", PAGE, re.MULTILINE)
)
"""What a person types in a shell."""
GOAL: Final = next(iter(re.findall(r"^(/goal .+)$", PAGE, re.MULTILINE)))
pytestmark = [
    pytest.mark.skipif(TMUX is None, reason="needs tmux"),
    pytest.mark.timeout(240),
]
__all__ = ["db", "screen"]


def thread() -> str:
    """Return the thread of the newest goal, which people take from ``goalfsm list``."""
    (row,) = json.loads(goalfsm("list", "--json").out)
    return str(row["thread_id"])


class Typist:
    """Types commands of the page, and knows which."""

    def __init__(self, window: Screen, place: Path) -> None:
        self.window, self.place = window, place
        self.typed: set[str] = set()

    def codex(self, command: str, *shown: str) -> None:
        """Start Codex by a command of the page, and see ``shown``."""
        self.typed.add(command)
        words = shlex.split(command)[1:]
        self.window.start(sys.executable, "-m", "goalfsm.cli", *words, cwd=self.place)
        self.window.shows(*shown)

    def leave(self) -> None:
        self.window.type("/quit", "ended with 0")

    def beside(self, command: str, *more: str) -> str:
        """Type a command of the page in a second terminal, and return what it says."""
        self.typed.add(command)
        words = [thread() if word == "THREAD" else word for word in shlex.split(command)[1:]]
        done = goalfsm(*words, *more)
        assert done.status == 0, (command, done)
        return done.out


@pytest.fixture
def typist(screen: Screen, place: Path, monkeypatch: pytest.MonkeyPatch) -> Typist:
    monkeypatch.chdir(place)
    return Typist(screen, place)


def test_every_command_of_the_page_does_what_it_says(
    typist: Typist, provider: Provider, place: Path, db: Path
) -> None:
    provider.rewrite([says("The seed is in."), busy(place, 1)])
    typist.codex("goalfsm codex", EMPTY)
    typist.window.type(GOAL, "Pursuing goal", "The seed is in.")
    wait_for(place, 1)
    objective = GOAL.removeprefix("/goal ")
    assert thread() in typist.beside("goalfsm list")
    assert objective in typist.beside("goalfsm status THREAD")
    assert "Work went on" in typist.beside("goalfsm explain THREAD")
    assert "turn 1 finished" in typist.beside("goalfsm log THREAD")
    typist.beside("goalfsm steer THREAD TEXT")
    assert typist.beside("goalfsm budget THREAD --tokens 200k").strip() == "the budget is changed"
    assert "200" in typist.beside("goalfsm status THREAD")
    typist.leave()
    gone(db)

    # Nobody sits there any more: the goal goes on without a terminal.
    provider.rewrite([DONE, says("It stands.")])
    assert "complete" in typist.beside("goalfsm run --thread THREAD")
    assert "TEXT" in provider.requests[-1].text

    # A new thread beside it, with an argument for Codex.
    typist.codex("goalfsm codex --new", EMPTY)
    typist.leave()
    typist.codex("goalfsm codex -- -m gpt-5", EMPTY)
    typist.window.type("name your model", "It stands.")
    assert provider.requests[-1].body["model"] == "gpt-5"
    typist.leave()
    gone(db)

    # The same server for other clients.
    typist.typed.add("goalfsm app-server --passthrough")
    listening = f"unix://{place.parent / 's'}"
    with terminal("app-server", "--passthrough", "--listen", listening) as serving:
        serving.until("listening", where="stderr")
        typist.window.start("codex", "--remote", listening, cwd=place)
        typist.window.shows(EMPTY)
        typist.leave()
        serving.process.terminate()
        assert serving.end().status == 0
    gone(db)
    # The interface has tests of its own; here its command is on the page.
    assert typist.typed | {"goalfsm ui THREAD"} == TYPED
