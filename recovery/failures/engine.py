"""The walk through the table: from the evidence of an error to what it is."""

from __future__ import annotations

import math
from typing import Final

from recovery.failures.decoys import sift
from recovery.failures.evidence import MAX_TEXT, Evidence, gather, plain_text, read
from recovery.failures.kinds import RETRYABLE, Failure, Kind, Zones
from recovery.failures.last_resort import CODES, LAST_RESORT
from recovery.failures.limits import LIMITS
from recovery.failures.prose import PARTICULAR
from recovery.failures.refused import REFUSED, STATUSES
from recovery.failures.rules import Rule
from recovery.failures.sentences import SENTENCES
from recovery.failures.signature import OVERFLOW_SIGNATURE, sign
from recovery.failures.waits import Timing, timing

RULES: Final[tuple[Rule, ...]] = (
    *LIMITS,
    *PARTICULAR,
    *REFUSED,
    *STATUSES,
    *CODES,
    *SENTENCES,
    *LAST_RESORT,
)
"""Every rule, in the order in which they decide."""

_TIMED: Final[frozenset[Kind]] = RETRYABLE | {"quota"}
_LAST_MOMENT: Final = 253_402_300_799.0


def judge(  # noqa: PLR0913 - the parameters of classify
    error: object,
    *,
    status: object,
    code: object,
    headers: object,
    now: float | None,
    zones: Zones | None,
) -> Failure:
    """Return what kind of failure ``error`` is; see :func:`recovery.failures.classify`."""
    pieces = _gathered(error, status=status, code_given=code, headers=headers)
    places = [place_of(piece) for piece in pieces]
    # Of a chain of exceptions, the most particular link speaks for all.
    place = min(places)
    kind: Kind = RULES[place].kind if place < len(RULES) else "unknown"
    when = Timing()
    if kind in _TIMED:
        when = timing(
            "\n".join(piece.text for piece in pieces),
            {name: value for piece in reversed(pieces) for name, value in piece.headers.items()},
            now=_moment(now),
            zones=zones,
        )
    return Failure(
        kind=kind,
        retryable=kind in RETRYABLE,
        signature=_signature(error, kind, pieces[0]),
        retry_after=when.retry_after,
        resets_at=when.resets_at,
    )


def _gathered(
    error: object, *, status: object, code_given: object, headers: object
) -> tuple[Evidence, ...]:
    """Return the evidence of ``error``; of one that cannot even be asked, its class's name."""
    try:
        return gather(error, status=status, code_given=code_given, headers=headers)
    except Exception:  # noqa: BLE001 - a foreign object raises what it likes, wherever it is asked
        name = type(error).__name__
    try:
        return gather(name, status=status, code_given=code_given, headers=headers)
    except Exception:  # noqa: BLE001 - so do a status, a code and headers
        return (Evidence(text=name),)


def _text(error: object) -> str:
    try:
        return plain_text(error)
    except Exception:  # noqa: BLE001 - not even its class can be asked for
        return type(error).__name__


def place_of(evidence: Evidence) -> int:
    """Return the place in the table of the rule that decides; its length when none does."""
    place = _first(evidence, evidence.text)
    given = evidence.given_status is not None or evidence.given_codes
    if place == len(RULES) or (given and place == _first(evidence, "")):
        return place
    # The text decided: only now is it worth asking whether it is a provider's at all.
    sifted = sift(evidence.text)
    return place if sifted == evidence.text else _first(evidence, sifted)


def _first(evidence: Evidence, text: str) -> int:
    """Return the place of the first rule that holds for the evidence with that text."""
    reading = read(evidence, text)
    return next((i for i, rule in enumerate(RULES) if rule.holds(reading)), len(RULES))


def _signature(error: object, kind: Kind, first: Evidence) -> str:
    if kind == "overflow":
        return OVERFLOW_SIGNATURE
    signed = sign(_text(error)[:MAX_TEXT])
    if signed:
        return signed
    # An error without a word still differs from another: by its class, code or status.
    if isinstance(error, BaseException):
        return sign(type(error).__name__)
    return sign(str(first.given_status or min(first.given_codes, default="")))


def _moment(now: float | None) -> float | None:
    """Return ``now`` when it can be a moment of the calendar, else None."""
    if isinstance(now, int | float) and math.isfinite(now) and 0 <= now <= _LAST_MOMENT:
        return float(now)
    return None
