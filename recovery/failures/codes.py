"""Statuses and codes as they stand in a text.

In a text, a status is a whole number that its surroundings make a status: a word such as
``status`` before it, its reason phrase after it, the start of the message. ``5000 items``,
``line 502``, ``502 files changed`` and ``:502`` are numbers like any other.
"""

from __future__ import annotations

import re
from typing import Final

KNOWN_STATUSES: Final = frozenset(
    {*range(400, 432), 451, 498, 499, *range(500, 512), *range(520, 531)}
)

_NUMBER: Final = re.compile(r"(?<![\w.$#/@+-])[45]\d\d(?![\w%]|[.,:/-]\d)", re.ASCII)
_BEFORE: Final = 56
_AFTER: Final = 48
_MOST_NUMBERS: Final = 40
_SHORT: Final = 80

_REASON: Final = (
    r"(?:bad gateway|internal\b|internal[ _-]?server|server error|service (?:temporarily )?un"
    r"|gateway time|time-?out|too many|unauthori[sz]ed|forbidden|not found|bad request"
    r"|payment required|payload too|request entity|content too|unprocessable|overloaded"
    r"|web server|a timeout|origin|ssl handshake|rate.?limit|resource.?exhausted|unavailable"
    r"|invalid_argument|permission.denied|unauthenticated|conflict|no body|status code)"
)
_REASON_AFTER: Final = re.compile(r"\W{1,4}" + _REASON)
_REASON_BEFORE: Final = re.compile(_REASON + r"[a-z ]{0,12}\s?[(\[]$")
_KEY_BEFORE: Final = re.compile(
    r"(?:^|[^a-z])(?:http(?:/\d(?:\.\d)?)?|(?:http[ _-]?)?(?:error[ _-]?|response[ _-]?)?status"
    r"(?: ?text)?|(?:(?:http|error|response|status)[ _-]?)*code|httpstatus(?:code)?"
    r"|statuscode|(?:http|api|server|client|upstream|provider|request)? ?(?:error|exception)"
    r"|return(?:ed|s|ing)?|respon[ds]\w*(?: with)?|receiv(?:ed|ing)|got|failed(?: with)?)"
    r"(?:\\*[\"'])?\s{0,2}(?:[:=(\[]|is|was|of)?\s{0,2}(?:an? )?(?:http )?(?:status )?(?:code )?"
    r"(?:error )?(?:\\*[\"'])?$"
)
_NOT_BEFORE: Final = re.compile(
    r"(?:\bexit(?:ed)?(?: with)?(?: status| code)?|\b(?:lines?|ports?|pages?|pid|rows?|col(?:umn)?"
    r"|issues?|pr|ticket|bug|step|items?|ids?|(?<!status )(?<!code )of|in|total|count"
    r"|took|size|offset|position|version"
    r"|build|job|user|limit|after|processed|added|removed|changed|found|only|about|than|by))"
    r"[\s:=(#\"']{0,3}$"
)
_UNIT_AFTER: Final = re.compile(
    r"\s{0,2}(?:(?:changed|new|unit|more|other|of|small|open|failed|failing|passing) )?"
    r"(?:ms|msec|millis\w*|s|secs?|seconds?|min|mins|minutes?|hours?|days?|bytes?|[kmg]i?b|px"
    r"|pixels"
    r"|pages?|files?|items?|lines?|rows?|records?|tests?|users?|tokens?|words?|points?|times|errors"
    r"|warnings|insertions?|deletions?|packages?|modules?|entries|results?|commits?|objects?"
    r"|passed|failed|skipped|dollars|usd|eur|people|customers?|invoices?|orders?|lbs|kg|km|miles"
    r"|requests? (?:processed|completed|served|made|per|in|sent|succeeded|failed))\b"
)
_START_BEFORE: Final = re.compile(
    r"\W{0,4}(?:[\w .'()\[\]/-]{0,40}?(?:error|failed|failure|exception)\W{1,4})?"
)
_START_AFTER: Final = re.compile(r"\s*$|\s*[:,.;>)\]}{<(\"'\[|\u2013\u2014-]|\s+[a-z]")

_CODE_TOKEN: Final = re.compile(
    r"(?<![\w./$@-])(?:[a-z_]+\.){0,6}"
    r"([A-Za-z][A-Za-z0-9]*(?:_[A-Za-z0-9]+)+|[A-Z]{0,6}[A-Za-z][a-z]+[A-Z][A-Za-z]*)"
    r"(?![\w/-]|\.\w|\((?![\"']))"
)
_CODE_VALUE: Final = re.compile(
    r"\b(?:error_?)?(?:code|type|status|reason|error|name)\\*[\"']?\s{0,2}[:=]\s{0,2}\\*[\"']?"
    r"(?!code\b|statuscode\.)"
    r"([a-z][\w.#:-]{2,80})|statuscode\.(\w{2,40})|\A\W{0,3}\d{1,3} ([a-z_]{5,20}): ",
    re.IGNORECASE,
)
_NOT_CODES: Final = frozenset(
    {"PermissionError", "FileNotFoundError", "APIError", "HTTPError", "JSONDecodeError"}
)
_SUFFIXES: Final = ("exception", "error")
_SHORTEST_STEM: Final = 3
_NOT_ALNUM: Final = re.compile(r"[^a-z0-9]+")


def known(status: int) -> int | None:
    """Return ``status`` when it is an HTTP status that tells of a failure, else None."""
    return status if status in KNOWN_STATUSES else None


def status_in(text: str) -> int | None:
    """Return the first HTTP status of a failure in ``text`` (lower case), or None."""
    for seen, match in enumerate(_NUMBER.finditer(text)):
        if seen >= _MOST_NUMBERS:
            break
        status = int(match.group())
        if status in KNOWN_STATUSES and _is_status(text, match.start(), match.end()):
            return status
    return None


def _is_status(text: str, start: int, end: int) -> bool:
    """Tell whether the number at ``text[start:end]`` is used as a status."""
    before = text[max(0, start - _BEFORE) : start]
    after = text[end : end + _AFTER]
    if _REASON_AFTER.match(after) or _REASON_BEFORE.search(before):
        return True
    if _UNIT_AFTER.match(after) or _NOT_BEFORE.search(before):
        return False
    if _KEY_BEFORE.search(before):
        return True
    if start < _BEFORE and _START_BEFORE.fullmatch(before):
        return _START_AFTER.match(after) is not None
    # A short message that ends in the number ("upstream gave 503").
    return len(text) <= _SHORT and before[-1:].isspace() and not after.strip(" .!\n")


def code(name: str) -> str:
    """Return a provider's code in the one form that rules compare.

    ``rate_limit_error``, ``RateLimitError`` and ``RateLimitException`` are all ``ratelimit``.
    """
    plain = _NOT_ALNUM.sub("", name.lower())
    for suffix in _SUFFIXES:
        if plain.endswith(suffix) and len(plain) - len(suffix) >= _SHORTEST_STEM:
            return plain[: -len(suffix)]
    return plain


def codes_in(text: str) -> frozenset[str]:
    """Return the codes named in ``text`` (in its own case), in the form of :func:`code`."""
    found = {code(token) for token in _CODE_TOKEN.findall(text) if token not in _NOT_CODES}
    for groups in _CODE_VALUE.findall(text):
        # "com.amazon.coral#ThrottlingException:http://…" names its shape between # and :.
        found.add(code("".join(groups).rpartition("#")[2].partition(":")[0]))
    return frozenset(found)
