"""One engine at a time: claim the store, say that we live, notice when another has taken over."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import structlog
from tenacity import AsyncRetrying, retry_if_result, wait_fixed

from goalfsm.daemon.guards.liveness import Liveness
from goalfsm.daemon.host.tasks import beats_every
from goalfsm.errors import Corrupt, DatabaseReplaced, Fenced, GoalError, StoreError
from goalfsm.store.port import EXPIRY_MS, Acquired, Held

if TYPE_CHECKING:
    from collections.abc import Callable

    from goalfsm.daemon.host.platform import Platform
    from goalfsm.store.port import Store

HEARTBEAT_S: Final = 2.0
STALLED_MS: Final = 5_000
"""Silence beyond two heartbeats: the owner hangs, so it is worth waiting for its expiry."""

_RETRY_S: Final = 0.25
_LOCKED_S: Final = 5.0

_log = structlog.get_logger(__name__)


class Owned(GoalError):
    """Another process owns the database and is alive."""

    code = "owned"
    hint = "goalfsm doctor names it: talk to it with the same commands, or stop it first."


async def acquire(
    store: Store, platform: Platform, *, socket: str, wait_s: float = 0.0
) -> Acquired:
    """Become the store's owner; raise `Owned` when another is alive.

    A dead owner is replaced at once; a silent one, and one that does not answer on its socket, at
    its expiry. One that was stopped inside a transaction is killed then, if it is this user's.
    ``wait_s``: how many seconds to wait for one that is well to leave.
    """
    loop = asyncio.get_running_loop()
    begun = loop.time()
    liveness = Liveness(platform.clock.uptime_ms)

    async def attempt() -> tuple[Acquired | Held, bool]:
        """Return the answer, and whether it is worth asking again."""
        # Its row may look silent because another process holds the lock: it is well all the same.
        known = store.owner.current()
        is_well = (
            known is not None
            and not known.resting
            and platform.clock.uptime_ms() - known.uptime_ms >= STALLED_MS
            and await liveness.unanswered_ms(known) == 0
        )
        answer = _ask(store, platform, socket, 0 if is_well else None)
        hangs = False
        if isinstance(answer, Held) and answer.owner is not None and not answer.locked:
            unanswered_ms = await liveness.unanswered_ms(answer.owner)
            hangs = bool(unanswered_ms)
            if hangs:
                answer = _ask(store, platform, socket, unanswered_ms)
        while isinstance(answer, Held):
            waits = _worth_waiting(answer, loop.time() - begun, wait_s, hangs=hangs)
            if not waits or not platform.end_stalled(answer):
                return answer, waits
            _log.warning("a stalled owner was ended", pid=_pid(answer))
            answer = _ask(store, platform, socket)
        return answer, False

    trying = AsyncRetrying(wait=wait_fixed(_RETRY_S), retry=retry_if_result(lambda told: told[1]))
    answer: Acquired | Held
    answer, _ = await trying(attempt)
    if isinstance(answer, Held):
        raise _owned(answer)
    return answer


def _ask(
    store: Store, platform: Platform, socket: str, unanswered_ms: int | None = None
) -> Acquired | Held:
    return store.owner.acquire(
        platform.identity(),
        socket=socket,
        uptime_ms=platform.clock.uptime_ms(),
        unanswered_ms=unanswered_ms,
    )


def _worth_waiting(held: Held, passed: float, wait_s: float, *, hangs: bool) -> bool:
    if passed < wait_s:
        return True
    if held.locked and passed < _LOCKED_S:
        return True
    # A hanging owner expires, unless it stirs; a lock that outlasts its owner's expiry does not.
    stalls = hangs or held.silent_for_ms >= STALLED_MS
    return stalls and passed < wait_s + 2 * EXPIRY_MS / 1000


def _owned(held: Held) -> Owned:
    pid = _pid(held)
    if pid is None:
        return Owned(
            "another process is using the database",
            hint="Try again in a moment; goalfsm doctor names the owner.",
        )
    return Owned(f"process {pid} serves this database already")


def _pid(held: Held) -> int | None:
    return None if held.owner is None else held.owner.identity.pid


class Heartbeat:
    """Says every two seconds that this engine lives, while that is owed; has it look around.

    An engine with nothing under way owes no sign of life, and writes nothing: whoever wants to
    know whether it hangs asks its socket.
    """

    def __init__(
        self,
        store: Store,
        platform: Platform,
        *,
        failed: Callable[[StoreError], None],
        look: Callable[[], None],
        is_busy: Callable[[], bool],
    ) -> None:
        """Say it while ``is_busy``; tell ``failed`` what went wrong; ``look`` each time."""
        self._store = store
        self._platform = platform
        self._failed = failed
        self._look = look
        self._is_busy = is_busy
        self._handle: asyncio.TimerHandle | None = None
        self._beaten_ms: int | None = None
        """When it was said last. Not yet: the claim may have been long ago, if we stood still."""

    def start(self) -> None:
        """Beat from now on."""
        self._arm()

    def confirm(self) -> bool:
        """Tell whether the store is still ours, asking it where we were silent for too long.

        An engine that stood still may have been replaced, and must not start anything first.
        Raises any other `StoreError`: then nobody knows.
        """
        beaten_ms = self._beaten_ms
        if beaten_ms is not None and self._platform.clock.uptime_ms() - beaten_ms < EXPIRY_MS:
            return True
        try:
            self._say()
        except Fenced as error:
            self.stop()
            self._failed(error)
            return False
        return True

    def _arm(self) -> None:
        self._handle = asyncio.get_running_loop().call_later(HEARTBEAT_S, self._beat)

    def stop(self) -> None:
        """Beat no more."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    @beats_every(HEARTBEAT_S)
    def _beat(self) -> None:
        self._arm()
        try:
            if self._is_busy():
                self._say()
            else:
                self._rest()
            self._store.verify()
            self._look()
        except (Fenced, DatabaseReplaced, Corrupt) as error:
            self.stop()
            self._failed(error)
        except StoreError as error:
            # Commits meet the same trouble and deal with it; until then we are only silent.
            _log.warning("heartbeat failed", code=error.code, error=error.message)

    def _rest(self) -> None:
        """Owe nothing from now on: the next worker is started after a sign of life."""
        self._store.owner.rest()
        self._beaten_ms = None

    def _say(self) -> None:
        now_ms = self._platform.clock.uptime_ms()
        self._store.owner.heartbeat(uptime_ms=now_ms)
        self._beaten_ms = now_ms
