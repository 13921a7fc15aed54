"""The environment of a worker's program: what it inherits, and what it learns of its turn."""

from __future__ import annotations

import functools
import os
import shutil
import sys
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING, Final

from goalfsm.workers.supervisor.process_tree import SUPERVISOR_OF

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
