"""What went wrong: an error of any shape becomes a kind, a signature and a time to try again.

The table that decides is ``rules.RULES``, rows of data; :func:`classify` has it walked. Texts that
merely sound like a provider's error (a tool's traceback, a log, prose) are told apart in
``wording``. The table is compiled with the first failure.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Final

from recovery.failures.kinds import (
    MAX_SIGNATURE,
    OVERFLOW_SIGNATURE,
    RETRYABLE,
    Failure,
    Kind,
    Rule,
    Source,
    Why,
    Zones,
    sign,
)

if TYPE_CHECKING:
    from recovery.failures.table import Classifier

__all__ = [
    "MAX_SIGNATURE",
    "OVERFLOW_SIGNATURE",
    "RETRYABLE",
    "Failure",
    "Kind",
    "Rule",
    "Source",
    "Why",
    "Zones",
    "assistant_overflow",
    "classifier",
    "classify",
    "only_error",
    "sign",
]

_ALMOST_FULL: Final = 0.99
_LOOKED_AT: Final = 300
_MAY_FAIL: Final = (
    "error", "fail", "exceed", "except", "limit", "quota", "overload", "unavail", "deny", "denied",
    "auth", "forbidden", "invalid", "incorrect", "refus", "reject", "time", "reset", "retry",
    "try again", "too long", "too large", "too many", "credit", "billing", "balance", "payment",
    "insufficient", "capacity", "busy", "throttl", "block", "policy", "filter", "safety", "sign",
    "log", "expired", "api", "token", "context", "connection", "network", "gateway", "server",
    "usage", "reached", "hit", "out of", "disabled", "suspend", "revoked", "not found",
    "not supported", "not allowed", "not available", "unable", "cannot", "can't", "could not",
    "couldn't", "abort", "cancel", "interrupt", "closed", "hang up", "dns", "socket", "ssl", "tls",
    "econn", "eof", "violat", "flagged", "model", "request", "account", "permi", "subscri", "trial",
    "allowance", "does not", "no such", "unknown", "unsupp", "deprecat", "prompt", "input",
    "sensitive", "internal", "incomplete", "bad ", "message", "conversation", "declin", "content",
    "generat", "role", "endpoint", "memory", "upgrade", "plan", "please", "stream", "engine",
    "crash", "respon", "too old", "access", "credential", "key", "must be", "tool", "reason",
    "guardrail", "runner",
    *map(str, (400, 401, 402, 403, 404, 408, 409, 413, 422, 424, 429, 498,
        499, 500, 501, 502, 503, 504, 507, 520, 522, 524, 529)),
)  # fmt: skip
"""What every answer begins with somewhere that consists of a failure; most answers have none.

Looking for it takes microseconds, and the table a millisecond and, once, a fifth of a second.
"""


@cache
def classifier(rules: tuple[Rule, ...] = ()) -> Classifier:
    """Return the classifier that asks ``rules`` and then those of the project.

    Raise ValueError for a rule that cannot be used.
    """
    # The patterns of the table take a tenth of a second to compile: not before something failed.
    from recovery.failures.rules import RULES  # noqa: PLC0415
    from recovery.failures.table import Classifier  # noqa: PLC0415

    return Classifier((*rules, *RULES))


def classify(  # noqa: PLR0913 - all but the error are optional, by name
    error: object,
    *,
    source: Source = "unknown",
    kind: Kind | None = None,
    status: object = None,
    code: object = None,
    headers: object = None,
    now: float | None = None,
    zones: Zones | None = None,
) -> Failure:
    """Return what kind of failure ``error`` is; nothing that is passed makes this raise.

    ``error`` is a text or an exception; exceptions are recognised by shape, with their causes.
    ``status`` is the HTTP status, ``code`` the provider's error code or type, ``headers`` the
    response's headers; each comes before what the error itself says. Of a text, the first 6 Ki
    and the last 2 Ki characters are looked at.

    ``source`` is who said it, where the caller knows: of a ``provider`` every text is believed,
    of a ``tool`` none. ``kind`` is the kind, where the caller knows even that; only rules of one's
    own are asked before it counts.

    ``now`` (unix seconds) turns moments into waits and back; without it the response's ``date``
    header serves. ``zones`` resolves the time zones of messages such as "resets 3pm
    (Europe/Paris)", for example ``zoneinfo.ZoneInfo``; it is called with None for the local zone.
    """
    return classifier().classify(
        error,
        source=source,
        kind=kind,
        status=status,
        code=code,
        headers=headers,
        now=now,
        zones=zones,
    )


def only_error(
    answer: str, *, now: float | None = None, zones: Zones | None = None
) -> Failure | None:
    """Return the failure that ``answer`` consists of, or None where a model answered.

    Some agents print a provider's error as if it were their answer and end well. Such an answer
    is short and begins as errors do; one that reports of an error among other things is none.
    ``now`` and ``zones`` are those of :func:`classify`.
    """
    begins = answer[:_LOOKED_AT].lower()
    if begins.isascii() and not _may_tell_of_a_failure(begins):
        return None
    return classifier().only_error(answer, now=now, zones=zones)


def _may_tell_of_a_failure(text: str) -> bool:
    # Of every answer: a generator would take three times as long.
    for word in _MAY_FAIL:  # noqa: SIM110
        if word in text:
            return True
    return False


def assistant_overflow(  # noqa: PLR0913 - what a message says, by name
    *,
    stop_reason: str,
    usage_input: float = 0,
    usage_output: float = 0,
    cache_read: float = 0,
    error_message: str | None = None,
    context_window: float | None = None,
) -> bool:
    """Tell whether a model's answer shows that its context was full, in words or in numbers.

    An error says so. Some providers stop normally after an input that is larger than the window,
    or stop for length without a word when the input left no room; both need a known
    ``context_window`` (tokens; 0 or None is unknown).
    """
    if stop_reason == "error":
        return bool(error_message) and classify(error_message).kind == "overflow"
    if not context_window or context_window < 0:
        return False
    taken = usage_input + cache_read
    if stop_reason == "stop":
        return taken > context_window
    return stop_reason == "length" and usage_output == 0 and taken >= context_window * _ALMOST_FULL
