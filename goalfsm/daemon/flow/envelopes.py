"""What waits to be decided about a thread, and how much of that is durable."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from goalfsm.daemon.flow.decide import ACCEPTED
from goalfsm.store.port import Committed, Duplicate

if TYPE_CHECKING:
    from collections.abc import Iterator

    from goalfsm.daemon.flow.ports import Decided, EventBatch
    from goalfsm.errors import StoreError
    from goalfsm.session.state import Reply
    from goalfsm.store.port import Outcome


class Envelope:
    """One entry of a mailbox; ``future`` gets the reply when it is durable."""

    __slots__ = ("batch", "done", "event_id", "from_inbox", "future", "kept", "named", "outside")

    def __init__(
        self,
        batch: EventBatch,
        *,
        event_id: str = "",
        outside: bool = False,
        from_inbox: bool = False,
        kept: bool = False,
        done: tuple[str, ...] = (),
    ) -> None:
        """Ask for ``batch``; its first event gets ``event_id``, and reports ``done``.

        ``outside``: it is from another process or an API call. ``from_inbox``: a row of the inbox
        waits to be consumed with it. ``kept``: a store that fails does not end the wait; what the
        engine itself has to say is always kept.
        """
        self.batch = batch
        self.future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self.event_id = event_id
        self.named = bool(event_id)
        """Whether its sender has given it an id, by which it may come a second time."""
        self.outside = outside
        self.kept = kept or not outside
        self.from_inbox = from_inbox
        self.done = done

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

    def __init__(self, envelope: Envelope, decided: list[Decided], refusal: Reply | None) -> None:
        """Note the commits of an envelope's events, or what it was refused with."""
        self.envelope = envelope
        self.decided = decided
        self.landed = 0
        last = decided[-1].ready.reply if decided else refusal
        self.reply = last or ACCEPTED

    def land(
        self, results: Iterator[Outcome | StoreError], *, again: bool
    ) -> Outcome | StoreError | None:
        """Count what is durable; return what stopped that, None when all of it is.

        ``again``: these very commits were tried before, and may be there already.
        """
        while self.landed < len(self.decided):
            result = next(results)
            if not _is_durable(result, self.decided[self.landed], again=again):
                return result
            self.landed += 1
        return None


def _is_durable(result: Outcome | StoreError, decided: Decided, *, again: bool) -> bool:
    # A repeat of this very commit, after an outcome that was unknown, finds itself; a repeat of
    # an event that was sent twice finds an earlier revision.
    match result:
        case Committed():
            return True
        case Duplicate(revision=revision):
            return again and revision == decided.commit.expected_revision + 1
        case _:
            return False
