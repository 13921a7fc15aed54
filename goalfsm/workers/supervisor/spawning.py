"""Why a program could not be started, and what to do about it."""

from __future__ import annotations

import errno as numbers
import os
import re
import shlex
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Final

from goalfsm.errors import GoalError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_QUOTED: Final = re.compile(r"""'[^']*'|"(?:[^"\\]|\\.)*"|\\.""", re.DOTALL)
_SHELL: Final = re.compile(
    r"[;|&<>()\n`]+|\$[A-Za-z_{(0-9@*#?$!-]|\A![ \t]|\A~[^ \t]*|\A[A-Za-z_][A-Za-z_0-9]*=|[ \t]~/"
)
"""What a shell acts upon where it is bare: operators, variables, negation, home, assignments."""
_BUSY: Final = (numbers.EAGAIN, numbers.ENOMEM, numbers.EMFILE, numbers.ENFILE)


class SpawnError(GoalError):
    """A program could not be started; ``stage`` is where: ``cwd``, ``exec``, ``fork``, ``lost``."""

    code = "spawn_failed"

    def __init__(self, message: str, *, code: str, hint: str, stage: str, errno: int) -> None:
        """Say what failed where, with the system's error number."""
        super().__init__(message, code=code, hint=hint)
        self.stage = stage
        self.errno = errno


def spawn_error(stage: str, errno: int, argv: Sequence[str], cwd: str | None) -> SpawnError:
    """Return the error for what the system said when ``argv`` was started in ``cwd``."""
    program = argv[0] if argv else ""
    code, message, hint = "spawn_failed", f"cannot start {program}: {os.strerror(errno)}", ""
    match stage, errno:
        case "lost", _:
            code, message = "supervisor_lost", f"the supervisor died while it started {program}"
        case "cwd", _:
            code = "directory_unusable"
            message = f"cannot run {program} in {cwd}: {os.strerror(errno)}"
            hint = "give a directory that exists and may be entered"
        case _, numbers.ENOENT:
            code, message, hint = _missing(program, cwd)
        case _, numbers.EACCES | numbers.EPERM:
            code = "program_not_executable"
            hint = f"make it executable: chmod +x {shlex.quote(program)}"
        case _, numbers.ENOEXEC:
            code = "program_not_executable"
            hint = "a script begins with a line like #!/bin/sh"
        case _, numbers.E2BIG:
            code = "arguments_too_long"
            hint = "the prompt is too long for an argument: let the program read it from stdin"
        case _, _ if errno in _BUSY:
            code = "spawn_unavailable"
            hint = "the system is short of processes, files or memory (ulimit -a)"
    return SpawnError(message, code=code, hint=hint, stage=stage, errno=errno)


def _missing(program: str, cwd: str | None) -> tuple[str, str, str]:
    """Return code, message and hint for a program, or its interpreter, that is not there."""
    if "/" in program and Path(cwd or ".", program).exists():
        message = f"cannot start {program}: its interpreter does not exist"
        return "program_not_executable", message, "look at its first line (#!...)"
    if "/" in program:
        return "program_not_found", f"no such program: {program}", "check the path"
    message = f"no such program: {program} is not on PATH"
    return "program_not_found", message, "give its path, or install it"


def check_program(argv: Sequence[str], cwd: str | None, env: Mapping[str, str]) -> None:
    """Raise GoalError with a hint unless ``argv`` can be started in ``cwd``, as far as one sees."""
    if not argv or not argv[0]:
        raise GoalError(
            "no program was given", code="program_missing", hint="put it after --: -- PROGRAM ARGS"
        )
    if any("\0" in part for part in argv) or "\0" in (cwd or ""):
        raise GoalError(
            "an argument contains a NUL character",
            code="argument_invalid",
            hint="no program can be given one",
        )
    if cwd is not None and not Path(cwd).is_dir():
        missing = numbers.ENOTDIR if Path(cwd).exists() else numbers.ENOENT
        raise spawn_error("cwd", missing, argv, cwd)
    program = argv[0]
    if "/" not in program:
        if shutil.which(program, path=env.get("PATH", os.defpath)) is None:
            raise spawn_error("exec", numbers.ENOENT, argv, cwd)
        return
    path = Path(cwd or ".", program)
    if not path.exists():
        raise spawn_error("exec", numbers.ENOENT, argv, cwd)
    if path.is_dir() or not os.access(path, os.X_OK):
        raise spawn_error("exec", numbers.EACCES, argv, cwd)


def split_command(text: str) -> tuple[str, ...]:
    """Return the words of a command line, quoted as in a shell; no shell ever sees it.

    Raises GoalError where quotes are not closed, nothing is there, or something is not quoted
    that only a shell would act upon.
    """
    try:
        words = tuple(shlex.split(text))
    except ValueError as error:
        raise GoalError(
            f"cannot read the command {text!r}: {error}",
            code="command_invalid",
            hint="quote it as in a shell",
        ) from None
    if not words:
        raise GoalError(
            "the command is empty", code="command_invalid", hint="name a program, with arguments"
        )
    if found := _SHELL.search(_QUOTED.sub("Q", text.strip())):
        raise GoalError(
            f"no shell reads the command {text!r}, which has a bare {found[0].strip()!r}",
            code="command_needs_shell",
            hint=f"let one read it: sh -c {shlex.quote(text)}",
        )
    return words
