"""Work that is no turn is a job: when the node that is at it is killed, another takes it over."""

from __future__ import annotations

import subprocess
import sys
import time
from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from goalfsm.cluster.client import ClusterClient
from goalfsm.daemon.flow.replay import replay
from goalfsm.goal.model import Verifier
from goalfsm.session import codec
from goalfsm.session import events as e
from goalfsm.session.policy import Policy
from goalfsm.store.address import Server
from goalfsm.store.postgres import open_store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.postgres import PostgresServer

BOUND_S = 60.0
ROOT = Path(__file__).resolve().parents[2]
THREADS = ("verifier", "callback", "compaction", "timer", "process")


@contextmanager
def node(dsn: str, name: str, log: Path, *, still: bool) -> Iterator[subprocess.Popen[bytes]]:
    """Run a node that notes what it does, until it is killed."""
    words = [dsn, name, str(log), *(["still"] if still else [])]
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.cluster.standing_still", *words], cwd=ROOT
    )
    try:
        until(lambda: noted(log)["there", name] == 1, f"{name} is not there")
        yield process
    finally:
        process.kill()
        process.wait()


def noted(log: Path) -> Counter[tuple[str, str]]:
    """Return how often each thing was begun by each node."""
    lines = log.read_text("utf-8").splitlines() if log.exists() else []
    return Counter((line.split()[0], line.split()[1]) for line in lines)


def until(reached: Callable[[], bool], otherwise: str) -> None:
    """Wait for what other processes do; they tell nobody."""
    deadline = time.monotonic() + BOUND_S
    while not reached():
        assert time.monotonic() < deadline, otherwise
        time.sleep(0.05)


def rows(dsn: str, query: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(dsn, autocommit=True) as connection:
        return connection.execute(query).fetchall()  # type: ignore[arg-type]


def watchers(dsn: str) -> list[tuple[Any, ...]]:
    """Return the names of the nodes that are at a process."""
    return rows(
        dsn,
        "SELECT n.name FROM goalfsm.outbox o JOIN goalfsm.node n USING (node_id)"
        " WHERE o.kind = 'WatchProcess' AND o.done_at_ms IS NULL",
    )


def give(dsn: str) -> None:
    """Give a goal for each thing that is tried."""
    client = ClusterClient(Server(dsn), policy=Policy(no_progress=0))
    for thread in THREADS:
        check = (Verifier(kind="callable", name="check"),) if thread == "verifier" else ()
        given = e.ObjectiveGiven(objective=f"try a {thread}", verifiers=check)
        assert client.request(thread, given, f"given {thread}").ok
    with psycopg.connect(dsn, autocommit=True) as connection:
        for thread in THREADS:
            connection.execute("INSERT INTO goalfsm.worker VALUES (%s, 'any', '')", (thread,))


class Played:
    """What one scene left: one node began everything, was killed, and another went on."""

    def __init__(self, dsn: str, log: Path) -> None:
        self.noted = noted(log)
        self.events: dict[str, list[Any]] = {}
        self.tokens: dict[str, int] = {}
        store = open_store(Server(dsn))
        try:
            for thread in THREADS:
                assert replay(store, thread).ok
                journal = store.journal.read(thread)
                self.events[thread] = [codec.decode_event(row.event) for row in journal]
                stored = store.sessions.load(thread)
                assert stored is not None
                goal = codec.decode(stored.state).goal
                assert goal is not None
                assert goal.status == "complete"
                self.tokens[thread] = goal.tokens_used
            assert store.outbox.open() == ()
            assert store.integrity() == ()
        finally:
            store.close()

    def count(self, thread: str, kind: type) -> int:
        """Return how many events of a kind a thread has."""
        return sum(isinstance(event, kind) for event in self.events[thread])


@pytest.fixture(scope="module")
def played(postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Played:
    place = tmp_path_factory.mktemp("takeover")
    dsn, log = postgres.create(), place / "log"
    watched = subprocess.Popen(["sleep", "600"])
    try:
        (place / "pid").write_text(str(watched.pid), "utf-8")
        with node(dsn, "blue", log, still=True) as blue:
            give(dsn)
            for what in ("verifier", "callback", "compaction"):
                until(lambda what=what: noted(log)[what, "blue"] == 1, what)  # type: ignore[misc]
            until(lambda: watchers(dsn) == [("blue",)], "nobody is at the process")
            until(lambda: rows(dsn, WAITING) == [(2,)], "no goal waits")
            with node(dsn, "green", log, still=False):
                blue.kill()
                until(lambda: watchers(dsn) == [("green",)], "the process is not taken over")
                watched.terminate()
                watched.wait()
                until(lambda: rows(dsn, OPEN) == [(0, 0)], "not all is done")
                return Played(dsn, log)
    finally:
        watched.kill()
        watched.wait()


WAITING = (
    "SELECT count(*) FROM goalfsm.session WHERE thread_id IN ('timer', 'process')"
    " AND run_id IS NULL AND revision > 4"
)
OPEN = (
    "SELECT (SELECT count(*) FROM goalfsm.session WHERE status <> 'complete'),"
    " (SELECT count(*) FROM goalfsm.outbox WHERE done_at_ms IS NULL)"
)


@pytest.mark.timeout(150)
def test_a_verifier_is_run_again_by_another_node(played: Played) -> None:
    assert played.noted["verifier", "blue"] == played.noted["verifier", "green"] == 1
    assert played.count("verifier", e.VerificationFinished) == 1


def test_a_callback_is_called_by_another_node(played: Played) -> None:
    assert played.noted["callback", "blue"] == played.noted["callback", "green"] == 1


def test_a_context_is_shortened_by_another_node(played: Played) -> None:
    assert played.noted["compaction", "blue"] == played.noted["compaction", "green"] == 1
    ended = [one for one in played.events["compaction"] if isinstance(one, e.CompactionEnded)]
    assert [one.ok for one in ended] == [True]


def test_a_timer_wakes_its_thread_at_another_node(played: Played) -> None:
    assert played.count("timer", e.TimerFired) == 1


def test_a_process_is_watched_by_another_node_of_its_host(played: Played) -> None:
    assert played.count("process", e.ProcessEnded) == 1


@pytest.mark.parametrize("thread", THREADS)
def test_what_was_used_is_charged_once(played: Played, thread: str) -> None:
    turns = played.count(thread, e.RunFinished)
    assert played.count(thread, e.RunInterrupted) == 0
    assert played.tokens[thread] == 15 * turns
