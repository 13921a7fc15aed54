"""A node's place among the others: one lease after the other, each under an id of its own."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec

from goalfsm.cluster.host import DatabaseTime, hostname
from goalfsm.cluster.lease import Lease, Registration

if TYPE_CHECKING:
    from collections.abc import Callable

    from goalfsm.cluster.lease import Nodes, Renewed
    from goalfsm.cluster.options import Options
    from goalfsm.daemon.host.platform import Clock, Platform


class Tenure(msgspec.Struct, eq=False):
    """The lease that this node has now, and the clock of the database, which comes with it.

    It registers in ``nodes`` what ``options`` say; programs know the node by ``address``.
    ``deadline`` and ``renewed`` are told what `goalfsm.cluster.lease.Lease` tells them.
    """

    nodes: Nodes
    options: Options
    platform: Platform
    clock: Clock
    address: str
    deadline: Callable[[float], None]
    renewed: Callable[[Renewed], None]
    lease: Lease | None = None
    node_id: str | None = None
    lost: asyncio.Event = msgspec.field(default_factory=asyncio.Event)

    def alive(self) -> bool:
        """Tell whether programs may run here: the lease of this node has not run out."""
        return self.lease is not None and self.lease.alive

    async def begin(self) -> None:
        """Begin a lease, under an id that nobody has had. Raises `StoreError`."""
        options, self.lost = self.options, asyncio.Event()
        node_id = f"{options.name}-{self.platform.entropy.new_id()}"
        node = Registration(
            node_id=node_id,
            name=options.name,
            host=hostname(),
            pid=self.platform.identity().pid,
            address=self.address,
            places=options.places,
            max_runs=options.max_runs,
            version=options.version,
        )
        lease = Lease(
            self.nodes,
            node,
            deadline=self.deadline,
            lost=self.lost.set,
            renewed=self._renewed,
        )
        self._set_clock(await lease.begin())
        self.node_id, self.lease = node_id, lease

    async def keep(self) -> None:
        """Renew the lease until it is lost or this is cancelled."""
        if self.lease is not None:
            await self.lease.keep()

    async def release(self) -> None:
        """Leave: nobody has to wait for the lease to run out."""
        if self.lease is not None:
            await self.lease.release()

    def forget(self) -> None:
        """Have no lease any more, without a word to anybody."""
        self.lease = None

    def _renewed(self, answer: Renewed) -> None:
        self._set_clock(answer.now_ms)
        self.renewed(answer)

    def _set_clock(self, now_ms: int) -> None:
        time = self.platform.clock
        if isinstance(time, DatabaseTime):
            time.tell(now_ms)
        step_ms = self.clock.step_ms()
        if step_ms:
            self.clock.adopt(step_ms)
