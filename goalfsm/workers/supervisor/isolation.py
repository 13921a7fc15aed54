"""Start a program where it cannot see what it does not need: namespaces of its own, no privileges.

A program of its own, for an interpreter without site-packages (``python -I -S``): it puts itself
into new namespaces, hides directories, forbids new privileges, and becomes the first process of
a pid namespace that starts the worker and ends with it, and everything in it does too.

It is started with this module, so that imports the standard library only.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import json
import os
import signal
import sys
from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple

CANNOT: Final = 125
"""The exit status of a start that the machine does not allow; stderr says why."""
REFUSAL: Final = "cannot isolate the worker: "
"""What that begins with."""
PROGRAM: Final = (
    "import sys; sys.path.append(sys.argv.pop(1)); "
    "from goalfsm.workers.supervisor.isolation import main; sys.exit(main(sys.argv))"
)

_NEWNS: Final = 0x00020000
_NEWUSER: Final = 0x10000000
_NEWPID: Final = 0x20000000
_RDONLY, _NOSUID, _NODEV, _NOEXEC, _REMOUNT, _BIND = 1, 2, 4, 8, 32, 4096
_ALL: Final = 0x4000
_PRIVATE_ALL: Final = 0x40000 | _ALL
_KEPT: Final = (*(os.ST_NOSUID, os.ST_NODEV, os.ST_NOEXEC, os.ST_NOATIME, os.ST_NODIRATIME),)
"""What a mount forbids already and has to go on forbidding; `mount` has the same numbers."""
_OF_THE_KERNEL: Final = frozenset(
    {
        *("sysfs", "cgroup", "cgroup2", "debugfs", "tracefs", "securityfs", "configfs", "bpf"),
        *("pstore", "efivarfs", "fusectl", "resctrl", "selinuxfs"),
    }
)
"""File systems by which processes and the machine are controlled: a cgroup can be frozen."""
_SWITCHES: Final = ("sys", "sysrq-trigger", "irq", "bus", "fs", "acpi", "scsi")
"""What of /proc changes the machine: who is root may write it without any capability."""
_DEVICES: Final = ("null", "zero", "full", "random", "urandom", "tty")
_LINKS: Final = {"fd": "/proc/self/fd", "stdin": "fd/0", "stdout": "fd/1", "stderr": "fd/2"}
_SET_PDEATHSIG, _CAPBSET_DROP, _SET_NO_NEW_PRIVS, _CAP_AMBIENT = 1, 24, 38, 47
_LAST_CAPABILITY: Final = 63
_CAPABILITIES_3: Final = 0x20080522


class _Libc:
    """The system calls that Python has no names for; OSError where one fails."""

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)

    def unshare(self, flags: int) -> None:
        self._check("unshare", self._libc.unshare(flags))

    def mount(self, source: str, target: str, kind: str, flags: int, options: str = "") -> None:
        names = [os.fsencode(text) for text in (source, target, kind, options)]
        result = self._libc.mount(*names[:3], ctypes.c_ulong(flags), names[3])
        self._check(f"mount {target}", result)

    def prctl(self, option: int, value: int = 0) -> None:
        self._check("prctl", self._libc.prctl(option, ctypes.c_ulong(value), 0, 0, 0))

    def drop_capabilities(self) -> None:
        """Give up all capabilities, for this process and whatever it may become."""
        for capability in range(_LAST_CAPABILITY + 1):
            with contextlib.suppress(OSError):
                self.prctl(_CAPBSET_DROP, capability)
        header = (ctypes.c_uint32 * 2)(_CAPABILITIES_3, 0)
        self._check("capset", self._libc.capset(header, (ctypes.c_uint32 * 6)()))

    @staticmethod
    def _check(what: str, result: int) -> None:
        if result != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), what)


def main(argv: list[str]) -> int:
    """Start the program of ``argv[2:]``; the first argument is a JSON object.

    ``hold`` are directories and links that must keep their place, the outer ones first; ``hide``
    directories to make empty, and files; ``bind`` pairs of a directory and where it is to be seen
    all the same; ``readonly`` files and directories that must not be changed.
    """
    given: dict[str, Any] = json.loads(argv[1])
    libc = _Libc()
    user, group = os.getuid(), os.getgid()
    try:
        _enter(libc, user, group)
        _arrange(libc, given)
    except OSError as error:
        what = f" ({error.filename})" if error.filename else ""
        sys.stderr.write(f"{REFUSAL}{error.strerror}{what}\n")
        return CANNOT
    first = os.fork()
    if first == 0:
        try:
            _first(libc, argv[2:])
        except OSError as error:
            sys.stderr.write(f"{REFUSAL}{error.strerror}\n")
        finally:
            os._exit(CANNOT)
    # Whatever is asked of the run's group, the worker hears it itself; this only tells its end.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)
    _, status = os.waitpid(first, 0)
    return _like(status)


def _enter(libc: _Libc, user: int, group: int) -> None:
    """Enter new namespaces, as the same user; in a user namespace where that is no root."""
    try:
        libc.unshare(_NEWNS | _NEWPID)
    except PermissionError:
        libc.unshare(_NEWUSER | _NEWNS | _NEWPID)
        for name, text in (
            ("setgroups", "deny"),
            ("uid_map", f"{user} {user} 1"),
            ("gid_map", f"{group} {group} 1"),
        ):
            with open(f"/proc/self/{name}", "w", encoding="ascii") as file:  # noqa: PTH123
                file.write(text)


def _arrange(libc: _Libc, given: dict[str, Any]) -> None:
    """Hide what is not to be seen, and protect what must not be changed."""
    libc.mount("none", "/", "none", _PRIVATE_ALL)
    mounts = _mounts()
    hide = [*given["hide"], *_outside(where := os.getcwd(), _elsewhere(given["hide"], mounts))]  # noqa: PTH109
    readonly = [*given["readonly"], *_elsewhere(given["readonly"], mounts)]
    for path in given["hold"]:
        # What is a mount cannot be renamed; with its parent, all that is hidden in it could be.
        with contextlib.suppress(PermissionError):
            _hold(libc, path)
    for kind, path in dict.fromkeys((mount.kind, mount.place) for mount in mounts):
        if kind in _OF_THE_KERNEL or path == "/sys" or path.startswith("/sys/"):
            _protect(libc, path)
        elif kind == "proc" and path != "/proc" and not path.startswith("/proc/"):
            _hide(libc, path)
    for path in readonly:
        libc.mount(path, path, "none", _BIND | _ALL)
        _protect(libc, path)
    kept = {path: os.open(source, os.O_PATH | os.O_CLOEXEC) for source, path in given["bind"]}
    for path in hide:
        # What lies in another one is hidden by now.
        if os.path.lexists(path):
            _hide(libc, path)
    for path, fd in kept.items():
        os.makedirs(path, mode=0o700, exist_ok=True)  # noqa: PTH103 - pathlib is slow to import
        libc.mount(f"/proc/self/fd/{fd}", path, "none", _BIND)
        os.close(fd)
        _protect(libc, path)
    for path in hide:
        _protect(libc, path)
    _give_devices(libc)
    # Where the program was started is looked up again: it may be hidden now.
    os.chdir(where)


class _Mount(NamedTuple):
    """One line of the table of mounts: what of which device is seen where."""

    number: int
    device: str
    root: str
    place: str
    kind: str


def _mounts() -> list[_Mount]:
    """Return every mount."""
    found = []
    with open("/proc/self/mountinfo", "rb") as file:  # noqa: PTH123
        for line in file:
            before, _, after = line.partition(b" - ")
            number, _, device, *paths = before.split()[:5]
            root, place = (
                os.fsdecode(path.decode("unicode_escape").encode("latin-1")) for path in paths
            )
            kind = after.split()[0].decode()
            found.append(_Mount(int(number), device.decode(), root, place, kind))
    return found


def _elsewhere(paths: Iterable[str], mounts: list[_Mount]) -> list[str]:
    """Return where else these files and directories, or parts of them, can be reached.

    A file system that is mounted at two places shows all that it holds at both.
    """
    found: dict[str, None] = {}
    for path in paths:
        for same, place in _mounted_twice(path, mounts):
            with contextlib.suppress(OSError):
                # Another mount may lie over that place.
                if place != same and os.path.samefile(same, place):  # noqa: PTH121
                    found[place] = None
    return list(found)


def _mounted_twice(path: str, mounts: list[_Mount]) -> Iterator[tuple[str, str]]:
    """Yield a path, or what of it is mounted elsewhere, with each place where that may be seen."""
    number = _mount_of(path)
    own = next((mount for mount in mounts if mount.number == number), None)
    if own is None:
        return
    inside = _joined(own.root, _rest(path, own.place) or "")
    for mount in mounts:
        if mount.device != own.device or mount.number == number:
            continue
        if (rest := _rest(inside, mount.root)) is not None:
            yield path, _joined(mount.place, rest)
        elif (rest := _rest(mount.root, inside)) is not None:
            yield _joined(path, rest), mount.place


def _outside(where: str, places: list[str]) -> list[str]:
    """Return these places; raise OSError where the program is to work in one of them."""
    if any(_rest(where, place) is not None for place in places):
        raise OSError(errno.EACCES, "the goals are kept where it works, by another mount", where)
    return places


def _mount_of(path: str) -> int:
    """Return the number of the mount by which a path is reached, -1 where that cannot be told."""
    with contextlib.suppress(OSError):
        fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
        try:
            with open(f"/proc/self/fdinfo/{fd}", "rb") as file:  # noqa: PTH123
                for line in file:
                    if line.startswith(b"mnt_id:"):
                        return int(line.split()[1])
        finally:
            os.close(fd)
    return -1


def _rest(path: str, above: str) -> str | None:
    """Return what of a path follows a directory, "" for itself; None where it is not in it."""
    if path == above:
        return ""
    start = above.rstrip("/") + "/"
    return path.removeprefix(start) if path.startswith(start) else None


def _joined(above: str, rest: str) -> str:
    return f"{above.rstrip('/')}/{rest}" if rest else above


def _hold(libc: _Libc, path: str) -> None:
    """Keep a directory or a link in its place: mounted over itself."""
    fd = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        itself = f"/proc/self/fd/{fd}"
        libc.mount(itself, itself, "none", _BIND | _ALL)
    except OSError as error:
        raise OSError(error.errno, error.strerror, path) from error
    finally:
        os.close(fd)


def _hide(libc: _Libc, path: str) -> None:
    """Put an empty directory, or an empty file, in the place of one."""
    if os.path.isdir(path):  # noqa: PTH112
        libc.mount("tmpfs", path, "tmpfs", _NOSUID | _NODEV | _NOEXEC, "size=64k,mode=0700")
    else:
        libc.mount("/dev/null", path, "none", _BIND)


def _protect(libc: _Libc, path: str) -> None:
    """Make a mount read-only, with the restrictions that it already has."""
    try:
        now = os.statvfs(path).f_flag
    except (PermissionError, FileNotFoundError):
        return  # whoever may not come here changes nothing here
    flags = sum(now & flag for flag in _KEPT)
    libc.mount("none", path, "none", _REMOUNT | _BIND | _RDONLY | flags)


def _give_devices(libc: _Libc) -> None:
    """Leave the devices that every program needs, and terminals of its own: no disk, no console."""
    kept = {}
    for name in (*_DEVICES, "shm"):
        with contextlib.suppress(OSError):
            kept[name] = os.open(f"/dev/{name}", os.O_PATH | os.O_CLOEXEC)
    libc.mount("tmpfs", "/dev", "tmpfs", _NOSUID | _NOEXEC, "size=64k,mode=0755")
    for name, fd in kept.items():
        place = f"/dev/{name}"
        if name == "shm":
            os.mkdir(place)  # noqa: PTH102
        else:
            os.close(os.open(place, os.O_CREAT | os.O_WRONLY, 0o666))
        libc.mount(f"/proc/self/fd/{fd}", place, "none", _BIND)
        os.close(fd)
    os.mkdir("/dev/pts")  # noqa: PTH102
    own = "newinstance,ptmxmode=0666,mode=0620"
    libc.mount("devpts", "/dev/pts", "devpts", _NOSUID | _NOEXEC, own)
    for name, target in {**_LINKS, "ptmx": "pts/ptmx"}.items():
        os.symlink(target, f"/dev/{name}")  # noqa: PTH211
    libc.mount("none", "/dev", "none", _REMOUNT | _BIND | _RDONLY | _NOSUID | _NOEXEC)


def _first(libc: _Libc, argv: list[str]) -> None:
    """Be the first process of the pid namespace: start the worker, collect all, end with it."""
    libc.prctl(_SET_PDEATHSIG, signal.SIGKILL)
    libc.mount("proc", "/proc", "proc", _NOSUID | _NODEV | _NOEXEC)
    for name in _SWITCHES:
        path = f"/proc/{name}"
        if os.path.exists(path):  # noqa: PTH110
            libc.mount(path, path, "none", _BIND)
            _protect(libc, path)
    libc.prctl(_SET_NO_NEW_PRIVS, 1)
    libc.drop_capabilities()
    worker = os.fork()
    if worker == 0:
        try:
            os.execvp(argv[0], argv)  # noqa: S606
        except OSError as error:
            sys.stderr.write(f"cannot start {argv[0]}: {error.strerror}\n")
        finally:
            os._exit(126 if os.path.exists(argv[0]) else 127)  # noqa: PTH110
    # A pid namespace's first process is sent nothing that it did not ask for.
    status = 0
    while True:
        with contextlib.suppress(InterruptedError):
            pid, status = os.waitpid(-1, 0)
            if pid == worker:
                break
    os._exit(_like(status))


def _like(status: int) -> int:
    """Return the exit status that a shell gives to a wait status."""
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def is_possible() -> str:
    """Return "" where this machine can isolate a program, else why it cannot."""
    if sys.platform != "linux":
        return "only Linux has the namespaces for it"
    nothing = json.dumps({"hold": [], "hide": [], "bind": [], "readonly": []})
    root = os.path.dirname(os.path.abspath(__file__)).removesuffix("goalfsm/workers/supervisor")  # noqa: PTH100, PTH120
    import subprocess  # noqa: PLC0415 - the program itself starts nothing that way

    try:
        tried = subprocess.run(  # noqa: S603 - our own program
            [sys.executable, "-I", "-S", "-c", PROGRAM, root, nothing, "true"],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return "" if tried.returncode == 0 else tried.stderr.strip() or os.strerror(errno.EPERM)
