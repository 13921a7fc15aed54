"""One thread of work: its events one after the other, each decided on the state before it.

An actor has a mailbox and no task. Whatever is in the mailbox is decided at once, as a chain of
commits; while they are being made durable, more gathers. Only then is the new state installed
and are the effects handed on, so that nothing is done that a crash could take back.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, Protocol

from goalfsm.daemon.flow.decide import Opened, Prepared, decode_reply, prepare, without
from goalfsm.daemon.flow.posts import Part, Post
from goalfsm.daemon.flow.scripts import Marked, Script, following, single
from goalfsm.daemon.guards.quarantine import Undecided
from goalfsm.daemon.host.clock import decision_context
from goalfsm.errors import GoalError, OutcomeUnknown, StoreError, StoreUnavailable, described
from goalfsm.session.state import Reply, Session
from goalfsm.session.thread import handle
from goalfsm.store.port import Committed, Conflict, Duplicate, Refused

if TYPE_CHECKING:
    from goalfsm.daemon.host.clock import World
    from goalfsm.goal.machine import GoalMachine
    from goalfsm.session.events import Event
    from goalfsm.store.port import Commit, Outcome

_PATIENCE: Final = 3
_CHAIN: Final = 64
"""Most events decided in one go, so that no thread keeps the others waiting."""


class Host(Protocol):
    """What an actor needs of its engine."""

    @property
    def world(self) -> World:
        """Time and ids."""
        ...

    @property
    def machine(self) -> GoalMachine | None:
        """The goal machine, None for the default one."""
        ...

    def submit_commits(self, commits: Sequence[Commit]) -> list[asyncio.Future[Outcome]]:
        """Make commits of one thread durable, all together."""
        ...

    def load(self, thread_id: str) -> tuple[Session, int]:
        """Return the stored session and its revision."""
        ...

    def committed(self, actor: Actor, landed: tuple[Prepared, ...]) -> None:
        """Take note of what became durable, and do its effects."""
        ...

    def store_failed(self, actor: Actor, error: StoreError) -> None:
        """Take note that the store failed; `Actor.again` ends the wait."""
        ...

    def mishap(self, actor: Actor, error: Exception, undecided: Undecided | None = None) -> None:
        """Take note that an event could not be decided, or an effect not be done."""
        ...

    def quiet(self, actor: Actor) -> None:
        """Take note that the actor has nothing more to decide."""
        ...


class Actor:
    """One thread's committed state and what waits to be decided about it."""

    __slots__ = (
        "__weakref__",
        "_chain",
        "_conflicts",
        "_futures",
        "_host",
        "_mail",
        "_over",
        "_troubled",
        "_unknown",
        "continuation",
        "halted",
        "left",
        "open",
        "revision",
        "session",
        "stops",
        "thread_id",
        "wind_down",
    )

    def __init__(self, host: Host, thread_id: str, session: Session, revision: int) -> None:
        """Go on from ``session``, which is committed as ``revision`` (0: nothing is)."""
        self._host = host
        self.thread_id = thread_id
        self.session = session
        self.revision = revision
        self.open: dict[str, Opened] = {}
        """Effects that are committed and not marked done."""
        self.continuation: Opened | None = None
        self.wind_down: Opened | None = None
        self.stops = 0
        """How many stops of a person's are being recorded: nothing may be dispatched meanwhile."""
        self.halted = False
        """Whether no turn may follow although the goal is not paused: a person wants that, or a
        fault kept something from being decided."""
        self.left: tuple[int, ...] = ()
        """Processes of the last run that could not be ended."""
        self._mail: deque[Post] = deque()
        self._chain: list[Part] = []
        self._futures: list[asyncio.Future[Outcome]] = []
        self._conflicts = 0
        self._troubled = False
        self._unknown = False
        self._over: GoalError | None = None

    def post(  # noqa: PLR0913 - the marks of a post
        self,
        script: Script,
        *,
        event_id: str | None = None,
        outside: bool = False,
        from_inbox: bool = False,
        first: bool = False,
        kept: bool = False,
    ) -> asyncio.Future[Reply]:
        """Decide ``script`` after all that came before; return a future of its last reply.

        ``first``: before all that waits. ``from_inbox``: its row is waiting to be consumed.

        The future raises a `StoreError` only for an event from ``outside`` that is not to be
        ``kept``: what the engine itself has to say is kept until the store takes it.
        """
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        post = Post(
            script, future, event_id=event_id, outside=outside, from_inbox=from_inbox, kept=kept
        )
        if self._over is not None:
            post.fail(self._over)
        elif first:
            self._mail.appendleft(post)
        else:
            self._mail.append(post)
        self._advance()
        return future

    def tell(  # noqa: PLR0913 - what `post` takes, and the marks
        self,
        event: Event,
        *,
        event_id: str | None = None,
        outside: bool = False,
        from_inbox: bool = False,
        first: bool = False,
        kept: bool = False,
        done: tuple[str, ...] = (),
    ) -> asyncio.Future[Reply]:
        """Decide one event, which reports ``done``, after all that came before; see `post`."""
        return self.post(
            single(event, done),
            event_id=event_id,
            outside=outside,
            from_inbox=from_inbox,
            first=first,
            kept=kept,
        )

    @property
    def suspended(self) -> bool:
        """Return whether a person's stop keeps the thread from being dispatched."""
        return self.halted or self.stops > 0

    @property
    def busy(self) -> bool:
        """Return whether something is being decided or made durable."""
        return bool(self._chain or self._mail)

    @property
    def waiting(self) -> int:
        """Return how many posts wait to be decided."""
        return len(self._mail)

    def again(self) -> None:
        """Go on after the store failed: submit what has an unknown outcome, decide the rest."""
        if not self._troubled:
            return
        self._troubled = False
        if self._chain:
            rest = [p for part in self._chain for p in part.prepared[part.landed :]]
            self._submit([prepared.commit for prepared in rest])
        else:
            self._advance()

    def abandon(self, error: GoalError) -> None:
        """Fail everything that waits or comes: this engine may not write any more."""
        self._troubled = True
        self._over = error
        waiting = [part.post for part in self._chain] + list(self._mail)
        self._chain = []
        self._mail.clear()
        for post in waiting:
            post.fail(error)

    def _advance(self) -> None:
        if self._chain or self._troubled:
            return
        session, revision = self.session, self.revision
        commits: list[Commit] = []
        while self._mail and len(commits) < _CHAIN:
            post = self._mail.popleft()
            if post.future.cancelled():
                continue
            part = self._decide(post, session, revision)
            if part is None:
                continue
            self._chain.append(part)
            commits += [prepared.commit for prepared in part.prepared]
            if part.prepared:
                session = part.prepared[-1].step.session
                revision += len(part.prepared)
        if commits:
            self._submit(commits)
        elif self._chain:
            self._land([])
        else:
            self._host.quiet(self)

    def _decide(self, post: Post, session: Session, revision: int) -> Part | None:
        """Run a post's script on ``session``; None when it failed, which its future then says."""
        host = self._host
        prepared: list[Prepared] = []
        script = post.script(session)
        event: Event | None = None
        event_id = post.event_id or ""
        try:
            said = next(script, None)
            while said is not None:
                event, done, takes = said if isinstance(said, Marked) else (said, (), ())
                event_id = (post.event_id if not prepared else None) or host.world.event_id()
                at_ms = host.world.now_ms()
                context = decision_context(self.thread_id, event_id, at_ms, host.machine)
                step = handle(session, event, context)
                refused = step.reply is not None and not step.reply.ok
                if refused and revision == 0 and not post.from_inbox:
                    # A thread begins with something that was accepted.
                    return Part(post, [], step.reply)
                record = prepare(
                    self.thread_id,
                    revision,
                    event,
                    step,
                    event_id=event_id,
                    at_ms=at_ms,
                    outside=post.outside,
                    done=done,
                )
                for effect in takes:
                    prepared = [without(earlier, effect) for earlier in prepared]
                prepared.append(record)
                session, revision = step.session, revision + 1
                said = following(script, step)
        except Exception as error:  # noqa: BLE001 - whoever posted it is told; others go on
            host.mishap(self, error, Undecided(event, event_id, post.outside, post.from_inbox))
            post.fail(error)
            return None
        return Part(post, prepared, None)

    def _submit(self, commits: list[Commit]) -> None:
        self._futures = self._host.submit_commits(commits)
        # Commits are applied in order: when the last is settled, all are.
        self._futures[-1].add_done_callback(self._settled)

    def _settled(self, _: asyncio.Future[Outcome]) -> None:
        futures, self._futures = self._futures, []
        results: list[Outcome | StoreError] = []
        for future in futures:
            error = future.exception()
            if error is None:
                results.append(future.result())
            elif isinstance(error, StoreError):
                results.append(error)
            else:
                # A defect of the store's: nothing is known to be written, so it is tried again.
                results.append(StoreUnavailable(described(error)))
        if self._chain:
            self._land(results)

    def _land(self, results: list[Outcome | StoreError]) -> None:
        """Install what became durable, answer, and put back what did not."""
        following = iter(results)
        answered: list[Part] = []
        landed: list[Prepared] = []
        stopped: Outcome | StoreError | None = None
        chain, self._chain = self._chain, []
        for part in chain:
            before = part.landed
            stopped = part.land(following, again=self._unknown)
            landed += part.prepared[before : part.landed]
            if stopped is not None:
                break
            answered.append(part)
        if landed:
            self.session = landed[-1].step.session
            self.revision += len(landed)
        rest = chain[len(answered) :]
        if stopped is not None:
            stopped = self._stop(stopped, rest)
        if not isinstance(stopped, StoreError):
            self._unknown = False
        if landed:
            self._conflicts = 0
            self._host.committed(self, tuple(landed))
        for part in answered:
            part.post.answer(part.reply)
        if isinstance(stopped, StoreError):
            self._host.store_failed(self, stopped)
        else:
            self._advance()

    def _stop(  # noqa: C901 - one case an outcome
        self, why: Outcome | StoreError, rest: list[Part]
    ) -> Outcome | StoreError:
        """Decide what becomes of a chain whose first part did not become durable as a whole.

        Returns what stopped it in the end: the store may fail when it is asked how things stand.
        """
        first, *others = rest
        match why:
            case StoreError() if self._unknown or isinstance(why, OutcomeUnknown):
                # The very same commits again: those that are there already say so. That a later
                # try wrote nothing says nothing of the first one.
                self._chain = rest
                self._troubled = self._unknown = True
                return why
            case StoreError():
                self._troubled = True
                if first.landed:
                    self._chain = [first]
                else:
                    others = rest
                others = [part for part in others if not _failed_outside(part, why)]
            case Duplicate(revision=revision, reply=reply):
                if revision > self.revision and (failed := self._reload(first)):
                    return self._stop(failed, rest)
                first.post.answer(decode_reply(reply))
            case Refused(reason=reason):
                first.post.answer(Reply(ok=False, code="too_large", message=reason))
            case Conflict():
                others = rest
                if failed := self._reload(first):
                    return self._stop(failed, rest)
                if self._conflicts > _PATIENCE:
                    first.post.fail(StoreUnavailable(f"thread {self.thread_id} conflicts"))
                    others = rest[1:]
            case Committed():  # pragma: no cover - what is committed stops nothing
                return why
        self._mail.extendleft(part.post for part in reversed(others))
        return why

    def _reload(self, part: Part) -> StoreError | None:
        """Go on from what is stored: somebody wrote the thread behind this engine's back."""
        try:
            self.session, self.revision = self._host.load(self.thread_id)
        except StoreError as error:
            return error
        self._conflicts = _PATIENCE + 1 if part.landed else self._conflicts + 1
        return None


def _failed_outside(part: Part, error: StoreError) -> bool:
    if part.post.kept:
        return False
    part.post.fail(error)
    return True
