"""The private socket of an isolated run: who connects there is that run, and shows no token.

How much any run may say over a socket is counted here, too: all of it is kept in the journal, also
what is refused.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections import OrderedDict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec
import structlog

from goalfsm.daemon.flow.authority import CODE
from goalfsm.daemon.remote import wire
from goalfsm.daemon.remote.listener import Link, Listener
from goalfsm.daemon.remote.socket_path import (
    SOCKET,
    own_directory,
    run_directory,
    socket_directories,
)
from goalfsm.daemon.remote.tool_events import event_of_call
from goalfsm.errors import GoalError, StoreError
from goalfsm.session.codec import sealed
from goalfsm.views.tool_answers import respond
from goalfsm.workers.isolating import (
    NOTHING_OUTLIVES,
    Isolation,
    hidden,
    kept,
    links_to,
    protected,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from goalfsm.daemon.flow.ports import Inbox, Sessions
    from goalfsm.daemon.host.platform import Clock
    from goalfsm.views.tool_answers import ToolResponse
    from goalfsm.workers.protocol import Work

MAX_SAID: Final = 8 * 1024 * 1024
"""Most bytes of tool calls and waits of one turn, as of the lines that a worker prints."""
_MOST: Final = 10_000
"""Of so many threads it is known how much their turns have said."""

_log = structlog.get_logger(__name__)


class Said:
    """Counts the bytes of each thread's turn; another turn starts afresh."""

    def __init__(self) -> None:
        """Count from the first byte of each thread's turn."""
        self._of: OrderedDict[str, tuple[str, int]] = OrderedDict()

    def add(self, thread_id: str, run_id: str, size: int) -> None:
        """Count ``size`` bytes of what a run said; raise GoalError where that is too much."""
        run, before = self._of.pop(thread_id, ("", 0))
        total = size + (before if run == run_id else 0)
        self._of[thread_id] = (run_id, total)
        if len(self._of) > _MOST:
            self._of.popitem(last=False)
        if total > MAX_SAID:
            raise GoalError(
                f"this turn has said too much: {MAX_SAID // 1024**2} MiB of tool calls",
                code="too_much",
                hint="end the turn; the next one may go on",
            )


class RunSockets(msgspec.Struct, eq=False):
    """Makes what an isolated run sees: a directory of its own, in which its socket is.

    What runs of the database ``db`` ask for, which people call ``named``, is sent to ``inbox``.
    ``first_process(run_id)`` returns pid and start of what the run's processes descend from.
    """

    inbox: Inbox
    sessions: Sessions
    clock: Clock
    first_process: Callable[[str], tuple[int, str] | None]
    db: str
    named: str = ""
    _said: Said = msgspec.field(default_factory=Said)

    @contextlib.asynccontextmanager
    async def around(self, work: Work) -> AsyncIterator[Isolation]:
        """Listen for one run while it lasts; yield what it sees. Raises GoalError."""
        self._check_names()
        home = run_directory(self.db)
        listener = Listener(home / SOCKET, partial(self._do, work), partial(self._admit, work))
        try:
            await listener.start()
            listener.ready()
            yield self._seen(work.thread_id, (str(home), str(own_directory())))
        finally:
            await listener.close()
            shutil.rmtree(home, ignore_errors=True)

    def without(self, thread_id: str) -> Isolation:
        """Return what a check of the thread's work sees: the same, but for a socket.

        Raises GoalError.
        """
        self._check_names()
        return self._seen(thread_id)

    def _seen(self, thread_id: str, *bind: tuple[str, str]) -> Isolation:
        return Isolation(
            hide=hidden(self.db, socket_directories()),
            bind=(*bind, *kept()),
            readonly=protected(self._sealed(thread_id)),
            links=links_to(self.named),
        )

    def _check_names(self) -> None:
        """Raise GoalError where the database has a name that would be left to be seen.

        One that it was given since it was opened is in no directory that is known.
        """
        if self.db and "://" not in self.db:
            # A database in memory needs no SQLite.
            from goalfsm.store.sqlite.safety import refuse_unsafe  # noqa: PLC0415

            refuse_unsafe(Path(self.db))

    def _sealed(self, thread_id: str) -> list[str]:
        """Return the files that completion of the thread's goal hangs on."""
        try:
            goal = self.sessions.session(thread_id).goal
        except StoreError:
            return []  # whatever keeps it from being read keeps the claim from being verified
        if goal is None:
            return []
        checks = [*goal.verifiers, *(() if goal.until is None else (goal.until,))]
        return [seal.path for check in checks for seal in check.sealed]

    def _admit(self, work: Work, link: Link) -> wire.Failed | None:
        first = self.first_process(work.run_id)
        if first is not None and link.is_below(first):
            return None
        _log.warning("somebody else came to a run's own socket", run_id=work.run_id)
        return wire.Failed(code=CODE, message="this socket is a run's own, and you are not of it")

    async def _called(self, work: Work, name: str, arguments: dict[str, Any]) -> ToolResponse:
        """Have a call decided as the run's; see `call_tool`."""
        if name == "wait" and arguments.get("pid") is not None:
            raise GoalError(
                NOTHING_OUTLIVES.error or "",
                code=NOTHING_OUTLIVES.code,
                hint="wait for a timer, a person or an event",
            )
        self._said.add(work.thread_id, work.run_id, len(msgspec.json.encode(arguments)))
        event = sealed(event_of_call(name, arguments, work.run_token))
        reply = await asyncio.shield(self.inbox.send(work.thread_id, event))
        session = self.sessions.session(work.thread_id)
        return respond(reply, session, self.clock.now_ms())

    async def _do(self, work: Work, request: wire.Request, link: Link) -> None:
        match request:
            case wire.CallTool(name=name, arguments=arguments):
                response = await self._called(work, name, arguments)
                link.say(wire.tool_told(response))
            case wire.Ping():
                link.say(wire.Pong())
            case _:
                raise GoalError(
                    "an isolated run has its goal's tools, and nothing else is its to ask for",
                    code=CODE,
                    hint="a person asks for it in a terminal of their own",
                )
