"""What one decision becomes in the store: the commit, the keys of its effects, a label."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import msgspec

from goalfsm.daemon.flow.ports import Decided, Task, Undecided, WithDone
from goalfsm.errors import described
from goalfsm.goal.model import ACTIVE, STATUSES
from goalfsm.session import codec
from goalfsm.session import events as e
from goalfsm.session.effects import TOLD, AppendEntry, SendWork
from goalfsm.session.state import RULES_VERSION, Decision, Reply, Session
from goalfsm.session.work import under_way
from goalfsm.store import port

if TYPE_CHECKING:
    from collections.abc import Generator

    from goalfsm.daemon.flow.notices import Happened
    from goalfsm.daemon.flow.ports import EventBatch, Said
    from goalfsm.session.thread import GoalThread, Ready

ACCEPTED: Final = Reply(ok=True)
"""The reply to an event that nobody refuses."""

FAULT_HINT: Final = "The log says where; goalfsm explain THREAD, then goalfsm resume THREAD."
KEEP_ERROR: Final = 1_000
_LOOKED_UP: Final = (
    e.Expecting,
    e.RunInterrupted,
    e.VerificationFinished,
    e.DecisionFailed,
)
"""What a journal can be asked for by kind: commands, and what is rare and matters for long."""
_SECRETS: Final = ("token", "run_token")
_MOVING: Final = "*"
NEED_ENGINE: Final = frozenset({ACTIVE, *(f"{status}{_MOVING}" for status in ("none", *STATUSES))})
"""The labels of threads that an engine has to look at when it starts."""


def single(event: e.Event, done: tuple[str, ...] = ()) -> EventBatch:
    """Return the batch of one event, which reports ``done``."""

    def batch(_: Session) -> Generator[Said, Ready, None]:
        yield WithDone(event, done) if done else event

    return batch


class Asking:
    """What is being decided, for whoever has to say what could not be."""

    __slots__ = ("event", "event_id", "from_inbox", "outside")

    def __init__(self, event_id: str, *, outside: bool, from_inbox: bool) -> None:
        """Begin with no event; the first one gets ``event_id``."""
        self.event: e.Event | None = None
        self.event_id = event_id
        self.outside = outside
        self.from_inbox = from_inbox

    def undecided(self) -> Undecided:
        """Return the event as one that could not be decided, with where it came from."""
        return Undecided(self.event, self.event_id, self.outside, self.from_inbox)


def decide_batch(
    thread: GoalThread,
    revision: int,
    batch: EventBatch,
    asking: Asking,
    *,
    thread_id: str,
    next_id: Callable[[], str],
    now_ms: Callable[[], int],
) -> tuple[list[Decided], Reply | None]:
    """Decide the events of ``batch`` on ``thread``, which stands at ``revision``.

    Returns what to commit as one piece; or nothing and the refusal of what would have begun the
    thread. Raises whatever the batch or a rule raises: then nothing of it is to be committed.
    """
    every: list[Decided] = []
    said_by = batch(thread.session)
    said = next(said_by, None)
    while said is not None:
        asking.event, done = said if isinstance(said, WithDone) else (said, ())
        asking.event_id = (not every and asking.event_id) or next_id()
        at_ms = now_ms()
        ready = thread.step(asking.event, id=asking.event_id, at_ms=at_ms)
        refused = ready.reply is not None and not ready.reply.ok
        if refused and revision == 0 and not asking.from_inbox:
            # A thread begins with something that was accepted.
            return [], ready.reply
        decided = prepare(
            thread_id,
            revision,
            ready,
            event_id=asking.event_id,
            at_ms=at_ms,
            outside=asking.outside,
            done=done,
        )
        every.append(decided)
        revision += 1
        try:
            said = said_by.send(ready)
        except StopIteration:
            said = None
    return every, None


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
    session, event = ready.state, ready.event
    state = ready.snapshot()
    outbox: list[Task] = []
    history: list[bytes] = []
    for index, effect in enumerate(ready.effects):
        if isinstance(effect, AppendEntry):
            history.append(codec.encode_entry(effect.entry))
        elif not isinstance(effect, SendWork):
            # A turn that waits to be begun is begun by the scheduler, see `session.work`.
            outbox.append(Task(thread_id, key_of(thread_id, revision + 1, index), effect))
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
        status=label(session),
        outbox=tuple(
            port.Effect(key=key, kind=type(effect).__name__, payload=codec.encode_effect(effect))
            for _, key, effect in outbox
            if not isinstance(effect, TOLD)
        ),
        outbox_done=done,
        history=tuple(history),
        inbox_id=event_id if outside else None,
        reply=codec.encode_reply(ready.reply or ACCEPTED) if outside else None,
        kind=type(event).__name__ if isinstance(event, _LOOKED_UP) else "",
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


def public(event: e.Event) -> dict[str, Any]:
    """Return an event's fields without those that authorise anybody to act as a run."""
    fields: dict[str, Any] = msgspec.to_builtins(event)
    for name in _SECRETS:
        fields.pop(name, None)
    return fields


def notice_of(row: port.JournalRow) -> Happened:
    """Return the notice of an event that was committed some time ago; nobody kept its reply."""
    from goalfsm.daemon.flow.notices import Happened  # noqa: PLC0415  only for who looks on

    return Happened(
        thread_id=row.thread_id,
        revision=row.revision,
        at_ms=row.at_ms,
        event=public(codec.decode_event(row.event)),
        decision=None if row.decision is None else codec.decode_decision(row.decision),
    )


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


def label(session: Session) -> str:
    """Return the text by which the thread is listed: its status, marked while work is under way.

    Only marked and active threads need an engine's attention when it starts.
    """
    status = "none" if session.goal is None else session.goal.status
    return status + _MOVING if under_way(session) else status


def status_of(listed: str) -> str:
    """Return the goal's status from a label of a listing, ``none`` without a goal."""
    return listed.removesuffix(_MOVING)


def needs_engine(listed: str) -> bool:
    """Tell from its label whether a thread has to be looked at when an engine starts."""
    return listed in NEED_ENGINE
