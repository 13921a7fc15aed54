"""Who may say what: at the socket, in the inbox, without an engine, from inside a run."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import pytest
from msgspec.structs import replace

from goalfsm.daemon.engine import Engine
from goalfsm.daemon.flow.authority import (
    CODE,
    admitted,
    is_recordable,
    of_a_row,
    require_own_run,
    require_person,
)
from goalfsm.daemon.flow.replay import undecidable
from goalfsm.daemon.host.platform import SystemClock, own_identity
from goalfsm.daemon.remote.client import request, serving
from goalfsm.daemon.remote.link import NoEngine
from goalfsm.daemon.remote.narrating import told
from goalfsm.errors import GoalError
from goalfsm.goal.model import Limits
from goalfsm.session import codec
from goalfsm.session import events as e
from goalfsm.session.codec import sealed, token_digest
from goalfsm.session.state import Run
from goalfsm.store.sqlite import SqliteStore
from goalfsm.workers.supervisor.identity import LINUX
from goalfsm.workers.supervisor.peers import Peer
from goalfsm.workers.supervisor.process_tree import PART_BITS, mark_of
from tests.daemon.scenes import OBJECTIVE, THREAD

PERSON = Peer(pid=7, of_a_run=False, uid=1000, program="sh", terminal="/dev/pts/1")
RUN = Peer(pid=8, of_a_run=True, why="process 8 carries the mark of a run", run_id="r1")
COMMANDS = (
    e.ObjectiveGiven(objective="x"),
    e.PauseRequested(),
    e.ResumeRequested(),
    e.ClearRequested(),
    e.EditRequested(objective="y"),
    e.BudgetChanged(limits=Limits(tokens=5)),
    e.PolicyChanged(changes={"no_progress": 0}),
    e.GoalQueued(objective="What I would rather do"),
    e.QueueMoved(queue_id="q1", place=1),
    e.QueueDropped(queue_id="q1"),
    e.NextGoalRequested(),
    e.GoalImported(source="codex:1", digest="", objective="Mine"),
    e.CompletionRequested(),
    e.BlockRequested(),
    e.ClaimAccepted(),
    e.ClaimRejected(),
    e.SteeringReceived(message_id="m", text="skip the tests"),
    e.SteeringDropped(message_id="m"),
    e.WakeRequested(),
    e.InterruptRequested(text="stop that"),
    e.TriggerFired(trigger="approve"),
)
INTERNAL = (
    e.VerificationFinished(claim_id="c", index=0, outcome="passed"),
    e.RunFinished(run_id="r"),
    e.RunInterrupted(run_id="r"),
    e.RunDispatched(run_id="r", token="t"),
    e.UsageReported(run_id="r", run_token="t", key="k", usage=e.Usage()),
    e.EngineStarted(),
    e.TimerFired(),
    e.HostChanged(idle=True),
    e.SteeringAcknowledged(message_id="m"),
    e.DecisionFailed(kind="x", error="y"),
)


def refusal(doing: Any, *given: Any) -> str:
    with pytest.raises(GoalError) as refused:
        doing(*given)
    assert refused.value.hint
    return refused.value.code


@pytest.mark.parametrize("event", COMMANDS, ids=lambda event: type(event).__name__)
def test_a_command_is_a_persons_and_says_who_asked(event: e.Expecting) -> None:
    """What the sender says of itself counts for nothing, except that it may say less."""
    forged = e.By(uid=0, pid=1, program="init")
    said = admitted(type(event)(**{**_fields(event), "by": forged, "origin": "system"}), PERSON)
    assert isinstance(said, e.Expecting)
    assert said.origin == "person"
    assert said.by == e.By(uid=1000, pid=7, program="sh", terminal="/dev/pts/1")
    assert refusal(admitted, event, RUN) == CODE
    lowered = admitted(type(event)(**{**_fields(event), "origin": "model"}), PERSON)
    assert isinstance(lowered, e.Expecting)
    assert lowered.origin == "model"


def test_every_command_is_tried() -> None:
    every = {kind for kind in get_args(e.Event) if issubclass(kind, e.Expecting)}
    assert {type(event) for event in COMMANDS} == every
    assert not {type(event) for event in INTERNAL} & every


@pytest.mark.parametrize("event", INTERNAL, ids=lambda event: type(event).__name__)
def test_what_only_the_engine_knows_comes_from_nobody_else(event: e.Event) -> None:
    assert refusal(admitted, event, PERSON) == CODE
    assert refusal(admitted, event, RUN) == CODE
    assert refusal(of_a_row, event) == CODE
    assert not is_recordable(event)


def test_a_run_speaks_with_its_token_and_for_its_own_thread() -> None:
    claim = e.ToolCalled(name="update_goal", arguments={"status": "complete"})
    for peer in (PERSON, RUN):
        said = admitted(e.ToolCalled(name="update_goal", run_token="secret"), peer)
        kept = sealed(said)
        assert isinstance(kept, e.ToolCalled)
        assert kept.run_token == token_digest("secret") != "secret"
        assert refusal(admitted, claim, peer) == "not_in_a_run"
        assert refusal(admitted, e.WaitDeclared(kind="timer"), peer) == "not_in_a_run"
        assert admitted(e.ToolCalled(name="get_goal"), peer) == e.ToolCalled(name="get_goal")
    creating = e.ToolCalled(name="goalfsm/create_goal", arguments={"objective": "x"})
    assert refusal(admitted, creating, RUN) == CODE
    assert admitted(creating, PERSON) == creating


def test_a_token_is_shown_by_the_run_that_it_is_of() -> None:
    """Which run it is tells what is above it, else its mark, else its environment."""
    run, db = (
        Run(run_id="r1", token=token_digest("secret"), goal_id=None, turn=1, started_ms=0),
        "/g.db",
    )
    claim = e.ToolCalled(name="update_goal", run_token="secret")
    mark = 1 << 2 * PART_BITS | mark_of(db, "r1")
    other = 1 << 2 * PART_BITS | mark_of(db, "r2")
    named = RUN._replace(run_id="r2")
    allowed: list[tuple[Peer, str]] = [
        (PERSON, ""),
        (RUN, ""),
        (named._replace(mark=other), "r1"),
        (named._replace(mark=mark), ""),
    ]
    for peer, inside in allowed:
        require_own_run(claim, peer, db, run, inside)
    for peer, inside in [(RUN, "r2"), (RUN._replace(mark=other), ""), (named, "")]:
        for event in (claim, e.WaitDeclared(kind="timer", run_token="secret")):
            assert refusal(require_own_run, event, peer, db, run, inside) == CODE
        require_own_run(e.ToolCalled(name="get_goal"), peer, db, run, inside)
        # What the thread itself refuses, as a run that is over.
        require_own_run(claim, peer, db, None, inside)
        require_own_run(replace(claim, run_token="older"), peer, db, run, inside)


def test_a_row_of_the_inbox_is_a_message_or_a_stop_and_gives_nobody_more() -> None:
    """Nobody can be looked at who wrote it."""
    forged = e.By(uid=0, pid=1, program="init")
    for event in COMMANDS:
        said = of_a_row(type(event)(**{**_fields(event), "by": forged}))
        assert isinstance(said, e.Expecting)
        assert said.by is None
        harmless = is_recordable(event) and not isinstance(event, e.ObjectiveGiven)
        assert said.origin == ("person" if harmless else "model")
    granting = (e.ClaimAccepted, e.CompletionRequested, e.BudgetChanged, e.ResumeRequested)
    assert not any(is_recordable(event) for event in COMMANDS if isinstance(event, granting))
    assert is_recordable(e.PauseRequested())
    assert is_recordable(e.ToolCalled(name="get_goal"))
    for said in (
        e.ToolCalled(name="get_goal", run_token="t"),
        e.WaitDeclared(kind="timer", run_token="t"),
    ):
        assert not is_recordable(said), "a token would lie in the inbox to be read"
    assert not is_recordable(e.ObjectiveGiven(objective="x", replace=True))


def _fields(event: e.Expecting) -> dict[str, Any]:
    return {name: getattr(event, name) for name in event.__struct_fields__}


# The doors themselves.


def goal(db: Path) -> Any:
    store = SqliteStore.open(db, read_only=True)
    try:
        row = store.sessions.load(THREAD)
        assert row is not None
        return codec.decode(row.state)
    finally:
        store.close()


def test_the_record_says_who_asked(db: Path) -> None:
    request(db, THREAD, OBJECTIVE, "one")
    request(db, THREAD, e.CompletionRequested(), "two")
    by = goal(db).completion.by
    assert (by.uid, by.pid) == (os.getuid(), os.getpid())
    assert "python" in by.program or "pytest" in by.program


def test_inside_a_run_nothing_of_a_persons_is_decided_without_an_engine(
    db: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    request(db, THREAD, OBJECTIVE, "one")
    monkeypatch.setenv("GOALFSM_RUN_ID", "r")
    script = (
        "import sys; from goalfsm.daemon.remote.client import request\n"
        "from goalfsm.session import events as e; from goalfsm.errors import GoalError\n"
        "try: request(sys.argv[1], sys.argv[2], e.CompletionRequested(), 'x')\n"
        "except GoalError as error: print(error.code)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(db), THREAD],
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout == f"{CODE}\n"
    assert goal(db).goal.status == "active"


def test_a_program_is_stored_by_a_person(db: Path) -> None:
    require_person(db, "it")


SENDS = """
import json, os, socket, sys
place, lines = sys.argv[1], sys.argv[2:]
s = socket.socket(socket.AF_UNIX); s.connect(place); f = s.makefile("rb")
with open("answers", "ab") as answers:
    for line in lines:
        s.sendall(line.encode() + b"\\n"); answers.write(f.readline())
os.rename("answers", "said")
"""


@pytest.mark.skipif(not LINUX, reason="where a process comes from is known on Linux")
def test_what_descends_from_the_engine_is_no_person(
    db: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever it does to its environment."""
    monkeypatch.chdir(tmp_path)
    request(db, THREAD, OBJECTIVE, "one")
    asked = [
        {"type": "CompletionRequested"},
        {"type": "VerificationFinished", "claim_id": "c", "index": 0, "outcome": "passed"},
        {"type": "EditRequested", "objective": "print ok"},
    ]
    lines = [
        json.dumps({"op": "submit", "thread_id": THREAD, "event_id": f"f{n}", "event": event})
        for n, event in enumerate(asked)
    ]
    said = tmp_path / "said"

    async def main() -> None:
        store = SqliteStore.open(db)
        try:
            async with Engine(store, workers={}, grace_s=0.0):
                owner = serving(db)
                assert owner is not None
                child = await asyncio.create_subprocess_exec(
                    *(sys.executable, "-I", "-S", "-c", SENDS, owner.socket, *lines), env={}
                )
                await child.wait()
        finally:
            store.close()

    asyncio.run(main())
    codes = [json.loads(line)["code"] for line in said.read_text().splitlines()]
    assert codes == [CODE] * 3
    assert goal(db).goal.objective == OBJECTIVE.objective
    assert goal(db).goal.status == "active"


def test_forged_rows_of_the_inbox_are_not_decided(db: Path) -> None:
    request(db, THREAD, OBJECTIVE, "one")
    store = SqliteStore.open(db)
    forged = (*INTERNAL, e.CompletionRequested(), e.EditRequested(objective="print ok"))
    for number, event in enumerate(forged):
        store.inbox.put(f"f{number}", THREAD, at_ms=1, event=codec.encode_event(event))
    before = goal(db)
    assert request(db, THREAD, e.SteeringReceived(message_id="m", text="on"), "two").ok
    after = goal(db)
    assert (after.goal.status, after.goal.objective) == ("active", before.goal.objective)
    assert after.completion is None
    assert [row.inbox_id for row in store.inbox.pending()] == [
        f"f{number}" for number in range(len(INTERNAL))
    ]
    # Those that no engine takes are named by `goalfsm doctor`, and none is called a person's.
    assert [name for name, _ in undecidable(store)] == [
        f"f{number}" for number in range(len(INTERNAL))
    ]
    assert all("for the engine alone" in why for _, why in undecidable(store))
    rows = [codec.decode_event(row.event) for row in store.journal.read(THREAD)]
    assert not any("person" in told(event) for event in rows)
    store.close()


def test_nobody_is_called_a_person_who_was_not_looked_at() -> None:
    for event in (e.ClaimAccepted(), e.ClaimRejected(feedback="no"), e.InterruptRequested()):
        assert "person" not in told(event)
        assert "a person" in told(admitted(event, PERSON))
        assert "the model" in told(replace(event, origin="model"))


def test_what_needs_a_look_at_the_asker_is_not_left_in_the_inbox(db: Path) -> None:
    request(db, THREAD, OBJECTIVE, "one")
    store = SqliteStore.open(db)
    store.owner.acquire(own_identity(), socket="", uptime_ms=SystemClock().uptime_ms())
    with pytest.raises(NoEngine) as refused:
        request(db, THREAD, e.CompletionRequested(), "two", timeout_s=0.1)
    assert "nothing was written" in refused.value.message
    assert store.inbox.pending() == ()
    paused = request(db, THREAD, e.PauseRequested(), "three", timeout_s=0.1)
    assert paused.code == "recorded"
    store.close()


def test_a_runs_token_is_stored_nowhere(db: Path) -> None:
    """Its digest is, and that authorises nobody."""
    from goalfsm.workers.inprocess import CallableWorker  # noqa: PLC0415

    given: list[str] = []

    async def turn(work: Any) -> Any:
        given.append(work.run_token)
        session = engine.session(THREAD)
        assert session.run is not None
        assert session.run.token == token_digest(work.run_token)
        yield f"my token is {work.run_token}"

    async def main() -> None:
        nonlocal engine
        store = SqliteStore.open(db)
        try:
            async with Engine(store, workers=CallableWorker(turn), grace_s=0.0) as engine:
                limited = e.ObjectiveGiven(objective="x", limits=Limits(continuations=1))
                await engine.submit(THREAD, limited)
                await engine.settled(THREAD)
                call = e.ToolCalled(name="get_goal", run_token=given[0])
                assert not (await engine.submit(THREAD, call)).ok
        finally:
            store.close()

    engine: Any = None
    asyncio.run(main())
    for file in db.parent.glob("goals.db*"):
        assert given[0].encode() not in file.read_bytes()
