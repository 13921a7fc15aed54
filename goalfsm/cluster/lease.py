"""A node's sign of life, and the dead-man's switch that its programs hang on.

A node renews its lease every second. Each success gives the supervisor of its programs a new
deadline, counted from before the question was sent: at 2.4 s it ends all of them by itself, also
while the node is stopped. Others take the node's runs over at 3 s of the database's clock, so
programs of one thread never run on two nodes at once. A lease that has run out is never renewed:
the node begins again under another id.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, NamedTuple, Protocol

import structlog
from tenacity import AsyncRetrying, retry_if_exception_type

from goalfsm.errors import StoreError
from goalfsm.session.state import RULES_VERSION

RENEW_S: Final = 1.0
SWITCH_S: Final = 2.4
"""After how many seconds without a renewal the supervisor ends every program."""
_RETRY_S: Final = 0.2
_LEAST_S: Final = 0.001

_log = structlog.get_logger(__name__)


class Other(NamedTuple):
    """Another node, and in how many seconds its lease runs out; 0 or less: it has."""

    node_id: str
    expires_s: float


class Registration(NamedTuple):
    """What a node says of itself; ``address`` is what its programs know it by."""

    node_id: str
    name: str
    host: str
    pid: int
    address: str
    places: tuple[str, ...]
    max_runs: int
    version: str
    rules_version: int = RULES_VERSION


class Renewed(NamedTuple):
    """The answer to a renewal: the server's clock, and the nodes that may have runs."""

    now_ms: int
    others: tuple[Other, ...]


class Nodes(Protocol):
    """The table of nodes."""

    async def register(self, node: Registration) -> int:
        """Add the node; return the server's clock in unix milliseconds."""
        ...

    async def renew(self, node_id: str) -> Renewed | None:
        """Say that the node lives; None where its lease has run out."""
        ...

    async def remove(self, node_id: str) -> None:
        """Take the node away: it has no runs any more."""
        ...


class Lease:
    """Keeps one node's lease; when it is lost, it stays lost."""

    def __init__(
        self,
        nodes: Nodes,
        node: Registration,
        *,
        deadline: Callable[[float], None],
        lost: Callable[[], None],
        renewed: Callable[[Renewed], None],
    ) -> None:
        """Renew ``node`` in ``nodes``.

        ``deadline`` is told until when, in the time of the loop, which is the system's monotonic
        clock, programs may go on; ``lost`` that the lease has run out; ``renewed`` of each success.
        """
        self._nodes = nodes
        self._node = node
        self._deadline = deadline
        self._lost = lost
        self._renewed = renewed
        self._monotonic = asyncio.get_running_loop().time
        self._until = 0.0
        self._over = False

    @property
    def alive(self) -> bool:
        """Return whether programs of this node may run now."""
        return not self._over and self._monotonic() < self._until

    async def begin(self) -> int:
        """Register the node; return the server's clock. Raises `StoreError`."""
        asked = self._monotonic()
        now_ms = await self._nodes.register(self._node)
        self._extend(asked)
        return now_ms

    async def keep(self) -> None:
        """Renew until the lease is lost or this is cancelled."""
        while not self._over:
            await asyncio.sleep(max(0.0, self._until - SWITCH_S + RENEW_S - self._monotonic()))
            await self._renew()

    async def _renew(self) -> None:
        """Renew once; what keeps the database from answering is met again until it is too late."""
        until = self._until
        trying = AsyncRetrying(
            stop=lambda _: self._over or self._monotonic() >= until,
            # A clock does not move by less than it can tell: it would be tried for ever.
            wait=lambda _: min(_RETRY_S, max(_LEAST_S, until - self._monotonic())),
            retry=retry_if_exception_type((StoreError, TimeoutError)),
            reraise=True,
        )
        asked: float
        answer: Renewed | None
        try:
            asked, answer = await trying(self._ask, until)
        except (StoreError, TimeoutError) as error:
            self._lose(repr(error))
            return
        if answer is None or self._monotonic() >= until:
            # An answer after the old deadline comes too late: the programs are being ended.
            self._lose("it ran out")
            return
        self._extend(asked)
        self._renewed(answer)

    async def _ask(self, until: float) -> tuple[float, Renewed | None]:
        asked = self._monotonic()
        async with asyncio.timeout(max(0.05, until - asked)):
            return asked, await self._nodes.renew(self._node.node_id)

    def _extend(self, asked: float) -> None:
        self._until = asked + SWITCH_S
        self._deadline(self._until)

    def _lose(self, why: str) -> None:
        if not self._over:
            self._over = True
            _log.error("the lease of this node is lost", node=self._node.name, why=why)
            self._lost()

    async def release(self) -> None:
        """Take the node away, so that nobody waits for it; a failure leaves that to time."""
        self._over = True
        try:
            await self._nodes.remove(self._node.node_id)
        except StoreError as error:
            _log.debug("the node stays listed", code=error.code)
