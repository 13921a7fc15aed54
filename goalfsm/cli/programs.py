"""The programs of a goal: what is known of them before it is given, and when they are stored."""

from __future__ import annotations

import contextlib
import fcntl
import os
from operator import not_
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from goalfsm.errors import GoalError, OutcomeUnknown

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from goalfsm.store.port import WorkerConfigs

_WAIT_S: Final = 5.0
_POLL_S: Final = 0.01
_SHELL: Final = "name a program, or let a shell run the line: {} \"sh -c 'a && b'\""


def check_verifier(option: str, command: str, argv: tuple[str, ...], cwd: str) -> str:
    """Return a warning where a verifier's program is not there yet, "" where all is well.

    A file may still be written by the work; what is not on PATH raises GoalError. ``option`` is the
    one that named it.
    """
    from goalfsm.workers.supervisor.spawning import check_program  # noqa: PLC0415  only where one is given

    try:
        check_program(argv, cwd, os.environ)
    except GoalError as error:
        if "/" in argv[0] and not Path(cwd, argv[0]).exists():
            return (
                f"the program of {option}, {argv[0]}, does not exist; "
                "until it does, nothing can be accepted as complete"
            )
        hint = _SHELL.format(option) if error.code == "program_not_found" else error.hint
        raise GoalError(
            f"{option} {command}: {error.message}", code=error.code, hint=hint
        ) from None
    return ""


@contextlib.contextmanager
def stored(
    workers: WorkerConfigs, thread_id: str, config: bytes | None, folder: Path
) -> Iterator[None]:
    """Have a thread's program stored when the goal comes, and only where that is not refused.

    It has to be there first: an engine starts the first turn as soon as it has the goal. Where
    several processes give the thread a goal at once, one does so after the other: ``folder`` is
    the database's, and is locked meanwhile. One that keeps it for long does not stop the others.
    """
    if config is None:
        yield
        return
    with _opened(folder) as place:
        if not _locked(place):
            from tenacity import Retrying  # noqa: PLC0415  most find nobody there

            Retrying(**_patience())(_locked, place)
        with _put(workers, thread_id, config):
            yield


@contextlib.asynccontextmanager
async def stored_by_engine(
    workers: WorkerConfigs, thread_id: str, config: bytes | None, folder: Path
) -> AsyncIterator[None]:
    """Do as `stored`, in an engine: whoever has the lock may be waiting for its answer."""
    from tenacity import AsyncRetrying  # noqa: PLC0415  an engine has it; the others do without

    if config is None:
        yield
        return
    with _opened(folder) as place:

        async def locked() -> bool:
            return _locked(place)

        await AsyncRetrying(**_patience())(locked)
        with _put(workers, thread_id, config):
            yield


@contextlib.contextmanager
def _put(workers: WorkerConfigs, thread_id: str, config: bytes) -> Iterator[None]:
    before = workers.get(thread_id)
    workers.put(thread_id, config)
    try:
        yield
    except OutcomeUnknown:
        raise  # the goal may be there, and then needs its program
    except GoalError:
        # What another command stored meanwhile, because it waited long enough, is its own.
        if workers.get(thread_id) == config:
            if before is None:
                workers.remove(thread_id)
            else:
                workers.put(thread_id, before)
        raise


@contextlib.contextmanager
def _opened(folder: Path) -> Iterator[int]:
    """Open the folder to lock it; closing it lets go of the lock."""
    place = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield place
    finally:
        os.close(place)


def _patience() -> dict[str, Any]:
    """Return how a lock is waited for: nobody tells when another process lets go of it."""
    from tenacity import retry_if_result, stop_after_delay, wait_fixed  # noqa: PLC0415  as above

    return {
        "stop": stop_after_delay(_WAIT_S),
        "wait": wait_fixed(_POLL_S),
        "retry": retry_if_result(not_),
        "retry_error_callback": lambda _: False,
    }


def _locked(place: int) -> bool:
    try:
        fcntl.flock(place, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
