"""What followers are told: bounded, without secrets, with an end."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

import msgspec
import pytest
import structlog

from goalfsm.daemon import logs
from goalfsm.daemon.config import WorkerConfig, decode_config
from goalfsm.daemon.flow.notices import (
    Ended,
    Happened,
    Missed,
    Notice,
    Output,
    Problem,
    Settled,
    StatusChanged,
    public,
)
from goalfsm.daemon.host.platform import Clock
from goalfsm.daemon.stages.subscriptions import Follower, Subscriptions
from goalfsm.errors import GoalError
from goalfsm.session import events as e
from goalfsm.session.state import Host, Session
from goalfsm.session.work import NEED_ENGINE, label
from goalfsm.testing import MemoryGoals
from goalfsm.workers import protocol as w
from tests.daemon.scenes import COMPLETE, OBJECTIVE, THREAD, play, steps, worker


async def collect(goals: MemoryGoals, turns: Any) -> list[Notice]:
    seen: list[Notice] = []
    engine = await goals.process(turns).__aenter__()

    async def follow() -> None:
        seen.extend([notice async for notice in engine.follow(THREAD)])

    following = asyncio.ensure_future(follow())
    await asyncio.sleep(0)
    await engine.submit(THREAD, OBJECTIVE)
    await engine.settled(THREAD)
    await engine.stop(0)
    await following
    return seen


@pytest.mark.parametrize("after", [0, 1, 2, 1_000])
def test_a_follower_who_was_away_hears_each_event_once(after: int) -> None:
    """What is committed while the journal is read is neither lost nor told twice."""

    async def scene(goals: MemoryGoals) -> None:
        async with goals.process(worker(steps([COMPLETE]))) as engine:
            await engine.submit(THREAD, OBJECTIVE)
            following = engine.follow(THREAD, after_revision=after)
            seen = [await anext(following)]
            heard = min(after, len(goals.store().journal.read(THREAD)))
            await engine.settled(THREAD)
            newest = len(goals.store().journal.read(THREAD))
            while not (isinstance(seen[-1], Happened) and seen[-1].revision == newest):
                if isinstance(seen[-1], Settled):
                    break
                seen.append(await anext(following))
            await following.aclose()
        told = [notice.revision for notice in seen if isinstance(notice, Happened)]
        assert told == [one for one in range(1, newest + 1) if one > heard]
        tokens = [notice.event for notice in seen if isinstance(notice, Happened)]
        assert not any("run_token" in event for event in tokens)

    play(scene)


def test_a_follower_sees_everything_in_order() -> None:
    async def scene(goals: MemoryGoals) -> None:
        seen = await collect(goals, worker(steps(["hello", COMPLETE])))
        assert isinstance(seen[0], StatusChanged)
        assert isinstance(seen[-1], Ended)
        happened = [notice for notice in seen if isinstance(notice, Happened)]
        assert [notice.revision for notice in happened] == list(range(1, len(happened) + 1))
        assert [notice.text for notice in seen if isinstance(notice, Output)] == ["hello"]
        settled = [notice for notice in seen if isinstance(notice, Settled)]
        assert [notice.status.activity for notice in settled] == ["complete"]
        assert happened[0].reply is not None
        assert happened[0].reply.code == "created"

    play(scene)


@pytest.mark.parametrize("size", [10, 20_000])
def test_who_comes_in_the_middle_of_a_turn_is_told_what_it_has_said(size: int) -> None:
    """Its end, without the run's secret, and how much came before; then what follows."""

    async def scene(goals: MemoryGoals) -> None:
        told, go = asyncio.Event(), asyncio.Event()

        async def turn(work: w.Work) -> Any:
            yield "ö" * size
            yield f"my token is {work.run_token}\n"
            told.set()
            await go.wait()
            yield "and more\n"
            yield COMPLETE

        async with goals.process(worker(turn)) as engine:
            await engine.submit(THREAD, OBJECTIVE)
            await told.wait()
            following = engine.follow(THREAD)
            assert isinstance(await anext(following), StatusChanged)
            said = await anext(following)
            assert isinstance(said, Output)
            assert said.again
            assert said.text.endswith("ömy token is [token]\n")
            whole = said.left_out + 2 * said.text.count("ö")
            assert (whole, said.left_out > 0) == (2 * size, size > 10)
            go.set()
            later = [notice async for notice in _until_settled(following)]
            texts = [notice for notice in later if isinstance(notice, Output)]
            assert [(one.text, one.again) for one in texts] == [("and more\n", False)]

    play(scene)


async def _until_settled(following: Any) -> Any:
    async for notice in following:
        yield notice
        if isinstance(notice, Settled):
            return


def test_a_goal_that_waits_and_is_then_stopped_settles_twice() -> None:
    async def scene(goals: MemoryGoals) -> None:
        async def turn(_: w.Work) -> Any:
            yield w.WaitDeclared(for_="person", note="which one?")

        async with goals.process(worker(turn)) as engine:
            follower = engine.follow(THREAD)
            await anext(follower)
            await engine.submit(THREAD, OBJECTIVE)
            await engine.settled(THREAD)
            await engine.submit(THREAD, e.PauseRequested())
            await engine.stop(0)
            told = [n.status.activity_kind async for n in follower if isinstance(n, Settled)]
        assert told == ["waiting", "paused"]

    play(scene)


def test_no_notice_holds_the_secret_of_a_run() -> None:
    async def scene(goals: MemoryGoals) -> None:
        async def turn(work: w.Work) -> Any:
            yield f"my token is {work.run_token}"
            yield COMPLETE

        seen = await collect(goals, worker(turn))
        told = msgspec.json.encode(seen).decode()
        assert "my token is [token]" in told
        assert "secret-" not in told
        assert json.loads(told)

    play(scene)


def test_public_events_have_no_token() -> None:
    dispatched = e.RunDispatched(run_id="r", token="secret")
    assert public(dispatched) == {
        "type": "RunDispatched",
        "run_id": "r",
        "turn": 0,
        "wind_down": False,
        "can_steer": False,
        "can_compact": False,
        "route": None,
    }
    called = e.ToolCalled(name="get_goal", run_token="secret")
    assert "run_token" not in public(called)


def test_a_slow_follower_loses_text_first_and_is_told_how_much() -> None:
    async def scene(_: MemoryGoals) -> None:
        follower = Follower(THREAD, backlog=4)
        problem = Problem(thread_id=THREAD, code="c", message="m")
        follower.give(problem)
        for number in range(6):
            follower.give(Output(thread_id=THREAD, run_id="r", text=str(number)))
        follower.give(problem)
        follower.give(problem)
        follower.give(problem)
        follower.give(problem)
        follower.give(Ended(thread_id=THREAD))
        follower.give(problem)
        seen = [notice async for notice in follower]
        assert seen == [Missed(thread_id=THREAD, count=8), problem, problem, problem, seen[-1]]
        assert isinstance(seen[-1], Ended)

    play(scene)


def test_a_follower_that_left_is_told_nothing() -> None:
    async def scene(goals: MemoryGoals) -> None:
        followers = Subscriptions(Clock(goals.clock))
        one, other = followers.follow(THREAD), followers.follow(THREAD)
        followers.leave(one)
        followers.leave(one)
        followers.problem("c", "m")
        assert [notice async for notice in one] == []
        assert followers.has(THREAD)
        followers.leave(other)
        assert not followers.has(THREAD)
        assert len([notice async for notice in other]) == 1

    play(scene)


def test_following_an_engine_that_has_ended_is_an_error() -> None:
    async def scene(goals: MemoryGoals) -> None:
        engine = await goals.process({}).__aenter__()
        await engine.stop(0)
        with pytest.raises(GoalError) as raised:
            await anext(engine.follow(THREAD))
        assert raised.value.code == "store_closed"
        with pytest.raises(GoalError):
            await engine.settled(THREAD)
        with pytest.raises(GoalError):
            await engine.submit(THREAD, OBJECTIVE)
        await engine.wait()

    play(scene)


def test_labels_say_who_needs_an_engine() -> None:
    quiet = Session()
    busy = Session(host=Host(idle=False))
    stopping = Session(stopping=True)
    assert [label(session) for session in (quiet, busy, stopping)] == ["none", "none*", "none*"]
    assert [text in NEED_ENGINE for text in ("none", "none*", "active", "paused")] == [
        False,
        True,
        True,
        False,
    ]


def test_a_worker_config_keeps_what_it_was_given() -> None:
    config = WorkerConfig(argv=("a", "b"), cwd="/", env_names=("X",), prompt_arg=True)
    assert decode_config(config.encode()) == config
    assert config.spec().argv == ("a", "b")
    with pytest.raises(GoalError, match="cannot be read"):
        decode_config(b"{}")


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("inf"), float("nan")])
def test_a_timeout_that_is_none_is_refused(seconds: float) -> None:
    with pytest.raises(GoalError) as raised:
        WorkerConfig(argv=("true",), turn_timeout_s=seconds).validate()
    assert raised.value.code == "timeout_invalid"


@pytest.fixture
def _logging() -> Any:
    yield
    structlog.reset_defaults()


@pytest.mark.usefixtures("_logging")
def test_json_logs_are_lines_without_secrets(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(json=True, level="info")
    log = structlog.get_logger("test").bind(thread_id="t", run_id="r")
    log.debug("too low")
    log.info("said", token="secret", prompt="the objective")
    log.error("failed", exc_info=ValueError("why"))
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [line["event"] for line in lines] == ["said", "failed"]
    assert (lines[0]["thread_id"], lines[0]["level"]) == ("t", "info")
    assert (lines[0]["token"], lines[0]["prompt"]) == ("[hidden]", "[hidden]")
    assert "why" in json.dumps(lines[1])


@pytest.mark.usefixtures("_logging")
def test_logs_for_people_are_readable_and_transitions_is_quiet(
    capsys: pytest.CaptureFixture[str],
) -> None:
    logs.configure(json=False, level="warning")
    structlog.get_logger("test").warning("careful", thread_id="t")
    assert "careful" in capsys.readouterr().err
    assert logging.getLogger("transitions").level == logging.WARNING


@pytest.mark.usefixtures("_logging")
def test_the_engine_logs_runs_with_their_names_and_no_token(
    capsys: pytest.CaptureFixture[str],
) -> None:
    logs.configure(json=True, level="debug")

    async def scene(goals: MemoryGoals) -> None:
        async with goals.process(worker(steps(["a", COMPLETE]))) as engine:
            await engine.submit(THREAD, OBJECTIVE)
            await engine.settled(THREAD)

    play(scene)
    err = capsys.readouterr().err
    started = [json.loads(line) for line in err.splitlines() if '"run started"' in line]
    assert {"thread_id", "goal_id", "run_id", "turn"} <= started[0].keys()
    assert "secret-" not in err
