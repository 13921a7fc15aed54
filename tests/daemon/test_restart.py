"""What an engine takes over from one that was killed, stopped or fenced."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from goalfsm import events as e
from goalfsm.daemon.ownership import Owned
from goalfsm.daemon.replaying import replay
from goalfsm.errors import Fenced, StoreClosed
from goalfsm.model import Limits, Verifier
from goalfsm.session import codec
from goalfsm.session.policy import Policy
from goalfsm.store.port import Commit
from goalfsm.workers import protocol as w
from goalfsm.workers.inprocess import CallableWorker
from tests.daemon.stage import (
    BLOCKED,
    COMPLETE,
    OBJECTIVE,
    PATIENT,
    THREAD,
    Stage,
    play,
    steps,
    usage,
    worker,
)


def test_a_run_that_a_crash_cut_off_is_interrupted_and_the_goal_goes_on() -> None:
    async def scene(stage: Stage) -> None:
        prompts: list[str] = []

        async def turn(work: w.Work) -> Any:
            prompts.append(work.prompt)
            yield usage(5)
            if work.turn == 1:
                await asyncio.sleep(1000)
            yield COMPLETE

        first = await stage.engine(worker(turn)).__aenter__()
        await first.submit(THREAD, OBJECTIVE)
        await asyncio.sleep(1)
        await stage.crash(first)
        async with stage.engine(worker(turn)) as second:
            session = await second.settled(THREAD)
            assert session.goal is not None
            assert (session.goal.status, session.goal.tokens_used) == ("complete", 10)
            assert second.system.asked_to_end == [stage.events(e.RunDispatched)[0].run_id]  # type: ignore[attr-defined]
        assert len(stage.events(e.RunInterrupted)) == 1
        assert [event.after_crash for event in stage.events(e.EngineStarted)] == [True]
        assert ["cut off" in prompt for prompt in prompts] == [False, True]
        assert stage.open_effects() == []
        assert replay(stage.store(), THREAD).ok

    play(scene)


class Stopper:
    """A store that ends its engine's process before or after its nth commit."""

    def __init__(self, stage: Stage, at: int, *, after: bool) -> None:
        self._inner = stage.store()
        self._left = at
        self._after = after
        self.dead = False

    def __getattr__(self, name: str) -> Any:
        if self.dead and name != "owner":
            raise StoreClosed("dead")
        return getattr(self._inner, name)

    def commit(self, batch: list[Commit], **options: Any) -> Any:
        self._left -= 1
        if self._left == 0 and not self._after:
            self.dead = True
        if self.dead:
            raise StoreClosed("dead")
        outcomes = self._inner.commit(batch, **options)
        if self._left == 0:
            self.dead = True
            raise StoreClosed("dead")
        return outcomes


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("at", range(1, 13))
def test_death_at_any_commit_loses_nothing(at: int, after: bool) -> None:
    """Whatever was committed last, the next engine finishes the goal, with an exact ledger."""

    async def scene(stage: Stage) -> None:
        verifiers = {"check": lambda _goal, _claim: True}

        def turns() -> CallableWorker:
            async def turn(work: w.Work) -> Any:
                yield usage(5)
                yield w.ToolEnded(name="t")
                yield f"turn {work.turn}"
                if work.turn >= 2:
                    yield COMPLETE

            return worker(turn)

        objective = e.ObjectiveGiven(
            objective="x", verifiers=(Verifier(kind="callable", name="check"),)
        )
        store = Stopper(stage, at, after=after)
        first = stage.engine(turns(), store=store, verifiers=verifiers)
        try:
            await first.__aenter__()
            await first.submit(THREAD, objective, "the-objective")
            await first.settled(THREAD)
        except StoreClosed:
            pass
        assert store.dead or at > 8
        await stage.crash(first)
        async with stage.engine(turns(), verifiers=verifiers) as second:
            reply = await second.submit(THREAD, objective, "the-objective")
            assert (reply.ok, reply.code) == (True, "created")
            session = await second.settled(THREAD)
            assert session.goal is not None
            assert session.goal.status == "complete"
        reported = stage.events(e.UsageReported)
        assert session.ledger.charged_tokens == session.goal.tokens_used == 5 * len(reported)
        ends = stage.events(e.RunFinished, e.RunInterrupted)
        assert [end.run_id for end in ends] == [r.run_id for r in stage.events(e.RunDispatched)]
        assert stage.open_effects() == []
        assert stage.store().integrity() == ()
        assert replay(stage.store(), THREAD).ok

    play(scene)


def test_work_that_was_queued_when_the_engine_died_is_dispatched_by_the_next() -> None:
    async def scene(stage: Stage) -> None:
        first = await stage.engine({}).__aenter__()
        await first.submit(THREAD, OBJECTIVE)
        await stage.crash(first)
        async with stage.engine(worker(steps(["a", COMPLETE]))) as second:
            session = await second.settled(THREAD)
            assert session.goal is not None
            assert session.goal.status == "complete"
        assert len(stage.events(e.RunDispatched)) == 1

    play(scene)


def test_a_retry_keeps_its_time_through_a_restart() -> None:
    async def scene(stage: Stage) -> None:
        fails = w.ErrorReported(message="overloaded", status=529, retry_after=600.0)
        first = await stage.engine(worker(steps([fails]))).__aenter__()
        await first.submit(THREAD, OBJECTIVE)
        await asyncio.sleep(10)
        await stage.crash(first)
        async with stage.engine(worker(steps(["b", COMPLETE]))) as second:
            await asyncio.sleep(500)
            assert len(stage.events(e.RunDispatched)) == 1
            await second.settled(THREAD)
            assert 600 <= stage.loop.time() < 700

    play(scene)


def test_stop_lets_a_turn_finish_within_its_grace() -> None:
    async def scene(stage: Stage) -> None:
        engine = await stage.engine(worker(steps([5, "a"]))).__aenter__()
        await engine.submit(THREAD, OBJECTIVE)
        await asyncio.sleep(1)
        await engine.stop(10)
        assert stage.loop.time() < 7
        assert [end.outcome for end in stage.events(e.RunFinished)] == ["finished"]
        assert len(stage.events(e.RunDispatched)) == 1
        assert stage.disk.owner is None

    play(scene)


def test_stop_interrupts_a_turn_that_takes_longer() -> None:
    async def scene(stage: Stage) -> None:
        engine = await stage.engine(worker(steps([500, "a"]))).__aenter__()
        await engine.submit(THREAD, OBJECTIVE)
        await asyncio.sleep(1)
        await engine.stop(10)
        assert stage.loop.time() < 15
        assert [end.detail for end in stage.events(e.RunInterrupted)] == ["the engine shut down"]

    play(scene)


def test_a_second_stop_does_not_wait_for_the_turn() -> None:
    async def scene(stage: Stage) -> None:
        engine = await stage.engine(worker(steps([500, "a"]))).__aenter__()
        await engine.submit(THREAD, OBJECTIVE)
        await asyncio.sleep(1)
        engine.stop_soon(300)
        await asyncio.sleep(1)
        await engine.stop(0)
        assert stage.loop.time() < 10
        assert len(stage.events(e.RunInterrupted)) == 1

    play(scene)


def test_after_a_stop_the_next_engine_goes_on() -> None:
    async def scene(stage: Stage) -> None:
        first = await stage.engine(worker(steps([500, "a"]))).__aenter__()
        await first.submit(THREAD, OBJECTIVE)
        await asyncio.sleep(1)
        await first.stop(1)
        async with stage.engine(worker(steps(["b", COMPLETE]))) as second:
            session = await second.settled(THREAD)
            assert session.goal is not None
            assert session.goal.status == "complete"
        assert [event.after_crash for event in stage.events(e.EngineStarted)] == [False]

    play(scene)


def test_a_goal_paused_between_engines_can_be_resumed_in_the_next() -> None:
    """The shutdown's mark does not outlive it, also where the goal is not active any more."""

    async def scene(stage: Stage) -> None:
        first = await stage.engine({}).__aenter__()
        await first.submit(THREAD, OBJECTIVE)
        await first.stop(0)
        second = await stage.engine({}).__aenter__()
        second.dispatcher.pause("test")
        await second.submit(THREAD, e.PauseRequested())
        await second.stop(0)
        async with stage.engine(worker(steps(["b", COMPLETE]))) as third:
            await third.submit(THREAD, e.ResumeRequested())
            session = await third.settled(THREAD)
            assert session.goal is not None
            assert session.goal.status == "complete"

    play(scene)


def test_a_second_engine_is_refused_while_the_first_lives() -> None:
    async def scene(stage: Stage) -> None:
        async with stage.engine({}):
            with pytest.raises(Owned, match="process 1 serves"):
                await stage.engine({}).__aenter__()

    play(scene)


def test_a_second_engine_waits_as_long_as_it_is_told() -> None:
    async def scene(stage: Stage) -> None:
        first = await stage.engine({}).__aenter__()
        second = asyncio.ensure_future(stage.engine({}, wait_s=30).__aenter__())
        await asyncio.sleep(5)
        assert not second.done()
        await first.stop(0)
        await (await second).stop(0)
        assert stage.loop.time() < 6

    play(scene)


def test_a_silent_owner_is_replaced_and_gives_up_when_it_stirs() -> None:
    """Its heartbeat stopped; the successor takes over at expiry; its next commit is refused."""

    async def scene(stage: Stage) -> None:
        first = await stage.engine(worker(steps([500, "a", COMPLETE]))).__aenter__()
        await first.submit(THREAD, OBJECTIVE)
        await asyncio.sleep(5)
        first.heartbeat.stop()
        await asyncio.sleep(8)
        second = await stage.engine(worker(steps(["b", COMPLETE]))).__aenter__()
        assert 14 <= stage.loop.time() < 18
        notices = [notice async for notice in first.follow(THREAD)] if first.over.is_set() else []
        assert notices == []
        with pytest.raises(Fenced):
            await first.submit(THREAD, e.PauseRequested())
        with pytest.raises(Fenced):
            await first.wait()
        assert first.live_runs() == []
        session = await second.settled(THREAD)
        assert session.goal is not None
        assert session.goal.status == "complete"
        await second.stop(0)
        assert len(stage.events(e.RunInterrupted)) == 1

    play(scene)


def test_a_fenced_engine_tells_its_followers() -> None:
    async def scene(stage: Stage) -> None:
        first = await stage.engine({}).__aenter__()

        async def follow() -> list[str]:
            return [type(notice).__name__ async for notice in first.follow(THREAD)]

        following = asyncio.ensure_future(follow())
        await asyncio.sleep(1)
        stage.dead.add(1)
        second = await stage.engine({}).__aenter__()
        assert await following == ["StatusChanged", "Ended"]
        await second.stop(0)

    play(scene)


def test_what_waits_in_the_inbox_is_decided_at_the_start_and_while_running() -> None:
    async def scene(stage: Stage) -> None:
        inbox = stage.store().inbox
        given = codec.encode_event(OBJECTIVE)
        inbox.put("one", THREAD, at_ms=1, event=given)
        async with stage.engine(worker(steps(["a", BLOCKED])), policy=PATIENT) as engine:
            await asyncio.sleep(0.1)
            answer = inbox.answer("one")
            assert answer is not None
            assert answer.revision == 1
            inbox.put("two", THREAD, at_ms=1, event=codec.encode_event(e.PauseRequested()))
            await asyncio.sleep(3)
            assert inbox.pending() == ()
            await engine.settled(THREAD)

    play(scene)


def test_a_refused_inbox_row_is_consumed_and_answered() -> None:
    """Also where its thread does not exist: it must not come up again for ever."""

    async def scene(stage: Stage) -> None:
        inbox = stage.store().inbox
        inbox.put("one", "nobody", at_ms=1, event=codec.encode_event(e.PauseRequested()))
        async with stage.engine({}):
            await asyncio.sleep(1)
            assert inbox.pending() == ()
        answer = inbox.answer("one")
        assert answer is not None
        assert answer.reply is not None
        assert not codec.decode_reply(answer.reply).ok

    play(scene)


def test_nothing_runs_before_what_could_not_be_ended_is_gone() -> None:
    async def scene(stage: Stage) -> None:
        first = await stage.engine(worker(steps([500, "a"]))).__aenter__()
        await first.submit(THREAD, OBJECTIVE)
        await asyncio.sleep(1)
        await stage.crash(first)
        second = stage.engine(worker(steps(["b", COMPLETE])))
        second.system.left = (99,)  # type: ignore[attr-defined]
        async with second:
            await asyncio.sleep(100)
            assert len(stage.events(e.RunDispatched)) == 1
            stage.process(99).set_result(None)
            session = await second.settled(THREAD)
            assert session.goal is not None
            assert session.goal.status == "complete"

    play(scene)


def test_a_run_that_its_worker_remembers_is_taken_as_finished() -> None:
    async def scene(stage: Stage) -> None:
        first = await stage.engine(worker(steps([usage(3, "k"), 500, "a"]))).__aenter__()
        await first.submit(THREAD, OBJECTIVE)
        await asyncio.sleep(1)
        await stage.crash(first)

        async def probe(_: str) -> w.Probe:
            events = (usage(3, "k"), usage(4, "l"), w.Text(text="all"), w.Exited(ok=True))
            return w.Probe(state="finished", events=events)

        remembering = CallableWorker(steps(["b", COMPLETE]), probe=probe)
        async with stage.engine(remembering) as second:
            session = await second.settled(THREAD)
            assert session.goal is not None
            assert session.goal.tokens_used == 7
        assert stage.events(e.RunInterrupted) == []
        assert [end.outcome for end in stage.events(e.RunFinished)] == ["finished"] * 2

    play(scene)


@pytest.mark.parametrize(
    ("on_start", "status", "guard"), [("ask", "active", "wait"), ("pause", "paused", "status")]
)
def test_the_policy_says_what_a_restart_means(on_start: Any, status: str, guard: str) -> None:
    async def scene(stage: Stage) -> None:
        policy = Policy(on_start=on_start)
        first = await stage.engine({}, policy=policy).__aenter__()
        await first.submit(THREAD, OBJECTIVE)
        await stage.crash(first)
        async with stage.engine(worker(steps(["b", COMPLETE])), policy=policy) as second:
            session = await second.settled(THREAD)
            assert session.goal is not None
            assert session.goal.status == status
            assert session.decision is not None
            assert session.decision.guard == guard
        assert stage.events(e.RunDispatched) == []

    play(scene)


def test_verifiers_of_an_open_claim_run_again_after_a_crash() -> None:
    async def scene(stage: Stage) -> None:
        asked: list[str] = []

        async def slow(_goal: Any, _claim: Any) -> bool:
            asked.append("slow")
            await asyncio.sleep(50)
            return True

        given = e.ObjectiveGiven(
            objective="x",
            verifiers=(Verifier(kind="callable", name="slow"),),
            limits=Limits(continuations=5),
        )
        options: Any = {"verifiers": {"slow": slow}}
        first = await stage.engine(worker(steps(["a", COMPLETE])), **options).__aenter__()
        await first.submit(THREAD, given)
        await asyncio.sleep(10)
        await stage.crash(first)
        async with stage.engine(worker(steps(["b"])), **options) as second:
            session = await second.settled(THREAD)
            assert session.goal is not None
            assert (session.goal.status, session.goal.continuations) == ("complete", 1)
        assert asked == ["slow", "slow"]
        assert len(stage.events(e.VerificationFinished)) == 1

    play(scene)


def test_an_older_effect_that_is_done_again_does_not_replace_the_newer() -> None:
    """Its mark was lost in the crash: the work that the thread waits for is kept."""

    async def scene(stage: Stage) -> None:
        first = await stage.engine({}).__aenter__()
        await first.submit(THREAD, OBJECTIVE)
        await first.submit(THREAD, e.ObjectiveGiven(objective="other", replace=True))
        older, newer = [row for row in stage.disk.effects.values() if row.row.kind == "SendWork"]
        await stage.crash(first)
        stage.disk.open_effects = {older.row.key: older.row, newer.row.key: newer.row}
        # Done again in the order of their numbers, the older one last.
        stage.disk.open_effects[older.row.key] = msgspec.structs.replace(older.row, seq=10_000)
        async with stage.engine(worker(steps(["b", COMPLETE]))) as second:
            session = await second.settled(THREAD)
            assert session.goal is not None
            assert (session.goal.objective, session.goal.status) == ("other", "complete")

    play(scene)
