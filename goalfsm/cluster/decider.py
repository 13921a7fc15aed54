"""Decide in one transaction under the thread's row lock: no owner, no cache, no epoch.

Whoever it is, a node or a command, reads the thread under its lock, decides what was said about it,
and writes journal, snapshot, effects and jobs before the lock is free. A commit of which nobody
knows whether it is there is decided again: the first event of every batch has an id, and whether
that is known is looked at first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

import msgspec

from goalfsm.cluster.jobs import ANY, is_over, jobs_of, place_of, waits_for_turn
from goalfsm.cluster.tx import Ask, Writes
from goalfsm.daemon.flow.decide import ACCEPTED, UndecidableError, decide_batch, decode_reply
from goalfsm.errors import GoalError
from goalfsm.session import codec
from goalfsm.session.effects import TOLD
from goalfsm.session.state import RULES_VERSION, Reply, Session
from goalfsm.store.limits import too_large

if TYPE_CHECKING:
    from goalfsm.cluster.tx import Loaded, Program, Transactions, Tx
    from goalfsm.daemon.flow.decide import Envelope
    from goalfsm.daemon.flow.ports import Decided, Undecided
    from goalfsm.daemon.host.platform import IdSource
    from goalfsm.session.context import Rules
    from goalfsm.session.policy import Policy
    from goalfsm.store.rows import Transcript


_NEWEST: Final = 64


class NewerRules(GoalError):
    """A newer version has decided about the thread: an older one may not go on from there."""

    code = "newer_rules"
    hint = "Upgrade goalfsm here; nodes of the newer version go on with the thread."

    def __init__(self, rules_version: int) -> None:
        """Say which rules have decided about the thread."""
        self.rules_version = rules_version
        super().__init__(
            f"rules {rules_version} have decided about the thread, "
            f"this program knows {RULES_VERSION}"
        )


class Failure(NamedTuple):
    """What could not be decided, and why."""

    envelope: Envelope
    error: Exception
    undecided: Undecided


class Decision(NamedTuple):
    """What became of envelopes: the thread before and after, what was decided, who is told what.

    ``at_ms`` is the database's clock at the load.
    """

    before: Session
    session: Session
    revision: int
    wake_at_ms: int | None
    at_ms: int
    program: Program | None
    decided: tuple[Decided, ...]
    done: tuple[str, ...]
    answers: tuple[tuple[Envelope, Reply], ...]
    failures: tuple[Failure, ...]
    has_run: bool
    """Whether the node that decided has the thread's open run."""


class Attempt:
    """Envelopes of one thread that are decided together, until it is known what became of them."""

    __slots__ = ("envelopes", "last", "loaded", "thread_id")

    def __init__(self, thread_id: str, envelopes: Sequence[Envelope]) -> None:
        """Keep the envelopes, of which no transaction has been tried yet."""
        self.thread_id = thread_id
        self.envelopes = tuple(envelopes)
        self.last: Decision | None = None
        """What was decided the last time, and may be there or not."""
        self.loaded: Loaded | None = None
        """How the thread stood under the lock, for batches that have to know who has its run."""


class Said(Protocol):
    """What turns said that is still to be kept: with the next change of their thread."""

    def unkept(self, thread_id: str) -> tuple[Transcript, ...]:
        """Return what is to be kept of a thread."""
        ...

    def kept(self, transcripts: Sequence[Transcript]) -> None:
        """Take note of what is durable."""
        ...


class Decider(msgspec.Struct, eq=False):
    """Decides about any thread, for one node or command.

    It decides in ``transactions``; a new thread gets ``policy``.
    ``node_id()`` is the node that has the runs that are opened here, None where none are.
    ``host`` is where processes are that the thread comes to wait for. ``name`` is that
    of the node, ``said`` has what turns said that is to be kept with what is decided.
    """

    transactions: Transactions
    ids: IdSource
    policy: Policy
    rules: Rules
    node_id: Callable[[], str | None] = lambda: None
    host: str = ""
    name: str = ""
    said: Said | None = None
    _newest: dict[str, tuple[bytes, Session]] = {}
    """What was encoded last of each thread: the very same bytes need no decoding."""

    async def look(self, thread_id: str) -> tuple[Loaded, Session]:
        """Return how the thread stands, and its session; the lock is free again."""
        async with self.transactions.begin() as tx:
            loaded = await tx.load(Ask(thread_id))
        return loaded, self._session(thread_id, loaded)

    async def decide(self, attempt: Attempt) -> Decision:
        """Decide the envelopes and commit what follows.

        Raises `StoreError` where nothing is known to be written: try the same attempt again.
        Raises `NewerRules`, and `CodecError` for a thread that cannot be read.
        """
        ask = self._ask(attempt)
        async with self.transactions.begin() as tx:
            decision, said = await self._write(tx, attempt, await tx.load(ask))
        self._kept(said)
        return decision

    def knows(self, thread_id: str) -> bool:
        """Tell whether the thread was decided about here, not too long ago."""
        return thread_id in self._newest

    async def decide_free(self, attempts: Sequence[Attempt]) -> dict[str, Decision]:
        """Decide about several threads in one transaction; return the decisions by thread.

        Threads that are new or locked are left out, and those that cannot be decided about. Raises
        `StoreError` as `decide` does: of all of them.
        """
        made: dict[str, Decision] = {}
        said: list[Transcript] = []
        asks = [self._ask(attempt) for attempt in attempts]
        async with self.transactions.begin() as tx:
            free = await tx.load_free(asks)
            for attempt in attempts:
                if attempt.thread_id not in free:
                    continue
                try:
                    decision, words = await self._write(tx, attempt, free[attempt.thread_id])
                except GoalError:
                    # Decided alone, it says so.
                    continue
                made[attempt.thread_id] = decision
                said += words
        self._kept(said)
        return made

    async def _write(
        self, tx: Tx, attempt: Attempt, loaded: Loaded
    ) -> tuple[Decision, tuple[Transcript, ...]]:
        """Decide on what was loaded, and write it; return what turns said that is kept with it."""
        attempt.loaded = loaded
        before, last = self._session(attempt.thread_id, loaded), attempt.last
        if last is not None and last.decided and _is_there(last, loaded):
            return last, ()
        decision = attempt.last = self._decide(attempt, loaded, before)
        if not decision.decided:
            return decision, ()
        writes = self._writes(attempt.thread_id, loaded, decision)
        self._newest.pop(attempt.thread_id, None)
        if len(self._newest) >= _NEWEST:
            del self._newest[next(iter(self._newest))]
        self._newest[attempt.thread_id] = writes.commits[-1].state, decision.session
        await tx.write(writes)
        return decision, writes.said

    def is_holder(self, loaded: Loaded) -> bool:
        """Tell whether this node has the thread's open run."""
        return loaded.holder is not None and loaded.holder.node_id == self.node_id()

    def _kept(self, said: Sequence[Transcript]) -> None:
        if self.said is not None:
            self.said.kept(said)

    def _ask(self, attempt: Attempt) -> Ask:
        # One id for every attempt: by it a commit is found whose outcome nobody knew.
        identified = [(envelope, envelope.identify(self.ids)) for envelope in attempt.envelopes]
        return Ask(
            attempt.thread_id,
            tuple(
                event_id
                for envelope, event_id in identified
                if attempt.last is not None or envelope.named
            ),
            tuple(key for envelope in attempt.envelopes for key in envelope.done),
        )

    def _session(self, thread_id: str, loaded: Loaded) -> Session:
        if loaded.state is None:
            return Session(policy=self.policy)
        if loaded.rules_version > RULES_VERSION:
            raise NewerRules(loaded.rules_version)
        state, session = self._newest.get(thread_id, (None, None))
        return session if session and state == loaded.state else codec.decode(loaded.state)

    def _decide(self, attempt: Attempt, loaded: Loaded, before: Session) -> Decision:
        thread_id = attempt.thread_id
        session, revision, wake_at = before, loaded.revision, loaded.wake_at_ms
        older = loaded.state is not None and loaded.rules_version < RULES_VERSION
        every: list[Decided] = []
        answers: list[tuple[Envelope, Reply]] = []
        failures: list[Failure] = []
        replies = {each: decode_reply(known.reply) for each, known in loaded.known.items()}
        for envelope in attempt.envelopes:
            # Known from before, or sent twice in a row: then both are in this very attempt.
            if envelope.event_id in replies:
                answers.append((envelope, replies[envelope.event_id]))
                continue
            if any(key not in loaded.open for key in envelope.done):
                # Somebody else has done that effect, and said so.
                answers.append((envelope, ACCEPTED))
                continue
            try:
                decided, reply = decide_batch(
                    session,
                    revision,
                    envelope,
                    thread_id=thread_id,
                    rules=self.rules,
                    next_id=self.ids.event_id,
                    now_ms=lambda: loaded.now_ms,
                    older=older,
                )
            except UndecidableError as fault:
                # Whoever sent it is told; others go on.
                failures.append(Failure(envelope, fault.error, fault.undecided))
                continue
            reason = next(filter(None, (too_large(each.commit) for each in decided)), None)
            if reason is not None:
                answers.append((envelope, Reply(ok=False, code="too_large", message=reason)))
                continue
            every += decided
            if decided:
                session, wake_at = decided[-1].ready.state, decided[-1].ready.wake_at
                older = False
                revision += len(decided)
            answers.append((envelope, reply))
            if decided:
                replies[envelope.event_id] = reply
        return Decision(
            before=before,
            session=session,
            revision=revision,
            wake_at_ms=wake_at,
            at_ms=loaded.now_ms,
            program=loaded.program,
            decided=tuple(every),
            done=tuple(key for each in every for key in each.commit.outbox_done),
            answers=tuple(answers),
            failures=tuple(failures),
            has_run=session.run is not None
            # One that is opened here is this node's; one that goes on is its holder's.
            and (self.is_holder(loaded) or _run_id(session) != _run_id(before)),
        )

    def _writes(self, thread_id: str, loaded: Loaded, decision: Decision) -> Writes:
        before, session = decision.before, decision.session
        place = ANY if loaded.program is None else loaded.program.place
        tasks = [
            (task, place_of(task.effect, place, self.host))
            for each in decision.decided
            for task in each.outbox
            if not isinstance(task.effect, TOLD)
        ]
        run_before, run = _run_id(before), _run_id(session)
        holder = None if loaded.holder is None else loaded.holder.node_id
        node_id = None if run is None else holder if run == run_before else self.node_id()
        woken = (loaded.wake_at_ms, decision.wake_at_ms)
        going_on = (before.run, before.claim, before.check, session.claim, session.check)
        elsewhere = holder is not None and holder != self.node_id()
        busy = elsewhere or any(each is not None for each in going_on[1:]) or bool(before.waits)
        return Writes(
            commits=tuple(each.commit for each in decision.decided),
            places={task.key: where for task, where in tasks},
            run_id=run,
            node_id=node_id,
            turn=waits_for_turn(session),
            over=is_over(before, session),
            told=busy,
            jobs=jobs_of(thread_id, before, session, tasks, place=place, woken=woken),
            said=() if self.said is None else self.said.unkept(thread_id),
            node=self.name,
        )


def _run_id(session: Session) -> str | None:
    return None if session.run is None else session.run.run_id


def _is_there(last: Decision, loaded: Loaded) -> bool:
    """Tell whether what was decided before is what was committed: as a whole or not at all."""
    first = last.decided[0].commit
    known = loaded.known.get(first.event_id)
    return known is not None and known.revision == first.expected_revision + 1
