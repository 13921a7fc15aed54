"""How a program is started as a worker: what is stored of it, and the environment that it gets."""

from __future__ import annotations

import functools
import os
import shutil
import sys
import sysconfig
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from goalfsm.workers.isolating import check_machine
from goalfsm.workers.lines import OutputMode
from goalfsm.workers.supervisor.process_tree import SUPERVISOR_OF
from goalfsm.workers.supervisor.spawning import check_program

if TYPE_CHECKING:
    from collections.abc import Mapping

    from goalfsm.workers.protocol import Work


MAX_OBJECTIVE_BYTES: Final = 32 * 1024
"""Longest GOALFSM_OBJECTIVE; four bytes for each of the 8,000 characters that one may have."""

BASE_NAMES: Final = frozenset(
    {"PATH", "HOME", "USER", "LOGNAME", "SHELL", "TERM", "LANG", "LANGUAGE", "TZ", "TMPDIR"}
)
"""What every program gets, with all LC_*, when only some names are passed on."""

_CREDENTIALS: Final = ("PGPASSWORD", "PGPASSFILE", "PGSERVICE", "PGSERVICEFILE", "PGSSLKEY")
"""What lets whoever has it speak to the server that keeps the goals."""
_TOOL: Final = "goalfsm"


def worker_environment(  # noqa: PLR0913 - all but the first are optional, by name
    work: Work,
    *,
    names: tuple[str, ...] | None = None,
    cwd: str | None = None,
    tool_directory: str | None = None,
    inherited: Mapping[str, str] | None = None,
    isolated: bool = False,
) -> dict[str, str]:
    """Return the environment for a turn of this work.

    ``names`` are the variables to pass on besides the base ones; None passes on all. Values
    come from ``inherited`` (this process's environment). On PATH, ``goalfsm`` is the script
    in ``tool_directory``, by default this installation's. An ``isolated`` turn has no token: its
    socket is its own.
    """
    source = os.environ if inherited is None else inherited
    env = {
        name: value
        for name, value in source.items()
        if names is None or name in names or name in BASE_NAMES or name.startswith("LC_")
    }
    env.pop(SUPERVISOR_OF, None)
    env["PATH"] = tool_path(env.get("PATH", os.defpath), tool_directory)
    if cwd is not None:
        env["PWD"] = os.path.abspath(cwd)  # noqa: PTH100 - as a shell would: links stay
    if "://" in work.db:
        # The goals are on a server, whose credentials this process has; a turn reaches its node.
        for name in _CREDENTIALS:
            env.pop(name, None)
    env["GOALFSM_DB"] = work.db
    env["GOALFSM_THREAD"] = plain(work.thread_id)
    env["GOALFSM_RUN_ID"] = work.run_id
    env.pop("GOALFSM_RUN_TOKEN", None)
    if not isolated:
        env["GOALFSM_RUN_TOKEN"] = work.run_token
    env["GOALFSM_TURN"] = str(work.turn)
    env.pop("GOALFSM_FENCE", None)
    if work.fence:
        env["GOALFSM_FENCE"] = str(work.fence)
    env["GOALFSM_OBJECTIVE"] = plain(work.objective, MAX_OBJECTIVE_BYTES)
    tool = _tool(env["PATH"], tool_directory)
    if tool is not None:
        env["GOALFSM_TOOL"] = tool
    env.pop("GOALFSM_SESSION", None)
    if work.session is not None:
        env["GOALFSM_SESSION"] = plain(work.session.decode("utf-8", "replace"))
    return env


def plain(text: str, limit: int | None = None) -> str:
    """Return text as the system can pass it: no NUL, valid UTF-8, at most ``limit`` bytes."""
    data = text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace")
    return data[:limit].decode("utf-8", "ignore")


def tool_path(path: str, directory: str | None = None) -> str:
    """Return PATH with the ``goalfsm`` of ``directory`` on it, shadowing as little as may be.

    Its directory may hold a Python and more: it goes to the end, unless another ``goalfsm``
    comes first there.
    """
    home = directory or _script_directory()
    if home is None:
        return path
    found = shutil.which(_TOOL, path=path)
    if found is None:
        return f"{path}{os.pathsep}{home}" if path else home
    ours = Path(home, _TOOL)
    return path if ours.samefile(found) else f"{home}{os.pathsep}{path}"


def _tool(path: str, directory: str | None) -> str | None:
    """Return the absolute path of the ``goalfsm`` of ``directory``, or else of PATH."""
    home = directory or _script_directory()
    found = shutil.which(_TOOL, path=path if home is None else home)
    return None if found is None else os.path.abspath(found)  # noqa: PTH100 - links stay


@functools.cache
def _script_directory() -> str | None:
    """Return where this installation's console script is, None when it has none."""
    places = [str(Path(sys.executable).parent), sysconfig.get_path("scripts")]
    if Path(sys.argv[0]).name == _TOOL:
        places.insert(0, str(Path(sys.argv[0]).absolute().parent))
    for place in places:
        if shutil.which(_TOOL, path=place):
            return place
    return None


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
