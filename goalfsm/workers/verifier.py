"""Run a verifier: a program whose exit status 0 says that a claim holds."""

from __future__ import annotations

import asyncio
import contextlib
import os
import uuid
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from goalfsm.errors import GoalError
from goalfsm.workers.isolating import refusal, starter
from goalfsm.workers.output import KEEP_TAIL, Tail
from goalfsm.workers.sealing import changed
from goalfsm.workers.supervisor.orphans import VERIFY_PREFIX
from goalfsm.workers.supervisor.pipes import OutputPipe
from goalfsm.workers.supervisor.spawning import check_program

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from goalfsm.workers.isolating import Isolation
    from goalfsm.workers.sealing import Sealed
    from goalfsm.workers.supervisor.client import Child, Supervisor

GRACE_S: Final = 2.0


class VerifierResult(msgspec.Struct, frozen=True, kw_only=True):
    """What a verifier said of a claim, and how long that took.

    ``unverifiable`` is neither yes nor no: it could not be run, took too long, or was ended
    by a signal; ``reason`` says which, ``timed_out`` that it took too long. ``output_tail`` is the
    end of what it wrote to stdout and stderr. ``duration_s`` is in seconds of the event
    loop's clock.
    """

    status: Literal["passed", "failed", "unverifiable"]
    exit_code: int | None = None
    output_tail: str = ""
    duration_s: float = 0.0
    reason: str = ""
    timed_out: bool = False


async def run_verifier(  # noqa: PLR0913 - what a program is run with
    argv: Sequence[str],
    *,
    supervisor: Supervisor,
    cwd: str | None = None,
    timeout_s: float | None = None,
    env: Mapping[str, str] | None = None,
    run_id: str | None = None,
    keep: int = KEEP_TAIL,
    grace_s: float = GRACE_S,
    sealed: Collection[Sealed] = (),
    isolation: Isolation | None = None,
) -> VerifierResult:
    """Run a program and return its verdict; nothing of it is left afterwards.

    Where something of it is not as it was ``sealed``, it is not run: ``unverifiable``.

    It reads nothing, runs without a shell, and dies with the daemon. ``env`` is its whole
    environment, by default this process's. Under ``isolation`` it sees what that leaves. Never
    raises for what the program does.
    """
    run_id = run_id or f"{VERIFY_PREFIX}{uuid.uuid4().hex}"
    loop = asyncio.get_running_loop()
    begun = loop.time()
    if sealed:
        path = (os.environ if env is None else env).get("PATH")
        differing = await asyncio.to_thread(changed, sealed, argv, cwd, path=path)
        if differing:
            reason = f"changed since it was sealed: {', '.join(differing)}"
            spent = loop.time() - begun
            return VerifierResult(status="unverifiable", reason=reason, duration_s=spent)
    tail = Tail(keep)
    output: OutputPipe | None = None
    try:
        if isolation is not None:
            check_program(argv, cwd, os.environ if env is None else env)
            argv = starter(argv, cwd, isolation)
        reading, writing = os.pipe()
        output = OutputPipe(reading, tail.add)
        try:
            child = await _start(supervisor, run_id, argv, cwd, env, writing)
        finally:
            os.close(writing)
        late = await _wait(child, timeout_s)
        left = await supervisor.end(run_id, grace_s=grace_s)
        output.drain()
    except asyncio.CancelledError:
        # Nobody wants to know any more; the caller goes on when nothing of it is left.
        with contextlib.suppress(GoalError):
            await supervisor.end(run_id, grace_s=grace_s)
        raise
    except GoalError as error:
        reason = f"{error}. Hint: {error.hint}" if error.hint else str(error)
        return VerifierResult(status="unverifiable", reason=reason, duration_s=loop.time() - begun)
    except OSError as error:
        reason = f"cannot run it: {error.strerror}"
        return VerifierResult(status="unverifiable", reason=reason, duration_s=loop.time() - begun)
    finally:
        # Also when the caller was cancelled: ending what has ended changes nothing.
        supervisor.end_soon(run_id)
        if output is not None:
            output.close()
    code = None if late or left else _exit_code(child)
    status, reason = _verdict(code, timeout_s if late else None)
    refused = None if isolation is None else refusal(code, tail.text())
    if refused is not None:
        status, reason = "unverifiable", refused.message
    return VerifierResult(
        status=status,
        exit_code=code if code is not None and code >= 0 else None,
        output_tail=tail.text(),
        duration_s=loop.time() - begun,
        reason=reason,
        timed_out=late,
    )


async def _start(  # noqa: PLR0913, PLR0917
    supervisor: Supervisor,
    run_id: str,
    argv: Sequence[str],
    cwd: str | None,
    env: Mapping[str, str] | None,
    output: int,
) -> Child:
    nothing = os.open(os.devnull, os.O_RDONLY)
    try:
        return await supervisor.spawn(
            run_id,
            argv,
            cwd=cwd,
            env=os.environ if env is None else env,
            stdin=nothing,
            stdout=output,
            stderr=output,
        )
    finally:
        os.close(nothing)


async def _wait(child: Child, timeout_s: float | None) -> bool:
    """Return whether the program was still running after the timeout."""
    done, _ = await asyncio.wait({child.exited}, timeout=timeout_s)
    return not done


def _exit_code(child: Child) -> int | None:
    status = child.exited.result()
    return None if status is None else os.waitstatus_to_exitcode(status)


def _verdict(
    code: int | None, timeout_s: float | None
) -> tuple[Literal["passed", "failed", "unverifiable"], str]:
    if timeout_s is not None:
        return "unverifiable", f"timed out after {timeout_s:g} s"
    if code is None:
        return "unverifiable", "its supervisor died, or it could not be ended"
    if code < 0:
        return "unverifiable", f"ended by signal {-code}"
    return ("passed", "") if code == 0 else ("failed", f"exit status {code}")
