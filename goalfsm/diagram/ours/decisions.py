"""The decision whether work goes on, as a flow: the guards in their order, and what each answers.

The outcomes are those that ``goalfsm.session.continuation`` gives: every guard is asked about
situations in which it holds, and what it answers is drawn.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Final

from goalfsm.diagram.model import Diagram, DiagramError, Edge, Node
from goalfsm.goal.model import ACTIVE, STATUSES, Limit
from goalfsm.session.continuation import (
    GUARDS,
    OTHERWISE,
    Continue,
    Guard,
    Situation,
    Stop,
    Verdict,
    Wait,
    decide,
)

_LIMITS: Final[tuple[Limit, ...]] = ("tokens", "time", "cost", "continuations")
_PAUSES: Final = ("user", "no_progress", "usage_limit", "verification")
CONTINUE: Final = "continue"


def decision_flow(guards: tuple[Guard, ...] = GUARDS) -> Diagram:
    """Return the decision order of ``guards``; a guard that never answers is an error."""
    nodes: list[Node] = []
    edges: list[Edge] = []
    for index, guard in enumerate(guards):
        verdicts = _verdicts(guard)
        if not verdicts:
            raise DiagramError(
                f"the guard {guard.name!r} answers no situation that is known here",
                hint="add one to goalfsm.diagram.ours.decisions",
            )
        outcome = f"{guard.name}: outcome"
        follows = guards[index + 1].name if index + 1 < len(guards) else CONTINUE
        nodes.append(Node(name=guard.name, label=guard.asks, kind="decision"))
        nodes.append(_outcome(outcome, verdicts))
        edges.append(Edge(source=guard.name, dest=outcome, trigger="yes", reason=_why(verdicts)))
        edges.append(Edge(source=guard.name, dest=follows, trigger="no"))
    if not isinstance(decide(Situation(ACTIVE), guards), Continue):
        raise DiagramError("a situation without any obstacle does not continue")
    nodes.append(Node(name=CONTINUE, label="Continue", kind="outcome", note=OTHERWISE.reason))
    return Diagram(
        title="Does work go on? The first yes decides",
        states=tuple(nodes),
        edges=tuple(edges),
        initial=(guards[0].name,),
        flow=True,
    )


def _verdicts(guard: Guard) -> tuple[Verdict, ...]:
    """Return what the guard answers, each answer once."""
    found: dict[Verdict, None] = {}
    for situation in _situations():
        verdict = guard.decide(situation)
        if verdict is not None:
            found[verdict] = None
    return tuple(found)


def _situations() -> Iterator[Situation]:
    """Yield situations in which every guard holds that can: all obstacles, and every status."""
    for status, pause, limit in product((ACTIVE, *STATUSES, None), _PAUSES, _LIMITS):
        yield Situation(
            status=status,
            pause_reason=pause,
            limited_by=limit,
            stale_aborting=True,
            queued=True,
            verifying=True,
            recovering="recovery is pending",
            waiting="something outside has not happened",
            continuations=1,
            max_continuations=1,
            used_up="tokens" if limit == "continuations" else limit,
            stuck="the last turns got nowhere",
            stopping=True,
            pending_messages=True,
            host_busy=True,
        )


def _outcome(name: str, verdicts: tuple[Verdict, ...]) -> Node:
    kinds = dict.fromkeys(type(verdict).__name__ for verdict in verdicts)
    return Node(name=name, label=" or ".join(kinds), kind="outcome", note=_why(verdicts))


def _why(verdicts: tuple[Verdict, ...]) -> str:
    reasons: list[str] = []
    for verdict in verdicts:
        match verdict:
            case Stop(reason=reason):
                reasons.append(reason.replace("_", " "))
            case Wait(reason=reason) | Continue(reason=reason):
                reasons.append(reason)
    return ", ".join(dict.fromkeys(reasons))
