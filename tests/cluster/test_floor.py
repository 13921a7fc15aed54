"""What a node deletes now and then, and what it keeps."""

from __future__ import annotations

import time

import psycopg
import pytest

from goalfsm.cluster.postgres_nodes import PostgresNodes
from goalfsm.cluster.postgres_tx import Connection, Pool
from goalfsm.daemon.guards.upkeep import KEEP_DONE_MS
from goalfsm.store.port import KEPT_BYTES, KEPT_TRANSCRIPTS

pytestmark = pytest.mark.asyncio

EFFECT = (
    "INSERT INTO goalfsm.outbox (key, thread_id, revision, at_ms, done_at_ms, kind, payload)"
    " VALUES (%s, 'a', 1, %s, %s, 'RunCallback', '')"
)
SAID = (
    "INSERT INTO goalfsm.transcript"
    " (run_id, thread_id, turn, at_ms, size, answer_bytes, stderr_bytes, answer, stderr)"
    " VALUES (%s, %s, %s, 0, %s, 0, 0, '', '')"
)
ANSWER = "INSERT INTO goalfsm.answer (inbox_id, thread_id, at_ms, revision) VALUES (%s, 'a', %s, 1)"


async def test_what_is_done_for_long_is_deleted_and_nothing_else(dsn: str) -> None:
    now_ms = time.time_ns() // 1_000_000
    old_ms, recent_ms = now_ms - KEEP_DONE_MS - 60_000, now_ms - KEEP_DONE_MS + 60_000
    with psycopg.connect(dsn, autocommit=True) as connection:
        for key, done_ms in (("old", old_ms), ("recent", recent_ms), ("open", None)):
            connection.execute(EFFECT, (key, old_ms, done_ms))
        for key, at_ms in (("old", old_ms), ("recent", recent_ms)):
            connection.execute(ANSWER, (key, at_ms))
        async with Pool(dsn, most=1) as pool:
            await PostgresNodes(Connection(pool)).forget()
        left = connection.execute("SELECT key FROM goalfsm.outbox ORDER BY key").fetchall()
        answers = connection.execute("SELECT inbox_id FROM goalfsm.answer").fetchall()
    assert left == [("open",), ("recent",)]
    assert answers == [("recent",)]


async def test_of_what_turns_said_the_newest_stay_by_number_and_by_bytes(dsn: str) -> None:
    sizes = {
        "many": [1] * (KEPT_TRANSCRIPTS + 3),
        "large": [1, KEPT_BYTES // 2, KEPT_BYTES // 2, 1, KEPT_BYTES // 2 - 1],
        "huge": [1, KEPT_BYTES + 1],
        "not asked for": [1] * (KEPT_TRANSCRIPTS + 1),
    }
    with psycopg.connect(dsn, autocommit=True) as connection:
        for thread_id, each in sizes.items():
            for turn, size in enumerate(each, 1):
                connection.execute(SAID, (f"{thread_id} {turn}", thread_id, turn, size))
        async with Pool(dsn, most=1) as pool:
            await PostgresNodes(Connection(pool)).trim(["many", "large", "huge"])
        left = connection.execute("SELECT thread_id, turn FROM goalfsm.transcript").fetchall()
    turns = {name: sorted(turn for owner, turn in left if owner == name) for name in sizes}
    assert turns == {
        "many": list(range(4, KEPT_TRANSCRIPTS + 4)),
        "large": [3, 4, 5],
        "huge": [2],
        "not asked for": list(range(1, KEPT_TRANSCRIPTS + 2)),
    }
