"""Draws who comes to an engine's door, and who else wants its file."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Final

from goalfsm.goal.model import Limits
from goalfsm.session import events as e
from tests.simulation import plan as p

_PERSONS: Final = (
    e.ClaimAccepted(),
    e.CompletionRequested(),
    e.BudgetChanged(limits=Limits(), unlimited=("tokens", "seconds", "cost")),
    e.BudgetChanged(limits=Limits(tokens=10**9)),
    e.EditRequested(objective="something easier"),
    e.ResumeRequested(),
    e.PolicyChanged(changes={"no_progress": 0}),
    e.ObjectiveGiven(objective="something else", replace=True),
    e.ClearRequested(),
)
"""What only a person may say."""
_ENGINES: Final = (
    e.VerificationFinished(claim_id="c1", index=0, outcome="passed"),
    e.RunInterrupted(run_id="r1"),
    e.EngineStarted(),
)
"""What only an engine can know."""


def strangers(of: random.Random, threads: Sequence[str], chaos_ms: int) -> list[p.Any_Item]:
    """Return programs of runs that pretend, crowds, locks that are held long, and rivals."""
    items: list[p.Any_Item] = [
        p.Pretends(
            at_ms=of.randrange(chaos_ms),
            thread=of.choice(threads),
            event=of.choice((*_PERSONS, *_PERSONS, *_ENGINES)),
            by=of.choice(("socket", "socket", "inbox")),
            looks=of.choice(("below", "detached", "marked", "named")),
        )
        for _ in range(of.randrange(3, 10))
    ]
    for _ in range(of.randrange(4)):
        sort = of.choice(("idle", "half", "followers", "deaf"))
        items.append(p.Crowd(at_ms=of.randrange(chaos_ms), for_ms=of.randrange(30_000), sort=sort))
    for _ in range(of.randrange(3)):
        at_ms, for_ms = of.randrange(chaos_ms), of.choice((900, 4_000, 16_000))
        items.append(p.Locked(at_ms=at_ms, for_ms=for_ms))
        # One that comes when the lock has been held for longer than an owner may be silent.
        items.append(p.Rival(at_ms=at_ms + of.randrange(10_500, 16_500)))
        for thread in threads:
            stop = of.choice((e.PauseRequested(), e.PauseRequested(), e.ClearRequested()))
            items.append(p.Say(at_ms=at_ms + of.randrange(for_ms), thread=thread, event=stop))
    items += [p.Waits(at_ms=of.randrange(chaos_ms), thread=each) for each in (*threads, *threads)]
    rivals = [of.randrange(chaos_ms) for _ in range(of.randrange(3))]
    return items + [p.Rival(at_ms=at_ms, foreign=of.random() < 0.7) for at_ms in rivals]
