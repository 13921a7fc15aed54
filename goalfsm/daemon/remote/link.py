"""A connection to the engine that serves a database, and what is tried again until it answers."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable
from typing import Final, Self, TypeVar

from goalfsm.daemon.remote import wire
from goalfsm.errors import GoalError, Remedy
from goalfsm.text import MALFORMED
from goalfsm.workers.supervisor.peers import Caller

TIMEOUT_S: Final = 5.0
"""How long an engine may take to answer before it counts as silent."""

ANSWER_S: Final = 1.0
"""How long one that is well may take to answer who only looks."""

POLL_S: Final = 0.05
"""How long what is tried again waits between two tries."""
_CHUNK: Final = 65_536
_STARTING: Final = (FileNotFoundError, ConnectionRefusedError, BlockingIOError)
"""An engine that is just starting owns the store a moment before it listens."""
_T = TypeVar("_T")
_Given = TypeVar("_Given")


class NoEngine(GoalError):
    """No engine serves the database, or the one that does is silent."""

    code = "no_engine"
    hint = "Start one: goalfsm daemon, or goalfsm run."
    remedies = (Remedy("daemon", does="starts one"),)


class FalseEngine(NoEngine):
    """What listens at an engine's socket is no engine of the database; it was asked nothing."""

    code = "false_engine"
    hint = "End that process; goalfsm doctor says who serves the database."
    remedies = (Remedy("doctor", does="says who serves the database"),)


def require_engine(connected: socket.socket, db: str) -> None:
    """Raise `FalseEngine` where what listens at the other end is no engine of ``db``.

    Raises `NoEngine` of one that has ended meanwhile.
    """
    with contextlib.closing(Caller(connected)) as listens:
        why = listens.not_to_be_believed(db=db)
        if why and listens.has_ended():
            raise NoEngine("what listened there has ended")
    if why:
        raise FalseEngine(f"process {listens.pid} listens in an engine's place, and is none: {why}")


def again(doing: Callable[[], _T], retried: tuple[type[Exception], ...]) -> _T:
    """Return what ``doing`` returns, tried again as often as it raises one of ``retried``.

    ``doing`` itself ends that, by raising something else when its time is up.
    """
    try:
        return doing()
    except retried:
        # Most commands are answered at once and need no strategy.
        from tenacity import Retrying, retry_if_exception_type, wait_fixed  # noqa: PLC0415

    time.sleep(POLL_S)
    return Retrying(wait=wait_fixed(POLL_S), retry=retry_if_exception_type(retried))(doing)


def refused(answer: wire.Answer) -> GoalError:
    """Return the error for an answer that is not what was asked for."""
    if isinstance(answer, wire.Failed) and answer.code in wire.GONE:
        return NoEngine(answer.message, hint=answer.hint, remedies=answer.remedies)
    if isinstance(answer, wire.Failed):
        return GoalError(
            answer.message, code=answer.code, hint=answer.hint, remedies=answer.remedies
        )
    return NoEngine("the engine answered something else than it was asked")


class Link:
    """A connection to an engine, with a bounded wait and bounded lines."""

    def __init__(
        self, place: str, deadline: float, *, db: str | None, starting: bool = True
    ) -> None:
        """Connect to ``place`` before ``deadline`` (monotonic seconds), on entering.

        ``starting``: an engine may be about to listen there, and is waited for. Who listens has
        to be one of ``db``; None for a place where nobody else can listen.
        """
        self._db = db
        self._retried = _STARTING if starting else ()
        self._deadline: float | None = deadline
        self._received = bytearray()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._place = place

    def __enter__(self) -> Self:
        try:
            again(self._connect, self._retried)
            if self._db is not None:
                require_engine(self._socket, self._db)
        except BaseException as error:
            self._socket.close()
            if isinstance(error, OSError):
                raise NoEngine(f"the engine cannot be reached: {error}") from error
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def wait_forever(self) -> None:
        """Wait from now on as long as it takes."""
        self._deadline = None

    def ask(self, question: wire.Request) -> wire.Answer:
        """Send a request and return the first answer."""
        try:
            self._bound()
            self._socket.sendall(wire.encode(question))
        except (BrokenPipeError, ConnectionResetError):
            # It may have said why before it hung up.
            return self.hear()
        except OSError as error:
            raise NoEngine(f"the engine hung up: {error}") from error
        return self.hear()

    def hear(self) -> wire.Answer:
        """Return the next answer."""
        while (end := self._received.find(b"\n")) < 0:
            if len(self._received) > wire.MAX_LINE:
                raise NoEngine("the engine says too much at once")
            try:
                self._bound()
                chunk = self._socket.recv(_CHUNK)
            except OSError as error:
                raise NoEngine(f"the engine is silent: {error}") from error
            if not chunk:
                raise NoEngine("the engine hung up")
            self._received += chunk
        line = bytes(self._received[:end])
        del self._received[: end + 1]
        return self.read(wire.decode_answer, line)

    def read(self, decode: Callable[[_Given], _T], given: _Given) -> _T:
        """Return what the engine has said, decoded."""
        try:
            return decode(given)
        except MALFORMED as error:
            raise NoEngine(f"the engine speaks another version: {error}") from error

    def _connect(self) -> None:
        self._bound()
        self._socket.connect(self._place)

    def _bound(self) -> None:
        if self._deadline is None:
            self._socket.settimeout(None)
            return
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise NoEngine("the engine is silent")
        self._socket.settimeout(left)
