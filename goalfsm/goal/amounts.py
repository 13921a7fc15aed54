"""Amounts as people write them: durations like 1h30m, counts like 200k, costs like 2.50."""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation
from typing import Final

from goalfsm.errors import GoalError
from goalfsm.goal.model import COST_SCALE, MAX_COUNT, Limits

_DURATION: Final = re.compile(
    r"(?P<bare>\d+(?:\.\d+)?)"
    r"|(?:(?P<d>\d+)d)?(?:(?P<h>\d+)h)?(?:(?P<m>\d+)m)?(?:(?P<s>\d+(?:\.\d+)?)s)?",
    re.IGNORECASE | re.ASCII,
)
_SECONDS: Final = {"d": 86_400, "h": 3_600, "m": 60, "s": 1, "bare": 1}
_COUNT: Final = re.compile(r"(\d+(?:[_,]\d{3})*|\d+(?:\.\d+)?)([kmg]?)", re.IGNORECASE | re.ASCII)
_INLINE: Final = re.compile(r"(?:^|\s)budget:(?P<parts>(?:(?!budget:)[^\n])*)\Z", re.IGNORECASE)
_SCALE: Final = {"": 1, "k": 1_000, "m": 1_000_000, "g": 1_000_000_000}


class AmountInvalid(GoalError):
    """What somebody wrote is no such amount."""

    code = "amount_invalid"


def duration(text: str) -> float:
    """Return the seconds of a text like 90, 90s, 5m, 1h30m or 2d; zero is no duration."""
    found = _DURATION.fullmatch(text.strip())
    parts = {} if found is None else {k: v for k, v in found.groupdict().items() if v}
    seconds = sum(float(count) * _SECONDS[unit] for unit, count in parts.items())
    if seconds > MAX_COUNT:
        raise AmountInvalid(f"{text!r} is too long", hint=f"at most {MAX_COUNT:,} seconds")
    if not seconds:
        raise AmountInvalid(
            f"{text!r} is not a duration", hint="write it like 90, 90s, 5m or 1h30m, above 0"
        )
    return seconds


def whole_seconds(text: str) -> int:
    """Return the whole seconds of a duration, for a budget."""
    exact = duration(text)
    if exact != int(exact):
        raise AmountInvalid(f"{text!r} is not a whole number of seconds", hint="round it: 90, 5m")
    return int(exact)


def count(text: str, what: str, *, minimum: int = 1) -> int:
    """Return a whole number of ``what``, also one written like 200k, 1.5M or 1_000."""
    found = _COUNT.fullmatch(text.strip())
    number = (
        Decimal(re.sub("[_,]", "", found[1])) * _SCALE[found[2].lower()]
        if found
        else Decimal("NaN")
    )
    if not number.is_nan() and number > MAX_COUNT:
        raise AmountInvalid(f"{text!r} is too large for a {what}", hint=f"at most {MAX_COUNT:,}")
    if number.is_nan() or number != int(number) or number < minimum:
        least = "a positive whole number" if minimum else "a whole number, 0 or more"
        raise AmountInvalid(f"{text!r} is not a {what}", hint=f"give {least}, like 20 or 200k")
    return int(number)


def cost(text: str) -> int:
    """Return an amount of the account's currency, written like 2.50, in millionths."""
    try:
        amount = Decimal(text.strip()) * COST_SCALE
    except InvalidOperation:
        amount = Decimal("NaN")
    if not amount.is_finite() or amount != int(amount) or not 0 < amount <= MAX_COUNT:
        raise AmountInvalid(
            f"{text!r} is not a cost", hint="give a positive amount, like 2.50 (6 decimals at most)"
        )
    return int(amount)


def inline_budget(text: str) -> tuple[str, Limits]:
    """Return a text without the ``budget: …`` that it ends with, and the limits that this names.

    Parts are divided by commas: tokens (``15000``, ``15k``, ``2M tokens``), active time (``2h``,
    ``1h30m``), cost (``$2.50``) and turns (``20 turns``). A text without one stays as it is; what
    follows the word in the last line and is no budget raises AmountInvalid.
    """
    found = _INLINE.search(text)
    if found is None:
        return text, Limits()
    limits: dict[str, int] = {}
    for part in found["parts"].split(","):
        name, value = _inline_part(part.strip())
        if name in limits:
            raise AmountInvalid(f"two budgets of {name} in {found[0].strip()!r}", hint="name one")
        limits[name] = value
    return text[: found.start()].rstrip(), Limits(**limits)


def _inline_part(part: str) -> tuple[str, int]:
    """Return which limit a part of an inline budget is, and its value."""
    number, _, unit = part.lower().removesuffix("s").rpartition(" ")
    if part.startswith("$"):
        return "cost", cost(part[1:])
    if number and unit == "turn":
        return "continuations", count(number, "number of turns")
    if number and unit == "token":
        return "tokens", count(number, "token budget")
    if _COUNT.fullmatch(part) and not part.endswith("m"):
        return "tokens", count(part, "token budget")
    if not part:
        raise AmountInvalid(
            "'' is no budget: a part is empty",
            hint="in double quotes a shell takes $5 away: single ones keep 'budget: 2h, $5'",
        )
    # A small m may be minutes or millions; who reads it as the other spends too much or too little.
    if _COUNT.fullmatch(part) or not _DURATION.fullmatch(part):
        raise AmountInvalid(
            f"{part!r} is no budget",
            hint="end with budget: 15k (tokens), 5M, 300s, 2h, $2.50 or 20 turns",
        )
    return "seconds", whole_seconds(part)
