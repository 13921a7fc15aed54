"""Who comes to an engine from outside: by its real door, with the real rules of who may say what.

The kernel is the world's: who a process is, who is above it, and whether it lives or is stopped.
"""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING, Final, Self
from unittest.mock import patch

from goalfsm.daemon.flow.authority import CODE
from goalfsm.daemon.flow.notices import Happened
from goalfsm.daemon.guards import ownership
from goalfsm.daemon.remote import listener, wire
from goalfsm.session import codec
from goalfsm.session import events as e
from goalfsm.store import owner
from goalfsm.store.port import Identity
from goalfsm.workers.supervisor import peers
from goalfsm.workers.supervisor.process_tree import RUN_ID, mark_of

if TYPE_CHECKING:
    from goalfsm.store.port import Commit
    from tests.simulation import plan as p
    from tests.simulation.children import Child
    from tests.simulation.process import Process
    from tests.simulation.world import World

PLACES: Final = 4
"""How many connections an engine takes in these worlds."""
FIRST_PID: Final = 6_000_000
SUPERVISORS: Final = 4_900_000
"""The supervisor of the engine in process N is this and N."""
SHELL: Final = 4_800_000
HERE: Final = Identity(pid=0, start_time=0, boot_id="boot", machine="here")
ELSEWHERE: Final = Identity(pid=0, start_time=0, boot_id="other boot", machine="elsewhere")
WORDS_AND_STOPS: Final = (
    *(e.PauseRequested, e.SteeringReceived, e.SteeringDropped),
    *(e.WakeRequested, e.BlockRequested, e.ClaimRejected),
)
"""What a row of the inbox may say as a person's."""


class Connection:
    """A connection to an engine, both ends: the engine takes it for a stream of its own."""

    def __init__(
        self, process: Process, pid: int, heard: Callable[[wire.Answer | None], None], *, deaf: bool
    ) -> None:
        """Have ``pid`` connect to the engine in ``process``, which hears its answers."""
        self.reader = asyncio.StreamReader(loop=process.loop)
        self.transport = self
        self._pid = pid
        self.process = process
        self._heard = heard
        self._deaf = deaf
        self._over = False
        assert process.engine is not None
        server = process.engine._parts.server
        assert server is not None
        server._listener._connected(self.reader, self)  # type: ignore[arg-type]

    def send(self, data: bytes) -> None:
        """Send something; the engine reads it at its next step."""
        if not self._over:
            self.reader.feed_data(data)

    def leave(self) -> None:
        """Hang up."""
        if not self._over:
            self._over = True
            self.reader.feed_eof()

    # What the engine does with it.

    def get_extra_info(self, _name: str) -> Self:
        return self

    def getsockopt(self, _level: int, option: int, _size: int) -> bytes:
        if option != socket.SO_PEERCRED:
            raise OSError
        return struct.pack("3i", self._pid, os.getuid(), 0)

    def write(self, data: bytes) -> None:
        if not self._over:
            self._heard(wire.decode_answer(data))

    async def drain(self) -> None:
        if self._over:
            raise ConnectionResetError
        if self._deaf:
            await asyncio.Event().wait()

    def close(self) -> None:
        if not self._over:
            self._over = True
            self._heard(None)

    abort = close

    async def wait_closed(self) -> None:
        pass


class Stopped:
    """A process that is to be killed because it is stopped: see `goalfsm.store.owner`."""

    world: World

    def __init__(self, pid: int) -> None:
        found = [each for each in self.world.processes if each.pid == pid]
        if not found:
            raise ProcessLookupError(pid)
        self._process = found[0]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def kill(self) -> None:
        """Kill it: it stands still, and nobody else is in the way."""
        if not self._process.stalled:
            self.world.fail("an owner that is well is killed", repr(self._process))
        self._process.kill()


class Follower:
    """Who is told what happens to a thread, from its beginning on."""

    def __init__(self, world: World, process: Process, thread: str) -> None:
        self._world = world
        self._process = process
        self._thread = thread
        self._naps = process.naps
        self._heard = 0
        """The revision that it was told last."""
        self._refused = False

    def hear(self, answer: wire.Answer | None) -> None:
        """Hear something: every event comes after the one before it."""
        if not isinstance(answer, wire.Noticed):
            self._refused = True
            return
        notice = wire.notice_told(answer)
        if isinstance(notice, Happened):
            if notice.revision != self._heard + 1:
                said = f"{self._heard}, then {notice.revision}"
                self._world.fail("a follower is not told what happened", said)
            self._heard = notice.revision

    def look(self) -> None:
        """Look whether it has heard of everything, before it leaves."""
        process = self._process
        if self._refused or process.deposed or not process.runs or process.naps != self._naps:
            return
        known = self._world.oracle.thread(self._thread).revision
        engine = process.engine
        if engine is None or engine._parts.outage.present is not None:
            return
        if self._heard != known:
            self._world.fail("a follower is not told what happened", f"{self._heard} of {known}")


class Callers:
    """Everybody who comes to the engines of one world, and what they are."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._pid = FIRST_PID
        self._chains: dict[int, list[peers._Link]] = {}
        self._asked_by: dict[str, set[int]] = {}
        """The processes of the person who asked, by what they asked."""
        self._pretended: dict[str, p.Pretends] = {}
        self.forged: set[str] = set()
        """Rows of the inbox that no engine may take."""
        self.idle: list[Connection] = []
        """Connections that keep a place and ask nothing."""
        self.observer = HERE
        """By whose machine it is decided now whether a process lives."""

    # The kernel.

    @contextmanager
    def around(self) -> Iterator[None]:
        """Have the engine ask the world where it asks the kernel."""
        kernel = SimpleNamespace(LINUX=False, start_time=str, is_running=lambda _pid, _began: True)
        stopped = type("StoppedHere", (Stopped,), {"world": self._world})
        changed = (
            (peers, "_chain", self._chains.get),
            (peers, "identity", kernel),
            (listener, "MAX_CONNECTIONS", PLACES),
            (ownership, "answers", self._answers),
            (owner, "boot_id", lambda: self.observer.boot_id),
            (owner, "machine", lambda: self.observer.machine),
            (owner, "pid_namespace", lambda: ""),
            (owner, "started_at", self._started_at),
            (owner, "_Pinned", stopped),
            (owner, "_is_stopped", lambda who: self._by_pid(who.pid).stalled),
        )
        with ExitStack() as stack:
            for where, name, by in changed:
                stack.enter_context(patch.object(where, name, by))
            yield

    def _by_pid(self, pid: int) -> Process:
        return next(each for each in self._world.processes if each.pid == pid)

    def _started_at(self, pid: int) -> int | None:
        lives = any(each.pid == pid and not each.dead for each in self._world.processes)
        return pid if lives else None

    def is_alive(self, identity: Identity, observer: Identity) -> bool:
        """Tell whether a process lives, as another one sees it from its own machine."""
        self.observer = observer
        return owner.is_alive(identity)

    async def _answers(self, place: str) -> bool:
        """Tell whether the engine answers whose socket this is; one that stands still does not."""
        for process in self._world.processes:
            if f"engine {process.pid}" == place and not process.dead:
                if process.stalled:
                    await asyncio.sleep(ownership.ANSWER_S)
                return process.runs and process.engine is not None
        return False

    def _new(self, *above: int, environment: dict[str, str] | None = None, mark: int = 0) -> int:
        """Return the pid of a new process below those."""
        self._pid += 1
        links = [
            peers._Link(pid, str(pid), environment or {}, mark, limited=False)
            for pid in (self._pid, *above)
        ]
        self._chains[self._pid] = links
        return self._pid

    def _of_a_run(self, child: Child, looks: p.Looks) -> int:
        """Return the pid of a program of a run, which hides as well as it can."""
        match looks:
            case "below":
                return self._new(child.pid, SUPERVISORS + child.engine.pid)
            case "detached":
                return self._new(SUPERVISORS + child.engine.pid)
            case "marked":
                return self._new(1, mark=mark_of("", child.run_id))
            case "named":
                return self._new(1, environment={RUN_ID: child.run_id})

    def runs_below(self) -> frozenset[tuple[int, str]]:
        """Return the supervisors of all engines that there have been."""
        there_were = range(SUPERVISORS + 1, SUPERVISORS + self._world.started + 1)
        return frozenset((pid, str(pid)) for pid in there_were)

    def run_above(self, chain: tuple[tuple[int, str], ...]) -> str:
        """Return the run that a process belongs to."""
        pids = {pid for pid, _ in chain}
        return next((c.run_id for c in self._world.children.all if c.pid in pids), "")

    # People.

    def say(
        self,
        process: Process,
        thread: str,
        event_id: str,
        event: e.Event,
        heard: Callable[[wire.Answer | None], None],
    ) -> None:
        """Have a person ask for something at an engine's door."""
        pid = self._new(SHELL, 1)
        self._asked_by.setdefault(event_id, set()).add(pid)
        self._knock(process, pid, thread, event_id, event, heard)

    def _knock(
        self,
        process: Process,
        pid: int,
        thread: str,
        event_id: str,
        event: e.Event,
        heard: Callable[[wire.Answer | None], None],
    ) -> None:
        def told(answer: wire.Answer | None) -> None:
            if not process.dead and not self._world.burying:
                if isinstance(answer, wire.Failed) and answer.code == wire.CROWDED:
                    self._look_at_the_crowd(process)
                heard(answer)
            connection.leave()

        connection = Connection(process, pid, told, deaf=False)
        said = wire.Submit(thread_id=thread, event_id=event_id, event=wire.raw(event))
        connection.send(wire.encode(said))

    def _look_at_the_crowd(self, process: Process) -> None:
        kept = [each for each in self.idle if each.process is process and not each._over]
        if kept:
            self._world.fail("who asks nothing keeps others out", f"{len(kept)} connections")

    # Programs of runs.

    def pretend(self, item: p.Pretends) -> None:
        """Have a program of a thread's last run say what only a person, or an engine, may."""
        world = self._world
        process = world.serving()
        runs = [c for c in world.children.by_run.values() if c.thread == item.thread]
        if not runs:
            return
        event_id = f"pretended-{world.new_id()}"
        self._pretended[event_id] = item
        if item.by == "inbox":
            at_ms = world.wall_ms(world.now_us)
            event = codec.encode_event(item.event)
            world.front.inbox.put(event_id, item.thread, at_ms=at_ms, event=event)
            if isinstance(item.event, e.Expecting):
                world.oracle.put(event_id, item.thread)
            else:
                self.forged.add(event_id)
            return
        if process is None:
            return
        process.trace("hears a program of", runs[-1].run_id, "say", type(item.event).__name__)
        pid = self._of_a_run(runs[-1], item.looks)

        def told(answer: wire.Answer | None) -> None:
            if isinstance(answer, wire.Replied):
                world.fail("a program of a run is answered as a person", f"{item}: {answer}")
            refused = isinstance(answer, wire.Failed) and answer.code == CODE
            crowded = isinstance(answer, wire.Failed) and answer.code in {wire.CROWDED, *wire.GONE}
            if answer is not None and not refused and not crowded:
                world.fail("a program of a run is not told that it may not", f"{item}: {answer}")

        process.call(lambda: self._knock(process, pid, item.thread, event_id, item.event, told))

    def haunt(self, process: Process, child: Child, event_id: str, event: e.Event) -> None:
        """Have a program of a run that may be over say what it may with its token."""
        pid = self._of_a_run(child, "below")
        self._knock(process, pid, child.thread, event_id, event, lambda _: None)

    # Crowds.

    def crowd(self, item: p.Crowd) -> None:
        """Have connections take every place for a while."""
        process = self._world.serving()
        if process is None or process.inside:
            return
        process.trace("has a crowd at its door:", item.sort)
        came: list[Connection] = []
        thread = self._world.plan.threads[0]
        followers = [Follower(self._world, process, thread) for _ in range(PLACES)]

        def come() -> None:
            follow = wire.encode(wire.Follow(thread_id=thread, after_revision=0))
            said = {"idle": b"", "half": b'{"op":"sub'}.get(item.sort, follow)
            for follower in followers:
                pid, deaf = self._new(SHELL, 1), item.sort == "deaf"
                connection = Connection(process, pid, follower.hear, deaf=deaf)
                connection.send(said)
                came.append(connection)

        def go() -> None:
            for each, follower in zip(came, followers, strict=True):
                if item.sort == "followers" and not each._over:
                    follower.look()
                each.leave()
            if not process.dead:
                process.call(lambda: None)

        process.call(come)
        if item.sort != "followers":
            self.idle = came
        self._world.after(item.for_ms, go)

    # What became durable.

    def committed(self, commit: Commit, event: e.Event) -> None:
        """Look at who is said to have said it."""
        item = self._pretended.get(commit.event_id)
        if item is not None and not isinstance(event, e.DecisionFailed):
            may = isinstance(event, e.Expecting) and item.by == "inbox"
            if may and isinstance(event, e.Expecting) and event.origin == "person":
                may = isinstance(event, WORDS_AND_STOPS)
            if not may:
                self._world.fail("a run's word is taken for a person's", f"{event}")
        pids = self._asked_by.get(commit.event_id)
        if pids is None or not isinstance(event, e.Expecting) or self._was_left(commit.event_id):
            return
        if event.by is None or event.by.pid not in pids:
            self._world.fail("the record does not say who asked", f"{event}")

    def _was_left(self, event_id: str) -> bool:
        """Tell whether it is in the inbox as well, where nobody can tell who wrote it."""
        return event_id in self._world.oracle._inbox
