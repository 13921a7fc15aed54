"""What is known of a goal's programs is told when it is given; a refused goal changes none."""

from __future__ import annotations

import asyncio
import fcntl
import os
from pathlib import Path

import pytest

from goalfsm.cli import exits, working
from goalfsm.cli.places import Place
from goalfsm.cli.programs import stored, stored_by_engine
from goalfsm.daemon.remote.client import request
from goalfsm.errors import GoalError, OutcomeUnknown
from goalfsm.session.events import ObjectiveGiven
from goalfsm.session.state import Session
from goalfsm.store.memory import MemoryStore
from goalfsm.store.sqlite import SqliteStore
from tests.cli.terminal import Cli

OURS, THEIRS, BEFORE = b"ours", b"theirs", b"before"


def kept(db: str = "goals.db") -> dict[str, bytes | None]:
    """Return the programs that are stored."""
    store = SqliteStore.open(Path(db), read_only=True)
    try:
        return {row.thread_id: store.workers.get(row.thread_id) for row in store.sessions.threads()}
    finally:
        store.close()


@pytest.mark.parametrize("command", ["run", "set"])
def test_a_verifier_that_is_not_installed_is_refused(cli: Cli, command: str) -> None:
    result = cli(command, "x", "--verify", "absent-verifier --all", "--", "true")
    assert result.status == exits.USAGE
    assert result.told_shortly
    assert "--verify absent-verifier --all: no such program" in result.err
    assert "sh -c" in result.err


def test_a_verifier_that_may_still_be_written_is_warned_of(cli: Cli) -> None:
    result = cli("set", "x", "--verify", "./check all", "--", "true")
    assert result.status == exits.OK
    assert "the program of --verify, ./check, does not exist" in result.err
    Path("check").write_text("#!/bin/sh\n")
    refused = cli("set", "x", "--replace", "--verify", "./check all", "--", "true")
    assert refused.status == exits.USAGE
    assert "chmod +x" in refused.err
    Path("check").chmod(0o755)
    assert cli("set", "x", "--replace", "--verify", "./check all").err == ""


@pytest.mark.parametrize("command", ["run", "set"])
@pytest.mark.parametrize("wrong", [("--criterion", "c") * 200, ()])
def test_a_refused_goal_leaves_the_program_as_it_was(
    cli: Cli, command: str, wrong: tuple[str, ...]
) -> None:
    cli("set", "x", "--db", "goals.db", "--", "true")
    if wrong:
        cli("complete", "--db", "goals.db")
    before = kept()
    assert cli(command, "y", "--db", "goals.db", *wrong, "--", "cat").status == exits.USAGE
    assert kept() == before


@pytest.mark.parametrize("before", [None, BEFORE])
def test_the_program_is_there_before_its_goal_is(before: bytes | None) -> None:
    workers = MemoryStore().workers
    if before is not None:
        workers.put("t", before)
    with stored(workers, "t", OURS, Path()):
        assert workers.get("t") == OURS
    assert workers.get("t") == OURS


@pytest.mark.parametrize("before", [None, BEFORE])
def test_a_refusal_leaves_the_thread_as_it_was(before: bytes | None) -> None:
    workers = MemoryStore().workers
    if before is not None:
        workers.put("t", before)
    with pytest.raises(GoalError), stored(workers, "t", OURS, Path()):
        raise GoalError("refused")
    assert workers.get("t") == before


@pytest.mark.parametrize("before", [None, BEFORE])
def test_a_refusal_leaves_what_another_command_stored_meanwhile(before: bytes | None) -> None:
    """That command waited in vain for the lock, and its goal may have been accepted."""
    workers = MemoryStore().workers
    if before is not None:
        workers.put("t", before)

    def refused() -> None:
        with stored(workers, "t", OURS, Path()):
            workers.put("t", THEIRS)
            raise GoalError("refused")

    with pytest.raises(GoalError):
        refused()
    assert workers.get("t") == THEIRS


def test_a_goal_that_may_have_been_committed_keeps_its_program() -> None:
    workers = MemoryStore().workers
    with pytest.raises(OutcomeUnknown), stored(workers, "t", OURS, Path()):
        raise OutcomeUnknown("half-way")
    assert workers.get("t") == OURS


def test_a_goal_that_comes_between_leaves_no_program_of_a_refused_one(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing spoke against the goal when it was checked; the other one came a moment later."""
    check = working._refuse_early

    def meanwhile(place: Place, session: Session | None, wanted: ObjectiveGiven) -> None:
        check(place, session, wanted)
        request(place.db, place.thread_id, ObjectiveGiven(objective="theirs"), "their event")

    monkeypatch.setattr(working, "_refuse_early", meanwhile)
    refused = cli("set", "t", "ours", "--db", "goals.db", "--", "cat")
    assert refused.status == exits.USAGE
    assert "unfinished goal" in refused.err
    assert kept() == {"t": None}


def test_goals_with_programs_are_given_one_after_the_other(tmp_path: Path) -> None:
    """Of several processes that give a goal at once, the accepted one's program has to stay."""
    workers = MemoryStore().workers
    other = os.open(tmp_path, os.O_RDONLY)
    with stored(workers, "t", OURS, tmp_path), pytest.raises(BlockingIOError):
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(other)


def test_one_that_keeps_the_others_waiting_does_not_stop_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("goalfsm.cli.programs._WAIT_S", 0.02)
    workers = MemoryStore().workers
    with stored(workers, "t", THEIRS, tmp_path), stored(workers, "t", OURS, tmp_path):
        assert workers.get("t") == OURS


def test_a_goal_without_a_program_touches_none() -> None:
    workers = MemoryStore().workers
    workers.put("t", BEFORE)
    with stored(workers, "t", None, Path()):
        assert workers.get("t") == BEFORE


def test_an_engine_that_waits_for_another_command_goes_on_meanwhile(tmp_path: Path) -> None:
    """The other one holds the lock while it asks this engine: that has to be able to answer."""
    place = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    fcntl.flock(place, fcntl.LOCK_EX)
    answered: list[str] = []

    def answer() -> None:
        answered.append("the other command")
        os.close(place)

    async def scene() -> None:
        workers = MemoryStore().workers
        asyncio.get_running_loop().call_soon(answer)
        async with stored_by_engine(workers, "t", OURS, tmp_path):
            assert answered == ["the other command"]
            assert workers.get("t") == OURS
        with pytest.raises(GoalError):
            async with stored_by_engine(workers, "t", THEIRS, tmp_path):
                raise GoalError("refused")
        async with stored_by_engine(workers, "t", None, tmp_path):
            assert workers.get("t") == OURS

    asyncio.run(scene())
