"""What one change of a thread writes to PostgreSQL, as one statement: snapshot, journal, effects.

Each statement costs a node more than the rows that it carries, so all rows of a change go in one;
its text depends only on how many there are of each, and the server keeps it prepared.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, Final

from goalfsm.session.state import RULES_VERSION
from goalfsm.store.limits import bounded

if TYPE_CHECKING:
    from goalfsm.cluster.tx import Writes
    from goalfsm.store.rows import Commit, Transcript

# What each table is given, in the order in which the rows come, and what follows them.
_TABLES: Final = (
    (
        "journal",
        "thread_id revision event_id at_ms rules_version digest event decision node",
        "",
    ),
    (
        "outbox",
        "key thread_id revision at_ms kind place payload done_at_ms",
        " ON CONFLICT (key) DO NOTHING",
    ),
    ("history", "thread_id entry", ""),
    ("answer", "inbox_id thread_id at_ms revision reply", " ON CONFLICT (inbox_id) DO NOTHING"),
    (
        "transcript",
        "run_id thread_id turn at_ms size answer_bytes stderr_bytes answer stderr",
        " ON CONFLICT (run_id) DO NOTHING",
    ),
)
_SESSION: Final = (
    "revision status wake_at_ms updated_at_ms rules_version run_id node_id turn state thread_id"
)
_DONE: Final = "UPDATE goalfsm.outbox SET done_at_ms = %s WHERE done_at_ms IS NULL AND "
_BY_KEY: Final = "key = ANY(%s)"
_BY_KIND: Final = "thread_id = %s AND kind = ANY(%s)"


def written(writes: Writes) -> tuple[bytes, list[Any]]:
    """Return the statement that writes a change, and its parameters."""
    commits, said = writes.commits, writes.said
    first, last = commits[0], commits[-1]
    thread_id, at_ms = last.thread_id, last.at_ms
    rows: tuple[list[tuple[Any, ...]], ...] = (
        [_journal(each, writes.node) for each in commits],
        [_effect(writes, each, key) for each in commits for key in range(len(each.outbox))],
        [(thread_id, entry) for each in commits for entry in each.history],
        [
            (each.inbox_id, thread_id, at_ms, each.expected_revision + 1, each.reply)
            for each in commits
            if each.inbox_id is not None
        ],
        [_transcript(each) for each in said],
    )
    done = [key for each in commits for key in each.outbox_done]
    given: list[Any] = [value for table in rows for row in table for value in row]
    if done:
        given += (at_ms, done)
    if writes.over:
        given += (at_ms, thread_id, list(writes.over))
    given += (
        last.expected_revision + 1,
        last.status,
        last.wake_at_ms,
        at_ms,
        RULES_VERSION,
        writes.run_id,
        writes.node_id,
        writes.turn,
        last.state,
        thread_id,
    )
    statement = _statement(
        tuple(map(len, rows)),
        done=bool(done),
        over=bool(writes.over),
        is_new=first.expected_revision == 0,
    )
    return statement, given


def _journal(commit: Commit, node: str) -> tuple[Any, ...]:
    return (
        commit.thread_id,
        commit.expected_revision + 1,
        commit.event_id,
        commit.at_ms,
        commit.rules_version,
        commit.digest,
        commit.event,
        commit.decision,
        node,
    )


def _effect(writes: Writes, commit: Commit, number: int) -> tuple[Any, ...]:
    effect = commit.outbox[number]
    at_ms = writes.commits[-1].at_ms
    return (
        effect.key,
        commit.thread_id,
        commit.expected_revision + 1,
        at_ms,
        effect.kind,
        writes.places[effect.key],
        effect.payload,
        # What ends those of a kind does not see what is written beside it.
        at_ms if effect.kind in writes.over else None,
    )


def _transcript(said: Transcript) -> tuple[Any, ...]:
    kept = bounded(said)
    size = len(kept.answer) + len(kept.stderr)
    return (
        *(kept.run_id, kept.thread_id, kept.turn, kept.at_ms, size),
        *(kept.answer_bytes, kept.stderr_bytes, kept.answer, kept.stderr),
    )


@functools.lru_cache(maxsize=256)
def _statement(counts: tuple[int, ...], *, done: bool, over: bool, is_new: bool) -> bytes:
    parts = [
        f"{name} AS (INSERT INTO goalfsm.{name} ({_columns(columns)}) VALUES "
        f"{', '.join([_places(columns)] * count)}{rest})"
        for (name, columns, rest), count in zip(_TABLES, counts, strict=True)
        if count
    ]
    if done:
        parts.append(f"done AS ({_DONE}{_BY_KEY})")
    if over:
        parts.append(f"over AS ({_DONE}{_BY_KIND})")
    if is_new:
        session = f"INSERT INTO goalfsm.session ({_columns(_SESSION)}) VALUES {_places(_SESSION)}"
    else:
        *changed, key = _SESSION.split()
        values = ", ".join(f"{name} = %s" for name in changed)
        session = f"UPDATE goalfsm.session SET {values} WHERE {key} = %s"
    return f"WITH {', '.join(parts)} {session}".encode()


def _columns(names: str) -> str:
    return ", ".join(names.split())


def _places(names: str) -> str:
    return f"({', '.join(['%s'] * len(names.split()))})"
