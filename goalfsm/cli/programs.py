"""The programs of a goal: what is known of them before it is given, and when they are stored."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from goalfsm.errors import GoalError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from goalfsm.store.port import WorkerConfigs

_SHELL = "name a program, or let a shell run the line: --verify \"sh -c 'a && b'\""


def check_verifier(command: str, argv: tuple[str, ...], cwd: str) -> str:
    """Return a warning where a verifier's program is not there yet, "" where all is well.

    A file may still be written by the work; what is not on PATH raises GoalError.
    """
    from goalfsm.workers.spawning import check_program  # noqa: PLC0415  only where one is given

    try:
        check_program(argv, cwd, os.environ)
    except GoalError as error:
        if "/" in argv[0] and not Path(cwd, argv[0]).exists():
            return (
                f"the verifier {argv[0]} does not exist; "
                "until it does, nothing can be accepted as complete"
            )
        hint = _SHELL if error.code == "program_not_found" else error.hint
        raise GoalError(
            f"--verify {command}: {error.message}", code=error.code, hint=hint
        ) from None
    return ""


@contextlib.contextmanager
def stored(workers: WorkerConfigs, thread_id: str, config: bytes | None) -> Iterator[None]:
    """Have a thread's program stored when the goal comes, and only where that is not refused.

    It has to be there first: an engine starts the first turn as soon as it has the goal. Where
    several processes give the thread a goal at once, the program of the one that is accepted
    stays.
    """
    if config is None:
        yield
        return
    before = workers.get(thread_id)
    workers.put(thread_id, config)
    try:
        yield
    except GoalError:
        if before is not None and workers.get(thread_id) == config:
            workers.put(thread_id, before)
        raise
    if workers.get(thread_id) != config:
        workers.put(thread_id, config)
