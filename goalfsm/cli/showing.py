"""Show a status to a person: plain lines that are as readable in a pipe."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from goalfsm.cli.places import Place, speak
from goalfsm.daemon.remote.narrating import short
from goalfsm.session.budgets import budget_lines
from goalfsm.text import awaited, line
from goalfsm.views.explain import moment

if TYPE_CHECKING:
    from collections.abc import Iterator

    from goalfsm.views.parts import Driver
    from goalfsm.views.status import Status

_WIDTH: Final = 12


def status_lines(status: Status, place: Place) -> Iterator[str]:
    """Yield a status as lines, the most important first."""
    detail = f": {short(status.detail)}" if status.detail else ""
    until = "" if status.until_ms is None else f", until {moment(status.until_ms)}"
    yield f"{line(status.thread_id)}: {status.activity}{detail}{until}"
    for name, text in _rows(status):
        yield f"  {name:<{_WIDTH}}{text}"
    hint = speak(status.hint, place)
    if hint:
        yield f"Hint: {hint}"


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
    yield from _open(status)
    made = status.last_decision
    if made is not None:
        why = f"{made.decision}: {short(made.reason)} ({made.guard})"
        yield "decided", f"{why}, {moment(made.at_ms)}"


def _open(status: Status) -> Iterator[tuple[str, str]]:
    """Yield what is under way or asks for somebody."""
    yield from _driven(status.driver)
    yield from _going_on(status)
    if status.set_aside:
        yield "set aside", short(status.set_aside)
    for said in status.words:
        got = "the running turn has it" if said.got else "not taken into account yet"
        yield said.kind, f"{line(said.message_id)}, {got}: {short(said.text)}"
    for name in status.toothless:
        yield "budget", f"of {name} can never be used up: the worker reports no such use"
    if status.attention is not None:
        yield "attention", short(status.attention.reason)


def _driven(driver: Driver | None) -> Iterator[tuple[str, str]]:
    if driver is not None and driver.alive:
        since = "" if driver.since_ms is None else f", since {moment(driver.since_ms)}"
        yield "driven by", f"process {driver.pid}{since}"
    elif driver is not None:
        seen = "" if driver.seen_ms is None else f", last seen {moment(driver.seen_ms)}"
        gone = "" if driver.pid is None else f": process {driver.pid} has ended{seen}"
        yield "driven by", f"nobody{gone}"


def _going_on(status: Status) -> Iterator[tuple[str, str]]:
    if status.run is not None:
        yield "run", f"turn {status.run.turn}, since {moment(status.run.started_ms)}"
    if status.claim is not None:
        passed = f"{status.claim.passed} of {status.claim.verifiers} verifiers passed"
        yield "claim", f"{status.claim.evidence} pieces of evidence, {passed}"
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
