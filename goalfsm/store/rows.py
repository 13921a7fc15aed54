"""What goes through a store: values only, whose bytes no store looks into.

Times named ``*_ms`` are unix milliseconds, except ``uptime_ms``, which a clock gives that nobody
sets.
"""

from __future__ import annotations

from typing import Final

import msgspec

MAX_COMMIT_BYTES: Final = 8 * 1024 * 1024
"""Most bytes that one commit or inbox row carries, all its blobs together."""


class Effect(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An effect to do after the commit that carries it.

    ``key`` is unique in the store, so derive it from the thread and the revision or run. A key
    that is there already, open or done, is left as it is.
    """

    key: str
    kind: str
    payload: bytes = b""


class Commit(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One event of one thread with everything that follows from it.

    ``expected_revision`` is the revision that the state was computed from, 0 for a new thread; the
    commit makes it one more. ``event_id`` is unique in the thread. ``wake_at_ms`` is the earliest
    timer that the state waits for, None for none; ``status`` a short label for listings.
    ``outbox_done`` names effects that this event reports as done. ``inbox_id`` is the inbox row
    that this commit consumes; where there is no such row (the event came over a socket) one is
    written, consumed at birth, so that ``reply`` is found when the sender asks again.
    """

    thread_id: str
    expected_revision: int
    at_ms: int
    event_id: str
    event: bytes
    decision: bytes | None = None
    state: bytes
    digest: bytes = b""
    rules_version: int = 1
    wake_at_ms: int | None = None
    status: str = ""
    outbox: tuple[Effect, ...] = ()
    outbox_done: tuple[str, ...] = ()
    history: tuple[bytes, ...] = ()
    inbox_id: str | None = None
    reply: bytes | None = None


class Committed(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The commit is durable; the thread is at ``revision``."""

    revision: int


class Conflict(msgspec.Struct, frozen=True, kw_only=True):
    """Nothing was written: the thread was at ``actual_revision`` (0: there is none)."""

    actual_revision: int


class Duplicate(msgspec.Struct, frozen=True, kw_only=True):
    """Nothing was written: this event was committed before, as ``revision`` of its thread.

    Also the answer where the inbox row was consumed before. ``reply`` is the inbox row's. A row
    that is still pending is consumed: the event came another way before.
    """

    revision: int
    reply: bytes | None = None


class Invalid(msgspec.Struct, frozen=True, kw_only=True):
    """Nothing was written: this commit can never be, ``reason`` says why (it is too large)."""

    reason: str


Outcome = Committed | Conflict | Duplicate | Invalid


class Done(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An effect that was done at ``at_ms``."""

    key: str
    at_ms: int


class OpenEffect(msgspec.Struct, frozen=True):
    """An effect that was committed with ``revision`` of its thread and is not marked done.

    Its fields are the columns of an outbox, in their order.
    """

    seq: int
    thread_id: str
    revision: int
    at_ms: int
    key: str
    kind: str
    payload: bytes


class Stored(msgspec.Struct, frozen=True):
    """The snapshot of one thread; ``epoch`` is that of the owner that wrote it, 0 on a server.

    Its fields are the columns, in their order.
    """

    thread_id: str
    state: bytes
    revision: int
    rules_version: int
    status: str
    wake_at_ms: int | None
    updated_at_ms: int
    epoch: int = 0


class ThreadRow(msgspec.Struct, frozen=True):
    """A thread in a listing, without its state; its fields are the columns, in their order."""

    thread_id: str
    status: str
    wake_at_ms: int | None
    revision: int
    updated_at_ms: int


class JournalRow(msgspec.Struct, frozen=True):
    """One committed event; ``seq`` orders all threads, ``revision`` one thread without gaps.

    Its fields are the columns, in their order. ``epoch`` is that of the owner that wrote it, 0 on
    a server, where ``node`` names the writer.
    """

    seq: int
    thread_id: str
    revision: int
    event_id: str
    at_ms: int
    event: bytes
    decision: bytes | None
    digest: bytes
    rules_version: int
    epoch: int = 0
    node: str = ""


class InboxRow(msgspec.Struct, frozen=True):
    """An event from outside that no commit has consumed; ``seq`` is the order of arrival.

    Its fields are the columns, in their order.
    """

    seq: int
    inbox_id: str
    thread_id: str
    at_ms: int
    event: bytes


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What became of an inbox row: ``revision`` is None until a commit has consumed it."""

    revision: int | None
    reply: bytes | None


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """One process for good: a pid alone is used again.

    ``start_time`` is in a unit of the platform's choosing, comparable within one boot.
    ``namespace`` is that of its pid, empty where there is no such thing. ``machine`` tells the
    machine from others whatever it has booted, empty where it cannot be told.
    """

    pid: int
    start_time: int
    boot_id: str
    namespace: str = ""
    machine: str = ""


class Owner(msgspec.Struct, frozen=True, kw_only=True):
    """Who owns the store: the row that `Lease.acquire` writes.

    ``uptime_ms`` is when the owner last said that it lives, ``seen_ms`` the same moment by its wall
    clock, 0 where it has not said so since it came. ``resting``: it has nothing under way and says
    so no more, so its row tells nothing of whether it hangs; its ``socket`` answers.
    """

    identity: Identity
    epoch: int
    socket: str
    uptime_ms: int
    seen_ms: int = 0
    resting: bool = False


class Node(msgspec.Struct, frozen=True, kw_only=True):
    """A process that takes turns of threads on a server, as it last said of itself.

    It works on the threads of its ``places``, and runs at most ``max_runs`` turns, of which
    ``runs`` are under way. ``alive`` tells whether its last sign of life is recent.
    """

    node_id: str
    name: str
    host: str
    pid: int
    since_ms: int
    seen_ms: int
    places: tuple[str, ...]
    max_runs: int
    version: str
    alive: bool
    runs: int


class Driving(msgspec.Struct, frozen=True, kw_only=True):
    """Who works on one thread of a server.

    ``place`` is where its turns may run, empty where no program is stored for it; ``node`` the one
    that has its open run; ``nodes`` those that live and serve the place. ``unwatched`` are hosts
    without a living node where processes are whose end the thread waits for.
    """

    place: str
    node: Node | None
    nodes: tuple[Node, ...]
    unwatched: tuple[str, ...] = ()


class Acquired(msgspec.Struct, frozen=True, kw_only=True):
    """The handle owns the store under ``epoch``; ``previous`` died or fell silent."""

    epoch: int
    previous: Owner | None = None


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody else owns the store, or is taking it.

    ``silent_for_ms`` is for how long the owner gave no sign of life that it owed, see
    `Lease.acquire`. ``locked``: the write lock could not be had, so nothing was decided; ``holder``
    is the process that has it, where the system tells. An owner that has it, is stopped, and was
    silent for `EXPIRY_MS`, ends only when its process is killed.
    """

    owner: Owner | None
    silent_for_ms: int
    locked: bool = False
    holder: int | None = None


class Process(msgspec.Struct, frozen=True, kw_only=True):
    """The process group of one run, so that a successor can end it before it dispatches."""

    run_id: str
    thread_id: str
    identity: Identity
    pgid: int
    at_ms: int


class Transcript(msgspec.Struct, frozen=True):
    """What a run said: the end of its answer and of its standard error.

    Its fields are the columns of a transcript, in their order. ``answer_bytes`` and
    ``stderr_bytes`` are how many there were, of which the last are kept.
    """

    thread_id: str
    run_id: str
    turn: int
    at_ms: int
    answer: bytes
    stderr: bytes = b""
    answer_bytes: int = 0
    stderr_bytes: int = 0


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What `doctor` shows of a store; sizes in bytes, None where it has no meaning."""

    backend: str
    version: str
    path: str | None = None
    schema_version: int
    settings: tuple[tuple[str, str], ...] = ()
    size: int | None = None
    wal_size: int | None = None
    wal_frames: int | None = None
    reserve: int | None = None
    free_space: int | None = None
    mode: int | None = None
    directory_mode: int | None = None
    threads: int
    journal_rows: int
    open_effects: int
    pending_inbox: int
