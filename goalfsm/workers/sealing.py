"""What a verifier is made of, by digest: a verifier that was changed since proves nothing.

Sealed are the program as PATH resolves it, regular files among its arguments, the makefile that
make would read, and what was named. A shell's or a makefile's own inclusions are not followed.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable, Collection, Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Final, Literal

import msgspec

from goalfsm.errors import GoalError
from goalfsm.files import open_regular

MAX_FILES: Final = 10_000
"""Most files and directories that one sealed directory may hold."""
MAX_BYTES: Final = 4 << 30
"""Most bytes that one sealed file, or all of a sealed directory's, may hold."""
_MAKES: Final = frozenset({"make", "gmake", "bmake"})
_MAKEFILES: Final = ("GNUmakefile", "makefile", "Makefile")
_CHUNK: Final = 1 << 20


class Sealed(msgspec.Struct, frozen=True, kw_only=True):
    """A file or directory as it was; ``digest`` is SHA-256 of what it holds.

    ``role`` says why it is sealed: it is the program, an argument, the makefile, or was named.
    ``leads_to`` is the path without links, None where nobody looked: a program that finds its other
    files by its own place finds others when a link leads elsewhere, to a copy of it.
    """

    role: Literal["program", "argument", "makefile", "named"]
    path: str
    digest: str
    leads_to: str | None = None


def seal(
    argv: Sequence[str],
    cwd: str | None = None,
    *,
    path: str | None = None,
    named: Collection[str] = (),
    unsealed: Collection[str] = (),
) -> tuple[Sealed, ...]:
    """Return what a command is made of now, each path once and absolute.

    ``path`` is the PATH that it will be started with, by default this process's. ``unsealed`` are
    paths that the goal is meant to change. Raises GoalError where something named to be sealed
    cannot be read.
    """
    place = Path(cwd or os.curdir).absolute()
    free = tuple(Path(os.path.normpath(place / each)) for each in unsealed)
    found: dict[str, Sealed] = {}
    for each in named:
        target = place / each
        try:
            _add(found, "named", target, _digest(target))
        except OSError as error:
            raise GoalError(
                f"cannot seal {each}: {error.strerror}",
                code="seal_unreadable",
                hint="name a file or a directory that exists and may be read",
            ) from error
    for role, target in _parts(argv, place, path):
        if _is_below(target, free):
            continue
        # What cannot be read now cannot be told apart later; it is not sealed.
        try:
            digest = _digest(target)
        except OSError:
            continue
        _add(found, role, target, digest)
    return tuple(found.values())


def changed(
    sealed: Collection[Sealed],
    argv: Sequence[str],
    cwd: str | None = None,
    *,
    path: str | None = None,
) -> tuple[str, ...]:
    """Return the paths that are not as they were when ``sealed`` was made; empty when all are.

    A program or makefile that another one now comes before counts as changed, and what links now
    lead to another place; a file that was not there when the seal was made does not.
    """
    differing: list[str] = []
    place = Path(cwd or os.curdir).absolute()
    now = {role: str(target) for role, target in _parts(argv, place, path) if role != "argument"}
    for each in sealed:
        moved = each.role in {"program", "makefile"} and now.get(each.role) != each.path
        moved |= each.leads_to not in {None, os.path.realpath(each.path)}
        try:
            if moved or _digest(Path(each.path)) != each.digest:
                differing.append(each.path)
        except (OSError, GoalError):
            # Also what a worker has made too large to be looked at is not as it was.
            differing.append(each.path)
    return tuple(differing)


def _add(
    found: dict[str, Sealed],
    role: Literal["program", "argument", "makefile", "named"],
    target: Path,
    digest: str,
) -> None:
    path, real = str(target), os.path.realpath(target)
    found.setdefault(path, Sealed(role=role, path=path, digest=digest, leads_to=real))


def _is_below(target: Path, free: tuple[Path, ...]) -> bool:
    target = Path(os.path.normpath(target))
    return any(target == each or each in target.parents for each in free)


def _parts(
    argv: Sequence[str], place: Path, path: str | None
) -> Iterator[tuple[Literal["program", "argument", "makefile"], Path]]:
    """Yield the regular files that a command is made of, with absolute paths.

    ``..`` stays: the system takes it from where a link leads, and so does whoever looks here.
    """
    program = argv[0]
    resolved: str | None = program
    if "/" not in program:
        resolved = shutil.which(program, path=path)
    if resolved is not None and (place / resolved).is_file():
        yield "program", place / resolved
    for argument in argv[1:]:
        for text in (argument, argument.partition("=")[2]):
            if text and "\0" not in text and _is_regular(place / text):
                yield "argument", place / text
    if Path(program).name in _MAKES:
        makefile = _makefile(argv[1:], place)
        if makefile is not None:
            yield "makefile", makefile


def _makefile(arguments: Sequence[str], place: Path) -> Path | None:
    """Return the makefile that make would read first, None where there is none yet."""
    given: str | None = None
    following = iter(arguments)
    for argument in following:
        for short, long in (("-C", "--directory"), ("-f", "--file"), ("-f", "--makefile")):
            value = None
            if argument in {short, long}:
                value = next(following, "")
            elif argument.startswith(f"{long}="):
                value = argument.partition("=")[2]
            elif argument.startswith(short) and not argument.startswith("--"):
                value = argument[2:]
            if value is None:
                continue
            if short == "-C":
                place /= value
            else:
                given = value
            break
    names = _MAKEFILES if given is None else (given,)
    return next((place / name for name in names if _is_regular(place / name)), None)


def _is_regular(path: Path) -> bool:
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except OSError:
        return False


def _digest(path: Path) -> str:
    """Return the digest of a regular file, or of all of a directory's, with their names.

    A link in a directory counts by where it leads; a directory that it leads to is not followed.
    """
    total, read = sha256(), 0
    if not path.is_dir():
        _read_into(total.update, path, 0)
        return total.hexdigest()
    count = 0
    for top, directories, names in os.walk(path):
        directories.sort()
        regular = [file for name in sorted(names) if _is_regular(file := Path(top, name))]
        count += len(directories) + len(regular)
        if count > MAX_FILES:
            raise _too_large(path, f"{MAX_FILES:,} files and directories")
        for link in sorted(each for each in (*directories, *names) if Path(top, each).is_symlink()):
            leads_to = os.path.realpath(Path(top, link))
            relative = os.fsencode(Path(top, link).relative_to(path))
            total.update(relative + b"\0\0" + os.fsencode(leads_to) + b"\n")
        for file in regular:
            content = sha256()
            read = _read_into(content.update, file, read)
            relative = os.fsencode(file.relative_to(path))
            total.update(relative + b"\0" + content.hexdigest().encode() + b"\n")
    return total.hexdigest()


def _read_into(digest: Callable[[bytes], None], path: Path, read: int) -> int:
    """Add what a regular file holds; return how many bytes that makes with those ``read``."""
    with open_regular(path) as file:
        while chunk := file.read(_CHUNK):
            read += len(chunk)
            if read > MAX_BYTES:
                raise _too_large(path, f"{MAX_BYTES:,} bytes")
            digest(chunk)
    return read


def _too_large(path: Path, most: str) -> GoalError:
    return GoalError(
        f"{path} holds more than {most}",
        code="seal_too_large",
        hint="seal the files that matter by themselves, and name the rest with --unsealed",
    )
