"""The threads that an engine has in memory, and why no turn of theirs may start.

A thread is read when it is needed and let go when nothing is going on. `Holds` is the one place
that says why no turn may start, of a thread or of all of them.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final

import structlog

from goalfsm.daemon.flow.decide import Envelope
from goalfsm.daemon.flow.mailbox import Deciding, Mailbox, Standing
from goalfsm.errors import StoreError, described
from goalfsm.goal.machine import default_machine
from goalfsm.session import codec
from goalfsm.session.context import Rules
from goalfsm.session.state import RULES_VERSION, Session

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from goalfsm.daemon.flow.ports import Aftermath, EventBatch, Report
    from goalfsm.daemon.host.platform import Clock, IdSource
    from goalfsm.goal.machine import GoalMachine
    from goalfsm.session.events import Event
    from goalfsm.session.policy import Policy
    from goalfsm.session.state import Reply
    from goalfsm.store.port import Store
    from goalfsm.store.pump import Pump

KEEP_QUIET: Final = 256
"""How many quiet threads stay in memory, so that the next event need not read them."""

STARTING: Final = "starting"
"""The engine has not yet taken over what an earlier one left."""
SHUTDOWN: Final = "shutdown"
"""The engine lets running turns finish and begins no other."""
OVER: Final = "over"
"""The engine commits nothing more."""
OUTAGE: Final = "store"
"""The store cannot commit."""
HALTED: Final = "halted"
"""A fault met the thread, or a person's stop was refused: a person has to take it up again."""
ENDING: Final = "ending"
"""What the thread has asked for and wants no more, a verifier or so, is being ended."""
PROCESSES: Final = "processes"
"""Processes of the thread's last run live and cannot be ended."""
STOP: Final = "stop "
"""What the reason of a person's stop begins with that is not durable yet; a number follows."""
_TOLD: Final = {
    OVER: "the engine commits nothing more",
    OUTAGE: "the store cannot commit",
    STARTING: "the engine takes over what an earlier one left",
    SHUTDOWN: "the engine shuts down",
    HALTED: "a fault was met, or a stop was refused; goalfsm resume takes it up",
    PROCESSES: "processes of the last turn live and cannot be ended",
}
"""What is told of a reason; one that passes by itself within moments is not."""

_log = structlog.get_logger(__name__)


class Threads:
    """All mailboxes of an engine, by thread; the inbox and the sessions of every other part."""

    def __init__(
        self,
        store: Store,
        pump: Pump,
        clock: Clock,
        ids: IdSource,
        *,
        policy: Policy,
        machine: GoalMachine | None,
        aftermath: Aftermath,
        report: Report,
    ) -> None:
        """Read from ``store``, commit by ``pump``; a new thread gets ``policy``."""
        self._store = store
        self._policy = policy
        self._aftermath = aftermath
        self._report = report
        self._deciding = Deciding(
            clock, ids, Rules(machine or default_machine()), pump, self.stored, aftermath
        )
        self._all: dict[str, Mailbox] = {}
        self._quiet: OrderedDict[str, None] = OrderedDict()
        self._unreadable: set[str] = set()
        """Threads of which it was said that what is stored cannot be decoded."""

    # What the stages ask.

    def send(
        self, thread_id: str, event: Event, *, done: tuple[str, ...] = (), event_id: str = ""
    ) -> asyncio.Future[Reply]:
        """Decide one event of the engine's own, which reports ``done``; it is always kept."""
        return self._mailbox(thread_id).take(Envelope(event, event_id=event_id, done=done))

    def run(self, thread_id: str, batch: EventBatch) -> asyncio.Future[Reply]:
        """Decide and commit the events of ``batch`` as one piece; they are always kept."""
        return self._mailbox(thread_id).take(Envelope(batch))

    def take(
        self, thread_id: str, envelope: Envelope, *, first: bool = False
    ) -> asyncio.Future[Reply]:
        """Decide ``envelope`` after all that waits for the thread, or ``first``."""
        return self._mailbox(thread_id).take(envelope, first=first)

    def session(self, thread_id: str) -> Session:
        """Return the thread's committed session, a new one when there is none.

        Raises `StoreError` where it cannot be read now, `CodecError` where it never can.
        """
        known = self._all.get(thread_id)
        if known is None:
            return self.stored(thread_id)[0]
        return known.session or known.load()

    def known(self, thread_id: str) -> Session | None:
        """Return the committed session of a thread in memory, None of any other."""
        known = self._all.get(thread_id)
        return None if known is None else known.session

    def busy(self, thread_id: str) -> bool:
        """Tell whether something of the thread is being decided or made durable."""
        known = self._all.get(thread_id)
        return known is not None and known.busy

    def waiting(self, thread_id: str) -> int:
        """Return how many events of the thread wait to be decided."""
        known = self._all.get(thread_id)
        return 0 if known is None else len(known.mail)

    # What the guards ask.

    def open(self, thread_id: str) -> Session:
        """Return the thread's session and keep it in memory; raise as `session` does."""
        session = self._mailbox(thread_id).load()
        self._quiet[thread_id] = None
        return session

    def readable(self, thread_id: str) -> Session | None:
        """Return the thread's session; None, and say why, where it cannot be read."""
        try:
            return self.open(thread_id)
        except codec.CodecError as error:
            if thread_id not in self._unreadable:
                self._unreadable.add(thread_id)
                _log.exception("thread cannot be read", thread_id=thread_id)
                self._report(thread_id, error.code, error.message, error.hint)
        except StoreError as error:
            _log.debug("thread cannot be read now", thread_id=thread_id, error=described(error))
            self._aftermath.stuck(None, error)
        return None

    def is_stored(self, thread_id: str) -> bool:
        """Tell whether anything was ever committed of a thread in memory."""
        known = self._all.get(thread_id)
        return known is not None and known.revision > 0

    def ids(self) -> list[str]:
        """Return the threads in memory."""
        return list(self._all)

    def again(self, thread_id: str) -> bool:
        """Have a thread go on after the store failed; return whether it has to say how that went.

        It has when it is at work, or has met the store's failure again.
        """
        known = self._all.get(thread_id)
        return known is not None and known.again()

    def abandon(self, error: StoreError) -> None:
        """Fail everything that waits or comes: this engine may not write any more."""
        for mailbox in list(self._all.values()):
            mailbox.abandon(error)

    def stored(self, thread_id: str) -> Standing:
        """Return what is stored of the thread; a new session at revision 0."""
        stored = self._store.sessions.load(thread_id)
        if stored is None:
            return Standing(Session(policy=self._policy))
        older = stored.rules_version < RULES_VERSION
        return Standing(codec.decode(stored.state), stored.revision, older)

    # What is in memory.

    def quiet(self, thread_id: str) -> None:
        """Take note that a thread has nothing to decide; let the longest quiet ones go."""
        if thread_id not in self._all:
            return
        self._quiet[thread_id] = None
        self._quiet.move_to_end(thread_id)
        # Two for one that came, so that those which are needed now go one day, and none costs more.
        for _ in range(min(2, len(self._quiet) - KEEP_QUIET)):
            oldest, _ = self._quiet.popitem(last=False)
            mailbox = self._all.get(oldest)
            if mailbox is None:
                continue
            if mailbox.busy or self._aftermath.is_needed(oldest):
                self._quiet[oldest] = None
            else:
                del self._all[oldest]

    def _mailbox(self, thread_id: str) -> Mailbox:
        mailbox = self._all.get(thread_id)
        if mailbox is None:
            mailbox = self._all[thread_id] = Mailbox(self._deciding, thread_id)
        self._quiet.pop(thread_id, None)
        return mailbox


class Holds:
    """The reasons that are there now; a turn may start when none is against it."""

    def __init__(self, changed: Callable[[str | None, bool], None]) -> None:
        """Call ``changed(thread_id, held)`` for each change; the id is None for all threads."""
        self._changed = changed
        self._all: set[str] = set()
        self._of: dict[str, set[str]] = {}

    def add(self, reason: str, thread_id: str | None = None) -> None:
        """Let no turn start, of the thread or of any."""
        reasons = self._all if thread_id is None else self._of.setdefault(thread_id, set())
        if reason not in reasons:
            reasons.add(reason)
            self._changed(thread_id, True)  # noqa: FBT003  held, as the callback's second word

    def release(self, reason: str, thread_id: str | None = None) -> bool:
        """Take a reason back; return whether it was there."""
        reasons = self._all if thread_id is None else self._of.get(thread_id, set())
        if reason not in reasons:
            return False
        reasons.remove(reason)
        if thread_id is not None and not reasons:
            del self._of[thread_id]
        self._changed(thread_id, False)  # noqa: FBT003  not held any more
        return True

    def has(self, reason: str, thread_id: str | None = None) -> bool:
        """Tell whether that very reason is there, for the thread or for all."""
        reasons = self._all if thread_id is None else self._of.get(thread_id, ())
        return reason in reasons

    def stops(self, thread_id: str) -> bool:
        """Tell whether anything is against a turn of the thread."""
        return bool(self._all) or thread_id in self._of

    def stopped(self, thread_id: str) -> bool:
        """Tell whether a person was told that no turn of the thread follows."""
        return any(reason.startswith(STOP) for reason in self._of.get(thread_id, ()))

    def told(self, thread_id: str) -> str:
        """Return in words what keeps turns of the thread from starting; "" where nothing does."""
        reasons = self._all | self._of.get(thread_id, set())
        return "; ".join(words for reason, words in _TOLD.items() if reason in reasons)

    def of(self, thread_id: str) -> frozenset[str]:
        """Return the reasons that hold this thread alone."""
        return frozenset(self._of.get(thread_id, ()))
