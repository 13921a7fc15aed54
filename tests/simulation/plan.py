"""What happens in one simulated world: drawn from a seed, and data from then on.

A plan is a list of items, and every item stands for itself: any of them can be left out and what
remains is a plan again. That is what makes a failing one small.
"""

from __future__ import annotations

from typing import Any, Final, Literal

import msgspec

from goalfsm.session.events import Command, Event
from goalfsm.session.policy import Policy

Expectation = Literal["right", "wrong"]
Route = Literal["socket", "inbox", "halt"]
FaultKind = Literal["full", "busy", "failing", "unknown_kept", "unknown_lost"]
ReadSort = Literal["any", "workers", "processes", "transcripts", "threads", "each"]
"""``any`` are the reads that a thread's own events need, ``each`` are all that there are."""

CommitSort = Literal["any", "repeat", "asked", "marks"]
"""Every commit; one with a repeat in it; one that somebody waits for; one of marks alone."""
DecisionSort = Literal["any", "end"]
"""Every decision; that of a run's end, however it came."""
Looks = Literal["below", "detached", "marked", "named"]
"""What tells a program of a run: what is above it, once or still; its mark; its environment."""
GhostCall = Literal["complete", "blocked", "create", "usage", "wait", "acknowledge"]
Step = tuple[str, Any]
"""One thing that a turn does, and with what: see ``tests.simulation.turns``."""


class Item(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Something that happens in the world; ``at_ms`` counts from its beginning."""


class Say(Item, frozen=True, kw_only=True):
    """A person asks for something, ``again`` ms later once more under the same id."""

    at_ms: int
    thread: str
    event: Command
    by: Route = "socket"
    expecting: Expectation | None = None
    again: tuple[int, ...] = ()


class Ghost(Item, frozen=True, kw_only=True):
    """A worker whose run is over, or about to be, speaks up: the ``back``-th last of its thread."""

    at_ms: int
    thread: str
    back: int
    call: GhostCall


class Pretends(Item, frozen=True, kw_only=True):
    """A program of a thread's last run says what only a person, or an engine, may say."""

    at_ms: int
    thread: str
    event: Event
    by: Literal["socket", "inbox"] = "socket"
    looks: Looks = "below"


class Crowd(Item, frozen=True, kw_only=True):
    """So many connect to the engine at once that no place is left.

    They say nothing, or not all of something; they follow a thread, and hear it or are deaf.
    """

    at_ms: int
    for_ms: int
    sort: Literal["idle", "half", "followers", "deaf"]


class Waits(Item, frozen=True, kw_only=True):
    """Somebody waits until a thread comes to rest."""

    at_ms: int
    thread: str


class Turn(Item, frozen=True, kw_only=True):
    """What the next turn of a thread does; after the last one they all do honest work."""

    thread: str
    steps: tuple[Step, ...]


class Check(Item, frozen=True, kw_only=True):
    """What the next verifier of a thread does: passes, fails, raises or hangs."""

    thread: str
    does: Literal["passed", "failed", "raises", "hangs"]
    after_ms: int


class KillAt(Item, frozen=True, kw_only=True):
    """The engine's process is killed at a moment at which it does nothing."""

    at_ms: int


class Kill(Item, frozen=True, kw_only=True):
    """It is killed in the middle of something: the ``nth`` time that it gets ``where``.

    ``orphans``: its supervisor dies with it, so that the children of its runs live on.
    """

    where: str
    nth: int
    orphans: bool = False


class Stall(Item, frozen=True, kw_only=True):
    """It stands still there for a while; ``rival_ms`` later another one is started."""

    where: str
    nth: int
    for_ms: int
    rival_ms: int | None = None


class Fault(Item, frozen=True, kw_only=True):
    """The store fails ``times`` times, from the ``nth`` commit of this sort on."""

    kind: FaultKind
    nth: int
    times: int = 1
    of: CommitSort = "any"


class ReadFault(Item, frozen=True, kw_only=True):
    """The store fails to read once: the ``nth`` time that something of this sort is read."""

    nth: int
    of: ReadSort = "any"


class Locked(Item, frozen=True, kw_only=True):
    """Another program holds the store's lock for a while: nothing is written, all is read."""

    at_ms: int
    for_ms: int


class SmallDisk(Item, frozen=True, kw_only=True):
    """Others fill the disk for a while; ``kept`` commits fit into what was set aside for that."""

    at_ms: int
    for_ms: int
    kept: int


class SizedDisk(Item, frozen=True, kw_only=True):
    """From then on the disk has a size: its log takes ``room`` commits, and has to be moved then.

    Other programs read at that moment, and keep the log from being moved for ``pinned_ms``.
    """

    at_ms: int
    room: int
    pinned_ms: int


class Unreadable(Item, frozen=True, kw_only=True):
    """Nothing can be read for a while, whatever it is."""

    at_ms: int
    for_ms: int


class Renamed(Item, frozen=True, kw_only=True):
    """The path means another file from then on, which is a copy of this moment.

    So one file has two names: that which the engine has open, and that which all others use.
    ``rival``: somebody starts an engine on it at once.
    """

    at_ms: int
    rival: bool = False


class Hushed(Item, frozen=True, kw_only=True):
    """The supervisor stands still for a while: what it is told to end goes on meanwhile."""

    at_ms: int
    for_ms: int


class Poison(Item, frozen=True, kw_only=True):
    """The ``nth`` decision of this sort raises: a fault of the program, or of a rule."""

    nth: int
    of: DecisionSort = "any"


class Unserved(Item, frozen=True, kw_only=True):
    """Nobody says before ``until_ms`` which program works on a thread."""

    thread: str
    until_ms: int


class Breaks(Item, frozen=True, kw_only=True):
    """The performer of the ``nth`` effect raises: a fault of the program, or of a prompt's."""

    nth: int


class Shutdown(Item, frozen=True, kw_only=True):
    """The engine is asked to stop, and has ``grace_ms`` for its turns."""

    at_ms: int
    grace_ms: int


class Rival(Item, frozen=True, kw_only=True):
    """Somebody starts a second engine while the first one is well; ``foreign``: elsewhere."""

    at_ms: int
    foreign: bool = False


class Jump(Item, frozen=True, kw_only=True):
    """The wall clock is set."""

    at_ms: int
    by_ms: int


Any_Item = (
    Say
    | Ghost
    | Pretends
    | Crowd
    | Waits
    | Turn
    | Check
    | KillAt
    | Kill
    | Stall
    | Fault
    | ReadFault
    | Locked
    | SmallDisk
    | SizedDisk
    | Unreadable
    | Renamed
    | Hushed
    | Poison
    | Unserved
    | Breaks
    | Shutdown
    | Rival
    | Jump
)


class Worker(msgspec.Struct, frozen=True, kw_only=True):
    """What a thread's worker can do, and how long it may take."""

    can: tuple[Literal["steer", "compact", "probe"], ...] = ()
    turn_timeout_s: float = 40.0
    silence_timeout_s: float = 15.0


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """One world. ``chaos_ms`` is how long things break; then everything has to come to rest.

    ``keep_quiet`` and ``keys_kept`` take the place of what goalfsm keeps of threads and of usage
    keys, so that forgetting them is tried as well. With a ``door`` people come to the engine's real
    one, and so do programs of runs.
    """

    seed: int
    workers: dict[str, Worker]
    policy: Policy
    max_runs: int = 2
    keep_quiet: int = 256
    keys_kept: int = 128
    door: bool = False
    chaos_ms: int = 90_000
    items: tuple[Any_Item, ...] = ()

    @property
    def threads(self) -> tuple[str, ...]:
        """Return the ids of the threads."""
        return tuple(self.workers)


def shown(item: Any_Item) -> str:
    """Return an item in one line, without what it leaves at its default."""
    fields = telling(msgspec.to_builtins(item))
    fields.pop("type", None)
    return f"{type(item).__name__} " + " ".join(f"{name}={value}" for name, value in fields.items())


WHERE: Final = (
    # Where, how often it is reached in one world or so, and how often it is chosen.
    ("commit.before", 90, 6),
    ("commit.after", 90, 7),
    ("effect.before", 30, 4),
    ("effect.after", 30, 4),
    ("claim.before", 2, 1),
    ("claim.after", 3, 2),
    ("taking_over", 5, 5),
    ("heartbeat", 30, 1),
    ("inbox.read", 4, 2),
    ("worker.starts", 10, 3),
    ("worker.step", 35, 4),
    ("worker.steered", 1, 2),
    ("worker.compacts", 1, 2),
    ("verifier.before", 2, 2),
    ("verifier.after", 1, 2),
    ("callback.before", 3, 1),
    ("callback.after", 3, 1),
)
"""The points of a process at which it may die or stand still."""


def telling(value: Any) -> Any:
    """Return a value without what says nothing: Nones, zeros, empty texts and lists."""
    if not isinstance(value, dict):
        return [telling(item) for item in value] if isinstance(value, list | tuple) else value
    kept = {name: telling(item) for name, item in value.items()}
    return {
        name: item
        for name, item in kept.items()
        if item is False or item not in ([], None, {}, "", 0)
    }
