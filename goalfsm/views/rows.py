"""What is open in a thread, as names and words, and a whole status as plain lines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from goalfsm.session.continuation import budget_lines
from goalfsm.text import awaited, line, short, visible
from goalfsm.views.activity import unserved
from goalfsm.views.explain import moment

if TYPE_CHECKING:
    from collections.abc import Iterator

    from goalfsm.views.parts import Driver
    from goalfsm.views.status import Status


def open_rows(status: Status) -> Iterator[tuple[str, str]]:
    """Yield what is under way or asks for somebody."""
    yield from _driven(status.driver)
    yield from _going_on(status)
    if status.set_aside:
        yield "set aside", short(status.set_aside)
    for said in status.words:
        got = "the running turn has it" if said.got else "not taken into account yet"
        yield said.kind, f"{line(said.message_id)}, {got}: {short(said.text)}"
    for text in status.left_unread:
        yield "unread", f"taken into account by no turn: {short(text)}"
    for place, queued in enumerate(status.queue, 1):
        goes_on = ", by itself" if status.advances and place == 1 else ""
        yield (
            "next" if place == 1 else "then",
            f"{queued.queue_id}{goes_on}: {short(queued.objective)}",
        )
    for name in status.toothless:
        yield "budget", f"of {name} can never be used up: the worker reports no such use"
    if status.record:
        yield "record", visible(status.record)
    if status.attention is not None:
        yield "attention", short(status.attention.reason)


def _driven(driver: Driver | None) -> Iterator[tuple[str, str]]:
    if driver is not None and driver.nodes is not None:
        yield "driven by", _by_nodes(driver, driver.nodes)
        if driver.place:
            yield "place", f"{driver.place}, {_served(driver.nodes, driver.free)}"
        for host in driver.unwatched:
            yield "unwatched", f"a process on {host}, where no node is: nobody sees its end"
    elif driver is not None and driver.alive:
        since = "" if driver.since_ms is None else f", since {moment(driver.since_ms)}"
        silent = "" if driver.answers else ", which does not answer"
        yield "driven by", f"process {driver.pid}{since}{silent}"
    elif driver is not None:
        seen = "" if driver.seen_ms is None else f", last seen {moment(driver.seen_ms)}"
        gone = "" if driver.pid is None else f": process {driver.pid} has ended{seen}"
        yield "driven by", f"nobody{gone}"


def _by_nodes(driver: Driver, nodes: tuple[str, ...]) -> str:
    """Return which node has the thread's turn; where none has, which ones would take it."""
    if driver.pid is None:
        return f"{' or '.join(nodes)}: no turn runs" if nodes else f"nobody: {unserved(driver)}"
    node = f"node {driver.node} on {driver.host}, process {driver.pid}"
    if driver.alive:
        return node if driver.since_ms is None else f"{node}, since {moment(driver.since_ms)}"
    seen = "" if driver.seen_ms is None else f", last seen {moment(driver.seen_ms)}"
    next_one = f"; {' or '.join(nodes)} takes over" if nodes else f"; {unserved(driver)}"
    return f"nobody: {node}, is silent{seen}{next_one}"


def _served(nodes: tuple[str, ...], free: int) -> str:
    """Return how many turns its nodes would take."""
    if not nodes:
        return "which no node serves"
    turns = "turn" if free == 1 else "turns"
    return f"where {free} more {turns} may run" if free else "where no more turns may run now"


def _going_on(status: Status) -> Iterator[tuple[str, str]]:
    if status.run is not None:
        yield "run", f"turn {status.run.turn}, since {moment(status.run.started_ms)}"
    if status.claim is not None:
        shown, passed = status.claim.evidence, status.claim.passed
        pieces = f"{shown} piece{'s' * (shown != 1)} of evidence"
        yield "claim", f"{pieces}, {passed} of {status.claim.verifiers} verifiers passed"
    if status.retry is not None:
        yield "retries", f"{status.retry.attempts}: {short(status.retry.reason)}"
    if status.blocked_claims.count:
        audit = status.blocked_claims
        yield "blocker", f"claimed {audit.count} of {audit.needed} times: {short(audit.reason)}"
    if len(status.waits) > 1:
        for wait in status.waits:
            until = "" if wait.until_ms is None else f", until {moment(wait.until_ms)}"
            note = f": {short(wait.note)}" if wait.note else ""
            enough = " (its end is enough)" if wait.any else ""
            yield "waits for", f"{awaited(wait.kind, wait.pid)}{enough}{until}{note}"


_WIDTH: Final = 12


def status_lines(status: Status) -> Iterator[str]:
    """Yield a status as lines, the most important first; its hint is for who knows the place."""
    detail = f": {short(status.detail)}" if status.detail else ""
    until = "" if status.until_ms is None else f", until {moment(status.until_ms)}"
    yield f"{line(status.thread_id)}: {status.activity}{detail}{until}"
    for name, text in _rows(status):
        yield f"  {name:<{_WIDTH}}{text}"


def _rows(status: Status) -> Iterator[tuple[str, str]]:
    goal = status.goal
    if goal is None or status.progress is None:
        return
    yield "objective", short(goal.objective)
    yield "goal", f"{goal.goal_id}, revision {goal.revision}"
    for budget in budget_lines(status.progress):
        name, _, use = budget.partition(": ")
        yield name, use
    for number, criterion in enumerate(goal.criteria, 1):
        yield f"criterion {number}", short(criterion.text)
    yield from open_rows(status)
    made = status.last_decision
    if made is not None:
        why = f"{made.decision}: {short(made.reason)} ({made.guard})"
        yield "decided", f"{why}, {moment(made.at_ms)}"
