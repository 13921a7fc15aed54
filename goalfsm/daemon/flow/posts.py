"""What waits to be decided about a thread, and how much of that is durable."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from goalfsm.daemon.flow.decide import ACCEPTED, Prepared
from goalfsm.daemon.flow.scripts import Script
from goalfsm.errors import StoreError
from goalfsm.session.state import Reply
from goalfsm.store.port import Committed, Duplicate, Outcome


class Post:
    """One entry of a mailbox; ``future`` gets the reply when it is durable."""

    __slots__ = ("event_id", "from_inbox", "future", "kept", "outside", "script")

    def __init__(  # noqa: PLR0913 - what becomes of it, mark by mark
        self,
        script: Script,
        future: asyncio.Future[Reply],
        *,
        event_id: str | None = None,
        outside: bool = False,
        from_inbox: bool = False,
        kept: bool = False,
    ) -> None:
        """Ask for ``script``; its first event gets ``event_id``."""
        self.script = script
        self.future = future
        self.event_id = event_id
        self.outside = outside
        self.kept = kept or not outside
        self.from_inbox = from_inbox

    def answer(self, reply: Reply) -> None:
        """Give whoever waits the reply."""
        if not self.future.done():
            self.future.set_result(reply)

    def fail(self, error: Exception) -> None:
        """Give whoever waits the error."""
        if not self.future.done():
            self.future.set_exception(error)
            # Whoever does not wait for the reply does not want to hear of it either.
            self.future.exception()


class Part:
    """What one post became in a chain; ``landed`` of its events are durable."""

    __slots__ = ("landed", "post", "prepared", "reply")

    def __init__(self, post: Post, prepared: list[Prepared], refusal: Reply | None) -> None:
        """Note the records of a post's events, or what it was refused with."""
        self.post = post
        self.prepared = prepared
        self.landed = 0
        last = prepared[-1].step.reply if prepared else refusal
        self.reply = last or ACCEPTED

    def land(
        self, results: Iterator[Outcome | StoreError], *, again: bool
    ) -> Outcome | StoreError | None:
        """Count what is durable; return what stopped that, None when all of it is.

        ``again``: these very commits were tried before, and may be there already.
        """
        while self.landed < len(self.prepared):
            result = next(results)
            if not _is_durable(result, self.prepared[self.landed], again=again):
                return result
            self.landed += 1
        return None


def _is_durable(result: Outcome | StoreError, prepared: Prepared, *, again: bool) -> bool:
    # A repeat of this very commit, after an outcome that was unknown, finds itself; a repeat of
    # an event that was sent twice finds an earlier revision.
    match result:
        case Committed():
            return True
        case Duplicate(revision=revision):
            return again and revision == prepared.commit.expected_revision + 1
        case _:
            return False
