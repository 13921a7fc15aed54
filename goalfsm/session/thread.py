"""One thread: the object between the pure function and whatever persists and does.

It owns the loop of decisions: an event with its id and its time goes in, what to persist and then
to do comes out. It does no I/O, asks for no time and draws nothing: what a decision is given
besides the event follows from the thread's id, the event's id and its time, so that the same
events give the same states again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from hashlib import blake2b
from typing import Final, Literal, NamedTuple, Protocol

from goalfsm.errors import GoalError
from goalfsm.session import codec
from goalfsm.session.context import OUR_RULES, Context, Rules, Step, Zones
from goalfsm.session.continuation import answer_digest, answer_shape, answer_step
from goalfsm.session.effects import Effect
from goalfsm.session.events import (
    Event,
    Message,
    Outcome,
    RulesChanged,
    RunDispatched,
    RunFinished,
)
from goalfsm.session.policy import Policy
from goalfsm.session.rules.handle import handle
from goalfsm.session.rules.runs import KEYS_KEPT
from goalfsm.session.state import RULES_VERSION, Decision, Reply, Session
from goalfsm.session.work import Queued, next_wake, queued

__all__ = [
    "KEYS_KEPT",
    "DerivedIds",
    "GoalThread",
    "Ready",
    "ReplayError",
    "Replayed",
    "Row",
    "context_of",
    "handle",
]

_ID_BYTES: Final = 16
_JITTER_BYTES: Final = 8
_JITTER_SCALE: Final = 1 / 2 ** (8 * _JITTER_BYTES)


class DerivedIds:
    """Ids that follow from what they are for: the same event gives the same ones again."""

    __slots__ = ("_count", "_seed")

    def __init__(self, seed: bytes) -> None:
        """Derive from ``seed``."""
        self._seed = seed
        self._count = 0

    def __call__(self, kind: Literal["goal", "claim"]) -> str:
        """Return the next id of ``kind``."""
        self._count += 1
        text = b"%b\0%b\0%d" % (self._seed, kind.encode(), self._count)
        return f"{kind[0]}-{blake2b(text, digest_size=_ID_BYTES).hexdigest()}"


def context_of(
    thread_id: str,
    event_id: str,
    at_ms: int,
    *,
    zones: Zones | None = None,
    rules: Rules = OUR_RULES,
) -> Context:
    """Return what the decision about an event at ``at_ms`` (unix ms) is given.

    Ids and jitter are derived from ``thread_id`` and ``event_id``: a journal row holds all of it.
    """
    seed = f"{thread_id}\0{event_id}".encode()
    draw = blake2b(seed, digest_size=_JITTER_BYTES).digest()
    jitter = int.from_bytes(draw, "big") * _JITTER_SCALE
    return Context(at_ms, DerivedIds(seed), jitter, zones, rules)


class Ready(NamedTuple):
    """What one event made of a thread: persist ``event`` and ``state``, then do ``effects``.

    ``effects`` are done in their order, ``AppendEntry`` by the commit itself. ``wake_at`` is when
    (unix ms) a ``TimerFired`` is due; None when nothing happens by itself.
    """

    event: Event
    state: Session
    effects: tuple[Effect, ...] = ()
    reply: Reply | None = None
    decision: Decision | None = None
    wake_at: int | None = None

    @property
    def step(self) -> Step:
        """Return the same as ``handle`` returned it."""
        return Step(self.state, self.effects, self.reply, self.decision)

    def snapshot(self) -> bytes:
        """Return the state as ``GoalThread.load`` takes it; equal states give equal bytes."""
        return codec.encode(self.state)


class Row(Protocol):
    """A row of a journal: an event, when it was decided, under which rules, what came of it.

    ``digest`` is that of the snapshot after it, see ``goalfsm.session.codec.digest``.
    """

    @property
    def revision(self) -> int:
        """Return the number of the row; the first one of a thread is 1."""
        ...

    @property
    def event(self) -> bytes:
        """Return the event, as ``goalfsm.session.codec.encode_event`` writes it."""
        ...

    @property
    def event_id(self) -> str:
        """Return the event's id."""
        ...

    @property
    def at_ms(self) -> int:
        """Return when the event was decided, in unix milliseconds."""
        ...

    @property
    def rules_version(self) -> int:
        """Return the version of the rules that decided it."""
        ...

    @property
    def digest(self) -> bytes:
        """Return the digest of the snapshot after it."""
        ...


class Replayed(NamedTuple):
    """A row of a journal that was decided again with the same outcome, and the state before it."""

    row: Row
    before: Session
    ready: Ready


class ReplayError(GoalError):
    """A journal does not give its states again; ``revision`` is the row that it stops at.

    Codes: ``other_rules`` and ``journal_gap`` (nothing can be said of this row and what follows),
    ``state_differs``.
    """

    code = "state_differs"
    hint = "run: goalfsm doctor"

    def __init__(self, message: str, *, code: str, revision: int) -> None:
        """Say what is wrong with the row ``revision``."""
        super().__init__(message, code=code)
        self.revision = revision


class GoalThread:
    """One thread, its session after the last event, and the rules that decide."""

    __slots__ = ("_rules", "_session", "_thread_id", "_zones")
    _context = staticmethod(context_of)

    def __init__(
        self,
        session: Session,
        *,
        thread_id: str = "",
        rules: Rules = OUR_RULES,
        zones: Zones | None = None,
    ) -> None:
        """Go on from ``session``; see ``new`` and ``load``."""
        self._session = session
        self._thread_id = thread_id
        self._rules = rules
        self._zones = zones

    @classmethod
    def new(
        cls,
        policy: Policy | None = None,
        *,
        thread_id: str = "",
        rules: Rules = OUR_RULES,
        zones: Zones | None = None,
    ) -> GoalThread:
        """Return a thread without a goal, run by ``policy``.

        ``thread_id`` is part of what new ids are derived from: give threads of one store
        different ones. ``zones`` reads the time zones in what providers say of resets.
        """
        session = Session() if policy is None else Session(policy=policy)
        return cls(session, thread_id=thread_id, rules=rules, zones=zones)

    @classmethod
    def load(
        cls,
        snapshot: bytes,
        *,
        thread_id: str = "",
        rules: Rules = OUR_RULES,
        zones: Zones | None = None,
    ) -> GoalThread:
        """Return the thread of a snapshot; raises ``CodecError`` for other bytes."""
        return cls(codec.decode(snapshot), thread_id=thread_id, rules=rules, zones=zones)

    @property
    def session(self) -> Session:
        """Return the session after the last event."""
        return self._session

    @property
    def queued(self) -> Queued | None:
        """Return the turn that waits to be begun; None where none does."""
        return queued(self._session)

    def step(self, event: Event, *, id: str, at_ms: int) -> Ready:  # noqa: A002  what a row calls it
        """Decide ``event``, which happened at ``at_ms`` (unix ms), and go on from what it made.

        ``id`` names the event: a second event of the same id and time is decided as the first.
        What a rule of the embedder's raises is passed on, and the thread stays as it was.
        """
        context = self._context(self._thread_id, id, at_ms, zones=self._zones, rules=self._rules)
        session, effects, reply, decision = handle(self._session, event, context)
        self._session = session
        return Ready(event, session, effects, reply, decision, next_wake(session))

    def begin_turn(
        self,
        run_id: str,
        token: str,
        *,
        can: Collection[str] = (),
        id: str,  # noqa: A002  what a row calls it
        at_ms: int,
    ) -> Ready:
        """Dispatch the turn that the thread waits for, its wind-down where one is owed.

        ``run_id`` and ``token`` are new ones; ``token`` authorises what the run reports. ``can``
        names what its worker can do: ``steer``, ``compact``. A thread has one run at a time:
        where another one is open the reply is ``run_open``.
        """
        waits = self.queued
        event = RunDispatched(
            run_id=run_id,
            token=token,
            turn=self._session.next_turn,
            wind_down=waits is not None and waits.wind_down,
            can_steer="steer" in can,
            can_compact="compact" in can,
        )
        return self.step(event, id=id, at_ms=at_ms)

    def end_turn(  # noqa: PLR0913  what a turn may come to
        self,
        outcome: Outcome = "finished",
        message: Message | None = None,
        *,
        answer: str = "",
        progress: bool = False,
        tools_ok: int = 0,
        tools_failed: int = 0,
        id: str,  # noqa: A002  what a row calls it
        at_ms: int,
    ) -> Ready:
        """End the open turn; ``message`` is the model's last one, with the error that it ended by.

        For the progress rules are ``answer``, the counts of tools that returned and failed, and
        ``progress``: the worker itself said that it got somewhere.
        Raises ``GoalError`` with the code ``no_run`` where no turn is open.
        """
        run = self._session.run
        if run is None:
            raise GoalError("no turn is open", code="no_run", hint="begin_turn() opens one")
        event = RunFinished(
            run_id=run.run_id,
            turn=run.turn,
            outcome=outcome,
            message=message,
            answer_digest=answer_digest(answer),
            answer_shape=answer_shape(answer),
            answer_step=answer_step(answer),
            said_progress=progress,
            answer_length=len(answer),
            tools_ok=tools_ok,
            tools_failed=tools_failed,
        )
        return self.step(event, id=id, at_ms=at_ms)

    @classmethod
    def replay(
        cls,
        rows: Iterable[Row],
        policy: Policy | None = None,
        *,
        thread_id: str = "",
        rules: Rules = OUR_RULES,
        zones: Zones | None = None,
    ) -> Iterator[Replayed]:
        """Decide a journal again; yield every row that gives its state again.

        It begins with the first row, or where earlier versions of the rules wrote that, with the
        ``RulesChanged`` that follows what they wrote. ``policy`` is what the thread began with, see
        ``Session.began_with``. Raises ``ReplayError`` at the first row that does not follow the
        row before it, gives another state, or was written by rules from which no way leads here.
        """
        thread = cls.new(policy, thread_id=thread_id, rules=rules, zones=zones)
        revision = 0
        other: Row | None = None
        for row in rows:
            revision += 1
            if row.revision != revision:
                message = f"the journal goes on with row {row.revision} where {revision} belongs"
                raise ReplayError(message, code="journal_gap", revision=row.revision)
            if row.rules_version != RULES_VERSION:
                other = row
                continue
            event = codec.decode_event(row.event)
            if other is not None and isinstance(event, RulesChanged):
                snapshot, other = event.state.encode(), None
                thread = cls.load(snapshot, thread_id=thread_id, rules=rules, zones=zones)
            if other is not None:
                break
            before = thread.session
            ready = thread.step(event, id=row.event_id, at_ms=row.at_ms)
            if codec.digest(ready.snapshot()) != row.digest:
                message = f"row {row.revision}, decided again, gives another state"
                raise ReplayError(message, code="state_differs", revision=row.revision)
            yield Replayed(row, before, ready)
        if other is not None:
            message = f"row {other.revision} was written by rules {other.rules_version}"
            raise ReplayError(message, code="other_rules", revision=other.revision)
