"""A program on three pipes under the supervisor, from its start until nothing of it is left."""

from __future__ import annotations

import asyncio
import contextlib
import os
from typing import TYPE_CHECKING, Protocol

from goalfsm.workers.output import Tail
from goalfsm.workers.supervisor.pipes import InputPipe, OutputPipe
from goalfsm.workers.supervisor.spawning import spawn_error

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from goalfsm.workers.supervisor.client import Child, Supervisor


class Started(Protocol):
    """The process in which a turn runs; see `goalfsm.workers.protocol.Spawned`."""

    @property
    def pid(self) -> int:
        """Return the process id of the process."""
        ...

    @property
    def pgid(self) -> int:
        """Return the process group of the process."""
        ...

    @property
    def start_time(self) -> str:
        """Return what tells the process from a later one with the same id."""
        ...


class Channel(Protocol):
    """What a turn is spoken over; see `PipedProcess`, which is one."""

    keep: set[int]
    left: tuple[int, ...]

    @property
    def is_over(self) -> bool:
        """Return whether no process of the turn is left."""
        ...

    @property
    def has_exited(self) -> bool:
        """Return whether the other side has gone: nobody takes another byte."""
        ...

    @property
    def messages(self) -> str:
        """Return the end of what was written to stderr."""
        ...

    @property
    def code(self) -> int | None:
        """Return the exit status, a signal as a negative number; None: not known."""
        ...

    async def start(
        self, argv: Sequence[str], *, cwd: str | None, env: Mapping[str, str]
    ) -> Started:
        """Start or reach the other side of the turn. Raises GoalError where that cannot be."""
        ...

    def write(self, data: bytes) -> bool:
        """Send these bytes; False when nobody can take them any more."""
        ...

    def end_input(self) -> None:
        """Let the other side see that nothing more will be written."""
        ...

    def hold(self, *, held: bool) -> None:
        """Stop reading what the other side writes, or go on with it."""
        ...

    def end_soon(self) -> None:
        """Ask the other side to end; after a grace it is ended."""
        ...

    async def dismantle(self) -> None:
        """Leave nothing behind, however its user ended."""
        ...


class PipedProcess:
    """One process of a run; ``heard`` gets what it writes, ``gone`` is called at the very end.

    What the first process leaves behind is ended with it, except what `keep` names.
    """

    def __init__(  # noqa: PLR0913 - a process is what it is given
        self,
        supervisor: Supervisor,
        run_id: str,
        *,
        heard: Callable[[bytes], None],
        signs: Callable[[], None],
        gone: Callable[[], None],
        grace_s: float,
    ) -> None:
        """Start no process yet; ``signs`` is called with every sign of its life."""
        self._supervisor = supervisor
        self._run_id = run_id
        self._heard = heard
        self._signs = signs
        self._told_gone = gone
        self._grace = grace_s
        self._stdin: InputPipe | None = None
        self._stdout: OutputPipe | None = None
        self._stderr: OutputPipe | None = None
        self._messages = Tail()
        self._child: Child | None = None
        self._over = False
        self.keep: set[int] = set()
        self.left: tuple[int, ...] = ()

    @property
    def is_over(self) -> bool:
        """Return whether nothing of the process is left, as far as that can be said."""
        return self._over

    @property
    def has_exited(self) -> bool:
        """Return whether its first process has ended."""
        return self._child is not None and self._child.exited.done()

    @property
    def messages(self) -> str:
        """Return the end of what it wrote to stderr."""
        return self._messages.text()

    @property
    def code(self) -> int | None:
        """Return how the first process ended, a signal as a negative number; None: not known."""
        if self._child is None or not self._child.exited.done():
            return None
        status = self._child.exited.result()
        return None if status is None else os.waitstatus_to_exitcode(status)

    async def start(
        self,
        argv: Sequence[str],
        *,
        cwd: str | None,
        env: Mapping[str, str],
        needs_input: bool = True,
    ) -> Child:
        """Start the program; GoalError when it cannot be started.

        Without ``needs_input`` its stdin is empty.
        """
        with contextlib.ExitStack() as opened:

            def kept(*ends: int) -> tuple[int, ...]:
                for fd in ends:
                    opened.callback(os.close, fd)
                return ends

            try:
                if needs_input:
                    their_in, our_in = kept(*os.pipe())
                else:
                    their_in, our_in = kept(os.open(os.devnull, os.O_RDONLY))[0], None
                our_out, their_out = kept(*os.pipe())
                our_err, their_err = kept(*os.pipe())
            except OSError as error:
                raise spawn_error("fork", error.errno or 0, argv, cwd) from None
            child = await self._supervisor.spawn(
                self._run_id,
                argv,
                cwd=cwd,
                env=env,
                stdin=their_in,
                stdout=their_out,
                stderr=their_err,
            )
            # Ours now stay open; theirs must not, or their end would never be seen.
            opened.pop_all()
            for fd in (their_in, their_out, their_err):
                os.close(fd)
        self._child = child
        self._stdin = None if our_in is None else InputPipe(our_in)
        self._stdout = OutputPipe(our_out, self._output)
        self._stderr = OutputPipe(our_err, self._message)
        child.exited.add_done_callback(self._exited)
        return child

    def write(self, data: bytes) -> bool:
        """Write to the program's stdin; False when the program cannot get these bytes any more."""
        return self._stdin is not None and self._stdin.write(data)

    def end_input(self) -> None:
        """Let the program see the end of its stdin."""
        if self._stdin is not None:
            self._stdin.end()

    def hold(self, *, held: bool) -> None:
        """Read nothing more of the program's output for now, or go on."""
        if self._stdout is not None:
            if held:
                self._stdout.pause()
            else:
                self._stdout.resume()

    def end_soon(self) -> None:
        """Have the run's processes end: SIGTERM, and SIGKILL after the grace."""
        self._supervisor.end_soon(self._run_id, grace_s=self._grace)

    async def dismantle(self) -> None:
        """Leave nothing behind, however its user ended."""
        child, ended = self._child, None
        if child is not None and not self._over:
            child.exited.remove_done_callback(self._exited)
            ended = self._supervisor.end_soon(self._run_id)
        self._close()
        if ended is not None:
            await asyncio.shield(ended)
        self._over = True

    def _output(self, data: bytes) -> None:
        self._signs()
        self._heard(data)

    def _message(self, data: bytes) -> None:
        self._signs()
        self._messages.add(data)

    def _exited(self, _: asyncio.Future[int | None]) -> None:
        """End what the first process left behind, except what the goal waits for."""
        self._drain()
        gone = self._supervisor.end_soon(self._run_id, grace_s=self._grace, keep=tuple(self.keep))
        gone.add_done_callback(self._gone)

    def _gone(self, gone: asyncio.Future[tuple[int, ...]]) -> None:
        """Read the rest: nobody of the run can write any more."""
        if not gone.cancelled():
            self.left = gone.result()
        self._drain()
        self._close()
        self._over = True
        self._told_gone()

    def _drain(self) -> None:
        for pipe in (self._stdout, self._stderr):
            if pipe is not None:
                pipe.drain()

    def _close(self) -> None:
        for pipe in (self._stdin, self._stdout, self._stderr):
            if pipe is not None:
                pipe.close()
