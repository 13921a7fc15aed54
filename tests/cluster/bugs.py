"""Bugs of the cluster to switch on: what its simulation has to find, and within how many seeds."""

from __future__ import annotations

import asyncio
import functools
from typing import Any, Final
from unittest.mock import patch

from goalfsm.cluster import decider
from goalfsm.cluster.chores import Chores
from goalfsm.cluster.decider import Decider
from goalfsm.cluster.memory_jobs import MemoryJobs
from goalfsm.cluster.memory_tx import MemoryDatabase
from goalfsm.cluster.sweep import Sweeps
from goalfsm.cluster.turns import Turns
from goalfsm.daemon.flow.decide import ACCEPTED
from goalfsm.daemon.stages.run_ports import RunPorts
from goalfsm.session.rules import steering
from tests.simulation.bugs import BUGS as ALONE
from tests.simulation.bugs import Bug, Patches, bug

BUGS: Final[dict[str, Bug]] = {}
_bug = functools.partial(bug, of=BUGS)


@_bug("a thread is decided about without its lock", 20)
def decide_without_the_lock() -> Patches:
    thread = MemoryDatabase.thread

    def unlocked(self: Any, thread_id: str) -> Any:
        found = thread(self, thread_id)
        found.lock = asyncio.Lock()
        return found

    yield patch.object(MemoryDatabase, "thread", unlocked)


@_bug("a commit of unknown outcome is decided again without a look", 40)
def forget_what_is_known() -> Patches:
    write = Decider._write

    async def forgetful(self: Any, tx: Any, attempt: Any, loaded: Any) -> Any:
        return await write(self, tx, attempt, loaded._replace(known={}))

    yield patch.object(Decider, "_write", forgetful)


@_bug("the answer to a repeated command is forgotten", 40)
def forget_the_answer() -> Patches:
    yield patch.object(decider, "decode_reply", lambda _reply: ACCEPTED)


@_bug("the run of a node that lives is taken over", 20)
def take_a_living_run() -> Patches:
    yield patch.object(Turns, "_is_left", lambda *_: True)


@_bug("the run of a node that is gone is left to it", 20)
def leave_the_runs_of_the_dead() -> Patches:
    yield patch.object(Turns, "_is_left", lambda *_: False)


@_bug("an effect is given to whoever asks for it", 40)
def give_an_effect_twice() -> Patches:
    async def given(self: Any, key: str, _node_id: str) -> Any:
        effect = self.outbox.get(key)
        return None if effect is None or effect.done else effect.row

    async def nothing(_self: Any, _keys: Any) -> set[str]:
        return set()

    yield patch.object(MemoryDatabase, "claim", given)
    yield patch.object(MemoryJobs, "alive", nothing)


@_bug("steering that an interrupted turn carried is dropped at the takeover", 80)
def lose_steering() -> Patches:
    settled = steering.settled
    yield patch.object(steering, "settled", lambda s, run_id, **_: settled(s, run_id, taken=True))


_bug("usage is charged as often as it is reported", 20)(ALONE["charge_twice"].patches)


@_bug("a run ends before what is left of it: nobody takes that over", 80)
def end_before_what_is_left() -> Patches:
    made = RunPorts.__new__
    yield patch.object(
        RunPorts, "__new__", lambda of, *a, **kw: made(of, *a, **kw | {"ends_whole": False})
    )


@_bug("an effect that the database breaks off is left to the node that has claimed it", 80)
def leave_what_was_claimed() -> Patches:
    yield patch.object(Chores, "do_effect", Chores._do_effect)


@_bug("jobs that are lost are not asked for again", 20)
def sweep_nothing() -> Patches:
    async def nothing(_self: Any) -> None:
        return None

    yield patch.object(Sweeps, "once", nothing)
