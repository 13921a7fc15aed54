"""A terminal in which a program runs as a person would run it: a tmux of the test's own."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

TMUX: Final = shutil.which("tmux")
PATIENCE_S: Final = 60.0
SIZE: Final = ("-x", "110", "-y", "40")
PROMPT: Final = "\N{SINGLE RIGHT-POINTING ANGLE QUOTATION MARK}"
"""What a line begins with in which something can be written."""


class Screen:
    """One window of a tmux server at ``socket``."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket
        self._opened = False

    def tmux(self, *words: str) -> str:
        ran = subprocess.run(
            [str(TMUX), "-S", str(self._socket), "-f", "/dev/null", *words],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "LC_ALL": "C.UTF-8", "TERM": "xterm-256color"},
        )
        return ran.stdout

    def start(self, *words: str, cwd: Path) -> None:
        """Run a program, in place of an earlier one; its exit status is shown at its end."""
        opened = ("respawn-pane", "-k") if self._opened else ("new-session", "-d", *SIZE)
        # A key too many ends nothing.
        script = '"$@"; echo "ended with $?"; while read -r _; do :; done'
        self.tmux(*opened, "-c", str(cwd), "sh", "-c", script, "sh", *words)
        self._opened = True

    def shown(self) -> str:
        return self.tmux("capture-pane", "-p")

    def shows(self, *words: str) -> None:
        """Return as soon as all of ``words`` are on the screen."""
        self.until(lambda shown: all(word in shown for word in words), str(words))

    def press(self, *keys: str) -> None:
        self.tmux("send-keys", *keys)

    def type(self, text: str, *then: str, whole: str | None = None) -> None:
        """Write where something can be written, send what stands there, and see ``then``."""
        whole = whole or text
        self.press("-l", text)
        self.until(lambda shown: self._prompt(shown) == whole, whole)

        def sent(shown: str) -> bool:
            # A key that follows others at once counts as pasted, and sends nothing.
            if self._prompt(shown) == whole:
                self.press("Enter")
                time.sleep(0.2)
            return all(word in shown for word in then) and self._prompt(shown) != whole

        self.until(sent, f"{whole}, {then}")

    def until(self, reached: Callable[[str], bool], what: str) -> None:
        """Return as soon as the screen is as it should be."""
        deadline = time.monotonic() + PATIENCE_S
        while not reached(shown := self.shown()):
            assert time.monotonic() < deadline, f"{what} never came:\n{shown}"
            time.sleep(0.05)

    @staticmethod
    def _prompt(shown: str) -> str:
        rows = [row for row in shown.splitlines() if row.startswith(PROMPT)]
        return rows[-1].removeprefix(PROMPT).strip() if rows else ""

    def close(self) -> None:
        subprocess.run(
            [str(TMUX), "-S", str(self._socket), "kill-server"], check=False, capture_output=True
        )
