"""What `goalfsm doctor` looks at wherever threads are kept: what was found, and what to do."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

import msgspec

from goalfsm.daemon.flow.replay import replay, stopped_by_faults
from goalfsm.errors import GoalError
from goalfsm.session import codec
from goalfsm.session.work import NEED_ENGINE, queued
from goalfsm.views.explain import moment

if TYPE_CHECKING:
    from goalfsm.store.reading import Reading


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """What one check found; ``ok`` False makes the database unhealthy.

    ``check`` is what the table of checks calls it, put in by `carried_out`.
    """

    check: str = ""
    ok: bool = True
    found: str
    hint: str = ""
    repaired: bool = False


Check = tuple[str, Callable[[], Iterable[Finding]]]
"""A check by its name."""


def carried_out(checks: Iterable[Check], restore: str) -> Iterator[Finding]:
    """Yield what every check found; ``restore`` is what to do where one cannot read."""
    for name, check in checks:
        try:
            for finding in check():
                yield msgspec.structs.replace(finding, check=name)
        except Exception as error:  # noqa: BLE001  what one check cannot read, others can
            yield unreadable(name, error, restore)


def unreadable(check: str, error: Exception, restore: str) -> Finding:
    """Return the finding of a check that could not read what it looks at."""
    said = error.message if isinstance(error, GoalError) else "what is stored is not what it was"
    return Finding(check=check, ok=False, found=said, hint=restore)


def integrity(store: Reading, restore: str) -> Finding:
    """Look whether what is stored agrees with itself."""
    problems = store.integrity()
    if not problems:
        return Finding(found="pages and tables agree")
    return Finding(ok=False, found="; ".join(problems[:5]), hint=restore)


def replays(store: Reading, restore: str, keep: str) -> Iterator[Finding]:
    """Decide the whole journal of every thread again, and compare with what was stored.

    ``keep`` is how to keep a copy.
    """
    checked = skipped = 0
    for row in store.sessions.threads():
        try:
            found = replay(store, row.thread_id)
        except GoalError as error:
            said = f"thread {row.thread_id}: {error.message}"
            yield Finding(ok=False, found=said, hint=restore)
            continue
        checked += found.ok and not found.skipped
        skipped += found.skipped
        if not found.ok:
            yield Finding(
                ok=False,
                found=f"thread {row.thread_id}: revision {found.wrong_at} replays differently",
                hint=f"{keep}, and report this; the thread goes on from its snapshot",
            )
    older = f", {skipped} began under other rules" if skipped else ""
    same = "thread replays to its state" if checked == 1 else "threads replay to their state"
    yield Finding(found=f"{checked} {same}{older}")


def stopped(store: Reading) -> Iterator[Finding]:
    """Look for threads that a fault has stopped."""
    for thread_id, why in stopped_by_faults(store):
        hint = f"goalfsm log {thread_id} shows it; goalfsm resume {thread_id} goes on"
        yield Finding(ok=False, found=f"thread {thread_id}: {why}", hint=hint)


def open_runs(store: Reading) -> Iterator[Finding]:
    """Yield the turns that are under way."""
    for row in store.sessions.threads():
        stored = store.sessions.load(row.thread_id)
        run = None if stored is None else codec.decode(stored.state).run
        if run is not None:
            since = f"turn {run.turn}, since {moment(run.started_ms)}"
            yield Finding(found=f"thread {row.thread_id}: {since}")


def waiting_turns(store: Reading) -> Iterator[str]:
    """Yield the threads that wait for a turn."""
    for row in store.sessions.threads(NEED_ENGINE):
        stored = store.sessions.load(row.thread_id)
        if stored is not None and queued(codec.decode(stored.state)) is not None:
            yield row.thread_id


def counted(number: int, what: str) -> str:
    """Return a number of things in words."""
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"
