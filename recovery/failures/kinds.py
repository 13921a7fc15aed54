"""The kinds of failure and what is told of one."""

from __future__ import annotations

from collections.abc import Callable
from datetime import tzinfo
from typing import Final, Literal

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

Zones = Callable[[str | None], tzinfo | None]
"""Resolve the name of a time zone; None asks for the local one. None back: not known."""

RETRYABLE: Final[frozenset[Kind]] = frozenset({"transient", "rate_limited"})


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """What went wrong.

    ``retryable`` holds for ``transient`` and ``rate_limited`` alone. ``signature`` is the same for
    the same trouble. ``retry_after`` (seconds) and ``resets_at`` (unix seconds) are None where the
    provider does not say, or says it of a failure that no waiting mends.
    """

    kind: Kind
    retryable: bool
    signature: str
    retry_after: float | None = None
    resets_at: float | None = None
