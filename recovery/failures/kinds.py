"""What is told of a failure, and what a rule of the table is: values, without any I/O."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import tzinfo
from typing import Any, Final, Literal

import msgspec

Kind = Literal[
    "overflow",
    "transient",
    "rate_limited",
    "quota",
    "auth",
    "invalid_request",
    "content_refused",
    "unknown",
]
Source = Literal["provider", "tool", "unknown"]
"""Who said it: the model's provider (or its client library), anything else, or nobody knows."""

Zones = Callable[[str | None], tzinfo | None]
"""Resolve the name of a time zone; None asks for the local one. None back: not known."""

RETRYABLE: Final[frozenset[Kind]] = frozenset({"transient", "rate_limited"})
MAX_SIGNATURE: Final = 200
OVERFLOW_SIGNATURE: Final = "context_overflow"


class Why(msgspec.Struct, frozen=True, kw_only=True):
    """What decided: the name of the ``row``, its ``reason`` and the ``words`` that it found.

    ``words`` is empty where nothing was found in a text: the caller stated the kind, or no row
    holds.
    """

    row: str
    reason: str
    words: str = ""

    def __str__(self) -> str:
        """Return the row and its reason as one line."""
        return f"{self.row}: {self.reason}" + (f" ({self.words!r})" if self.words else "")


NOTHING_HOLDS: Final = Why(row="none", reason="no rule recognises it")


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """What went wrong, and what may be done about it.

    ``retryable`` holds for ``transient`` and ``rate_limited`` alone. ``signature`` is the same for
    the same trouble. ``retry_after`` (seconds) and ``resets_at`` (unix seconds) are None where the
    provider does not say, or says it of a failure that no waiting mends. ``source`` is who said it
    and ``why`` is what decided.
    """

    kind: Kind
    retryable: bool
    signature: str
    retry_after: float | None = None
    resets_at: float | None = None
    source: Source = "unknown"
    why: Why = NOTHING_HOLDS


class Rule(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True
):
    """One reason to call a failure by one kind, as data: it can be stored and read from a file.

    At least one of ``text``, ``ideas``, ``codes``, ``statuses`` and ``weighed`` says when the rule
    holds; what is given must all hold, but for ``codes`` and ``statuses``, of which one is enough.

    ``text`` is a regular expression, searched in the message with its whitespace folded, without
    regard to case. ``ideas`` are regular expressions that must all begin in its first 400
    characters. ``codes`` are provider codes or the names of exception classes, as providers write
    them; ``statuses`` are HTTP statuses. ``also`` must be found too; ``unless`` and
    ``unless_statuses`` speak against it. ``exceeds`` must be found with a number called ``asked``
    that is above the one called ``most``. ``common`` rules look at the head of the message alone:
    their words turn up in anything. ``sifted`` rules are not asked of texts that do not come from
    a provider (a log, a test run, prose); a rule of one's own is asked of every text. ``weighed``
    rules hold where the words of the message weigh more for their kind than for any other.

    ``why`` is the reason in words, ``example`` a message that the rule decides.
    """

    name: str
    kind: Kind
    why: str = ""
    text: str = ""
    ideas: tuple[str, ...] = ()
    codes: tuple[str, ...] = ()
    statuses: tuple[int, ...] = ()
    also: str = ""
    unless: str = ""
    unless_statuses: tuple[int, ...] = ()
    exceeds: str = ""
    common: bool = False
    sifted: bool = False
    weighed: bool = False
    example: str = ""


_UUID: Final = re.compile(
    r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE | re.ASCII
)
_REQUEST_ID: Final = re.compile(r"\breq[_-][a-z0-9][a-z0-9_-]*", re.IGNORECASE | re.ASCII)
# An id that is announced in words ("request id: 9c84-SJC"); it has a digit, a word has none.
_ANNOUNCED_ID: Final = re.compile(
    r"(\brequest[ _-]?id\W{1,6})(?=[a-z:_-]{0,60}[0-9])[a-z0-9][a-z0-9:_-]{5,}",
    re.IGNORECASE | re.ASCII,
)
_LONG_NUMBER: Final = re.compile(r"\b\d{4,}\b", re.ASCII)


def sign(text: str) -> str:
    """Return the first line of ``text`` with ids and long numbers masked, at most 200 characters.

    ``UUID`` becomes ``<id>``, a request id ``req_<id>``, a number of four or more digits ``<n>``.
    """
    lines = text.strip().lstrip("\ufeff").strip().splitlines()
    if not lines:
        return ""
    line = _UUID.sub("<id>", lines[0].rstrip())
    line = _REQUEST_ID.sub("req_<id>", line)
    line = _ANNOUNCED_ID.sub(r"\1req_<id>", line)
    return _LONG_NUMBER.sub("<n>", line)[:MAX_SIGNATURE]


def coded(kind: Kind, name: str, why: str, names: str, **more: Any) -> Rule:
    """Return a rule on provider codes and class names, as providers write them, in one text."""
    return Rule(kind=kind, name=name, why=why, codes=tuple(names.split()), sifted=True, **more)


def answered(kind: Kind, name: str, why: str, *statuses: int, example: str) -> Rule:
    """Return a rule on HTTP statuses."""
    return Rule(kind=kind, name=name, why=why, statuses=statuses, sifted=True, example=example)


def says(kind: Kind, name: str, why: str, *text: str, **more: Any) -> Rule:
    """Return a rule on the text: any of these regular expressions."""
    return Rule(kind=kind, name=name, why=why, text="|".join(text), sifted=True, **more)


def weighed(kind: Kind, why: str, **more: Any) -> Rule:
    """Return the rule on what the words of a text weigh for."""
    return Rule(kind=kind, name=f"words_of_{kind}", why=why, weighed=True, sifted=True, **more)
