"""The threads that an engine has in memory: read when needed, let go when nothing is going on."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final

import structlog

from goalfsm.daemon.flow.decide import Envelope
from goalfsm.daemon.flow.mailbox import Deciding, Mailbox
from goalfsm.errors import StoreError, described
from goalfsm.goal.machine import default_machine
from goalfsm.session import codec
from goalfsm.session.context import Rules
from goalfsm.session.state import Session

if TYPE_CHECKING:
    import asyncio

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

    def stored(self, thread_id: str) -> tuple[Session, int]:
        """Return what is stored of the thread, and its revision; a new session at 0."""
        stored = self._store.sessions.load(thread_id)
        if stored is None:
            return Session(policy=self._policy), 0
        return codec.decode(stored.state), stored.revision

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
