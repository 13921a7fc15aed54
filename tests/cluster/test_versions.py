"""Nodes of two versions of the rules beside one another."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest

from tests.cluster.newer import NEWER

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.postgres import PostgresServer

BOUND_S = 60.0
ROOT = Path(__file__).resolve().parents[2]
OLDER = "goalfsm.cli"
_LEFT = (
    "SELECT EXISTS (SELECT 1 FROM goalfsm.procrastinate_jobs WHERE status = 'todo'"  # noqa: S608
    f" AND queueing_lock = 'turn/new' AND queue_name = 'turn/any/rules-{NEWER}')"
)
CLAIM = 'echo $0 >> ran; goalfsm tool update_goal --status complete --evidence "it ran"'


def spoken(program: str, db: str, place: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Have a program of one of the versions do a command."""
    return subprocess.run(
        [sys.executable, "-m", program, words[0], "--db", db, *words[1:]],
        cwd=place,
        env=_env(),
        capture_output=True,
        text=True,
        timeout=BOUND_S,
        check=False,
    )


@contextmanager
def node(program: str, db: str, place: Path) -> Iterator[None]:
    """Serve by a program of one of the versions."""
    words = [sys.executable, "-m", program, "node", db, "--log-level", "warning"]
    serving = subprocess.Popen(words, cwd=place, env=_env(), stderr=subprocess.PIPE, text=True)
    try:
        assert serving.stderr is not None
        assert "serving" in serving.stderr.readline()
        yield
    finally:
        serving.terminate()
        serving.communicate(timeout=BOUND_S)


def _env() -> dict[str, str]:

    return os.environ | {"PYTHONPATH": str(ROOT)}


@pytest.mark.timeout(240)
def test_a_thread_of_newer_rules_is_left_to_newer_nodes(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    db = postgres.create()
    program = ("--", "sh", "-c", CLAIM)
    for version, thread in ((OLDER, "old"), ("tests.cluster.newer", "new")):
        given = spoken(version, db, tmp_path, "set", "--thread", thread, "try it", *program)
        assert given.returncode == 0, given.stderr
    with node(OLDER, db, tmp_path):
        _await(db, "SELECT status = 'complete' FROM goalfsm.session WHERE thread_id = 'old'")
        # The older node has had the job, and has put it where no older one takes it again.
        _await(db, _LEFT)
        refused = spoken(OLDER, db, tmp_path, "pause", "new")
        assert refused.returncode != 0
        assert "newer" in refused.stderr
        with node("tests.cluster.newer", db, tmp_path):
            _await(db, "SELECT status = 'complete' FROM goalfsm.session WHERE thread_id = 'new'")
    with psycopg.connect(db, autocommit=True) as connection:
        found = connection.execute(
            "SELECT DISTINCT rules_version FROM goalfsm.journal WHERE thread_id = 'new'"
        ).fetchall()
    assert found == [(NEWER,)]


def _await(db: str, query: str) -> None:
    deadline = time.monotonic() + BOUND_S
    with psycopg.connect(db, autocommit=True) as connection:
        while connection.execute(query).fetchone() != (True,):  # type: ignore[arg-type]
            assert time.monotonic() < deadline, query
            time.sleep(0.05)
