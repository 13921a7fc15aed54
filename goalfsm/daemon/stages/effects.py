"""Do what was committed: after its commit, at least once, harmless the second time."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Generator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec
import structlog

from goalfsm.daemon.flow.beginnings import is_owed, is_wanted
from goalfsm.daemon.flow.scripts import Marked
from goalfsm.daemon.flow.turn import compaction_ended
from goalfsm.daemon.stages.live_run import LiveRun
from goalfsm.errors import GoalError
from goalfsm.goal.model import LIMITED, Status
from goalfsm.session import effects as f
from goalfsm.session import events as e
from goalfsm.views.prompts import render_turn, steering_text, wind_down_text
from goalfsm.workers.protocol import Compaction, Work

if TYPE_CHECKING:
    from goalfsm.daemon.flow.decide import Opened
    from goalfsm.daemon.flow.mailbox import Actor
    from goalfsm.daemon.flow.scripts import Said
    from goalfsm.daemon.hub import Hub
    from goalfsm.session.state import Session, Step

_log = structlog.get_logger(__name__)


class CallbackCall(msgspec.Struct, frozen=True, kw_only=True):
    """What an embedder's callback gets; equal ``key`` means the same call, made once more."""

    thread_id: str
    goal_id: str
    name: str
    status: Status
    key: str


Callback = Callable[[CallbackCall], Awaitable[Any] | Any]
"""Called when a goal has entered a status; at least once. What it raises is logged."""


class Doer:
    """Does the effects of all threads."""

    def __init__(self, engine: Hub, callbacks: Mapping[str, Callback]) -> None:
        """Do effects for ``engine``; call ``callbacks`` by name."""
        self._engine = engine
        self._callbacks = dict(callbacks)
        self._calling: set[str] = set()

    def do(self, actor: Actor, opened: Opened) -> None:  # noqa: C901 - one case an effect
        """Start doing an effect; it is marked as done when it is."""
        key, effect = opened
        match effect:
            case f.SendWork(kind="continuation"):
                self._continuation(actor, opened)
            case f.SendWork():
                self._wind_down(actor, opened)
            case f.StartRun(run_id=run_id):
                self._start(actor, run_id, key)
            case f.EndRun(run_id=run_id, reason=reason):
                self._end(actor, run_id, reason, key)
            case f.DeliverSteering(run_id=run_id, message_id=message_id, text=text):
                self._steer(actor, run_id, message_id, text, key)
            case f.RunVerifier(claim_id=claim_id, index=index):
                self._engine.verification.begin(actor, claim_id, index, key)
            case f.CompactContext(goal_id=goal_id):
                self._once(key, partial(self._compact, actor, goal_id, key))
            case f.WatchProcess(pid=pid, started=started):
                live = self._engine.live(actor.thread_id)
                if live is not None:
                    live.spare(pid)
                self._engine.watchers.watch(actor, pid, started, key)
            case f.RunCallback(name=name, goal_id=goal_id, status=status):
                call = CallbackCall(
                    thread_id=actor.thread_id, goal_id=goal_id, name=name, status=status, key=key
                )
                self._once(key, partial(self._call, actor, call))
            # An abort is a host's: work that is queued here is never stale when it is dispatched.
            case f.AppendEntry() | f.AbortRun():  # pragma: no cover - done by the commit itself
                self._engine.mark_done(actor, key)

    # Queued work.

    def _continuation(self, actor: Actor, opened: Opened) -> None:
        actor.continuation = self._one_of(actor, actor.continuation, opened, is_wanted)

    def _wind_down(self, actor: Actor, opened: Opened) -> None:
        actor.wind_down = self._one_of(actor, actor.wind_down, opened, is_owed)
        live = self._engine.live(actor.thread_id)
        if (
            actor.wind_down is opened
            and live is not None
            and actor.session.run is not None
            and actor.session.run.can_steer
        ):
            self._once(opened.key, partial(self._steer_wind_down, actor, live, opened))

    def _one_of(
        self,
        actor: Actor,
        known: Opened | None,
        opened: Opened,
        fits: Callable[[Session, str], bool],
    ) -> Opened:
        """Keep the one that the thread waits for: one is enough, and the other is done with.

        What comes last need not be it, when an earlier engine's effects are done again.
        """
        if known is None or known.key == opened.key:
            return opened
        session = actor.session
        wants_known = fits(session, _goal_of(known)) and not fits(session, _goal_of(opened))
        kept, dropped = (known, opened) if wants_known else (opened, known)
        self._engine.mark_done(actor, dropped.key)
        return kept

    async def _steer_wind_down(self, actor: Actor, live: LiveRun, opened: Opened) -> None:
        """Wind the work down inside the running turn; where that fails a turn of its own does."""
        goal = actor.session.goal
        if goal is None or goal.status != LIMITED:
            return
        text = wind_down_text(actor.session)
        if not await live.steer(f"wind-down-{goal.goal_id}", text):
            return

        def script(session: Session) -> Generator[Said, Step, None]:
            # A turn that has ended meanwhile may not have seen it: then it gets one of its own.
            if session.run is not None and session.run.run_id == live.run_id:
                yield Marked(e.WindDownDelivered(run_id=live.run_id), (opened.key,))

        await actor.post(script)
        self._engine.reconsider(actor)

    # Runs.

    def _start(self, actor: Actor, run_id: str, key: str) -> None:
        run = actor.session.run
        assignment = self._engine.dispatcher.take_assignment(actor.thread_id, run_id)
        if run is None or run.run_id != run_id or run.ending is not None or assignment is None:
            # It has been reconciled, or is being ended: what was not started never will be.
            self._engine.mark_done(actor, key)
            return
        try:
            prompt = render_turn(actor.session, self._engine.now_ms())
        except Exception:
            # The open run says what there is to settle; nothing of it will be started.
            self._engine.mark_done(actor, key)
            raise
        live = LiveRun(self._engine, actor, run, assignment)
        self._engine.run_begins(actor, live)
        live.start(prompt, key)

    def _end(self, actor: Actor, run_id: str, reason: str, key: str) -> None:
        live = self._engine.live(actor.thread_id)
        if live is not None and live.run_id == run_id:
            live.end("interrupted", reason)
            self._engine.mark_done(actor, key)
            return

        def script(session: Session) -> Generator[Said, Step, None]:
            if session.run is not None and session.run.run_id == run_id:
                yield e.RunInterrupted(run_id=run_id, detail=reason)

        # Nothing of it was started here, and what an earlier engine started is gone by now.
        actor.post(script)
        self._engine.mark_done(actor, key)

    def _steer(self, actor: Actor, run_id: str, message_id: str, text: str, key: str) -> None:
        live = self._engine.live(actor.thread_id)
        if live is None or live.run_id != run_id:
            # The thread keeps the message: the next prompt carries it.
            self._engine.mark_done(actor, key)
            return
        self._once(key, partial(self._deliver, actor, live, message_id, text, key))

    async def _deliver(
        self, actor: Actor, live: LiveRun, message_id: str, text: str, key: str
    ) -> None:
        sent = await live.steer(message_id, steering_text(message_id, text))
        _log.info("steering", thread_id=actor.thread_id, message_id=message_id, sent=sent)
        self._engine.mark_done(actor, key)

    # The rest.

    async def _compact(self, actor: Actor, goal_id: str, key: str) -> None:
        goal = actor.session.goal
        done = Compaction(changed=False)
        if goal is not None and goal.goal_id == goal_id:
            await actor.tell(e.CompactionStarted())
            done = await self._compacted(actor, goal_id, key)
        await actor.tell(compaction_ended(goal_id, done), done=(key,))

    async def _compacted(self, actor: Actor, goal_id: str, key: str) -> Compaction:
        goal = actor.session.goal
        try:
            assignment = await self._engine.assignment(actor.thread_id)
            if assignment is None or "compact" not in assignment.worker.capabilities:
                return Compaction(changed=False)
            work = Work(
                db=self._engine.db,
                thread_id=actor.thread_id,
                goal_id=goal_id,
                run_id=key,
                run_token="",
                turn=0 if goal is None else goal.continuations,
                objective="" if goal is None else goal.objective,
                prompt="",
                kind="compact",
                turn_timeout_s=assignment.turn_timeout_s,
                silence_timeout_s=assignment.silence_timeout_s,
                session=actor.session.worker_session,
            )
            return await assignment.worker.compact(work)
        except asyncio.CancelledError:
            raise
        except Exception:  # noqa: BLE001 - a worker of the embedder's may raise anything
            _log.exception("compaction failed", thread_id=actor.thread_id, goal_id=goal_id)
            return Compaction(changed=False)

    async def _call(self, actor: Actor, call: CallbackCall) -> None:
        callback = self._callbacks.get(call.name)
        if callback is None:
            _log.warning("no such callback", thread_id=actor.thread_id, callback=call.name)
        else:
            try:
                called = callback(call)
                if inspect.isawaitable(called):
                    await called
            except asyncio.CancelledError:
                raise
            except Exception:  # noqa: BLE001 - the embedder's function may raise anything
                _log.exception("callback raised", thread_id=actor.thread_id, callback=call.name)
        self._engine.mark_done(actor, call.key)

    def _once(self, key: str, doing: Callable[[], Awaitable[None]]) -> None:
        """Do something in a task of its own, unless that is going on already."""
        if key not in self._calling:
            self._calling.add(key)
            self._engine.spawn(self._finally(key, doing), key)

    async def _finally(self, key: str, doing: Callable[[], Awaitable[None]]) -> None:
        try:
            await doing()
        except GoalError as error:
            _log.debug("left undone", key=key, code=error.code)
        finally:
            self._calling.discard(key)


def _goal_of(opened: Opened) -> str:
    return opened.effect.goal_id if isinstance(opened.effect, f.SendWork) else ""
