"""What carries a message: a terminal's decoration, a log, a stack, a page of HTML, escapes."""

from __future__ import annotations

import re
from typing import Final

_GLYPHS: Final = (
    r"[\s\u00d7\u00b7\u2022\u203a\u2190-\u21ff\u2219\u2300-\u27bf\u2b00-\u2bff\u2502\ufe0f"
    r"\U0001f300-\U0001faff]"
)
_DECORATION: Final = re.compile(rf"^{_GLYPHS}{{1,200}}|{_GLYPHS}{{1,200}}$")
_LOG_START: Final = re.compile(
    r"[\[(]?\d{4}[-/]\d\d[-/]\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?:Z|[ ]?[+-]\d\d:?\d\d)?[\])]?"
    r"|[\[(]?(?:\d\d-\d\d )?\d\d:\d\d:\d\d(?:[.,]\d{1,9})?[\])]?(?=[\s|:-])"
    r"|(?:ERROR|CRITICAL|FATAL|SEVERE):[\w.-]{1,100}:"
    r"|[\[(<]?(?:ERROR|CRITICAL|FATAL|SEVERE)[\])>]?(?=[\s|-])(?! in )|[\w-]{1,60}\.py:\d{1,6}\] "
)
_LOG_MORE: Final = re.compile(
    r"[\s|:-]{1,20}|\[[\w./:-]{1,80}\](?=[\s:-])|stderr(?= \|)"
    r"|[\w.]{3,80}(?::[\w<>]{1,60})?(?::\d{1,6})?(?= - | \| )|\w{1,40}(?:::\w{1,40}){1,6}(?=: )"
)
_ENDED: Final = re.compile(r"\s{0,8}[^\s:]{1,200} (?:exited with status|was ended by) \S{1,20}:\s")
_FRAME: Final = re.compile(
    r"^\s{1,12}at (?:async )?\S.{0,400}$|^\s{0,12}File \".{1,400}\", line \d+.{0,200}$"
    r"|^\s{0,40}[~^]{1,200}\s{0,8}$|^Node\.js v\d.{0,40}$|^\s{0,8}\.\.\. \d+ more$"
    r"|^\s{0,12}(?:at )?\S{1,200}\.rs:\d+(?::\d+)?\s{0,8}$|^\s{0,8}(?:Location|Backtrace):\s{0,8}$"
)
_TRACEBACK: Final = re.compile(r"Traceback \(most recent call last\)|^ {0,12}File \"", re.MULTILINE)
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
    lines = [_bare(line) for line in text.splitlines() if _FRAME.match(line) is None]
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


def undecorated(text: str) -> str:
    """Return ``text``, frames and all, without glyphs and without the prefixes of a log."""
    return "\n".join(map(_bare, text.splitlines()))


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
    plain = _UNICODE.sub(lambda match: chr(int(match[1], 16)), text)
    return _ESCAPED.sub("", _SPACE.sub(" ", plain)).strip()
