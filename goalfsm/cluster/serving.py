"""What people and the programs of its turns ask of a node; `goalfsm.daemon.flow.ports.Serving`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec

from goalfsm.cluster.hearing import Hearing
from goalfsm.daemon.flow.decide import Envelope
from goalfsm.daemon.flow.notices import Output, StatusChanged
from goalfsm.errors import StoreClosed
from goalfsm.session.codec import sealed
from goalfsm.views.status import project
from goalfsm.views.tool_answers import respond

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from goalfsm.cluster.hearing import Words
    from goalfsm.cluster.threads import ClusterThreads
    from goalfsm.daemon.flow.notices import Notice
    from goalfsm.daemon.host.platform import Clock, IdSource
    from goalfsm.daemon.stages.subscriptions import Subscriptions
    from goalfsm.session.events import Event
    from goalfsm.session.state import Reply, Session
    from goalfsm.views.status import Status
    from goalfsm.views.tool_answers import ToolResponse


class ClusterService(msgspec.Struct, eq=False):
    """Answers from outside; it dispatches and performs nothing itself.

    Everything is refused once ``over`` is set.
    ``said`` is what a thread's turn here has said, ``words`` what turns at other nodes have.
    """

    threads: ClusterThreads
    subscriptions: Subscriptions
    clock: Clock
    ids: IdSource
    over: asyncio.Event
    said: Callable[[str], Output | None]
    words: Words

    async def submit(self, thread_id: str, event: Event, event_id: str | None = None) -> Reply:
        """Decide an event from outside; return the reply when both are durable.

        An ``event_id`` that was used before changes nothing and gets the first reply again. Raises
        `StoreError` where the database cannot be reached.
        """
        self.check_open()
        envelope = Envelope(sealed(event), event_id=event_id or self.ids.new_id(), outside=True)
        return await asyncio.shield(self.threads.take(thread_id, envelope))

    async def call(self, thread_id: str, event: Event, event_id: str | None = None) -> ToolResponse:
        """Have a tool's call decided; return what the model is told."""
        reply = await self.submit(thread_id, event, event_id)
        _, session = await self.threads.look(thread_id)
        return respond(reply, session, self.clock.now_ms())

    async def follow(
        self, thread_id: str, *, after_revision: int | None = None, successor: int | None = None
    ) -> AsyncGenerator[Notice, None]:
        """Yield what happens to the thread from now on: first where it stands.

        What its turns say at other nodes comes about half a second later.
        """
        del after_revision, successor  # who follows a thread on a server reads the database
        self.check_open()
        follower = self.subscriptions.follow(thread_id)
        said = self.said(thread_id)
        hearing = Hearing(follower, self.words, said)
        listening = asyncio.ensure_future(hearing.listen())
        try:
            yield StatusChanged(thread_id=thread_id, status=await self.status(thread_id))
            if said is not None:
                yield said
            async for notice in follower:
                told = hearing.unheard(notice) if isinstance(notice, Output) else notice
                if told is not None:
                    yield told
        finally:
            listening.cancel()
            self.subscriptions.leave(follower)

    async def session(self, thread_id: str) -> Session:
        """Return the thread's session as it stands now; a new one when there is none."""
        _, session = await self.threads.look(thread_id)
        return session

    async def status(self, thread_id: str) -> Status:
        """Return the thread as every surface shows it."""
        session = await self.session(thread_id)
        return project(session, self.clock.now_ms(), thread_id=thread_id)

    def check_open(self) -> None:
        """Raise where the node has stopped."""
        if self.over.is_set():
            raise StoreClosed("the node has stopped", hint="Start it again.")
