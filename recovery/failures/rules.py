"""What makes a failure of which kind: an ordered table; the first rule that holds decides.

The order is the meaning. What a provider says in particular (a quota, an overflow, a refusal)
comes before the HTTP status, the status before the words that many errors share.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from recovery.failures.evidence import Reading
from recovery.failures.kinds import Kind
from recovery.failures.statuses import code


class Rule(NamedTuple):
    """One reason to call a failure by one kind.

    Exactly one of ``text`` (searched in the text, in lower case), ``codes`` and ``statuses``
    triggers it. ``needs`` are literals of which a match of ``text`` has at least one: they spare
    the search. ``also`` must be found too; ``unless`` and ``unless_statuses`` speak against it.
    ``exceeds`` must be found with a number called ``asked`` that is above the one called ``most``.
    ``common`` rules search the head of the text alone: their words turn up in anything.
    """

    kind: Kind
    why: str
    text: re.Pattern[str] | None = None
    needs: tuple[str, ...] = ()
    codes: frozenset[str] = frozenset()
    statuses: frozenset[int] = frozenset()
    also: re.Pattern[str] | None = None
    unless: re.Pattern[str] | None = None
    unless_statuses: frozenset[int] = frozenset()
    exceeds: re.Pattern[str] | None = None
    common: bool = False

    def holds(self, reading: Reading) -> bool:
        """Tell whether the rule holds for ``reading``."""
        if self.text is None:
            triggered = not self.codes.isdisjoint(reading.codes) or reading.status in self.statuses
        else:
            text = reading.head if self.common else reading.text
            triggered = (
                any(need in text for need in self.needs) and self.text.search(text) is not None
            )
        if not triggered or reading.status in self.unless_statuses:
            return False
        if self.also is not None and self.also.search(reading.text) is None:
            return False
        if self.exceeds is not None and not _exceeds(self.exceeds.search(reading.text)):
            return False
        return self.unless is None or self.unless.search(reading.text) is None


def _exceeds(numbers: re.Match[str] | None) -> bool:
    """Tell whether more was asked for than there ever is; an allowance of 0 is none at all."""
    if numbers is None:
        return False
    asked, most = (int(numbers[name].replace(",", "")) for name in ("asked", "most"))
    return asked > most > 0


def says(  # noqa: PLR0913 - a row of the table, by name
    kind: Kind,
    why: str,
    *patterns: str,
    needs: str,
    also: str | None = None,
    unless: str | None = None,
    unless_statuses: frozenset[int] = frozenset(),
    exceeds: str | None = None,
    common: bool = False,
) -> Rule:
    """Return a rule on the text; ``needs`` are its literals, separated by bars."""
    return Rule(
        kind,
        why,
        text=re.compile("|".join(patterns)),
        needs=tuple(needs.split("|")),
        also=re.compile(also) if also else None,
        unless=re.compile(unless) if unless else None,
        unless_statuses=unless_statuses,
        exceeds=re.compile(exceeds) if exceeds else None,
        common=common,
    )


def coded(kind: Kind, why: str, names: str, *, unless: str | None = None) -> Rule:
    """Return a rule on provider codes and class names, as providers write them, in one text."""
    return Rule(
        kind,
        why,
        codes=frozenset(code(name) for name in names.split()),
        unless=re.compile(unless) if unless else None,
    )


def answered(kind: Kind, why: str, *statuses: int) -> Rule:
    """Return a rule on HTTP statuses."""
    return Rule(kind, why, statuses=frozenset(statuses))
