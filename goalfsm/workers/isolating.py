"""What an isolated worker sees: everything but the goals, their engine, and who acts on request.

The namespaces themselves are made by `goalfsm.workers.supervisor.isolation`.
"""

from __future__ import annotations

import contextlib
import json
import os
import stat
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final, Protocol, runtime_checkable

import msgspec

from goalfsm.errors import GoalError
from goalfsm.workers.protocol import ErrorReported, ToolCalled, ToolResult, Work
from goalfsm.workers.supervisor import isolation
from goalfsm.workers.supervisor.launching import ROOT

_LAUNCHERS: Final = (
    *("/run/systemd", "/run/dbus", "/run/docker.sock", "/run/docker", "/run/podman", "/run/crio"),
    *("/run/containerd", "/run/screen", "/run/tmux", "/run/libvirt", "/run/snapd.socket"),
)
"""Where programs listen that run a command for whoever asks: outside of every namespace."""
_OF_A_USER: Final = (
    *("bus", "systemd", "docker.sock", "podman", "dbus-1", "tmux", "zellij", "wezterm", "kitty*"),
    *("emacs", "nvim.*", "sway-ipc.*", "i3", "hypr", "niri.*"),
)
"""What listens so for one user, by patterns: editors, terminals and window managers, too."""
_SCHEDULES: Final = (
    *("/etc/crontab", "/etc/cron.d", "/etc/cron.hourly", "/etc/cron.daily", "/etc/cron.weekly"),
    *("/etc/cron.monthly", "/etc/systemd", "/var/spool/cron", "/var/spool/at", "/etc/profile.d"),
)
"""What the machine runs by itself; who is root may write it."""
_KEPT: Final = ("/run/systemd/resolve",)
"""What programs need of that: names are resolved there."""


_MOST_LINKS: Final = 40
"""So many links the system follows."""

NOTHING_OUTLIVES: Final = ToolResult(
    ok=False,
    error="nothing of an isolated turn outlives it: no process of it can be waited for",
    code="wait_invalid",
)
"""What a wait for a process is answered with."""


class Isolation(msgspec.Struct, frozen=True, kw_only=True):
    """What one isolated run sees and does not see; absolute paths.

    ``hide`` are directories that it finds empty, and files; ``bind`` pairs of a directory and where
    the run sees it all the same, unable to change it; ``readonly`` what else it cannot change.
    ``links`` go on leading where they lead.
    """

    hide: tuple[str, ...]
    bind: tuple[tuple[str, str], ...] = ()
    readonly: tuple[str, ...] = ()
    links: tuple[str, ...] = ()


IsolationOf = Callable[[Work], contextlib.AbstractAsyncContextManager[Isolation]]
"""Makes what one isolated run needs, and takes it away when the run is over."""


@runtime_checkable
class Isolating(Protocol):
    """A worker whose runs may be isolated, and that is told by its engine what they see then."""

    def isolate_by(self, isolation: IsolationOf) -> None:
        """Have ``isolation`` say what isolated runs see from now on."""
        ...


def hidden(db: str, sockets: Iterable[str] = ()) -> tuple[str, ...]:
    """Return what runs of the database ``db`` do not see, "" where the goals are in no file.

    ``sockets`` are the directories in which engines listen.
    """
    from platformdirs import user_state_path  # noqa: PLC0415 - only where a worker is isolated

    user = os.getuid()
    runtime = os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{user}"
    terminals = os.environ.get("TMUX_TMPDIR") or "/tmp"  # noqa: S108 - where tmux listens
    temporary = Path(os.environ.get("TMPDIR") or "/tmp")  # noqa: S108 - where there is no other
    asked = [
        *_LAUNCHERS,
        *(str(found) for name in _OF_A_USER for found in Path(runtime).glob(name)),
        f"{terminals}/tmux-{user}",
        *(str(temporary / f"{name}{user}") for name in ("emacs", "zellij-")),
        *map(str, temporary.glob("nvim.*")),
        str(Path.home() / ".screen"),
    ]
    own = [*sockets, str(user_state_path("goalfsm", appauthor=False))]
    if db:
        own.append(str(Path(db).parent))
    wanted = [*(path for path in own if os.path.exists(path)), *filter(_may_listen, asked)]  # noqa: PTH110
    return _outermost(map(os.path.realpath, wanted))


def _may_listen(path: str) -> bool:
    """Tell whether there is a socket, or what may hold one.

    A turn could put a link there to a directory or a file that the next turn needs, or the check of
    its work: that would be hidden from them.
    """
    try:
        return stat.S_ISSOCK(os.stat(path).st_mode) or not os.path.islink(path)  # noqa: PTH114, PTH116
    except OSError:
        return False


def protected(sealed: Iterable[str]) -> tuple[str, ...]:
    """Return what a run cannot change: ``sealed`` files, what the machine and goalfsm go by."""
    from platformdirs import user_config_path  # noqa: PLC0415 - only where a worker is isolated

    own = user_config_path("goalfsm")
    # What is not there could be put there.
    with contextlib.suppress(OSError):
        own.mkdir(mode=0o700, parents=True, exist_ok=True)
    units = own.parent / "systemd"
    wanted = [*sealed, *_SCHEDULES, str(own), str(units)]
    found = (os.path.realpath(path) for path in wanted if os.path.exists(path))  # noqa: PTH110
    return tuple(dict.fromkeys(found))


def links_to(db: str) -> tuple[str, ...]:
    """Return the links on the way to ``db``, as people name it, and to what goalfsm goes by.

    Who could turn one would have the next command find another database there.
    """
    from platformdirs import user_config_path, user_state_path  # noqa: PLC0415 - as above

    own = user_config_path("goalfsm"), user_state_path("goalfsm", appauthor=False)
    wanted = [*map(str, own), *([db] if db else ())]
    return tuple(dict.fromkeys(link for path in wanted for link in _links(path)))


def kept() -> tuple[tuple[str, str], ...]:
    """Return what is seen although what holds it is hidden."""
    return tuple((path, path) for path in _KEPT if os.path.isdir(path))  # noqa: PTH112


def check_place(hide: Iterable[str], cwd: str | None) -> None:
    """Raise GoalError where a run would not see what it needs: the directory it works in, goalfsm.

    ``hide`` is what it does not see, ``cwd`` where it works, None for where this process does.
    """
    needed = {
        os.path.realpath(cwd or os.curdir): "work in",
        os.path.realpath(ROOT): "use goalfsm from",
        os.path.realpath(Path.home()): "have its home in",
    }
    for path in hide:
        for place, what in needed.items():
            if place == path or place.startswith(path.rstrip("/") + "/"):
                raise GoalError(
                    f"an isolated worker cannot {what} {place}: the goals are kept in {path}",
                    code="isolation_impossible",
                    hint="keep the database in a directory of its own (--db), or leave --db out",
                )


def starter(argv: Sequence[str], cwd: str | None, given: Isolation | None) -> list[str]:
    """Return what starts ``argv`` in namespaces of its own; GoalError where that cannot be."""
    if given is None:
        raise GoalError(
            "nobody says what an isolated worker may see",
            code="isolation_unavailable",
            hint="store it as the thread's program, or give its worker an isolation",
        )
    check_place(given.hide, cwd)
    from platformdirs import user_config_path  # noqa: PLC0415 - only where a worker is isolated

    config = os.path.realpath(user_config_path("goalfsm"))
    hold = {*_around((*given.hide, config, *given.links)), *given.links}
    arranged = json.dumps(
        {
            "hold": sorted(hold),
            "hide": given.hide,
            "bind": given.bind,
            "readonly": given.readonly,
        }
    )
    return [sys.executable, "-I", "-S", "-c", isolation.PROGRAM, ROOT, arranged, *argv]


def _around(paths: Iterable[str]) -> set[str]:
    """Return the directories that ``paths`` lie in, but for the root."""
    return {str(each) for path in paths for each in Path(path).parents if each != each.parent}


def _links(path: str) -> list[str]:
    """Return the links that the system follows on the way to an absolute path, where they lie."""
    found: list[str] = []
    here, ahead = "/", path.split("/")
    while ahead and len(found) < _MOST_LINKS:
        name = ahead.pop(0)
        if name == "..":
            here = os.path.dirname(here)  # noqa: PTH120 - text, as the system goes
        elif name not in {"", "."}:
            place = f"{here.rstrip('/')}/{name}"
            try:
                target = os.readlink(place)  # noqa: PTH115 - the same
            except OSError:
                here = place
                continue
            found.append(place)
            here = "/" if target.startswith("/") else here
            ahead = [*target.split("/"), *ahead]
    return found


def waits_for_a_process(call: ToolCalled) -> bool:
    """Tell whether a tool's call names a process: the numbers of a namespace that ends."""
    return call.name == "wait" and call.arguments.get("pid") is not None


def refusal(status: int | None, messages: str) -> ErrorReported | None:
    """Return what the end of a program that could not be isolated means; None of any other."""
    if status != isolation.CANNOT or not messages.startswith(isolation.REFUSAL):
        return None
    return ErrorReported(
        message=messages.strip(),
        kind="spawn",
        source="spawn",
        code="isolation_unavailable",
        failure="invalid_request",
    )


def check_machine() -> None:
    """Raise GoalError where this machine cannot isolate a worker."""
    if why := isolation.is_possible():
        raise GoalError(
            f"this machine cannot isolate a worker: {why}",
            code="isolation_unavailable",
            hint="allow user namespaces (sysctl user.max_user_namespaces), or run without it",
        )


def _outermost(paths: Iterable[str]) -> tuple[str, ...]:
    """Return the paths without those that lie in another one."""
    found: list[str] = []
    for path in sorted(set(paths)):
        if not any(path.startswith(outer.rstrip("/") + "/") for outer in found):
            found.append(path)
    return tuple(found)
