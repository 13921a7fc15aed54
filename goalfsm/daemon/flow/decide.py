"""Deciding what was sent to a thread, and what a decision becomes in the store."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, cast

from goalfsm.daemon.flow.notices import public
from goalfsm.daemon.flow.ports import Decided, Task, Undecided
from goalfsm.daemon.host.zones import zone
from goalfsm.errors import StoreError, described
from goalfsm.session import codec
from goalfsm.session import events as e
from goalfsm.session.effects import TOLD, AppendEntry, SendWork
from goalfsm.session.state import RULES_VERSION, Decision, Reply, Session
from goalfsm.session.thread import GoalThread
from goalfsm.session.work import label
from goalfsm.store import port
from goalfsm.store.limits import too_large

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from goalfsm.daemon.flow.ports import EventBatch
    from goalfsm.daemon.host.platform import IdSource
    from goalfsm.session.context import Rules
    from goalfsm.session.thread import Ready

ACCEPTED: Final = Reply(ok=True)
"""The reply to an event that nobody refuses."""

FAULT_HINT: Final = "The log says where; goalfsm explain THREAD, then goalfsm resume THREAD."
KEEP_ERROR: Final = 1_000


class Envelope:
    """One entry of a mailbox; ``future`` gets the reply when it is durable."""

    __slots__ = ("asked", "done", "event_id", "from_inbox", "future", "kept", "named", "outside")

    def __init__(
        self,
        asked: e.Event | EventBatch,
        *,
        event_id: str = "",
        outside: bool = False,
        from_inbox: bool = False,
        kept: bool = False,
        done: tuple[str, ...] = (),
    ) -> None:
        """Have ``asked`` decided: an event, or events that are committed as one piece.

        The first gets ``event_id``, and reports the effects ``done``, by their keys, in its commit.
        ``outside``: it is from another process or an API call. ``from_inbox``: a row of the inbox
        waits to be consumed with it. ``kept``: a store that fails does not end the wait; what the
        engine itself has to say is always kept.
        """
        self.asked = asked
        self.future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self.event_id = event_id
        self.named = bool(event_id)
        """Whether its sender has given it an id, by which it may come a second time."""
        self.outside = outside
        self.kept = kept or not outside
        self.from_inbox = from_inbox
        self.done = done

    def identify(self, ids: IdSource) -> str:
        """Return the id of the event, which has one of its own from then on."""
        self.event_id = self.event_id or ids.event_id()
        return self.event_id

    def answer(self, reply: Reply) -> None:
        """Give the sender the reply."""
        if not self.future.done():
            self.future.set_result(reply)

    def fail(self, error: Exception) -> None:
        """Give the sender the error in place of a reply."""
        if not self.future.done():
            self.future.set_exception(error)
            # Whoever does not wait for the reply does not want to hear of it either.
            self.future.exception()


class PendingCommit:
    """What an envelope became in a chain of commits; the first ``landed`` of them are durable."""

    __slots__ = ("decided", "envelope", "landed", "reply")

    def __init__(self, envelope: Envelope, decided: list[Decided], reply: Reply) -> None:
        """Note the commits of an envelope's events, none where it was refused, and the reply."""
        self.envelope = envelope
        self.decided = decided
        self.landed = 0
        self.reply = reply

    def land(
        self, results: Iterator[port.Outcome | StoreError], *, again: bool
    ) -> port.Outcome | StoreError | None:
        """Count what is durable; return what stopped that, None when all of it is.

        ``again``: these very commits were tried before, and may be there already.
        """
        while self.landed < len(self.decided):
            result = next(results)
            if not isinstance(result, port.Committed):
                # A repeat of this very commit, after an outcome that was unknown, finds itself; a
                # repeat of an event that was sent twice finds an earlier revision.
                revision = self.decided[self.landed].commit.expected_revision + 1
                itself = isinstance(result, port.Duplicate) and result.revision == revision
                if not (again and itself):
                    return result
            self.landed += 1
        return None


class UndecidableError(Exception):
    """An event met a fault: ``undecided`` is the event, ``error`` what was raised."""

    def __init__(self, undecided: Undecided, error: Exception) -> None:
        """Say which event could not be decided, and why."""
        super().__init__(undecided, error)
        self.undecided = undecided
        self.error = error


def decide_batch(
    session: Session,
    revision: int,
    envelope: Envelope,
    *,
    thread_id: str,
    rules: Rules,
    next_id: Callable[[], str],
    now_ms: Callable[[], int],
    older: bool = False,
) -> tuple[list[Decided], Reply]:
    """Decide what ``envelope`` asks for on ``session``, which stands at ``revision``.

    ``older``: an earlier version of the rules has brought the session there.
    Returns what to commit as one piece, and the reply: nothing where what would have begun the
    thread is refused. Raises `UndecidableError` for a fault, and the `StoreError` of a batch that
    reads the store: then nothing of it is to be committed.
    """
    thread = GoalThread(session, thread_id=thread_id, rules=rules, zones=zone)
    every: list[Decided] = []
    event: e.Event | None = None
    named = event_id = envelope.event_id
    done, reply = envelope.done, ACCEPTED
    try:
        if older:
            every = rules_changed(thread, revision, thread_id, id=next_id(), at_ms=now_ms())
            revision += len(every)
        asked = envelope.asked
        batch = asked(thread.session) if callable(asked) else None
        event = next(batch, None) if batch is not None else cast("e.Event", asked)
        while event is not None:
            event_id, at_ms = named or next_id(), now_ms()
            ready = thread.step(event, id=event_id, at_ms=at_ms)
            reply = ready.reply or ACCEPTED
            if not reply.ok and revision == 0 and not envelope.from_inbox:
                # A thread begins with something that was accepted.
                return [], reply
            every.append(
                prepare(
                    thread_id,
                    revision,
                    ready,
                    event_id=event_id,
                    at_ms=at_ms,
                    outside=envelope.outside,
                    done=done,
                )
            )
            if batch is None:
                break
            named, done, revision = "", (), revision + 1
            try:
                event = batch.send(ready)
            except StopIteration:
                event = None
    except StoreError:
        raise
    except Exception as error:
        undecided = Undecided(event, event_id, envelope.outside, envelope.from_inbox)
        raise UndecidableError(undecided, error) from error
    return every, reply


def rules_changed(
    thread: GoalThread,
    revision: int,
    thread_id: str,
    *,
    id: str,  # noqa: A002  what a row calls it
    at_ms: int,
) -> list[Decided]:
    """Return what tells a replay from which state on these rules decide about ``thread``.

    Nothing where the state is too large to be kept twice: the thread goes on without a replay.
    """
    event = e.RulesChanged(state=codec.encode(thread.session).decode())
    ready = thread.step(event, id=id, at_ms=at_ms)
    decided = prepare(thread_id, revision, ready, event_id=id, at_ms=at_ms)
    return [] if too_large(decided.commit) else [decided]


def prepare(
    thread_id: str,
    revision: int,
    ready: Ready,
    *,
    event_id: str,
    at_ms: int,
    outside: bool = False,
    done: tuple[str, ...] = (),
) -> Decided:
    """Return the commit of ``ready``, which an event made of the state at ``revision``.

    ``outside``: the event came from another process or an API call, so its reply is kept for
    the case that it is sent again. ``done`` are keys of effects that this event reports as done.
    """
    event = ready.event
    state = codec.encode(ready.state)
    outbox: list[Task] = []
    orders: list[port.Effect] = []
    history: list[bytes] = []
    for index, effect in enumerate(ready.effects):
        if isinstance(effect, AppendEntry):
            history.append(codec.encode_entry(effect.entry))
        elif not isinstance(effect, SendWork):
            # A turn that waits to be begun is begun by the scheduler, see `session.work`.
            key = key_of(thread_id, revision + 1, index)
            outbox.append(Task(thread_id, key, effect))
            if not isinstance(effect, TOLD):
                kind, payload = type(effect).__name__, codec.encode_effect(effect)
                orders.append(port.Effect(key=key, kind=kind, payload=payload))
    commit = port.Commit(
        thread_id=thread_id,
        expected_revision=revision,
        at_ms=at_ms,
        event_id=event_id,
        event=codec.encode_event(event),
        decision=_decided(ready, at_ms),
        state=state,
        digest=codec.digest(state),
        rules_version=RULES_VERSION,
        wake_at_ms=ready.wake_at,
        status=label(ready.state),
        outbox=tuple(orders),
        outbox_done=done,
        history=tuple(history),
        inbox_id=event_id if outside else None,
        reply=codec.encode_reply(ready.reply or ACCEPTED) if outside else None,
    )
    return Decided(commit, ready, tuple(outbox))


def key_of(thread_id: str, revision: int, index: int) -> str:
    """Return the key of an effect: the ``index``-th that the event of ``revision`` asks for."""
    return f"{thread_id}/{revision}/{index}"


def revision_of(key: str) -> int:
    """Return the revision of the event that asked for the effect of ``key``."""
    return int(key.rsplit("/", 2)[1])


def _decided(ready: Ready, at_ms: int) -> bytes | None:
    """Return what the journal says of an event: the decision, or that and why it was refused."""
    if ready.decision is not None:
        return codec.encode_decision(ready.decision)
    reply = ready.reply
    if reply is None or reply.ok:
        return None
    refused = Decision(
        decision="refused", guard=reply.code, reason=reply.message or reply.code, at_ms=at_ms
    )
    return codec.encode_decision(refused)


def failure_of(undecided: Undecided | None, error: Exception) -> e.DecisionFailed:
    """Return a fault as an event: what could not be decided, without secrets, and why.

    None stands for an effect that could not be done.
    """
    text = described(error)[:KEEP_ERROR]
    if undecided is None or undecided.event is None:
        return e.DecisionFailed(kind="an effect" if undecided is None else "an event", error=text)
    return e.DecisionFailed(
        kind=type(undecided.event).__name__,
        error=text,
        event_id=undecided.event_id,
        event=public(undecided.event),
    )


def reopened(row: port.OpenEffect) -> Task:
    """Return an open outbox row as what is to be done."""
    return Task(row.thread_id, row.key, codec.decode_effect(row.payload))


def decode_reply(reply: bytes | None) -> Reply:
    """Return a stored reply; where none was kept the event was accepted."""
    return ACCEPTED if reply is None else codec.decode_reply(reply)
