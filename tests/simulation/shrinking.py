"""Makes a failing plan small: leaves out what it fails without."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from tests.simulation.endings import Violation
from tests.simulation.world import World

if TYPE_CHECKING:
    from tests.simulation.plan import Plan

MOST_TRIES: Final = 400


def fails(plan: Plan, rule: str, world: type[World] = World) -> bool:
    """Tell whether a world breaks that rule."""
    try:
        world(plan).play()
    except Violation as violation:
        return violation.rule == rule
    return False


def shrink(plan: Plan, rule: str, world: type[World] = World) -> Plan:
    """Return a plan with fewer items, and fewer threads, that breaks the same rule."""
    tries = MOST_TRIES
    for thread in plan.threads[1:]:
        without = _without_thread(plan, thread)
        tries -= 1
        if fails(without, rule, world):
            plan = without
    size = max(1, len(plan.items) // 2)
    while size:
        first, before = 0, len(plan.items)
        while first < len(plan.items) and tries > 0:
            kept = plan.items[:first] + plan.items[first + size :]
            smaller = replace(plan, items=kept)
            tries -= 1
            if fails(smaller, rule, world):
                plan = smaller
            else:
                first += size
        # The last pass is made again for as long as it finds something to leave out.
        if size > 1 or len(plan.items) == before or tries <= 0:
            size //= 2
    return plan


def _without_thread(plan: Plan, thread: str) -> Plan:
    workers = {name: worker for name, worker in plan.workers.items() if name != thread}
    items = tuple(item for item in plan.items if getattr(item, "thread", None) != thread)
    return replace(plan, workers=workers, items=items)
