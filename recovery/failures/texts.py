"""A text as it came: what carries a message, and the statuses and codes that stand in it.

A terminal's decoration, a log, a stack, a page of HTML or escapes carry a message and are taken
off. In what is left, a status is a whole number that its surroundings make a status: a word such as
``status`` before it, its reason phrase after it, the start of the message. ``5000 items``,
``line 502``, ``502 files changed`` and ``:502`` are numbers like any other.
"""

from __future__ import annotations

import re
from typing import Final

_GLYPHS: Final = (
    r"[\s\u00d7\u00b7\u2022\u203a\u2139\u2190-\u21ff\u2219\u2300-\u27bf\u2b00-\u2bff\u2502\ufe0f"
    r"\U0001f300-\U0001faff]"
)
_DECORATION: Final = re.compile(rf"^{_GLYPHS}{{1,200}}|{_GLYPHS}{{1,200}}$")
_LOG_START: Final = re.compile(
    r"[\[(]?\d{4}[-/]\d\d[-/]\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?:Z|[ ]?[+-]\d\d:?\d\d)?[\])]?"
    r"|[\[(]?(?:\d\d-\d\d )?\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?:Z|[+-]\d\d:?\d\d)?[\])]?(?=[\s|:-])"
    r"|(?:ERROR|CRITICAL|FATAL|SEVERE):[\w.-]{1,100}:"
    r"|[\[(<]?(?:ERROR|CRITICAL|FATAL|SEVERE)[\])>]?(?=[\s\[|-])(?! in )|[\w-]{1,60}\.py:\d{1,6}\] "
    r"|[EFW]\d{4} \d\d:\d\d:\d\d\.\d{1,9} +\d{1,9} [\w./-]{1,80}:\d{1,6}\] "
    r"|[\w-]{1,60}-\d{1,3} +\| "
)
_LOG_MORE: Final = re.compile(
    r"[\s|:-]{1,20}|\[[\w./:-]{1,80}\](?=[\s:-])|stderr(?= \|)"
    r"|[\w.]{3,80}(?::[\w<>]{1,60})?(?::\d{1,6})?(?= - | \| )|\w{1,40}(?:::\w{1,40}){1,6}(?=: )"
)
_ENDED: Final = re.compile(
    r"\s{0,8}[^\s:]{1,200} (?:exited with status|was ended by) [^\s:]{1,20}(?::\s|\s{0,8}\Z)"
)
"""What our supervisor says of a process, before its own words or without any."""
_FRAME: Final = re.compile(
    r"^\s{0,12}at (?:async )?\S.{0,400}\)\s{0,4}\{?$|^\s{1,12}at (?:async )?\S.{0,400}$"
    r"|^\s{0,12}File \".{1,400}\", line \d+.{0,200}$"
    r"|^\s{0,40}[~^]{1,200}\s{0,8}$|^Node\.js v\d.{0,40}$|^\s{0,8}\.\.\. \d+ more$"
    r"|^\s{0,12}(?:at )?\S{1,200}\.rs:\d+(?::\d+)?\s{0,8}$|^\s{0,8}(?:Location|Backtrace):\s{0,8}$"
    r"|^thread '.{0,60}' .{0,20}panicked at \S{1,200}:\d+:?$"
    r"|^note: run with `RUST_BACKTRACE=.{0,80}$|^Run `rlang::last_trace\(\)`.{0,60}$"
)
_TRACEBACK: Final = re.compile(
    r"Traceback \(most recent call last\)|^ {0,12}File \"|^ {4,12}raise [\w.]{1,80}", re.MULTILINE
)
_RAISED: Final = re.compile(r"^((?:\w{1,60}\.){0,8}\w{1,60})(?::|$)", re.MULTILINE)
ERROR_NAMES: Final = (
    *("Error", "Exception", "Timeout", "ResourceExhausted", "ServiceUnavailable"),
    *("DeadlineExceeded", "InvalidArgument", "TooManyRequests", "PermissionDenied"),
    *("Unauthenticated", "Unauthorized", "Forbidden", "NotFound", "BadRequest", "Cancelled"),
)
_PAGE: Final = re.compile(r"<(?:!doctype html|html|head)\b", re.IGNORECASE)
_HIDDEN: Final = re.compile(
    r"<(style|script)\b.{0,8000}?(?:</\1>|\Z)|<!--.{0,8000}?(?:-->|\Z)|<[^>]{0,2000}(?:>|\Z)",
    re.IGNORECASE | re.DOTALL,
)
_SPACE: Final = re.compile(r"(?:\s|\\{1,7}[nrt](?![a-z]{2}))+")
_UNICODE: Final = re.compile(r"\\{1,7}u([0-9a-f]{4})", re.IGNORECASE)
_ESCAPED: Final = re.compile(r"\\{1,15}(?=[\"'])")


def without_ending(text: str) -> str:
    """Return ``text`` without the sentence that says how the process ended that said it."""
    ended = _ENDED.match(text)
    return text if ended is None else text[ended.end() :]


def unwrapped(text: str) -> str:
    """Return the message in ``text`` without what carries it, its lines kept.

    A terminal's glyphs, the prefix of a log line, the frames of a stack and the markup of a page
    of HTML say nothing.
    """
    lines = [_bare(line) for line in text.splitlines() if not _is_frame(line)]
    message = "\n".join(lines)
    if _TRACEBACK.search(text) is not None:
        # The frames quote source that names other errors: only what was raised last counts.
        raised = [m for m in _RAISED.finditer(message) if m.group(1).endswith(ERROR_NAMES)]
        if raised:
            last = message[raised[-1].start() :]
            # A class without a word says less than what stands above its traceback.
            above = message.partition("Traceback (")[0] if last == raised[-1][1] else ""
            message = f"{last}\n{above}".rstrip()
    page = _PAGE.search(message)
    if page is not None:
        message = message[: page.start()] + _HIDDEN.sub(" ", message[page.start() :])
    return message


def _is_frame(line: str) -> bool:
    """Tell whether ``line`` is of a stack, maybe within a box that is drawn around it."""
    return any(map(_FRAME.match, (line, line.strip("\u2502\u2503| "))))


def _bare(line: str) -> str:
    """Return ``line`` without decoration and, where it is a line of a log, without its prefix."""
    line = _DECORATION.sub("", line)
    piece = _LOG_START.match(line)
    while piece is not None:
        line = line[piece.end() :]
        piece = _LOG_START.match(line) or _LOG_MORE.match(line)
    return line


def folded(text: str) -> str:
    """Return ``text`` on one line, as it was before somebody wrapped, quoted or indented it."""
    plain = _UNICODE.sub(lambda match: chr(int(match[1], 16)), text).replace("\u2019", "'")
    return _ESCAPED.sub("", _SPACE.sub(" ", plain)).strip()


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
    r"|statuscode|[a-z]{0,24} ?(?:error|exception)"
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
    r"\W{0,4}(?:[\w .:'()\[\]/-]{0,40}?(?:error|failed|failure|exception)\W{1,4})?"
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
    r"([a-z][\w.#:-]{2,80})(?! (?:is|are|was|were|has|had)\b)"
    r"|statuscode\.(\w{2,40})|\A\W{0,3}\d{1,3} ([a-z_]{5,20}): ",
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


_ERRNO: Final = re.compile(r"\s{0,9}(E[A-Z]{4,20})\s{0,9}")


def codes_in(text: str) -> frozenset[str]:
    """Return the codes named in ``text`` (in its own case), in the form of :func:`code`."""
    found = {code(token) for token in _CODE_TOKEN.findall(text) if token not in _NOT_CODES}
    for groups in _CODE_VALUE.findall(text):
        # "com.amazon.coral#ThrottlingException:http://…" names its shape between # and :.
        found.add(code("".join(groups).rpartition("#")[2].partition(":")[0]))
    # The system's own name of an error is one only where nothing stands beside it.
    if alone := _ERRNO.fullmatch(text):
        found.add(code(alone[1]))
    return frozenset(found)
