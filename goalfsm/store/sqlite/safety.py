"""Files that others own or may write are not trusted: the programs in them would run as ours.

The same as git's ``safe.directory`` and ssh's ``StrictModes``: the database, what SQLite keeps
beside it, and their directory belong to the user who opens them, and nobody else may write them. A
directory where everybody may make files but not rename those of others (like ``/tmp``) will do, for
each file in it is looked at. A file with two names is refused, for its log has only one.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final

from goalfsm.errors import Remedy, UnsafeDatabase

BESIDE: Final = ("", "-wal", "-shm", "-journal")
"""What the files that SQLite keeps of one database are called, after its own name."""

_MOUNTS: Final = Path("/proc/self/mountinfo")
_MOUNT_POINT: Final = 4


def refuse_unsafe(database: Path) -> None:
    """Raise `UnsafeDatabase` where the files at this path may not be trusted."""
    user = os.geteuid()
    folder = database.parent
    found = folder.stat()
    if found.st_uid not in {user, 0}:
        _refuse(folder, f"belongs to {_user(found.st_uid)}")
    if not found.st_mode & stat.S_ISVTX and _others_write(found):
        _refuse(folder, f"may be written by others ({stat.S_IMODE(found.st_mode):o})")
    for suffix in BESIDE:
        _check_file(database.with_name(database.name + suffix), user)
    if _is_mounted(database):
        msg = f"{database} is mounted by itself, so its log is not beside it"
        raise UnsafeDatabase(msg, hint="Mount the directory that holds it.")


def _check_file(path: Path, user: int) -> None:
    try:
        found = path.lstat()
    except OSError:
        return
    if not stat.S_ISREG(found.st_mode):
        _refuse(path, "is not an ordinary file")
    if found.st_uid != user:
        _refuse(path, f"belongs to {_user(found.st_uid)}")
    if _others_write(found):
        _refuse(path, f"may be written by others ({stat.S_IMODE(found.st_mode):o})")
    if found.st_nlink > 1:
        msg = f"{path} has {found.st_nlink} names (hard links), and each would have its own log"
        raise UnsafeDatabase(
            msg,
            hint="Remove the other names; goalfsm backup makes a copy.",
            remedies=(Remedy("backup", {"file": None}, "makes a copy"),),
        )


def _refuse(path: Path, why: str) -> None:
    msg = f"{path} {why}"
    raise UnsafeDatabase(msg)


def _others_write(found: os.stat_result) -> bool:
    if found.st_mode & stat.S_IWOTH:
        return True
    return bool(found.st_mode & stat.S_IWGRP) and not _is_private_group(found.st_gid)


def _is_private_group(group: int) -> bool:
    """Return whether a group is the user's own, with nobody else in it, as some systems have it."""
    import grp  # noqa: PLC0415 - hardly ever needed
    import pwd  # noqa: PLC0415 - the same

    try:
        me, found = pwd.getpwuid(os.geteuid()), grp.getgrgid(group)
    except KeyError:
        return False
    return found.gr_name == me.pw_name and me.pw_gid == group and not {*found.gr_mem} - {me.pw_name}


def _user(uid: int) -> str:
    import pwd  # noqa: PLC0415 - needed for a refusal only

    try:
        return f"the user {pwd.getpwuid(uid).pw_name}"
    except KeyError:
        return f"the user {uid}"


def _is_mounted(path: Path) -> bool:
    """Return whether something is mounted on the file itself."""
    try:
        lines = _MOUNTS.read_bytes().splitlines()
    except OSError:
        return False
    # Blanks and the like are written as octal escapes.
    wanted = b"".join(
        b"\\%03o" % byte if byte in b" \t\n\\" else bytes([byte]) for byte in os.fsencode(path)
    )
    return any(line.split()[_MOUNT_POINT] == wanted for line in lines)
