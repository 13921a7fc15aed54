"""What `goalfsm doctor` looks at in a file, and mends."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from goalfsm.cli.health import (
    Check,
    Finding,
    carried_out,
    counted,
    integrity,
    open_runs,
    replays,
    stopped,
    waiting_turns,
)
from goalfsm.daemon.flow.replay import undecidable
from goalfsm.daemon.host.platform import SystemClock
from goalfsm.daemon.remote.link import FalseEngine, NoEngine
from goalfsm.errors import GoalError
from goalfsm.store.owner import is_alive
from goalfsm.store.port import EXPIRY_MS
from goalfsm.store.sqlite.place import holder_of_write_lock
from goalfsm.views.activity import suspended_by

if TYPE_CHECKING:
    from goalfsm.store.port import Facts, Owner, Store

_ANSWER_S: Final = 2.0
"""How long an owner that is well may take to answer."""
_PRIVATE_FILE: Final = 0o600
_PRIVATE_FOLDER: Final = 0o700
_ENOUGH_SPACE: Final = 64 * 1024 * 1024
_LITTLE_SPACE: Final = 2 * 1024 * 1024
"""Between these it is enough when a copy of the database has room."""
_LARGE_LOG: Final = 256 * 1024 * 1024
_PAGE_SIZE: Final = "4096"
RESTORE: Final = "stop the daemon and put a copy that goalfsm backup made in its place"
_KEEP: Final = "keep a copy, goalfsm backup makes one"


def examine(store: Store, now_ms: int) -> Iterator[Finding]:
    """Yield what every check found in a store that is open for reading."""
    checks: tuple[Check, ...] = (
        ("integrity", lambda: [integrity(store, RESTORE)]),
        ("replay", lambda: replays(store, RESTORE, _KEEP)),
        ("faults", lambda: _faults(store)),
        ("owner", lambda: [_owner(store)]),
        ("open run", lambda: open_runs(store)),
        ("open work", lambda: [_open_work(store, now_ms)]),
        ("settings", lambda: [_settings(store.facts())]),
        ("log", lambda: [_log(store.facts())]),
        ("permissions", lambda: [_permissions(store.facts())]),
        ("space", lambda: [_space(store.facts())]),
    )
    return carried_out(checks, RESTORE)


def mend(store: Store) -> Iterator[Finding]:
    """Mend what can be mended without a risk to the data, and yield what was done."""
    try:
        facts = store.facts()
    except GoalError:
        # The checks tell what is wrong.
        return
    if facts.path is None:
        return
    path = Path(facts.path)
    wanted = (
        (path, facts.mode, _PRIVATE_FILE),
        (path.parent, facts.directory_mode, _PRIVATE_FOLDER),
    )
    for place, mode, private in wanted:
        # A folder that holds other things too may have to be open to others.
        if mode is None or not mode & 0o077 or (place != path and not _is_ours(place)):
            continue
        place.chmod(private)
        found = f"{place} is {private:o} now"
        yield Finding(check="permissions", found=found, repaired=True)


def _is_ours(folder: Path) -> bool:
    """Tell whether a folder is the one that holds nothing but databases of ours."""
    return folder.name == "goalfsm"


def _faults(store: Store) -> Iterator[Finding]:
    """Look for threads that a fault has stopped, and for events that nobody can decide."""
    found = list(stopped(store))
    for inbox_id, why in undecidable(store):
        hint = f"somebody wrote it by hand, or another version did and can decide it; {_KEEP}"
        said = f"inbox row {inbox_id}: {why}"
        found.append(Finding(ok=False, found=said, hint=hint))
    yield from found
    if not found:
        yield Finding(found="every event could be decided")


def _owner(store: Store) -> Finding:
    owner = store.owner.current()
    if owner is None:
        return _locked(store) or Finding(found="nobody serves this database")
    who = f"process {owner.identity.pid}, epoch {owner.epoch}"
    if not is_alive(owner.identity):
        return Finding(found=f"{who}, has ended; the next engine takes over at once")
    if isinstance(said := _said_by(owner), FalseEngine):
        hint = "end that process; an engine that is started again has its socket back"
        return Finding(ok=False, found=f"{who}; {said.message}", hint=hint)
    if said is not None:
        # It writes no sign of life while it rests, or while nothing can be written.
        return Finding(ok=not said, found=f"{who}, {said or 'answers'}")
    silent = SystemClock().uptime_ms() - owner.uptime_ms
    if not owner.socket and (owner.resting or silent <= EXPIRY_MS):
        return Finding(found=f"{who}, heard of {silent / 1000:.1f} s ago")
    return Finding(
        ok=False,
        found=f"{who}, alive but does not answer; heard of {silent / 1000:.0f} s ago",
        hint="goalfsm run or goalfsm daemon takes over; "
        f"if it was stopped, kill -CONT {owner.identity.pid} wakes it",
    )


def _locked(store: Store) -> Finding | None:
    """Return which process keeps others from writing, though it serves nobody; None of none."""
    path = getattr(store, "path", None)
    pid = holder_of_write_lock(path) if isinstance(path, Path) else None
    if pid is None:
        return None
    import psutil  # noqa: PLC0415  few databases are locked

    try:
        stopped = psutil.Process(pid).status() == psutil.STATUS_STOPPED
    except psutil.Error:
        stopped = False
    return Finding(
        ok=not stopped,
        found=f"nobody serves this database; process {pid} holds its lock"
        + (", and is stopped" if stopped else ""),
        hint=f"kill -CONT {pid} wakes it, kill {pid} ends it" if stopped else "",
    )


def _said_by(owner: Owner) -> str | FalseEngine | None:
    """Return what keeps an owner that answers from going on, "" for nothing; None: no answer."""
    from goalfsm.daemon.remote import client, socket_path  # noqa: PLC0415  only where one is alive

    if not owner.socket:
        return None
    try:
        client.ping(owner.socket, "", timeout_s=_ANSWER_S)
    except FalseEngine as error:
        return error
    except NoEngine:
        return None
    why = suspended_by(socket_path.shown(owner.socket))
    return f"suspended: {why}" if why else ""


def _open_work(store: Store, now_ms: int) -> Finding:
    facts = store.facts()
    owner = store.owner.current()
    served = owner is not None and is_alive(owner.identity)
    due = len(store.sessions.due(now_ms))
    threads = tuple(waiting_turns(store))
    turns = len(threads)
    lacking = [thread for thread in threads if store.workers.get(thread) is None]
    found = f"{counted(turns, 'turn')} to begin"
    found += f" ({len(lacking):,} without a stored program)" if lacking else ""
    found += f", {counted(facts.open_effects, 'effect')} to do"
    found += f", {counted(facts.pending_inbox, 'event')} in the inbox"
    found += f", {counted(due, 'timer')} due" if due else ""
    waiting = turns + facts.open_effects + facts.pending_inbox + due
    hint = "goalfsm run or goalfsm daemon goes on with it" if waiting and not served else ""
    if hint and len(lacking) == waiting:
        named = shlex.quote(lacking[0])
        hint = f"goalfsm run --thread {named} --agent NAME, or -- PROGRAM ARGS, says who does it"
    return Finding(found=found, hint=hint)


def _settings(facts: Facts) -> Finding:
    page_size = dict(facts.settings).get("page_size", _PAGE_SIZE)
    shown = f"{facts.backend} {facts.version}, schema {facts.schema_version}"
    if page_size != _PAGE_SIZE:
        return Finding(
            ok=False,
            found=f"{shown}, pages of {page_size} bytes",
            hint=f"another program has rewritten the file; {RESTORE}",
        )
    return Finding(found=shown)


def _log(facts: Facts) -> Finding:
    size = facts.wal_size or 0
    large = size > _LARGE_LOG
    return Finding(
        ok=not large,
        found=f"{size:,} bytes in the write-ahead log",
        hint="end what has been reading the database for so long" if large else "",
    )


def _permissions(facts: Facts) -> Finding:
    if facts.mode is None or facts.path is None:
        return Finding(found="not a file")
    if facts.mode & 0o077:
        return Finding(
            ok=False,
            found=f"others may use {facts.path} ({facts.mode:o})",
            hint="goalfsm doctor --repair, or chmod 600",
        )
    folder = Path(facts.path).parent
    if facts.directory_mode is not None and facts.directory_mode & 0o077 and _is_ours(folder):
        return Finding(
            ok=False,
            found=f"others may look into {folder} ({facts.directory_mode:o})",
            hint="goalfsm doctor --repair, or chmod 700",
        )
    owned = Path(facts.path).stat().st_uid == os.getuid()
    return Finding(
        ok=owned,
        found="yours only" if owned else "the file belongs to another user",
        hint="" if owned else "run goalfsm as its owner",
    )


def _space(facts: Facts) -> Finding:
    free = facts.free_space
    if free is None:
        return Finding(found="not on a disk")
    little = free < min(_ENOUGH_SPACE, max(_LITTLE_SPACE, facts.size or 0))
    return Finding(
        ok=not little,
        found=f"{facts.size or 0:,} bytes used, {free:,} free, {facts.reserve or 0:,} in reserve",
        hint="free some space on this disk" if little else "",
    )
