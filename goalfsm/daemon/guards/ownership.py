"""One engine at a time: claim the store, say that we live, notice when another has taken over."""

from __future__ import annotations

import asyncio
import contextlib
from functools import cached_property, partial
from typing import TYPE_CHECKING, Final

import msgspec
import structlog
from tenacity import AsyncRetrying, retry_if_result, wait_fixed

from goalfsm.daemon.host.platform import beats_every
from goalfsm.daemon.remote import wire
from goalfsm.daemon.remote.link import NoEngine, require_engine
from goalfsm.errors import (
    NAMES_OWNER,
    CannotWrite,
    Corrupt,
    DatabaseReplaced,
    DiskFull,
    Fenced,
    GoalError,
    StoreError,
    StoreUnavailable,
)
from goalfsm.store.port import EXPIRY_MS, Acquired, Held
from goalfsm.text import MALFORMED

if TYPE_CHECKING:
    from collections.abc import Callable

    from goalfsm.daemon.host.platform import Platform
    from goalfsm.daemon.host.watch import Watch
    from goalfsm.store.port import Owner, Store

HEARTBEAT_S: Final = 2.0
LOOK_S: Final = 60.0
"""How long an engine with nothing under way looks at nothing, where it is told of changes."""
_SETTLE_S: Final = 0.02
"""How long after a change it looks: what is written in several steps is whole by then."""
STALLED_MS: Final = 5_000
"""Silence beyond two heartbeats: the owner hangs, so it is worth waiting for its expiry."""

ANSWER_S: Final = 1.0
"""How long an owner that is well may take to answer."""
_RETRY_S: Final = 0.25
_COMMAND_S: Final = 5.0
"""How long a command may be at the database; it is there for milliseconds on a quiet machine."""

_log = structlog.get_logger(__name__)


class Owned(GoalError):
    """Another process owns the database and is alive."""

    code = "owned"
    hint = "goalfsm doctor names it: talk to it with the same commands, or stop it first."
    remedies = (NAMES_OWNER,)


async def acquire(
    store: Store, platform: Platform, *, socket: str, wait_s: float = 0.0
) -> Acquired:
    """Become the store's owner; raise `Owned` when another is alive.

    A dead owner is replaced at once; a silent one, and one that does not answer on its socket, at
    its expiry. One that was stopped inside a transaction is killed then, if it is this user's. A
    command that is deciding something is waited for.
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
    claim = partial(
        store.owner.acquire,
        platform.identity(),
        socket=socket,
        uptime_ms=platform.clock.uptime_ms(),
        unanswered_ms=unanswered_ms,
    )
    try:
        return claim()
    except DiskFull:
        # An earlier owner may have been killed with the disk full of its log, and its reserve kept.
        store.release_reserve()
        return claim()


def _worth_waiting(held: Held, passed: float, wait_s: float, *, hangs: bool) -> bool:
    if passed < wait_s:
        return True
    # A command that decides something owns the store without a socket, or is about to own it.
    is_command = held.owner is None or not held.owner.socket
    if (held.locked or is_command) and passed < _COMMAND_S:
        return True
    # A hanging owner expires, unless it stirs; a lock that outlasts its owner's expiry does not.
    stalls = hangs or held.silent_for_ms >= STALLED_MS
    return stalls and passed < wait_s + 2 * EXPIRY_MS / 1000


def _owned(held: Held) -> Owned:
    owner = held.owner
    if owner is None:
        return Owned(
            "another process is using the database",
            hint="Try again in a moment; goalfsm doctor names the owner.",
            remedies=(NAMES_OWNER,),
        )
    does = "serves" if owner.socket else "owns"
    return Owned(f"process {owner.identity.pid} {does} this database already")


def _pid(held: Held) -> int | None:
    return None if held.owner is None else held.owner.identity.pid


class Liveness:
    """How long an owner has been asked in vain."""

    def __init__(self, uptime_ms: Callable[[], int]) -> None:
        """Measure by ``uptime_ms``, which all processes of this boot share."""
        self._uptime_ms = uptime_ms
        self._silent: tuple[int, int] | None = None
        """The epoch that does not answer, and since when it was asked."""

    async def unanswered_ms(self, owner: Owner) -> int | None:
        """Ask, and return for how long it did not answer; None for one that has no socket."""
        if not owner.socket:
            return None
        asked_ms = self._uptime_ms()
        if await answers(owner.socket):
            self._silent = None
            return 0
        if self._silent is None or self._silent[0] != owner.epoch:
            self._silent = owner.epoch, asked_ms
        return max(1, self._uptime_ms() - self._silent[1])


async def answers(place: str) -> bool:
    """Tell whether an engine answers at ``place``; one that takes over answers as well."""
    try:
        async with asyncio.timeout(ANSWER_S):
            reader, writer = await asyncio.open_unix_connection(place)
            try:
                require_engine(writer.get_extra_info("socket"), "")
                writer.write(wire.encode(wire.Ping()))
                line = await reader.readline()
            finally:
                writer.close()
                with contextlib.suppress(OSError):
                    await writer.wait_closed()
        return isinstance(wire.decode_answer(line), wire.Pong)
    except (OSError, TimeoutError, ValueError, NoEngine, *MALFORMED):
        return False


class Heartbeat(msgspec.Struct, eq=False, dict=True):
    """Says every two seconds that this engine lives, while that is owed; has it look around.

    An engine with nothing under way owes no sign of life, and writes nothing: whoever wants to
    know whether it hangs asks its socket. Where the system tells it of changes it does not even
    look, but for once a minute: for what no system tells.

    It is said while ``is_busy``, with ``seen_ms`` as the moment; ``look`` is called each time.
    ``failed`` is told what ended it, and ``troubled`` what no commit may have met. ``make_watch``
    makes what tells of changes while nothing is under way; None: it is looked for
    them.
    """

    store: Store
    platform: Platform
    seen_ms: Callable[[], int]
    failed: Callable[[StoreError], None]
    troubled: Callable[[StoreError], None]
    look: Callable[[], None]
    is_busy: Callable[[], bool]
    make_watch: Callable[[], Watch | None]
    _handle: asyncio.TimerHandle | None = None
    _beaten_ms: int | None = None
    """When it was said last. Not yet: the claim may have been long ago, if we stood still."""
    _looked_at: float = 0.0
    _trouble: str = ""
    """The code of what keeps it from being said, as the log has been told."""
    resting: bool = False
    """Whether it is told of changes, and looks by itself a minute from now: see `stir`."""

    @cached_property
    def _watch(self) -> Watch | None:
        return self.make_watch()

    def start(self) -> None:
        """Beat from now on."""
        self._arm()

    def confirm(self) -> bool:
        """Tell whether the store is still ours, asking it where we were silent for too long.

        An engine that stood still may have been replaced, and must not start anything first.
        Raises any other `StoreError`: then nobody knows.
        """
        beaten_ms = self._beaten_ms
        if beaten_ms is not None and self.platform.clock.uptime_ms() - beaten_ms < EXPIRY_MS:
            return True
        try:
            self._say()
        except Fenced as error:
            self.stop()
            self.failed(error)
            return False
        return True

    def stir(self) -> None:
        """Beat again, if something is under way by now: our own writes are no news then."""
        if self.is_busy():
            self._stop_watching()
            self._arm()

    def stop(self) -> None:
        """Beat no more."""
        self._stop_watching()
        self._disarm()

    def _arm(self) -> None:
        self._disarm()
        self._handle = asyncio.get_running_loop().call_later(HEARTBEAT_S, self._beat)

    def _disarm(self) -> None:
        handle, self._handle = self._handle, None
        if handle is not None:
            handle.cancel()

    @beats_every(HEARTBEAT_S)
    def _beat(self) -> None:
        self._look_around()

    def _look_once_more(self) -> None:
        """Look though nothing was told, or because something was: no beat, it comes at its time."""
        self._look_around()

    def _look_around(self) -> None:
        loop = asyncio.get_running_loop()
        self._looked_at = loop.time()
        self._arm()
        try:
            if self.is_busy():
                self._stop_watching()
                self._say()
            else:
                self._rest()
                # Before the look: what changes from now on is told.
                watch = self._watch
                self.resting = watch is not None and watch.start(self._changed)
            self._verify()
            self.look()
            self._trouble = ""
        except (Fenced, DatabaseReplaced, Corrupt) as error:
            self.stop()
            self.failed(error)
        except StoreError as error:
            # Commits meet the same trouble and deal with it; until then we are only silent.
            self._stop_watching()
            if isinstance(error, DiskFull):
                # With nothing to commit nobody else would: it may be the log that fills the disk.
                self.store.release_reserve()
            # A connection may refuse everything, and nothing else is done; under somebody else's
            # lock, on a full disk nothing can be written, but it can be read whether there is a
            # successor.
            if isinstance(error, StoreUnavailable):
                self._try(self.store.reopen)
            else:
                self._try(self.store.owner.confirm)
            if self._trouble != error.code:
                self._trouble = error.code
                _log.warning("heartbeat failed", code=error.code, error=error.message)
        if self.resting:
            self._disarm()
            self._handle = loop.call_later(LOOK_S, self._look_once_more)

    def _try(self, step: Callable[[], None]) -> None:
        """Take a step that may show that the store is somebody else's now."""
        try:
            step()
        except (Fenced, DatabaseReplaced, Corrupt) as error:
            self.stop()
            self.failed(error)
        except StoreError as error:
            _log.debug("the store cannot be looked at", code=error.code)

    def _verify(self) -> None:
        """Look at the file; SQLite itself may write on where nobody who opens it afresh could."""
        try:
            self.store.verify()
        except CannotWrite as error:
            self.troubled(error)
            raise

    def _changed(self) -> None:
        """Look soon, and no more often than without a watch: much may change at once."""
        loop = asyncio.get_running_loop()
        soon = max(loop.time() + _SETTLE_S, self._looked_at + HEARTBEAT_S)
        if self._handle is None or self._handle.when() > soon:
            self._disarm()
            self._handle = loop.call_at(soon, self._look_once_more)

    def _stop_watching(self) -> None:
        if self.resting and self._watch is not None:
            self._watch.stop()
        self.resting = False

    def _rest(self) -> None:
        """Owe nothing from now on: the next worker is started after a sign of life."""
        self.store.owner.rest()
        self._beaten_ms = None

    def _say(self) -> None:
        uptime_ms = self.platform.clock.uptime_ms()
        self.store.owner.heartbeat(uptime_ms=uptime_ms, seen_ms=self.seen_ms())
        self._beaten_ms = uptime_ms
