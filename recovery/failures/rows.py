"""How a row of the table is written: short forms for the kinds of rules that there are."""

from __future__ import annotations

from typing import Final

from recovery.failures.kinds import Kind, Rule

# At most so many words in between: a sentence, not a page.
NEAR: Final = r"(?:[^\s]{1,40}\s){0,6}?"
FAR: Final = r"(?:[^\s]{1,40}\s){0,12}?"


def coded(  # noqa: PLR0913 - a row of the table, by name
    kind: Kind, name: str, why: str, names: str, *, unless: str = "", example: str
) -> Rule:
    """Return a rule on provider codes and class names, as providers write them, in one text."""
    return Rule(
        kind=kind,
        name=name,
        why=why,
        codes=tuple(names.split()),
        unless=unless,
        sifted=True,
        example=example,
    )


def answered(kind: Kind, name: str, why: str, *statuses: int, example: str) -> Rule:
    """Return a rule on HTTP statuses."""
    return Rule(kind=kind, name=name, why=why, statuses=statuses, sifted=True, example=example)


def says(  # noqa: PLR0913 - a row of the table, by name
    kind: Kind,
    name: str,
    why: str,
    *text: str,
    also: str = "",
    unless: str = "",
    unless_statuses: tuple[int, ...] = (),
    exceeds: str = "",
    common: bool = False,
    example: str,
) -> Rule:
    """Return a rule on the text: any of these regular expressions."""
    return Rule(
        kind=kind,
        name=name,
        why=why,
        text="|".join(text),
        also=also,
        unless=unless,
        unless_statuses=unless_statuses,
        exceeds=exceeds,
        common=common,
        sifted=True,
        example=example,
    )


def together(kind: Kind, name: str, why: str, *ideas: str, unless: str, example: str) -> Rule:
    """Return a rule that holds where every one of ``ideas`` occurs and ``unless`` does not."""
    return Rule(
        kind=kind,
        name=name,
        why=why,
        ideas=ideas,
        unless=unless,
        common=True,
        sifted=True,
        example=example,
    )
