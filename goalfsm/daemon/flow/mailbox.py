"""One thread's events, one after the other, each decided on the state that the last one left.

A mailbox has no task. Whatever has come to it by the next turn of the loop is decided in one go, as
a chain of commits of one transaction. Only when that is durable is the new state installed and are
the effects handed on, so that nothing is done that a crash could take back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import repeat
from typing import TYPE_CHECKING, Final, NamedTuple

from goalfsm.daemon.flow.decide import (
    Envelope,
    PendingCommit,
    UndecidableError,
    decide_batch,
    decode_reply,
)
from goalfsm.daemon.flow.ports import Landed
from goalfsm.errors import GoalError, OutcomeUnknown, StoreError, StoreUnavailable
from goalfsm.session.state import Reply
from goalfsm.store.port import Committed, Conflict, Duplicate, Invalid

if TYPE_CHECKING:
    import asyncio

    from goalfsm.daemon.flow.ports import Aftermath, Decided
    from goalfsm.daemon.host.platform import Clock, IdSource
    from goalfsm.session.context import Rules
    from goalfsm.session.state import Session
    from goalfsm.store.port import Commit, Outcome
    from goalfsm.store.pump import Pump

_PATIENCE: Final = 3
_CHAIN: Final = 64
"""Most events decided in one go, so that no thread keeps the others waiting."""


class Standing(NamedTuple):
    """How a thread stands in the store; ``older``: an earlier version of the rules decided last."""

    session: Session
    revision: int = 0
    older: bool = False


class Deciding(NamedTuple):
    """What every mailbox of an engine decides and commits with."""

    clock: Clock
    ids: IdSource
    rules: Rules
    pump: Pump
    load: Callable[[str], Standing]
    aftermath: Aftermath


class Mailbox:
    """One thread's committed session and what waits to be decided about it."""

    __slots__ = (
        "__weakref__",
        "_chain",
        "_conflicts",
        "_deciding",
        "_older",
        "_over",
        "_queued",
        "_troubled",
        "_unknown",
        "mail",
        "revision",
        "session",
        "thread_id",
    )

    def __init__(self, deciding: Deciding, thread_id: str) -> None:
        """Begin with nothing read; the first event, or `load`, reads what is stored."""
        self._deciding = deciding
        self.thread_id = thread_id
        self.revision = 0
        self.session: Session | None = None
        """The committed session, None while it has not been read."""
        self._older = False
        self.mail: list[Envelope] = []  # not a deque: an empty one takes more than a session
        self._chain: list[PendingCommit] = []
        self._queued = False
        """Whether the pump is going to ask for what is to be committed."""
        self._conflicts = 0
        self._troubled = False
        self._unknown = False
        self._over: GoalError | None = None

    def load(self) -> Session:
        """Return the committed session, read where that has not been done.

        Raises `StoreError` where it cannot be read now, `CodecError` where it never can.
        """
        if self.session is None:
            self.session, self.revision, self._older = self._deciding.load(self.thread_id)
        return self.session

    @property
    def busy(self) -> bool:
        """Return whether something is being decided or made durable."""
        return bool(self._chain or self.mail)

    def take(self, envelope: Envelope, *, first: bool = False) -> asyncio.Future[Reply]:
        """Decide ``envelope`` after all that came before, or ``first``; return its future.

        The future raises a `StoreError` only for an envelope that is not to be kept.
        """
        if self._over is not None:
            envelope.fail(self._over)
        elif first:
            self.mail.insert(0, envelope)
        else:
            self.mail.append(envelope)
        self._stir()
        return envelope.future

    def again(self) -> bool:
        """Go on after the store failed: commit what has an unknown outcome, decide the rest.

        Returns whether something is under way, or kept from it by the store.
        """
        if self._troubled:
            self._troubled = False
            self._stir()
        return self.busy or self._troubled

    def _stir(self) -> None:
        if not self._queued and not self._troubled:
            self._queued = True
            self._deciding.pump.ready(self)

    def abandon(self, error: GoalError) -> None:
        """Fail everything that waits or comes: this engine may not write any more."""
        self._troubled = True
        self._over = error
        waiting = [pending.envelope for pending in self._chain] + list(self.mail)
        self._chain = []
        self.mail.clear()
        for envelope in waiting:
            envelope.fail(error)

    def commits(self) -> Sequence[Commit]:
        """Decide what has come, as one chain, and return what is to be committed of it."""
        while not self._troubled:
            if self._chain:
                waiting = [each.commit for p in self._chain for each in p.decided[p.landed :]]
                if waiting:
                    return waiting
                self._land([])
            elif self.mail and (session := self.session or self._read()) is not None:
                self._decide_all(session)
            else:
                break
        self._rest()
        return ()

    def _rest(self) -> None:
        """Say that nothing is left to decide, or ask to be asked again."""
        self._queued = False
        if self.mail:
            self._stir()
        elif not self._troubled:
            self._deciding.aftermath.quiet(self.thread_id)

    def _decide_all(self, session: Session) -> None:
        """Decide what waits, as one chain, up to so many events."""
        revision, events, older = self.revision, 0, self._older
        while self.mail and events < _CHAIN:
            envelope = self.mail.pop(0)
            if envelope.future.cancelled():
                continue
            try:
                pending = self._decide(envelope, session, revision, older=older)
            except StoreError as error:
                # A batch that reads the store met trouble: nothing of it has been decided. What
                # was decided before it is committed first; then it is tried again.
                self.mail.insert(0, envelope)
                if not self._chain:
                    self._trouble(error)
                return
            if pending is None:
                continue
            self._chain.append(pending)
            if pending.decided:
                session = pending.decided[-1].ready.state
                revision += len(pending.decided)
                events += len(pending.decided)
                older = False

    def _read(self) -> Session | None:
        """Return the committed session, None where it cannot be read."""
        try:
            return self.load()
        except StoreError as error:
            self._trouble(error)
        except GoalError as error:
            waiting = list(self.mail)
            self.mail.clear()
            for envelope in waiting:
                envelope.fail(error)
        return None

    def _trouble(self, error: StoreError) -> None:
        """Keep what is to be kept until the store works again, and tell everybody else."""
        self._troubled = True
        self.mail = [one for one in self.mail if not _failed_outside(one, error)]
        self._deciding.aftermath.stuck(self.thread_id, error)

    def _decide(
        self, envelope: Envelope, session: Session, revision: int, *, older: bool
    ) -> PendingCommit | None:
        """Decide an envelope's events; None when that failed, which its future then says.

        Raises the `StoreError` of a batch that reads the store.
        """
        deciding = self._deciding
        try:
            every, reply = decide_batch(
                session,
                revision,
                envelope,
                thread_id=self.thread_id,
                rules=deciding.rules,
                next_id=deciding.ids.event_id,
                now_ms=deciding.clock.now_ms,
                older=older,
            )
        except UndecidableError as fault:
            # Whoever sent it is told; others go on.
            deciding.aftermath.failed(self.thread_id, fault.error, fault.undecided)
            envelope.fail(fault.error)
            return None
        return PendingCommit(envelope, every, reply)

    def settled(self, result: Sequence[Outcome] | StoreError) -> None:
        """Install what became durable, and go on."""
        if self._chain:
            self._land(repeat(result) if isinstance(result, StoreError) else result)
        self._rest()

    def _land(self, results: Iterable[Outcome | StoreError]) -> None:
        """Install what became durable, answer, and put back what did not."""
        following = iter(results)
        answered: list[PendingCommit] = []
        landed: list[Decided] = []
        stopped: Outcome | StoreError | None = None
        chain, self._chain = self._chain, []
        for pending in chain:
            first = pending.landed
            stopped = pending.land(following, again=self._unknown)
            landed += pending.decided[first : pending.landed]
            if stopped is not None:
                break
            answered.append(pending)
        before = self.session
        if landed:
            self.session, self._older = landed[-1].ready.state, False
            self.revision += len(landed)
        rest = chain[len(answered) :]
        if stopped is not None:
            stopped = self._stop(stopped, rest)
        if not isinstance(stopped, StoreError):
            self._unknown = False
        if landed and before is not None:
            self._conflicts = 0
            done: tuple[str, ...] = ()
            for each in landed:
                done += each.commit.outbox_done
            after = landed[-1].ready.state
            decided = tuple(landed)
            self._deciding.aftermath.landed(Landed(self.thread_id, before, after, decided, done))
        for pending in answered:
            pending.envelope.answer(pending.reply)
        if isinstance(stopped, StoreError):
            self._deciding.aftermath.stuck(self.thread_id, stopped)

    def _stop(  # noqa: C901  one case an outcome
        self, why: Outcome | StoreError, rest: list[PendingCommit]
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
                others = [each for each in others if not _failed_outside(each.envelope, why)]
            case Duplicate(revision=revision, reply=reply):
                if revision > self.revision and (failed := self._reload(first)):
                    return self._stop(failed, rest)
                first.envelope.answer(decode_reply(reply))
            case Invalid(reason=reason):
                first.envelope.answer(Reply(ok=False, code="too_large", message=reason))
            case Conflict():
                others = rest
                if failed := self._reload(first):
                    return self._stop(failed, rest)
                if self._conflicts > _PATIENCE:
                    first.envelope.fail(StoreUnavailable(f"thread {self.thread_id} conflicts"))
                    others = rest[1:]
            case Committed():  # pragma: no cover - what is committed stops nothing
                return why
        self.mail[:0] = [pending.envelope for pending in others]
        return why

    def _reload(self, pending: PendingCommit) -> StoreError | None:
        """Go on from what is stored: somebody wrote the thread behind this engine's back."""
        try:
            self.session, self.revision, self._older = self._deciding.load(self.thread_id)
        except StoreError as error:
            return error
        self._conflicts = _PATIENCE + 1 if pending.landed else self._conflicts + 1
        return None


def _failed_outside(envelope: Envelope, error: StoreError) -> bool:
    if envelope.kept:
        return False
    envelope.fail(error)
    return True
