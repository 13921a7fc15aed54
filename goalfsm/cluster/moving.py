"""Move all threads from a file to a server, or back: offline, counted, checked, all or nothing.

What is written is read again, within the transaction or from the new file, and compared thread by
thread before anybody can see it. What it was moved from is set aside, not deleted.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from goalfsm.cluster.host import hostname
from goalfsm.cluster.jobs import ANY, host_place, waits_for_turn
from goalfsm.cluster.setup import prepare
from goalfsm.daemon.config import decode_config
from goalfsm.daemon.host.platform import SystemClock, own_identity
from goalfsm.daemon.remote import offline
from goalfsm.errors import CannotWrite, Corrupt, GoalError, NoDatabase
from goalfsm.session import codec
from goalfsm.session.effects import WatchProcess
from goalfsm.store.contents import TABLES, Sum, summed
from goalfsm.store.port import Held
from goalfsm.store.postgres import open_store
from goalfsm.store.postgres.contents import PostgresContents, locked
from goalfsm.store.sqlite import SqliteStore

if TYPE_CHECKING:
    from collections.abc import Mapping

    from goalfsm.store.address import Server
    from goalfsm.store.contents import Contents, Row

_DRIVEN: Final = "stop it first: threads are moved while nobody works on them"
_AGAIN: Final = "nothing was changed; keep a copy of both and report this"


class Moved(NamedTuple):
    """What was moved: how many threads, and how many rows in each table of `TABLES`.

    ``kept`` is where what it was moved from is found now. ``already``: it had been moved before,
    and was only still to be set aside.
    """

    threads: int
    rows: tuple[int, ...]
    kept: str
    already: bool


def to_server(path: Path, server: Server) -> Moved:
    """Move the threads of a file to a server whose database has none.

    Raises GoalError where somebody works on the file, where the database has threads, and where
    anything fails; then both are as they were.
    """
    store = SqliteStore.open(path, create=False)
    try:
        _take(store)
        contents = store.contents()
        sums = summed(contents)
        prepare(server.url)
        with locked(server) as target:
            there = summed(target)
            if there:
                _refuse_others(there, sums, str(server))
            else:
                target.fill(contents, _Beside(contents).of)
                _compare(sums, summed(target), str(server))
    except BaseException:
        store.owner.release()
        store.close()
        raise
    # The handle still owns the file, so that nobody takes it up before it has its new name.
    store.release_reserve()
    store.close()
    kept = _free(path)
    path.rename(kept)
    _let_go(kept)
    return _moved(sums, str(kept), already=bool(there))


def to_file(server: Server, path: Path) -> Moved:
    """Move the threads of a server to a file that does not exist; see `to_server`."""
    open_store(server).close()  # which says what is wrong with it
    with locked(server) as source:
        _refuse_driven(source, server)
        sums = summed(source)
        already = path.exists()
        if already:
            _refuse_others(_of_file(path), sums, str(path))
        else:
            _write(source, sums, path)
        name = source.set_aside()
    return _moved(sums, f"schema {name} of {server}", already=already)


def _take(store: SqliteStore) -> None:
    """Own the file, and leave nothing in it that an engine would still have to decide."""
    claimed = store.owner.acquire(own_identity(), socket="", uptime_ms=SystemClock().uptime_ms())
    if isinstance(claimed, Held):
        who = "somebody" if claimed.owner is None else f"process {claimed.owner.identity.pid}"
        raise GoalError(f"{who} works on {store.path}", code="driven", hint=_DRIVEN)
    running = [
        row.thread_id
        for row in store.sessions.threads()
        if (stored := store.sessions.load(row.thread_id)) is not None
        and codec.decode(stored.state).run is not None
    ]
    if running:
        _refuse_runs(running, f"goalfsm daemon --db {store.path} ends it; stop that with Ctrl-C")
    offline.settle(store, claimed.previous)
    left = store.inbox.pending(limit=1)
    if left:
        raise GoalError(
            f"event {left[0].inbox_id} of {store.path} cannot be decided, so it cannot be moved",
            code="undecidable",
            hint="goalfsm doctor says why",
        )


def _let_go(kept: Path) -> None:
    """Leave nobody as the owner of what was set aside: it is a file like any other."""
    store = SqliteStore.open(kept, is_alive=lambda _identity: False, reserve_bytes=0)
    try:
        store.owner.acquire(own_identity(), socket="", uptime_ms=SystemClock().uptime_ms())
        store.owner.release()
    finally:
        store.close()


def _refuse_driven(source: PostgresContents, server: Server) -> None:
    nodes = source.nodes()
    if nodes:
        named = " and ".join(nodes)
        raise GoalError(f"{named} serves {server}", code="driven", hint=_DRIVEN)
    running = source.open_runs()
    if running:
        _refuse_runs(running, "start a node, which ends it, and stop that with Ctrl-C")


def _refuse_runs(threads: list[str] | tuple[str, ...], hint: str) -> None:
    raise GoalError(
        f"a turn of thread {threads[0]} is open: whoever ran it was killed",
        code="driven",
        hint=hint,
    )


def _refuse_others(there: Mapping[str, Sum], sums: Mapping[str, Sum], where: str) -> None:
    """Raise where the target has anything else than what is to be moved."""
    if there == sums and there:
        return
    raise GoalError(
        f"{where} has {len(there):,} threads already, and not the same ones",
        code="not_empty",
        hint="move to a database of its own; nothing is merged",
    )


def _compare(sums: Mapping[str, Sum], written: Mapping[str, Sum], where: str) -> None:
    """Raise where what was written is not what was read; nobody has seen it yet."""
    wrong = sorted(name for name in {*sums, *written} if sums.get(name) != written.get(name))
    if wrong:
        raise Corrupt(f"thread {wrong[0]} reads differently from {where}", hint=_AGAIN)


def _write(source: Contents, sums: Mapping[str, Sum], path: Path) -> None:
    """Write a new file, compare it, and give it its name at last."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".goalfsm-move-", dir=path.parent) as folder:
        store = SqliteStore.open(Path(folder) / "goals.db", reserve_bytes=0)
        try:
            store.contents().fill(source)
            _compare(sums, summed(store.contents()), str(path))
            store.backup(path)
        finally:
            store.close()


def _of_file(path: Path) -> dict[str, Sum]:
    try:
        store = SqliteStore.open(path, read_only=True)
    except NoDatabase:
        return {}
    try:
        return summed(store.contents())
    finally:
        store.close()


def _free(path: Path) -> Path:
    """Return a name beside ``path`` that nobody has."""
    for number in range(1_000):
        kept = path.with_name(f"{path.name}.moved{f'-{number}' if number else ''}")
        if not os.path.lexists(kept):
            return kept
    raise CannotWrite(f"there are too many files beside {path}", hint="remove old ones")


def _moved(sums: Mapping[str, Sum], kept: str, *, already: bool) -> Moved:
    counts = tuple(sum(each.rows[place] for each in sums.values()) for place in range(len(TABLES)))
    return Moved(len(sums), counts, kept, already)


class _Beside:
    """What rows have on a server and not in a file: where turns and effects are done."""

    def __init__(self, contents: Contents) -> None:
        self._places = {thread_id: _place(config) for thread_id, config in contents.rows("worker")}

    def of(self, table: str, row: Row) -> dict[str, Any]:
        """Return the further columns of a row."""
        if table == "session":
            return {"turn": waits_for_turn(codec.decode(row[6]))}
        if table == "outbox":
            watches = row[5] == WatchProcess.__name__
            # Processes are watched where they run.
            place = host_place(hostname()) if watches else self._places.get(row[0], ANY)
            return {"place": place}
        if table == "worker":
            return {"place": self._places[row[0]]}
        return {"size": len(row[6]) + len(row[7])} if table == "transcript" else {}


def _place(config: bytes) -> str:
    return (decode_config(config).place if config else "") or ANY
