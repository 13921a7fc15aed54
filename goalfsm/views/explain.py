"""Why a thread last continued, waited or stopped: the chain of guards, in words and as data."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from goalfsm.session.continuation import GUARDS, OTHERWISE
from goalfsm.text import line
from goalfsm.views.activity import standing
from goalfsm.views.parts import Driver, LastDecision, last_decision, told

if TYPE_CHECKING:
    from goalfsm.session.state import Decision, Session

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_MS: Final = 253_402_300_799_999
EARLIER: Final = 5
"""How many decisions before the last one are shown."""
_VERBS: Final = {"continue": "went on", "wait": "waited", "stop": "stopped"}
_STOPS: Final = {
    "completed": "the goal is complete",
    "blocked": "the goal is blocked",
    "paused": "the goal is paused",
    "cleared": "the thread has no goal",
    "token_budget": "the token budget is used up",
    "time_budget": "the time budget is used up",
    "cost_budget": "the cost budget is used up",
    "continuation_limit": "all continuations are spent",
    "no_progress": "the last turns got nowhere",
    "usage_limit": "the provider's quota is used up",
    "verification": "the completion claim could not be verified",
}


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """One guard of the chain: what it asks and what the answer was."""

    guard: str
    asks: str
    answer: Literal["no", "yes", "not asked"]


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """The last decision with the chain that led to it, those before it, and what goes on now.

    ``earlier`` are the decisions before the last one, newest first, each that differed from the one
    after it. ``of_newest`` is how many events they were looked for in, where older ones might hold
    more of them. ``words`` are the lines that a person reads; they say nothing that the data does
    not.
    """

    activity: str
    detail: str
    until_ms: int | None
    hint: str
    last_decision: LastDecision | None
    chain: tuple[Answer, ...]
    earlier: tuple[LastDecision, ...] = ()
    of_newest: int | None = None
    words: tuple[str, ...]


def explain(
    session: Session,
    decisions: Iterable[Decision] = (),
    *,
    of_newest: int | None = None,
    driver: Driver | None = None,
) -> Explanation:
    """Return why work on ``session`` last went on, waited or stopped.

    ``decisions`` are those of its journal, newest first; no more are read than it takes. Where
    they are not of the whole journal, ``of_newest`` says of how many events they are. ``driver`` is
    the process that works on the thread; without it one is taken to.
    """
    now, advice = standing(session, driver)
    made = last_decision(session)
    chain = () if made is None else chain_of(made.guard)
    words = [f"Now: {now.text}{_because(now.detail)}{_until(now.until_ms)}."]
    words.append("Nothing was decided yet." if made is None else sentence(made))
    # What was not asked says nothing: the guard that decided comes last.
    words += [f"  {one.answer:<4} {one.asks}" for one in chain if one.answer != "not asked"]
    before = tuple(_earlier(made, decisions))
    if before:
        words.append("Before that:")
        words += [f"  {sentence(one)[:-1]} ({one.guard})." for one in before]
    if len(before) == EARLIER:
        of_newest = None
    if of_newest is not None:
        words.append(_bounded(of_newest, more="more" if before else "else"))
    if session.queue:
        words.append(_queued(session))
    if advice:
        words.append(f"Hint: {advice}")
    return Explanation(
        activity=now.text,
        detail=now.detail,
        until_ms=now.until_ms,
        hint=advice,
        last_decision=made,
        chain=chain,
        earlier=before,
        of_newest=of_newest,
        words=tuple(words),
    )


def _queued(session: Session) -> str:
    """Return in words what comes after the goal, and what it takes."""
    first = session.queue[0]
    more = f", and {len(session.queue) - 1} more" if len(session.queue) > 1 else ""
    by = (
        "by itself when the goal is complete (advance)"
        if session.policy.advance
        else "when the goal is complete and somebody says so"
    )
    return f"Queued: {first.queue_id}{more}; work goes on to it {by}."


def _bounded(events: int, *, more: str) -> str:
    return (
        f"Nothing {more} was decided in the newest {events:,} events; "
        "goalfsm log -n N shows older ones."
    )


def _earlier(last: LastDecision | None, decisions: Iterable[Decision]) -> Iterator[LastDecision]:
    """Yield what was decided before ``last``; what was asked for in vain decided nothing."""
    shown, newer = 0, last
    for decision in decisions:
        if decision.decision == "refused" or _alike(decision, newer):
            continue
        newer = told(decision)
        yield newer
        shown += 1
        if shown == EARLIER:
            return


def _alike(one: Decision, other: LastDecision | None) -> bool:
    if other is None:
        return False
    return (one.decision, one.guard, one.reason) == (other.decision, other.guard, other.reason)


def chain_of(decided_by: str) -> tuple[Answer, ...]:
    """Return the answers of all guards when the one named ``decided_by`` decided.

    Guards are asked in order, and the first that holds decides; when none holds, work goes on. A
    decision that no guard made has no chain.
    """
    names = [guard.name for guard in GUARDS]
    if decided_by == OTHERWISE.guard:
        at = len(names)
    elif decided_by in names:
        at = names.index(decided_by)
    else:
        return ()
    return tuple(
        Answer(
            guard=guard.name,
            asks=guard.asks,
            answer="no" if index < at else "yes" if index == at else "not asked",
        )
        for index, guard in enumerate(GUARDS)
    )


def sentence(made: LastDecision) -> str:
    """Return one decision as a sentence."""
    why = _stopped(made.reason) if made.decision == "stop" else made.reason
    when = moment(made.at_ms)
    return f"Work {_VERBS[made.decision]} at {when}{_because(why)}{_until(made.until_ms)}."


def _stopped(reason: str) -> str:
    """Return a stop's reason in words; behind a colon it may say more."""
    code, _, detail = reason.partition(": ")
    words = _STOPS.get(code, code)
    # What seals a completion's evidence is for the journal; the report shows it as well.
    return words if detail in {"", words} or code == "completed" else f"{words} ({detail})"


def moment(unix_ms: int) -> str:
    """Return a point in time as UTC, to the second; what no calendar holds, as its number."""
    if not 0 <= unix_ms <= _LAST_MS:
        return f"{unix_ms} ms"
    return (_EPOCH + timedelta(milliseconds=unix_ms)).strftime("%Y-%m-%d %H:%M:%S UTC")


def _because(text: str) -> str:
    return f": {line(text)}" if text else ""


def _until(unix_ms: int | None) -> str:
    return "" if unix_ms is None else f", until {moment(unix_ms)}"
