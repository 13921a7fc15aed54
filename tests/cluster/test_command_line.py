from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.postgres import PostgresServer

BOUND_S = 60.0
GOALFSM = (sys.executable, "-m", "goalfsm.cli")
WORKER = """#!/bin/sh
cat > prompt-$GOALFSM_TURN
env | grep -E '^(GOALFSM|PG)' > env-$GOALFSM_TURN
[ $GOALFSM_TURN -lt 3 ] || goalfsm tool update_goal --status complete --evidence seen || exit $?
echo step $GOALFSM_TURN
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Return a directory with a program for turns."""
    program = tmp_path / "worker.sh"
    program.write_text(WORKER, "utf-8")
    program.chmod(0o755)
    return tmp_path


@pytest.fixture
def empty(postgres: PostgresServer) -> str:
    """Return the address of a database without any of our tables."""
    return postgres.create(migrated=False)


def goalfsm(*words: str, db: str, place: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*GOALFSM, *words[:1], "--db", db, *words[1:]],
        cwd=place,
        capture_output=True,
        text=True,
        timeout=BOUND_S,
        check=False,
    )


@contextmanager
def node(dsn: str, place: Path, *words: str) -> Iterator[subprocess.Popen[str]]:
    serving = subprocess.Popen(
        [*GOALFSM, "node", dsn, "--log-level", "warning", *words],
        cwd=place,
        stderr=subprocess.PIPE,
        text=True,
        env=None,
    )
    try:
        assert serving.stderr is not None
        assert "serving" in serving.stderr.readline()
        yield serving
        serving.send_signal(signal.SIGTERM)
        assert serving.wait(BOUND_S) == 0, serving.stderr.read()
    finally:
        serving.kill()
        serving.communicate()


def test_a_goal_is_run_by_a_node_from_an_empty_database(empty: str, place: Path) -> None:
    with node(empty, place, "--name", "blue"):
        done = goalfsm(
            "run", "--thread", "t", "write it", "--", "./worker.sh", db=empty, place=place
        )
    assert done.returncode == 0, done.stderr
    assert "step 3" in done.stdout
    # Who decided it is told: the goal was given by a command, the turns are the node's.
    log = goalfsm("log", "t", db=empty, place=place).stdout.splitlines()
    assert [bool(re.search(r"  blue  Run", row)) for row in log if "Run" in row] == [True] * 6
    assert [row for row in log if "ObjectiveGiven" in row and "blue" in row] == []
    status = goalfsm("status", "t", "--json", db=empty, place=place)
    assert json.loads(status.stdout)["goal"]["status"] == "complete"
    doctor = goalfsm("doctor", db=empty, place=place)
    assert doctor.returncode == 0, doctor.stdout


def test_the_turn_that_begins_with_little_left_is_another_programs(empty: str, place: Path) -> None:
    """Where the next turn takes a route, the node that ended the last one starts its program."""
    used = """#!/bin/sh
echo '{"type":"usage","input_tokens":399,"output_tokens":1}'
echo '{"type":"text","text":"'step $GOALFSM_TURN'"}'
"""
    claim = "#!/bin/sh\ngoalfsm tool update_goal --status complete --evidence seen >&2\n"
    for name, text in (("worker.sh", used), ("cheap.sh", claim)):
        (place / name).write_text(text, "utf-8")
        (place / name).chmod(0o755)
    route = "below 25% tokens: -- ./cheap.sh"
    asked = ("run", "--thread", "t", "write it", "--tokens", "1000", "--route", route)
    with node(empty, place):
        done = goalfsm(*asked, "--", "./worker.sh", db=empty, place=place)
    assert done.returncode == 0, done.stderr
    log = goalfsm("log", "t", db=empty, place=place).stdout.splitlines()
    starts = [row.partition("RunDispatched")[2].split("→")[0] for row in log if "starts" in row]
    assert [one.strip() for one in starts] == [
        "turn 1 starts",
        "turn 2 starts",
        "turn 3 starts, by ./cheap.sh: 20% of the tokens are left, below 25%",
    ]


def test_a_turn_has_no_credentials(
    empty: str, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGPASSWORD", "geheim")
    with node(empty, place):
        goalfsm("run", "--thread", "t", "write it", "--", "./worker.sh", db=empty, place=place)
    seen = (place / "env-1").read_text("utf-8")
    assert "geheim" not in seen
    assert "postgresql" not in seen
    assert "GOALFSM_DB=goalfsm-node://" in seen


def test_commands_need_no_node(empty: str, place: Path) -> None:
    given = goalfsm("set", "t", "write it", "--", "./worker.sh", db=empty, place=place)
    assert given.returncode == 0, given.stderr
    assert "nobody" in goalfsm("status", "t", db=empty, place=place).stdout
    for words in (("steer", "t", "be quick"), ("pause", "t"), ("resume", "t"), ("pause", "t")):
        done = goalfsm(*words, db=empty, place=place)
        assert done.returncode == 0, done.stderr
    with node(empty, place):
        goalfsm("resume", "t", db=empty, place=place)
        _await(empty, "complete")
    assert "be quick" in (place / "prompt-1").read_text("utf-8")


def test_who_asked_is_recorded_with_the_host(empty: str, place: Path) -> None:
    goalfsm("set", "t", "write it", db=empty, place=place)
    with psycopg.connect(empty) as connection:
        row = connection.execute("SELECT event FROM goalfsm.journal").fetchone()
    assert row is not None
    by = json.loads(row[0])["by"]
    assert by["host"]
    assert by["pid"]


def test_a_thread_runs_where_its_place_is_served(empty: str, place: Path) -> None:
    words = ("--thread", "t", "--place", "hill", "write it", "--", "./worker.sh")
    with node(empty, place):
        assert goalfsm("set", *words, db=empty, place=place).returncode == 0
        status = goalfsm("status", "t", db=empty, place=place)
        assert "no node serves the place hill" in status.stdout
        with node(empty, place, "--places", "hill", "--name", "on-the-hill"):
            _await(empty, "complete")


def test_a_place_is_for_servers(place: Path) -> None:
    done = goalfsm("set", "--place", "hill", "write it", db=str(place / "a.db"), place=place)
    assert done.returncode == 2
    assert "--place names nodes" in done.stderr


def _await(dsn: str, status: str) -> None:
    deadline = time.monotonic() + BOUND_S
    with psycopg.connect(dsn, autocommit=True) as connection:
        while time.monotonic() < deadline:
            row = connection.execute("SELECT status FROM goalfsm.session").fetchone()
            if row is not None and row[0] == status:
                return
            time.sleep(0.05)
    raise AssertionError(f"not {status} in {BOUND_S:g} s")
