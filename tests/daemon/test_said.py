"""What a turn may say over a socket, and what waits for a follower, is bounded in bytes."""

from __future__ import annotations

import pytest

from goalfsm.daemon.flow.notices import Missed, Output, Problem
from goalfsm.daemon.remote.run_socket import MAX_SAID, Said
from goalfsm.daemon.stages.subscriptions import WAITING_BYTES, Follower
from goalfsm.errors import GoalError


def test_a_turn_may_say_so_much_and_the_next_one_starts_afresh() -> None:
    said = Said()
    said.add("t", "first", MAX_SAID)
    said.add("u", "other", MAX_SAID)
    for _ in range(2):
        with pytest.raises(GoalError, match="8 MiB") as refused:
            said.add("t", "first", 1)
    assert refused.value.code == "too_much"
    assert refused.value.hint
    said.add("t", "second", MAX_SAID)
    with pytest.raises(GoalError):
        said.add("t", "second", 1)


def test_only_so_many_threads_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("goalfsm.daemon.remote.run_socket._MOST", 2)
    said = Said()
    for thread in ("a", "b", "c"):
        said.add(thread, "run", MAX_SAID)
    said.add("a", "run", 1)
    with pytest.raises(GoalError):
        said.add("c", "run", 1)


@pytest.mark.asyncio
async def test_a_follower_that_does_not_read_holds_so_many_bytes() -> None:
    follower = Follower("t")
    problem = Problem(thread_id="t", code="c", message="m")
    size = WAITING_BYTES // 4
    follower.give(problem, size)
    follower.give(Output(thread_id="t", run_id="r", text="dropped first"), size)
    for _ in range(3):
        follower.give(problem, size)
    follower.close()
    told = [notice async for notice in follower]
    assert told == [Missed(thread_id="t", count=1), *[problem] * 4]


@pytest.mark.asyncio
async def test_one_that_is_larger_than_that_is_told_all_the_same() -> None:
    follower = Follower("t")
    huge = Problem(thread_id="t", code="c", message="m")
    for _ in range(2):
        follower.give(huge, 2 * WAITING_BYTES)
    follower.close()
    assert [notice async for notice in follower] == [Missed(thread_id="t", count=1), huge]
