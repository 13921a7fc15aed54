"""Drive a thread in this process: own the database until the errand is over, then let it go."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from typing import TYPE_CHECKING, Final

from goalfsm.cli import asking, exits, programs
from goalfsm.cli.errand import Over
from goalfsm.cli.hosting import NOTICE_S, engine_on
from goalfsm.cli.output import now_ms
from goalfsm.cli.places import speak
from goalfsm.cli.signals import ending
from goalfsm.daemon.flow.authority import admitted_here
from goalfsm.daemon.flow.notices import Ended, StatusChanged, notice_of
from goalfsm.daemon.signals import GRACE_S
from goalfsm.errors import DatabaseReplaced, GoalError, NoDatabase, StoreError
from goalfsm.session.events import PauseRequested
from goalfsm.session.work import NEED_ENGINE
from goalfsm.store.sqlite import SqliteStore
from goalfsm.views.status import project

if TYPE_CHECKING:
    from collections.abc import Iterator

    from goalfsm.cli.errand import Errand
    from goalfsm.daemon.engine import Engine
    from goalfsm.store.port import Store, Stored

_FOLLOWED: Final = (
    "another terminal follows a turn that runs here: it ends first, then that terminal goes on"
)
_ENDS_TURN: Final = 2
"""Which Ctrl-C ends the thread's turn at once; the next ends everything."""


class Host:
    """An engine of this process's own, for one errand."""

    def __init__(self, errand: Errand) -> None:
        """Open no file before `carry_out` is awaited."""
        self._errand = errand
        self._thread_id = errand.place.thread_id
        self._interrupts = 0
        self._over: Over | None = None
        self._holding: asyncio.Task[None] | None = None

    async def carry_out(self) -> Over:
        """Own the database and drive.

        Raises `goalfsm.daemon.guards.ownership.Owned` where another process does, and what the
        errand is refused with.
        """
        with ending():
            return await self._carry_out()

    async def _carry_out(self) -> Over:
        errand = self._errand
        try:
            store = SqliteStore.open(errand.file, create=not errand.begun)
        except NoDatabase as error:
            # What was followed before and is gone now is not begun again as an empty one.
            raise DatabaseReplaced(error.message) from None
        with contextlib.closing(store):
            before = store.sessions.load(self._thread_id)
            engine, notifier = engine_on(store, errand.file)
            async with engine:
                with self._heeding(engine):
                    try:
                        self._over = await self._watch(store, engine, before)
                        self._errand.close(self._over)
                    except (GoalError, OSError):
                        # A refusal, or a terminal that is gone: no reason to cut others' turns.
                        engine.hand_over(self._thread_id)
                        with contextlib.suppress(StoreError):
                            await engine.wait()
                        raise
                    await notifier.sent(NOTICE_S)
                    await self._leave(engine, store)
                    return self._over

    async def _watch(self, store: Store, engine: Engine, before: Stored | None) -> Over:
        errand, thread_id = self._errand, self._thread_id
        async with contextlib.aclosing(engine.follow(thread_id)) as notices:
            first = await anext(notices)
            if before is not None:
                self._catch_up(store, before)
            errand.note(first)
            event = errand.opening(engine.session(thread_id))
            async with programs.stored_by_engine(
                store.workers, thread_id, errand.program(), errand.file.parent
            ):
                if event is not None:
                    asked = admitted_here(event, errand.file)
                    errand.check(await engine.submit(thread_id, asked, errand.event_id))
            over = await self._gone_on(engine, errand.begin(engine.status(thread_id)))
            if over is not None:
                return over
            async for notice in notices:
                errand.note(notice)
                if isinstance(notice, Ended):
                    return self._ended(notice)
                if errand.changed(notice) and not self._interrupts:
                    over = await self._gone_on(engine, errand.look(engine.status(thread_id)))
                    if over is not None:
                        return await _left(engine, thread_id, over)
        return Over(exits.INTERRUPTED)

    async def _gone_on(self, engine: Engine, over: Over | None) -> Over | None:
        """Go on to the queued goals, where that was asked for; return the end of the last."""
        while over is not None and (event := self._errand.next_request(over)) is not None:
            asked = admitted_here(event, self._errand.file)
            reply = await engine.submit(self._thread_id, asked)
            over = self._errand.go_on(engine.status(self._thread_id), reply)
        return over

    def _catch_up(self, store: Store, before: Stored) -> None:
        """Show what the engine did when it took over, before anybody could follow it."""
        thread_id = before.thread_id
        stood = project(asking.session_of(before), now_ms(), thread_id=thread_id)
        self._errand.note(StatusChanged(thread_id=thread_id, status=stood))
        for row in store.journal.read(thread_id, after=before.revision):
            self._errand.note(notice_of(row))

    def _ended(self, notice: Ended) -> Over:
        if notice.reason != "stopped":
            raise GoalError(
                notice.message or "the engine failed",
                code=notice.reason,
                hint="goalfsm run goes on, or follows the engine that took over",
            )
        again = speak("goalfsm run --thread THREAD", self._errand.place)
        how = "is held" if self._interrupts else "stays as it is"
        self._errand.view.say(f"stopped; the goal {how}, and `{again}` goes on")
        if notice.successor:
            self._errand.view.say(f"process {notice.successor} goes on with the database")
        return Over(exits.INTERRUPTED)

    async def _leave(self, engine: Engine, store: Store) -> None:
        """Let the database go; turns that other terminals follow end first."""
        over = self._over
        if over is None or over.exit_status == exits.INTERRUPTED:
            await engine.wait()
            return
        if engine.followed():
            self._errand.view.say(f"{_FOLLOWED}; Ctrl-C ends it")
        # How the goal ended is known; nothing that happens to the engine now changes it.
        with contextlib.suppress(StoreError):
            if others := 0 if engine.followed() else self._others(engine, store):
                turns = "turn of another thread" if others == 1 else "turns of other threads"
                bound = f"may take {GRACE_S:g} s to end; Ctrl-C ends that at once"
                self._errand.view.say(f"{others} {turns} {bound}")
        engine.hand_over(self._thread_id)
        with contextlib.suppress(StoreError):
            await engine.wait()

    def _others(self, engine: Engine, store: Store) -> int:
        """Return how many turns run of threads that this run has served beside its own."""
        active = {row.thread_id for row in store.sessions.threads(NEED_ENGINE)}
        others = active - {self._thread_id}
        return sum(engine.session(thread_id).run is not None for thread_id in others)

    # Signals.

    @contextlib.contextmanager
    def _heeding(self, engine: Engine) -> Iterator[None]:
        """Hold the thread on Ctrl-C, let the engine go when the process is told to end.

        Told so twice it ends at once. A SIGHUP that is ignored stays so: under nohup work outlives
        its terminal.
        """
        loop = asyncio.get_running_loop()
        told = False

        def stop() -> None:
            nonlocal told
            if told:
                engine.stop_soon(0.0)
                return
            told = True
            engine.hand_over(self._thread_id)
            if engine.followed():
                # Where the terminal is gone nobody reads it.
                with contextlib.suppress(OSError):
                    self._errand.view.say(_FOLLOWED)

        does = {signal.SIGINT: lambda: self._interrupt(engine), signal.SIGTERM: stop}
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
            does[signal.SIGHUP] = stop
        for number, doing in does.items():
            loop.add_signal_handler(number, doing)
        try:
            yield
        finally:
            for number in does:
                loop.remove_signal_handler(number)

    def _interrupt(self, engine: Engine) -> None:
        """Hold the thread; the second time end its turn at once, then everything."""
        self._interrupts += 1
        say = self._errand.view.say
        if self._over is not None or self._interrupts > _ENDS_TURN:
            engine.stop_soon(0.0)
        elif self._interrupts < _ENDS_TURN:
            holding = self._hold(engine)
            self._holding = asyncio.get_running_loop().create_task(holding)
        else:
            engine.end_turn(self._thread_id)
            if engine.followed():
                say("Ctrl-C again ends the turn that another terminal follows, too")

    async def _hold(self, engine: Engine) -> None:
        """Have no turn of the thread follow until somebody says so, and begin to stop."""
        say = self._errand.view.say
        with contextlib.suppress(StoreError):
            await engine.submit(self._thread_id, PauseRequested(reason="interrupt"))
        running = engine.session(self._thread_id).run is not None
        turn = ": the running turn may end; Ctrl-C again ends it at once" if running else ""
        say(f"no turn of this thread follows{turn}")
        if engine.followed():
            say(_FOLLOWED)
        engine.hand_over(self._thread_id)


async def _left(engine: Engine, thread_id: str, over: Over) -> Over:
    """Pause the goal that came after the one of this run: nobody has asked for work on it."""
    if over.next_goal is None:
        return over
    why = "the run was for the goal before it, and nobody has asked for work on this one"
    paused = PauseRequested(expected_goal_id=over.next_goal, now=True, note=why)
    reply = await engine.submit(thread_id, paused)
    return over._replace(said=f"{over.said}; it is paused until then") if reply.ok else over
