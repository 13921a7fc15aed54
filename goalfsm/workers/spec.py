"""How a program is started as a worker: what a daemon stores of it."""

from __future__ import annotations

import os
from pathlib import PurePath
from typing import Final, Literal

import msgspec

from goalfsm.workers.environment import tool_path
from goalfsm.workers.isolating import check_machine
from goalfsm.workers.lines import OutputMode
from goalfsm.workers.supervisor.spawning import check_program

StdinMode = Literal["auto", "close", "lines"]
_READ_TO_THE_END: Final = frozenset({"codex"})
"""Programs that wait for the end of stdin, though the prompt is an argument."""


class CommandSpec(msgspec.Struct, frozen=True, kw_only=True):
    """How a thread's worker is started; what a daemon stores, so it holds no secret.

    ``env_names`` are the variables that the program inherits besides a few base ones, by
    name; None passes all on. ``prompt_arg`` gives the prompt as the last argument instead of
    on stdin. ``stdin``: ``close`` ends it after the prompt; ``lines`` keeps it open for JSON
    lines, the prompt first unless it is an argument; ``auto`` is ``lines`` with
    ``prompt_arg``, but for programs that are known to wait for its end, and ``close`` without.
    ``output`` says how stdout is read. ``isolate`` starts it in namespaces of its own, without
    privileges, where it does not see what an `Isolation` hides; a worker that is given none for it
    runs nothing.
    """

    argv: tuple[str, ...]
    cwd: str | None = None
    env_names: tuple[str, ...] | None = None
    prompt_arg: bool = False
    stdin: StdinMode = "auto"
    output: OutputMode = "auto"
    isolate: bool = False

    @property
    def keeps_stdin(self) -> bool:
        """Return whether JSON lines can reach the program while it runs."""
        if self.stdin != "auto":
            return self.stdin == "lines"
        return self.prompt_arg and PurePath(self.argv[0]).name not in _READ_TO_THE_END

    def validate(self) -> None:
        """Raise GoalError, with a hint, when the program cannot be started from here.

        What only starting it can tell comes as an `ErrorReported` of the run.
        """
        check_program(self.argv, self.cwd, {"PATH": tool_path(os.environ.get("PATH", os.defpath))})
        if self.isolate:
            check_machine()
