"""What is known of one failure: its text, HTTP status, provider codes and headers.

Exceptions are read by shape, never by import: the attributes that the common Python clients use
(``status_code``, ``code``, ``response``, ``body``, ``errno`` …) and the names of their classes.
Reading an attribute of a foreign object may run code that raises; whatever it raises is ignored.
"""

from __future__ import annotations

import errno
import math
import re
from collections.abc import Iterator, Mapping
from typing import Final

import msgspec

from recovery.failures.kinds import OVERFLOW_SIGNATURE, Kind, sign
from recovery.failures.texts import code, codes_in, folded, known, status_in, without_ending
from recovery.failures.waits import plain_headers

MAX_TEXT: Final = 8_192
"""Characters of a text that are looked at: the first 6 Ki and the last 2 Ki of a longer one."""
_HEAD: Final = 6_144
_TAIL: Final = MAX_TEXT - _HEAD - 1
_MAX_LINKS: Final = 8
_MAX_CODE: Final = 100
_FEW_LINES: Final = 8
_FEW_CHARACTERS: Final = 1_000
CANCELLED: Final = "cancelledtask"
"""The code of what somebody stopped on purpose: a cancelled task, an interrupt, an exit."""
_CANCELLED: Final = re.compile(
    r"\W{0,8}(?:[\w.]{1,80}\.)?(?:cancellederror|keyboardinterrupt)\b"
    r"|.{0,40}cancelled by cancel scope"
)

# What a message names rather than says: addresses, options, settings, quoted names.
_ASIDES: Final = re.compile(
    r"https?://\S{1,2000}|(?<!\S)--?[a-z][\w-]{1,60}|\b(?!status|code|stop_|finish_|block_"
    r"|reason)[a-z_]{2,40}=\S{1,80}"
    r"|(?<![\w'])'[\w.-]{1,40}'|`[\w.-]{1,40}`"
)
_ANSI: Final = re.compile(r"\x1b\[[0-9;?]{0,16}[A-Za-z]")
_LEADING_STATUS: Final = re.compile(r"\s*(\d{3})(?!\w)", re.ASCII)
_STATUS_NAMES: Final = (
    "status_code",
    "http_status",
    "http_status_code",
    "status",
    "code",
    "grpc_status_code",
)
_CODE_NAMES: Final = ("code", "type", "error_code", "error_type", "status", "grpc_status_code")
_BODY_NAMES: Final = ("message", "body", "details", "error", "reason", "server_message")
_CAUSE_NAMES: Final = ("__cause__", "original_exception", "os_error", "reason", "inner_exception")
# Bases that say nothing, and names that mean one thing in Python and another at a provider.
_SILENT_CLASSES: Final = frozenset(
    {"APIError", "HTTPError", "Error", "Exception", "BaseException", "PermissionError", "Warning"}
)
_SLIPS: Final = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    NameError,
    TypeError,
    ValueError,
)
_PLAIN_CLASSES: Final = (BaseException, Exception, RuntimeError, ExceptionGroup)
_SPEAKING_BUILTINS: Final = (ConnectionError, TimeoutError)


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """What one error, or one link of a chain of exceptions, shows."""

    text: str = ""
    given_status: int | None = None
    given_codes: frozenset[str] = frozenset()
    headers: Mapping[str, str] = {}
    answered: bool = False
    """An exception that has a server's answer: its text is no tool's output."""
    plain: bool = False
    """An exception of a class that says nothing, with a text of anybody's."""
    slip: bool = False
    """An exception of the classes by which Python tells of slips of the program itself."""


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """Evidence as the rules see it: the text in lower case, what was given and what was found."""

    message: str
    """The head of the text as it was written."""
    text: str
    head: str
    status: int | None
    codes: frozenset[str]


def read(evidence: Evidence, message: str) -> Reading:
    """Return the reading of ``evidence`` with ``message`` as its text; what was given comes first.

    ``message`` is what :func:`unwrapped` leaves of the evidence's text, or less.
    """
    text = folded(message)
    lower = text.lower()
    head_of = _head(message)
    head = folded(head_of).lower()
    codes = evidence.given_codes | codes_in(text)
    return Reading(
        message=head_of,
        text=lower,
        head=head if "{" in head else _ASIDES.sub(" ", head),
        status=evidence.given_status or status_in(head),
        codes=codes if _CANCELLED.match(lower) is None else codes | {CANCELLED},
    )


def _head(text: str) -> str:
    """Return the part of ``text`` in which common words count: all of a short or structured one."""
    lines = text.strip().splitlines()
    if not lines:
        return ""
    first = lines[0]
    few = len(lines) <= _FEW_LINES and len(text) <= _FEW_CHARACTERS
    if few or "{" in first or first.startswith(("<", "[")):
        return text
    return first[:_FEW_CHARACTERS]


def bounded(text: str) -> str:
    """Return ``text``, or the first and the last part of a long one."""
    if len(text) <= MAX_TEXT:
        return text
    return f"{text[:_HEAD]}\n{text[-_TAIL:]}"


def gather(
    error: object, *, status: object = None, code_given: object = None, headers: object = None
) -> tuple[Evidence, ...]:
    """Return the evidence of ``error``: one piece for a text, one a link for an exception.

    What the caller gives in the keywords belongs to the first piece and comes before what the
    error itself says.
    """
    links = [_of_exception(link) for link in _chain(error)] if _is_exception(error) else []
    first = (
        links[0]
        if links
        else Evidence(text=bounded(without_ending(_ANSI.sub("", plain_text(error)))))
    )
    given_status, status_code = _status(status)
    merged = {**first.headers, **_headers(headers)}
    names = (status_code, _code(code_given), *_codes_of_headers(merged))
    first = msgspec.structs.replace(
        first,
        given_status=given_status or _status(code_given)[0] or first.given_status,
        given_codes=first.given_codes | {code(name) for name in names if name},
        headers=merged,
    )
    return (first, *links[1:])


def _codes_of_headers(headers: Mapping[str, str]) -> Iterator[str]:
    """Yield the codes that some providers put into headers alone."""
    yield headers.get("x-amzn-errortype", "").partition(":")[0]
    if headers.get("anthropic-ratelimit-unified-status") == "rejected":
        yield "usage_limit_reached"


def plain_text(error: object) -> str:
    """Return an error's text: a string as it is, bytes decoded, anything else as it prints."""
    if isinstance(error, str):
        return str.__str__(error)
    if isinstance(error, bytes | bytearray):
        return error.decode("utf-8", "replace")
    if error is None:
        return ""
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - a foreign __str__ raises what it likes
        return type(error).__name__


def _is_exception(error: object) -> bool:
    return isinstance(error, BaseException)


def _chain(error: object) -> Iterator[object]:
    """Yield an exception and what caused it, each once, the outermost first."""
    seen: set[int] = set()
    waiting = [error]
    while waiting and len(seen) < _MAX_LINKS:
        link = waiting.pop(0)
        # A timeout is raised from the cancellation by which it took effect.
        if id(link) in seen or (seen and _is_cancelled(link)):
            continue
        seen.add(id(link))
        yield link
        causes = [_get(link, name) for name in _CAUSE_NAMES]
        for several in (_get(link, "args"), _get(link, "exceptions")):
            if isinstance(several, tuple | list):
                causes.extend(several[:_MAX_LINKS])
        waiting.extend(cause for cause in causes if _is_exception(cause))


def _is_cancelled(error: object) -> bool:
    """Tell whether an exception stands for a stop on purpose and not for a failure."""
    return not isinstance(error, Exception) or type(error).__name__ == "CancelledError"


def _get(holder: object, name: str) -> object:
    """Return an attribute, or None where it is missing or cannot be read."""
    try:
        return getattr(holder, name, None)
    except Exception:  # noqa: BLE001 - a foreign property raises what it likes
        return None


def _of_exception(error: object) -> Evidence:
    """Return the evidence of one exception."""
    response = _get(error, "response")
    status = _first_status(error) or _first_status(response)
    names = [_code(_get(error, name)) for name in _CODE_NAMES]
    names.extend(_class_names(error))
    texts = [_told(error), *(_body(_get(error, name)) for name in _BODY_NAMES)]
    headers = _headers(_get(error, "headers")) | _headers(_get(response, "headers"))
    if isinstance(response, Mapping):
        status, aws_name, aws_headers = _of_aws(response, status)
        names.append(aws_name)
        headers |= aws_headers
    else:
        texts.append(_content(response))
    grpc_name, grpc_details = _of_grpc(error)
    names.append(grpc_name)
    texts.append(grpc_details)
    if isinstance(error, OSError) and isinstance(error.errno, int):
        names.append(errno.errorcode.get(error.errno, ""))
    if _is_cancelled(error):
        names.append(CANCELLED)
    return Evidence(
        text=bounded(_ANSI.sub("", _joined(texts))),
        given_status=status,
        given_codes=frozenset(code(name) for name in names if name),
        headers=headers,
        answered=status is not None or bool(grpc_name),
        plain=type(error) in _PLAIN_CLASSES,
        slip=type(error).__module__ == "builtins" and isinstance(error, _SLIPS),
    )


def signature(error: object, kind: Kind, first: Evidence) -> str:
    """Return what is the same for the same trouble; ``first`` is the evidence of ``error``."""
    if kind == "overflow":
        return OVERFLOW_SIGNATURE
    text = _text(error)[:MAX_TEXT]
    signed = sign(without_ending(text) or text)
    if signed:
        return signed
    # An error without a word still differs from another: by its class, code or status.
    if isinstance(error, BaseException):
        return sign(type(error).__name__)
    return sign(str(first.given_status or min(first.given_codes, default="")))


def _text(error: object) -> str:
    try:
        return plain_text(error)
    except Exception:  # noqa: BLE001 - not even its class can be asked for
        return type(error).__name__


def _told(error: object) -> str:
    """Return an exception's text, after the class where Python's own class says what it is."""
    cls = type(error)
    if cls.__module__ != "builtins" or cls in _PLAIN_CLASSES:
        return plain_text(error)
    return f"{cls.__name__}: {plain_text(error)}"


def _first_status(holder: object) -> int | None:
    """Return the first attribute that holds an HTTP status of a failure."""
    return next(filter(None, (_status(_get(holder, name))[0] for name in _STATUS_NAMES)), None)


def _of_aws(
    response: Mapping[object, object], status: int | None
) -> tuple[int | None, str, dict[str, str]]:
    """Return status, error code and headers of a botocore response, as far as they are there."""
    inner = response.get("Error")
    meta = response.get("ResponseMetadata")
    name = _code(inner.get("Code")) if isinstance(inner, Mapping) else ""
    if not isinstance(meta, Mapping):
        return status, name, {}
    return (
        status or _status(meta.get("HTTPStatusCode"))[0],
        name,
        _headers(meta.get("HTTPHeaders")),
    )


def _class_names(error: object) -> Iterator[str]:
    """Yield the names of an exception's classes that may say what kind of failure it is."""
    for cls in type(error).__mro__:
        if cls.__name__ in _SILENT_CLASSES:
            continue
        if cls.__module__ != "builtins" or issubclass(cls, _SPEAKING_BUILTINS):
            yield cls.__name__


def _status(value: object) -> tuple[int | None, str]:
    """Return what a value says: an HTTP status of a failure, else the name of a code."""
    if isinstance(value, int | float):
        return (known(int(value)) if math.isfinite(value) and value == int(value) else None), ""
    if isinstance(value, str):
        number = _LEADING_STATUS.match(value)
        return (known(int(number[1])), "") if number else (None, value[:_MAX_CODE])
    return None, _code(value)


def _code(value: object) -> str:
    """Return the name that a code goes by: a string, or the name of an enumeration's member."""
    if isinstance(value, str):
        return value[:_MAX_CODE]
    name = _get(value, "name")
    return name if isinstance(name, str) else ""


def _of_grpc(error: object) -> tuple[str, str]:
    """Return the code and the details of a gRPC error, which answers them as methods."""
    ask, explain = _get(error, "code"), _get(error, "details")
    if not (callable(ask) and callable(explain)):
        return "", ""
    try:
        return _code(ask()), _body(explain())
    except Exception:  # noqa: BLE001 - a foreign method raises what it likes
        return "", ""


def _content(response: object) -> str:
    """Return the body of a response that was already read; never read from the network."""
    held = _get(response, "_content")
    return _body(_get(response, "text") if held is None else held)


def _body(value: object) -> str:
    """Return a body or a message as text; what is neither text nor plain data is left out."""
    return plain_text(value) if isinstance(value, str | bytes | Mapping | list) else ""


def _joined(texts: list[str]) -> str:
    """Return the texts, one below the other, each only where no earlier one contains it."""
    joined = texts[0]
    for text in texts[1:]:
        if text and text not in joined:
            joined = f"{joined}\n{text}" if joined else text
    return joined


def _headers(headers: object) -> dict[str, str]:
    try:
        return plain_headers(headers) if headers is not None else {}
    except Exception:  # noqa: BLE001 - a foreign mapping raises what it likes
        return {}
