"""Bugs in how runs are begun, counted and ended, to be switched on."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

from goalfsm.daemon.guards import drain, takeover
from goalfsm.daemon.guards.drain import Drain
from goalfsm.daemon.guards.ownership import Heartbeat
from goalfsm.daemon.guards.takeover import Takeover
from goalfsm.daemon.stages import live_run as live
from goalfsm.daemon.stages import scheduler
from goalfsm.daemon.stages.effects import Effects
from tests.simulation.switching import Patches, bug


@bug("the calls of a worker are made twice", 20)
def call_twice() -> Patches:
    answer = live.LiveRun._answer

    async def twice(self: Any, call: Any) -> Any:
        await answer(self, call)
        return await answer(self, call)

    yield patch.object(live.LiveRun, "_answer", twice)


@bug("the usage of a run that finished while no engine was there is left out", 80, first=20)
def skip_the_ledger_at_takeover() -> Patches:
    yield patch.object(takeover, "usages", lambda _run, _reported: [])


@bug("a goal's time counts on after its engine has died", 20)
def count_dead_time() -> Patches:
    yield patch.object(Takeover, "_seen_ms", lambda self, *_: self.clock.now_ms())


@bug("an engine that died before it took a thread over counts as there", 60, first=150)
def believe_who_only_came() -> Patches:
    yield patch.object(
        Takeover, "_seen_ms", lambda _self, _thread_id, owner: owner.seen_ms if owner else 0
    )


@bug("an engine that stops tells no thread of it", 10, first=37)
def stop_without_a_word() -> Patches:
    yield patch.object(Drain, "_tell", lambda _self: [])


@bug("an engine that cannot take over tells its threads that it stops", 60, first=30)
def stop_what_was_not_begun() -> Patches:
    yield patch.object(drain, "STARTING", "nothing")


@bug("a turn counts as wound down that was told nothing", 40)
def wind_down_in_silence() -> Patches:
    async def taken(_self: Any, _message_id: str, _text: str) -> bool:
        return True

    yield patch.object(live.LiveRun, "steer", taken)


@bug("more runs go on at once than are allowed", 20)
def run_all_at_once() -> Patches:
    begin = scheduler.Slots.__init__
    yield patch.object(
        scheduler.Slots, "__init__", lambda self, _size, grant: begin(self, 99, grant)
    )


@bug("an engine that stood still starts a worker without asking whose the store is", 60, first=40)
def start_without_a_look() -> Patches:
    yield patch.object(Heartbeat, "confirm", lambda _self: True)


@bug("an engine that stops ends its turns without a record", 60, first=30)
def stop_without_a_record() -> Patches:
    def end_runs(self: Any) -> None:
        for run in list(self.runs.values()):
            run.end("killed")

    yield patch.object(Drain, "end_runs", end_runs)


@bug("what nobody wants any more goes on, and a turn starts beside it", 60, first=50)
def let_it_go_on() -> Patches:
    yield patch.object(Effects, "_drop_unwanted", lambda _self, _thread_id, _session: None)
