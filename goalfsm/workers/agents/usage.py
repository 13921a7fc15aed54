"""What a turn used, from agents that count in different ways.

Some agents say what each model call used, others only how much a session used so far. What was read
from a cache is never part of ``input_tokens`` here. Costs are millionths of the account's currency.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from goalfsm.workers.protocol import UsageReported


class Totals(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Tokens and cost of some model calls together."""

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    cost: int = 0

    def __add__(self, other: Totals) -> Totals:
        return self._with(other, int.__add__)

    def beyond(self, other: Totals) -> Totals:
        """Return how much more this is than ``other``, field by field, never less than 0."""
        return self._with(other, lambda mine, theirs: max(0, mine - theirs))

    def reported(self) -> UsageReported:
        """Return the event that charges this usage."""
        return UsageReported(**msgspec.structs.asdict(self))

    def _with(self, other: Totals, of: Callable[[int, int], int]) -> Totals:
        names = self.__struct_fields__
        return Totals(**{name: of(getattr(self, name), getattr(other, name)) for name in names})


NOTHING = Totals()


def totals(
    said: Mapping[str, Any],
    read: Iterable[str],
    written: str,
    cached: str = "",
    *,
    within: bool = False,
) -> Totals:
    """Return the tokens that an agent counts, of which ``read`` together are the input.

    ``within``: what was read from a cache is part of them.
    """
    taken, kept = sum(count(said, name) for name in read), count(said, cached)
    if within:
        kept = min(taken, kept)
        taken -= kept
    return Totals(input_tokens=taken, output_tokens=count(said, written), cached_tokens=kept)


def count(said: Mapping[str, Any], name: str) -> int:
    """Return a number of tokens, 0 where the agent does not say one."""
    value = said.get(name)
    return int(value) if isinstance(value, int | float) and 0 <= value < float("inf") else 0


def millionths(cost: Any) -> int:
    """Return a cost in the currency's units as millionths, 0 where the agent does not say one."""
    known = isinstance(cost, int | float) and 0 <= cost < float("inf")
    return round(cost * 1_000_000) if known else 0


class Meter:
    """Turns what a session used so far into what is new, beginning at a baseline."""

    def __init__(self, baseline: Totals = NOTHING) -> None:
        """Begin where ``baseline`` ends: that much was charged before."""
        self.charged = baseline

    def advance(self, total: Totals) -> Totals:
        """Return what is new when the agent's own counter stands at ``total``.

        A counter below what was charged has begun again at 0: all of it is new.
        """
        before = self.charged
        read, read_before = (each.input_tokens + each.cached_tokens for each in (total, before))
        if read < read_before or total.output_tokens < before.output_tokens:
            before = NOTHING
        self.charged = total
        return total.beyond(before)
