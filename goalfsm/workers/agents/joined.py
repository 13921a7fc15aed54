"""Codex turns on an app-server that others use too: a person's terminal interface, for one.

The thread is the one that the person sees: same history, same settings, and where Codex would ask
before it does something, it asks there. Nothing is started for a turn and nothing ends with it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol, cast

import msgspec

from goalfsm.errors import GoalError
from goalfsm.workers.agents.codex import Codex, totals_of
from goalfsm.workers.agents.dialect import Dialect, Launch, Saved, Task
from goalfsm.workers.agents.jsonrpc import Caller
from goalfsm.workers.agents.run import AgentRun
from goalfsm.workers.agents.usage import NOTHING, Meter, Totals
from goalfsm.workers.agents.worker import AgentWorker
from goalfsm.workers.protocol import SessionSaved, Work

if TYPE_CHECKING:
    from goalfsm.workers.agents.spec import AgentSpec
    from goalfsm.workers.isolating import Isolation
    from goalfsm.workers.piped import Channel

_INJECT: Final = "thread/inject_items"


class ThreadState(NamedTuple):
    """What is known of a thread of the app-server before a turn begins in it.

    ``loaded``: its events are told. ``used`` is what its newest report of usage says, with the
    turn that used it last.
    """

    loaded: bool
    used: tuple[str, Mapping[str, Any]] | None


class Host(NamedTuple):
    """The process of the app-server."""

    pid: int
    pgid: int
    start_time: str


class Link(Protocol):
    """The app-server as one turn needs it."""

    async def ready(self) -> Host:
        """Return the app-server's process when it can be asked. Raises `GoalError`."""
        ...

    async def idle(self, thread_id: str) -> None:
        """Return when no turn runs in the thread."""
        ...

    def attach(
        self,
        run_id: str,
        thread_id: str,
        heard: Callable[[bytes], None],
        lost: Callable[[int | None, str], None],
    ) -> ThreadState:
        """Have ``heard`` get, as lines, what is said of the thread and answered to the run.

        An answer is the run's whose ``run_id`` its id begins with. ``lost`` is told the exit status
        of the app-server, and the end of its stderr, when it has ended.
        """
        ...

    def detach(self, run_id: str) -> None:
        """Hand the run no further event."""
        ...

    def written(self, thread_id: str, message_id: str) -> str | None:
        """Return a message as a person has written it there; None for one from elsewhere."""
        ...

    def write(self, data: bytes) -> bool:
        """Send lines; False where nobody can take them."""
        ...

    def end(self) -> None:
        """End the app-server: a turn in it does not stop otherwise."""
        ...


class JoinedCodex(Codex):
    """One turn in a thread that others have turns in too.

    The prompt goes into the thread's history as it is: nobody has written it, so nobody is shown
    it.
    """

    def __init__(self, task: Task, link: Link) -> None:
        super().__init__(task)
        self._link = link
        self._rpc = Caller(prefix=f"{task.work.run_id}/")
        self._stopped = False
        self._questions: set[Any] = set()

    @property
    def is_asking(self) -> bool:
        """Tell whether the turn waits for a person to allow something."""
        return bool(self._questions)

    def launch(self) -> Launch:
        """Return nothing to start: the app-server runs."""
        return Launch(argv=("codex", "app-server"))

    def enter(self, state: ThreadState) -> None:
        """Begin the turn, in a thread that is loaded where it is not."""
        if state.used is not None:
            self._note_used(*state.used)
        here = {"threadId": self.task.work.thread_id}
        if state.loaded:
            self._opened(self.task.work.thread_id)
        else:
            self.write(self._rpc.request("thread/resume", {**here, "excludeTurns": True}))

    def steer(self, message_id: str, text: str) -> bool:
        """Send the message into the turn, in the person's own words where they are known."""
        return super().steer(message_id, self._link.written(self._thread, message_id) or text)

    def interrupt(self) -> None:
        """Ask Codex to stop the turn, as soon as it has begun."""
        self._stopped = True
        if self._turn or not self._thread:
            super().interrupt()

    def save(self, session_id: str, charged: Totals = NOTHING) -> None:
        """Keep the thread, and which of its turns was the goal's last."""
        turn = self._turn or ("" if self.saved is None else self.saved.turn)
        saved = Saved(agent=self.name, id=session_id, charged=charged, turn=turn)
        if saved != self.saved:
            self.saved = saved
            self.tell(SessionSaved(session=msgspec.json.encode(saved)))

    def _begin(self, here: Mapping[str, Any]) -> None:
        content = [{"type": "input_text", "text": self.prompt}]
        item = {"type": "message", "role": "user", "content": content}
        self.write(self._rpc.request(_INJECT, {**here, "items": [item]}))

    def _answered(self, message: Mapping[str, Any]) -> None:
        method, error = self._rpc.answered(message), message.get("error")
        if error is not None and method in {"thread/resume", _INJECT, "turn/start"}:
            self.fail(str(error.get("message")), code="codex_refused")
            self.over = True
        elif error is not None and method == "thread/compact/start":
            self.over = True
        elif method == "thread/resume":
            self._opened(message["result"]["thread"]["id"])
        elif method == _INJECT:
            if self._stopped:
                self.over = True
                return
            here = {"threadId": self._thread}
            self.write(self._rpc.request("turn/start", {**here, "input": []}))
        elif method == "turn/start":
            self._started(message["result"]["turn"]["id"])

    def _started(self, turn: str) -> None:
        if self._turn:
            return
        self._turn = turn
        self.save(self._thread, self._meter.charged)
        if self._stopped:
            super().interrupt()

    def _asked(self, request_id: Any, method: str, params: Mapping[str, Any]) -> None:
        if method == "item/tool/call":
            super()._asked(request_id, method, params)
        else:
            self._questions.add(request_id)

    def _told(self, method: str, params: Mapping[str, Any], now: float) -> None:
        told_of: str = params.get("turnId") or (params.get("turn") or {}).get("id") or ""
        if method == "serverRequest/resolved":
            self._questions.discard(params.get("requestId"))
        elif method == "turn/started" and self._thread:
            self._started(told_of)
        elif method == "thread/tokenUsage/updated" and told_of != self._turn:
            self._note_used(told_of, params["tokenUsage"]["total"])
        elif told_of in {"", self._turn} and self._turn:
            super()._told(method, params, now)

    def _note_used(self, turn: str, total: Mapping[str, Any]) -> None:
        """Charge the goal nothing that turns of a person's own have used."""
        if self.saved is None or turn != self.saved.turn:
            self._meter = Meter(totals_of(total))


class Seat(msgspec.Struct, eq=False):
    """A turn's place on the app-server, as `goalfsm.workers.piped.PipedProcess` is one."""

    link: Link
    work: Work
    dialect: JoinedCodex
    heard: Callable[[bytes], None]
    signs: Callable[[], None]
    gone: Callable[[], None]
    _seated: bool = False
    _left: asyncio.Event = msgspec.field(default_factory=asyncio.Event)
    keep: set[int] = set()
    left: tuple[int, ...] = ()
    code: int | None = 0
    messages: str = ""

    @property
    def is_over(self) -> bool:
        """Return whether the turn has nothing more to do with the app-server."""
        return self._left.is_set()

    @property
    def has_exited(self) -> bool:
        """Return the same: the turn is all that there is of it."""
        return self._left.is_set()

    async def start(self, argv: Sequence[str], *, cwd: str | None, env: Mapping[str, str]) -> Host:
        """Begin the turn as soon as no other one runs in the thread.

        Raises GoalError where the app-server cannot be had, or the turn was ended meanwhile.
        """
        del argv, cwd, env
        waiting = asyncio.ensure_future(self._ready())
        left = asyncio.ensure_future(self._left.wait())
        try:
            await asyncio.wait({waiting, left}, return_when=asyncio.FIRST_COMPLETED)
            if not waiting.done():
                raise GoalError("the turn was ended before it began", code="ended")
            host = waiting.result()
        finally:
            waiting.cancel()
            left.cancel()
        run, thread = self.work.run_id, self.work.thread_id
        self.dialect.enter(self.link.attach(run, thread, self._hear, self._lost))
        self._seated = True
        self.write(self.dialect.take_lines())
        return host

    async def _ready(self) -> Host:
        host = await self.link.ready()
        await self.link.idle(self.work.thread_id)
        return host

    def write(self, data: bytes) -> bool:
        """Send these lines; False when nobody can take them any more."""
        return self._seated and not self.is_over and self.link.write(data)

    def end_input(self) -> None:
        """Leave: the turn is over."""
        self._leave()

    def hold(self, *, held: bool) -> None:
        """Go on reading: other clients of the app-server are told the same."""
        del held

    def end_soon(self) -> None:
        """Leave; a turn that does not stop takes the app-server with it."""
        if self._seated and not self.is_over and not self.dialect.over:
            self.link.end()
        self._leave()

    async def dismantle(self) -> None:
        """Leave; a turn that still runs is stopped."""
        if self._seated and not self.is_over and not self.dialect.over:
            self.dialect.interrupt()
            self.write(self.dialect.take_lines())
        self._leave()

    def _hear(self, data: bytes) -> None:
        self.signs()
        self.heard(data + b"\n")

    def _lost(self, code: int | None, messages: str) -> None:
        self.code, self.messages = code, messages
        self._leave()

    def _leave(self) -> None:
        if not self.is_over:
            self._left.set()
            self.link.detach(self.work.run_id)
            self.gone()


class JoinedRun(AgentRun):
    """Drives one turn on the app-server."""

    def __init__(self, spec: AgentSpec, link: Link, work: Work, *, compact: bool = False) -> None:
        """Say nothing to the app-server before `events` is iterated."""
        self._link = link
        super().__init__(spec, None, work, grace_s=0.0, compact=compact)

    def _speak(self, task: Task) -> Dialect:
        return JoinedCodex(task, self._link)

    def _place(self) -> Channel:
        return Seat(
            self._link,
            self._work,
            cast("JoinedCodex", self._dialect),
            heard=self._output,
            signs=self._sign,
            gone=self._gone,
        )


class JoinedWorker(AgentWorker):
    """Does the turns of Codex threads on an app-server that others use too."""

    def __init__(self, spec: AgentSpec, link: Link) -> None:
        """Work on the threads of ``link``."""
        super().__init__(spec)
        self._link = link

    async def _prepare(
        self, work: Work, isolation: Isolation | None, *, compact: bool = False
    ) -> AgentRun:
        del isolation  # what runs is there already
        return JoinedRun(self.spec, self._link, work, compact=compact)
