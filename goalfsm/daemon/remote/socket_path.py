"""Where an engine listens: a short path in a directory that is the user's only.

Beside it stands what keeps a living engine from writing: the database cannot be asked.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import stat
from pathlib import Path
from typing import Final

from goalfsm.errors import GoalError
from goalfsm.workers.supervisor.process_tree import DATABASE, same_database

NODE: Final = "goalfsm-node://"
"""How a turn names its node in the place of a database: its socket follows, and no secret."""
MAX_PATH: Final = 100
"""Longest path of a socket in bytes that every system takes."""

SOCKET: Final = "tool.sock"
"""The name of a run's private socket in its directory."""

_DIGEST: Final = 16
_MOUNTS: Final = Path("/proc/self/mountinfo")
_RUN: Final = ".run"
_OWN: Final = "own"


def socket_for(db: str) -> Path:
    """Return where this process listens for ``db``; its directory exists and is ours alone.

    Raises GoalError when no such directory can be had.
    """
    return _placed(f"{_digest(db)}-{os.getpid()}.sock")


def listening(db: str) -> list[Path]:
    """Return where engines of ``db`` may listen: sockets in directories that are ours alone.

    One that is left of an engine that died answers nobody.
    """
    pattern = f"{_digest(db)}-*.sock"
    return [found for parent in _parents() if _is_ours(parent) for found in parent.glob(pattern)]


def clients_socket(db: str) -> Path:
    """Return where clients of an app-server find the one of ``db``, whichever process that is.

    Raises GoalError as `socket_for` does.
    """
    return _placed(f"clients-{_digest(db)}.sock")


def _placed(name: str) -> Path:
    for parent in _parents():
        place = parent / name
        if len(os.fsencode(place)) <= MAX_PATH:
            _prepare(parent)
            return place
    raise GoalError(
        "there is no directory with a path short enough for a socket",
        code="no_socket_directory",
        hint="set TMPDIR to a short path, like /tmp",
    )


def remove_stale(place: Path) -> None:
    """Remove sockets that earlier owners of the same database left; only its owner may.

    One that cannot be removed answers nobody.
    """
    database = place.name.partition("-")[0]
    for kind in (".sock*", _RUN):
        for other in place.parent.glob(f"{database}-*{kind}"):
            with contextlib.suppress(OSError):
                remove(other)


def remove(place: Path) -> None:
    """Remove what is at a place, also where somebody has put something else there."""
    if place.is_dir() and not place.is_symlink():
        import shutil  # noqa: PLC0415  who only asks removes nothing

        shutil.rmtree(place, ignore_errors=True)
    else:
        place.unlink(missing_ok=True)


def run_directory(db: str) -> Path:
    """Make a directory for the private socket of one run of ``db``, and return it.

    Raises GoalError when no such directory can be had.
    """
    import tempfile  # noqa: PLC0415  who only asks makes nothing

    parent = _short()
    _prepare(parent)
    try:
        return Path(tempfile.mkdtemp(prefix=f"{_digest(db)}-", suffix=_RUN, dir=parent))
    except OSError as error:
        raise GoalError(
            f"cannot create a directory in {parent}: {error.strerror}",
            code="no_socket_directory",
            hint=f"make room in {parent}, and let this user write there",
        ) from error


def socket_directories() -> tuple[str, ...]:
    """Return the directories in which this user's engines listen."""
    return tuple(str(place) for place in {*_parents(), _short()} if _is_ours(place))


def own_directory() -> Path:
    """Return where a run in namespaces of its own sees its directory; nobody else sees any."""
    return _short() / _OWN


def node_socket() -> Path | None:
    """Return where the node listens in whose turn this process is, None in any other place."""
    named = os.environ.get(DATABASE, "")
    return Path(named.removeprefix(NODE)) if named.startswith(NODE) else None


def own_socket() -> Path | None:
    """Return the private socket of the isolated run that this process belongs to, if it does.

    Its directory is mounted there for the run alone; anybody may make one of that name.
    """
    place = own_directory() / SOCKET
    try:
        facts = place.lstat()
        mounts = _MOUNTS.read_bytes().splitlines()
    except OSError:
        return None
    seen = os.fsencode(os.path.realpath(own_directory()))
    is_mounted = any(row.split()[4] == seen for row in mounts)
    is_ours = stat.S_ISSOCK(facts.st_mode) and facts.st_uid == os.getuid()
    return place if is_ours and is_mounted else None


def _digest(db: str) -> str:
    return hashlib.sha256(os.fsencode(same_database(db))).hexdigest()[:_DIGEST]


def _parents() -> list[Path]:
    """Return the directories to try, the best first."""
    places = [Path(_temporary(), f"goalfsm-{os.getuid()}")]
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if runtime and _is_ours(Path(runtime)):
        places.insert(0, Path(runtime, "goalfsm"))
    short = _short()
    return [*places, short] if short not in places else places


def _temporary() -> str:
    """Return where temporary files go; who only asks does not try that by writing one."""
    for given in map(os.environ.get, ("TMPDIR", "TEMP", "TMP")):
        if given and Path(given).is_absolute() and os.access(given, os.W_OK | os.X_OK):
            return given
    return "/tmp"  # noqa: S108 - as below


def _short() -> Path:
    """Return the one that no environment can move."""
    return Path("/tmp", f"goalfsm-{os.getuid()}")  # noqa: S108 - checked to be ours alone


def _prepare(directory: Path) -> None:
    try:
        directory.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise GoalError(
            f"cannot create {directory}: {error.strerror}",
            code="no_socket_directory",
            hint="set XDG_RUNTIME_DIR or TMPDIR to a directory of yours",
        ) from error
    if not _is_ours(directory):
        raise GoalError(
            f"{directory} is not a directory of yours alone",
            code="no_socket_directory",
            hint=f"remove it, or: chmod 700 {directory}",
        )


def is_own(directory: Path) -> bool:
    """Tell whether a directory is this user's alone; one that is missing is made."""
    with contextlib.suppress(OSError):
        directory.mkdir(mode=0o700)
    return _is_ours(directory)


def _is_ours(directory: Path) -> bool:
    """Tell whether it is a directory, no link, that nobody else may use."""
    try:
        facts = directory.lstat()
    except OSError:
        return False
    return (
        stat.S_ISDIR(facts.st_mode)
        and facts.st_uid == os.getuid()
        and not stat.S_IMODE(facts.st_mode) & 0o077
    )


_SUFFIX: Final = ".outage"
_CODE: Final = re.compile(r"[a-z_]{1,40}")


def show(socket: str, code: str) -> None:
    """Tell that an error of this code keeps the engine at ``socket`` from writing; "" clears it."""
    if not socket:
        return
    # It is a convenience: where it cannot be told, nothing else is the worse for it.
    with contextlib.suppress(OSError):
        os.unlink(f"{socket}{_SUFFIX}")  # noqa: PTH108 - texts are enough
    if code:
        with contextlib.suppress(OSError):
            os.symlink(code, f"{socket}{_SUFFIX}")  # noqa: PTH211 - the same


def shown(socket: str) -> str:
    """Return the code of the error that keeps the engine at ``socket`` from writing, or ""."""
    if not socket:
        return ""
    try:
        code = os.readlink(f"{socket}{_SUFFIX}")  # noqa: PTH115 - the same
    except OSError:
        return ""
    return code if _CODE.fullmatch(code) else "store_unavailable"
