"""Two processes on one database: a daemon that serves, a run that hands over and follows."""

from __future__ import annotations

import contextlib
import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import Mock

import pytest

from goalfsm.cli import exits
from goalfsm.cli.errand import Errand
from goalfsm.cli.places import Place
from goalfsm.daemon.remote.face import RemoteEngine
from goalfsm.errors import GoalError
from goalfsm.session.events import ObjectiveGiven
from goalfsm.session.state import Reply
from goalfsm.ui.source import Database
from tests.cli.processes import Terminal, daemon, goalfsm, terminal
from tests.cli.workers import COMPLETE, turns, worker
from tests.session.hosts import started


def test_a_run_hands_its_thread_to_the_daemon_and_follows_it() -> None:
    """The output and the exit status are those of a run that drives by itself."""
    program = worker(f"[ $GOALFSM_TURN -lt 2 ] && echo more || {COMPLETE}")
    with daemon("--db", "goals.db") as serving:
        result = goalfsm("run", "do it", "--db", "goals.db", "--", program)
        assert result.status == exits.OK, result
        for said in ("serves this database; following it", "turn 1 starts", "complete ·"):
            assert said in result.out
        serving.process.send_signal(signal.SIGTERM)
        assert serving.end().status == exits.OK
    assert turns() == [1, 2]


def test_a_follower_exits_as_the_goal_ends() -> None:
    program = worker("./person pause --db goals.db >&2", "echo paused")
    with daemon("--db", "goals.db"):
        result = goalfsm("run", "do it", "--db", "goals.db", "--json", "--", program)
    assert result.status == exits.ATTENTION, result
    last = json.loads(result.out.splitlines()[-1])
    assert last["status"]["goal"]["pause_reason"] == "user"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_interrupting_a_follower_stops_following_only(number: signal.Signals) -> None:
    program = worker("echo waiting", "while ! [ -f go ]; do sleep 0.05; done", COMPLETE)
    with (
        daemon("--db", "goals.db"),
        terminal("run", "do it", "--db", "goals.db", "--", program) as following,
    ):
        following.until("| waiting")
        following.process.send_signal(number)
        result = following.end()
        assert result.status == exits.INTERRUPTED
        assert "stopped following" in result.out
        assert "goes on with the goal" in result.out
        Path("go").touch()
        assert goalfsm("run", "--db", "goals.db").status == exits.OK
    assert turns() == [1]


def test_a_follower_goes_on_by_itself_when_the_daemon_is_killed() -> None:
    program = worker(
        "[ $GOALFSM_TURN -gt 1 ] || while :; do sleep 0.05; done",
        COMPLETE,
    )
    with (
        daemon("--db", "goals.db") as serving,
        terminal("run", "do it", "--db", "goals.db", "--", program) as following,
    ):
        following.until("turn 1 starts")
        serving.process.kill()
        result = following.end()
    assert result.status == exits.OK, result
    assert "going on here" in result.out
    assert "turn 1 interrupted" in result.out


def test_a_goal_that_an_engine_took_before_it_ended_is_not_in_its_own_way() -> None:
    """The next engine is asked for the same once more, and answers from the journal."""
    place = Place(Path("goals.db"), "t", given=True)
    objective = ObjectiveGiven(objective="do it")
    errand = Errand(place, Mock(), objective, None)
    assert errand.opening(None) == objective
    errand.check(Reply(ok=True, code="created"))
    assert errand.opening(started().session) == objective
    with pytest.raises(GoalError, match="already has an unfinished goal"):
        Errand(place, Mock(), objective, None).opening(started().session)


def test_a_refused_goal_is_refused_by_the_daemon_too() -> None:
    goalfsm("set", "the first", "--db", "goals.db")
    with daemon("--db", "goals.db"):
        result = goalfsm("run", "the second", "--db", "goals.db", "--", "true")
    assert result.status == exits.USAGE
    assert result.told_shortly


def test_a_daemon_takes_up_what_was_set_before_and_while_it_serves() -> None:
    program = worker(COMPLETE)
    goalfsm("set", "before", "--db", "goals.db", "--thread", "a", "--", program)
    with daemon("--db", "goals.db"):
        assert goalfsm("run", "--db", "goals.db", "--thread", "a").status == exits.OK
        goalfsm("set", "while", "--db", "goals.db", "--thread", "b", "--", program)
        assert goalfsm("run", "--db", "goals.db", "--thread", "b").status == exits.OK
    assert turns() == [1, 1]


def test_a_second_daemon_is_told_who_serves() -> None:
    with daemon("--db", "goals.db") as serving:
        result = goalfsm("daemon", "--db", "goals.db")
        assert result.status == exits.USAGE
        assert f"process {serving.process.pid} serves this database" in result.err


@pytest.fixture
def nohup() -> Iterator[None]:
    """Have what is started ignore SIGHUP, as nohup does."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.usefixtures("nohup")
def test_work_under_nohup_outlives_its_terminal() -> None:
    """The one signal that nohup has it ignore does not stop the engine; others do."""
    program = worker("echo waiting", "while ! [ -f go ]; do sleep 0.05; done", COMPLETE)
    with terminal("run", "do it", "--db", "goals.db", "--", program) as detached:
        detached.until("turn 1 starts")
        detached.process.send_signal(signal.SIGHUP)
        Path("go").touch()
        result = detached.end()
    assert result.status == exits.OK, result
    assert "shutting down" not in result.out
    assert turns() == [1]


@pytest.mark.usefixtures("nohup")
def test_a_daemon_and_its_follower_under_nohup_outlive_their_terminal() -> None:
    program = worker("echo waiting", "while ! [ -f go ]; do sleep 0.05; done", COMPLETE)
    with daemon("--db", "goals.db") as serving:
        run = terminal("run", "do it", "--db", "goals.db", "--", program)
        with run as following:
            following.until("| waiting")
            for process in (serving.process, following.process):
                process.send_signal(signal.SIGHUP)
            Path("go").touch()
            result = following.end()
        assert result.status == exits.OK, result
        assert "stopped following" not in result.out
        serving.process.send_signal(signal.SIGTERM)
        assert serving.end().status == exits.OK
    assert turns() == [1]


@pytest.mark.parametrize(
    ("lines", "options", "answer"),
    [((COMPLETE,), ("--accept",), "accept"), (("goalfsm tool wait --for event",), (), "complete")],
)
@pytest.mark.parametrize("follows", [False, True])
def test_a_run_that_waits_for_somebody_says_for_which_command(
    lines: tuple[str, ...], options: tuple[str, ...], answer: str, follows: bool
) -> None:
    place = ("--db", "goals.db", "--thread", "release")
    program = worker(*lines)
    with contextlib.ExitStack() as others:
        if follows:
            others.enter_context(daemon("--db", "goals.db"))
        run = others.enter_context(terminal("run", "do it", *place, *options, "--", program))
        said = run.until("this waits for you: ")
        assert f"goalfsm {'wake' if answer == 'complete' else answer} release" in said
        assert goalfsm(answer, *place).status == exits.OK
        assert run.end().status == exits.OK
    assert turns() == [1]


@pytest.mark.parametrize("follows", [False, True])
def test_a_database_that_is_gone_is_no_wrong_usage(follows: bool) -> None:
    program = worker("mv goals.db gone.db", "echo done")
    with contextlib.ExitStack() as others:
        if follows:
            others.enter_context(daemon("--db", "goals.db"))
        result = goalfsm("run", "do it", "--db", "goals.db", "--", program)
    assert result.status == exits.FAILED, result
    assert "Hint: " in result.err
    assert not Path("goals.db").exists()


_GATED = (
    "echo $GOALFSM_THREAD.$GOALFSM_TURN >> begun.txt",
    "while ! [ -f go.$GOALFSM_THREAD ]; do sleep 0.05; done",
    COMPLETE,
)
"""A turn that ends when its thread's file is there."""


def _begun() -> list[str]:
    return Path("begun.txt").read_text().split()


def test_a_turn_that_another_terminal_follows_outlives_the_goal_of_its_process() -> None:
    """It is not killed and begun again; its terminal goes on with the database."""
    program = worker(*_GATED)
    place = ("--db", "goals.db", "--thread")
    with (
        terminal("run", "short", *place, "a", "--", program) as a,
        terminal_after(a, "turn 1 starts", "run", "long", *place, "b", "--", program) as b,
    ):
        b.until("turn 1 starts")
        Path("go.a").touch()
        a.until("another terminal follows a turn")
        Path("go.b").touch()
        assert a.end().status == exits.OK
        assert b.end().status == exits.OK
    assert _begun() == ["a.1", "b.1"]


def test_the_follower_goes_on_where_it_has_more_to_do() -> None:
    """The second turn is begun by the process that only looked on before."""
    program = worker(*_GATED[:2], f"[ $GOALFSM_THREAD.$GOALFSM_TURN = b.1 ] || {COMPLETE}")
    place = ("--db", "goals.db", "--thread")
    with (
        terminal("run", "short", *place, "a", "--", program) as a,
        terminal_after(a, "turn 1 starts", "run", "long", *place, "b", "--", program) as b,
    ):
        b.until("turn 1 starts")
        Path("go.a").touch()
        a.until("another terminal follows a turn")
        Path("go.b").touch()
        assert a.end().status == exits.OK
        result = b.end()
    assert result.status == exits.OK, result
    assert "going on here" in result.out
    assert _begun() == ["a.1", "b.1", "b.2"]


def test_ctrl_c_holds_the_thread_that_was_asked_for_here_and_no_other() -> None:
    """Whoever goes on with the database: it starts no turn of the thread that was stopped."""
    program = worker(*_GATED)
    place = ("--db", "goals.db", "--thread")
    with (
        terminal("run", "short", *place, "a", "--", program) as a,
        terminal_after(a, "turn 1 starts", "run", "long", *place, "b", "--", program) as b,
    ):
        b.until("turn 1 starts")
        a.process.send_signal(signal.SIGINT)
        a.until("no turn of this thread follows")
        a.process.send_signal(signal.SIGINT)
        a.until("turn 1 interrupted")
        Path("go.b").touch()
        stopped = a.end()
        assert stopped.status == exits.INTERRUPTED, stopped
        assert f"process {b.process.pid} goes on with the database" in stopped.out
        assert b.end().status == exits.OK
    assert _begun() == ["a.1", "b.1"]
    assert "paused (interrupt)" in goalfsm("status", *place, "a").out


_ONCE_MORE = (*_GATED[:2], f"[ $GOALFSM_THREAD.$GOALFSM_TURN = a.1 ] || {COMPLETE}")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_process_that_is_told_to_end_cuts_no_turn_that_another_terminal_follows(
    number: signal.Signals,
) -> None:
    program = worker(*_ONCE_MORE)
    place = ("--db", "goals.db", "--thread")
    with (
        terminal("run", "short", *place, "a", "--", program) as a,
        terminal_after(a, "turn 1 starts", "run", "long", *place, "b", "--", program) as b,
    ):
        b.until("turn 1 starts")
        a.process.send_signal(number)
        a.until("another terminal follows a turn")
        Path("go.a").touch()
        a.until("turn 1 finished")
        Path("go.b").touch()
        stopped = a.end()
        assert stopped.status == exits.INTERRUPTED, stopped
        assert "the goal stays as it is" in stopped.out
        assert f"process {b.process.pid} goes on with the database" in stopped.out
        assert b.end().status == exits.OK
    assert _begun()[:2] == ["a.1", "b.1"]
    assert _begun().count("b.1") == 1


def test_a_process_whose_terminal_is_gone_cuts_no_turn_that_another_one_follows() -> None:
    """It cannot even write any more."""
    program = worker("echo said", *_ONCE_MORE)
    place = ("--db", "goals.db", "--thread")
    with (
        terminal("run", "short", *place, "a", "--log-json", "--", program) as a,
        terminal_after(a, "turn 1 starts", "run", "long", *place, "b", "--", program) as b,
    ):
        b.until("turn 1 starts")
        assert a.process.stdout is not None
        a.process.stdout.close()
        Path("go.a").touch()
        a.until("turns are finished for those who go on with them", where="stderr")
        Path("go.b").touch()
        assert b.end().status == exits.OK
    assert _begun().count("b.1") == 1


def test_told_to_end_twice_it_ends_at_once() -> None:
    program = worker(*_GATED)
    place = ("--db", "goals.db", "--thread")
    with (
        terminal("run", "short", *place, "a", "--", program) as a,
        terminal_after(a, "turn 1 starts", "run", "long", *place, "b", "--", program) as b,
    ):
        b.until("turn 1 starts")
        while "b.1" not in _begun():
            time.sleep(0.01)  # a turn starts before its program has done anything
        a.process.send_signal(signal.SIGTERM)
        a.until("another terminal follows a turn")
        a.process.send_signal(signal.SIGTERM)
        assert a.end().status == exits.INTERRUPTED
        Path("go.b").touch()
        assert b.end().status == exits.OK
    assert _begun().count("b.1") + _begun().count("b.2") == 2


def test_an_engine_that_is_stopped_is_not_said_to_work_on_the_goal() -> None:
    """It is there, and its turn is, and nothing goes on; SIGCONT and all is as before."""
    program = worker("echo waiting", "while ! [ -f go ]; do sleep 0.05; done", COMPLETE)
    place = ("--db", "goals.db", "--thread", "a")
    with terminal("run", "do it", *place, "--", program) as a:
        a.until("| waiting")
        assert "running a turn" in goalfsm("status", *place).out
        a.process.send_signal(signal.SIGSTOP)
        try:
            shown = goalfsm("status", *place)
            why = goalfsm("explain", *place)
            chip = goalfsm("chip", *place)
            listed = goalfsm("list", "--db", "goals.db")
            source = Database(db := Path("goals.db").resolve(), RemoteEngine(db))
            seen, (row,) = source.look("a"), source.rows(("a",))
        finally:
            a.process.send_signal(signal.SIGCONT)
        gone = f"process {a.process.pid} does not answer"
        assert f"nobody works on this: {gone}" in shown.out, shown
        assert gone in why.out
        assert chip.out.startswith("! nobody works on this"), chip
        assert f"nobody works on this: {gone}" in listed.out, listed
        assert seen.link == "silent"
        assert seen.status is not None
        assert seen.status.detail == row.detail
        assert gone in row.detail
        assert "turn 1, since" not in shown.out
        Path("go").touch()
        assert a.end().status == exits.OK


@contextlib.contextmanager
def terminal_after(before: Terminal, said: str, *words: str) -> Iterator[Terminal]:
    """Start a command when another one has said something."""
    before.until(said)
    with terminal(*words) as started:
        yield started


def test_a_run_that_is_done_says_whose_turn_it_waits_for() -> None:
    """It has served the other threads of its database; their turns have time to end."""
    slow = worker("touch begun", "while ! [ -f go ]; do sleep 0.05; done", name="slow.sh")
    quick = worker("while ! [ -f begun ]; do sleep 0.05; done", COMPLETE, name="quick.sh")
    goalfsm("set", "other", "do it slowly", "--db", "goals.db", "--", slow)
    with terminal("run", "do it", "--thread", "own", "--db", "goals.db", "--", quick) as own:
        said = own.until("1 turn of another thread may take 10 s to end; Ctrl-C ends that at once")
        assert "complete ·" in said
        Path("go").touch()
        assert own.end().status == exits.OK
    log = goalfsm("log", "other", "--db", "goals.db").out
    assert "turn 1 finished" in log
    assert "turn 2" not in log
