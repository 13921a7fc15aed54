"""The envelope and the parameters of Codex's app-server, and its words for what is wrong with them.

A message is one JSON object without a ``jsonrpc`` member. Everything here is pure.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple

from goalfsm.errors import GoalError, StoreError

INVALID: Final = -32600
"""The code of every refusal."""
BROKEN: Final = -32603
"""The code where nobody asked wrongly: the store, or this program, failed."""
METHODS: Final = (
    "initialize",
    "thread/start",
    "thread/resume",
    "thread/goal/set",
    "thread/goal/get",
    "thread/goal/clear",
    "turn/start",
    "turn/steer",
    "turn/interrupt",
)
"""What may be asked."""
ORIGINS: Final = ("user", "automatic")
Status = Literal["active", "paused", "blocked", "usageLimited", "budgetLimited", "complete"]
STATUSES: Final[tuple[Status, ...]] = (
    "active",
    "paused",
    "blocked",
    "usageLimited",
    "budgetLimited",
    "complete",
)
SHAPES: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = {
    "thread/goal/set": (
        "ThreadGoalSetParams",
        ("threadId", "origin", "objective", "status", "tokenBudget"),
    ),
    "thread/goal/get": ("ThreadGoalGetParams", ("threadId",)),
    "thread/goal/clear": ("ThreadGoalClearParams", ("threadId", "origin")),
}
"""What the parameters of a method are called, and their names in the order of an array."""

_HEX: Final = frozenset("0123456789abcdefABCDEF")
_GROUPS: Final = (8, 4, 4, 4, 12)
_SIMPLE: Final = 32
_URN: Final = "urn:uuid:"
_I64: Final = 2**63

Id = str | int


class RequestRejected(GoalError):
    """A client has asked wrongly, or for what cannot be."""

    code = "request_rejected"


class ServerFailed(GoalError):
    """Nobody has asked wrongly: what should answer does not."""

    code = "server_failed"


class Asked(NamedTuple):
    """A request of a client, which waits for the answer."""

    id: Id
    method: str
    params: Any


class Request(NamedTuple):
    """A request of a client, or with ``id`` None a notification of its."""

    id: Id | None
    method: str
    params: Any


def parse(line: str | bytes) -> Request | None:
    """Return what a client asks; None for what gets no answer: malformed, or an answer itself."""
    try:
        message = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(message, dict) or not isinstance(message.get("method"), str):
        return None
    asked = message.get("id")
    if asked is not None and (isinstance(asked, bool) or not isinstance(asked, str | int)):
        return None
    return Request(asked, message["method"], message.get("params"))


def encode(message: Mapping[str, Any]) -> str:
    """Return a message as it is sent, on one line."""
    return json.dumps(message, ensure_ascii=False, separators=(",", ":"))


def response(request_id: Id, result: Mapping[str, Any]) -> dict[str, Any]:
    """Return the answer to a request."""
    return {"id": request_id, "result": result}


def error(request_id: Id, message: str, code: int = INVALID) -> dict[str, Any]:
    """Return the refusal of a request."""
    return {"error": {"code": code, "message": message}, "id": request_id}


def error_of(request_id: Id, failed: GoalError) -> dict[str, Any]:
    """Return the refusal that an error means for whoever asked."""
    text = f"{failed.message}. Hint: {failed.hint}" if failed.hint else failed.message
    broken = isinstance(failed, StoreError | ServerFailed)
    return error(request_id, text, BROKEN if broken else INVALID)


def notification(method: str, params: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is said without having been asked."""
    return {"method": method, "params": params}


def check_method(method: str) -> None:
    """Raise `RequestRejected` for a method that there is not."""
    if method not in METHODS:
        raise _invalid(_unknown(method, METHODS))


class Params:
    """The parameters of one request; each read raises `RequestRejected` where they are wrong."""

    def __init__(self, params: Any, method: str = "") -> None:
        """Take what came as ``params`` of a method; of one in `SHAPES`, read all that is known.

        What comes first is wrong first, as for Codex's parser.
        """
        if params is None:
            raise _invalid("missing field `params`")
        name, names = SHAPES.get(method, ("", ()))
        self._fields: dict[str, Any] = {}
        if isinstance(params, dict):
            self._fields = params
            self._read(names)
        elif isinstance(params, list) and names:
            self._fields = dict(zip(names, params, strict=False))
            self._read(names)
            if (given := len(params)) != (needed := len(names)):
                elements = "element" if needed == 1 else "elements"
                of = f"{needed} {elements} in sequence"
                short = f"struct {name} with {needed} {elements}"
                raise _invalid(
                    f"invalid length {given}, expected {short if given < needed else of}"
                )
        else:
            expected = f"struct {name}" if name else "a map"
            raise _invalid(f"invalid type: {_found(params)}, expected {expected}")

    def _read(self, names: Sequence[str]) -> None:
        for name in [*self._fields]:
            match name if name in names else "":
                case "threadId":
                    self.required(name)
                case "objective":
                    self.text(name)
                case "tokenBudget":
                    self.integer(name)
                case "origin":
                    self.choice(name, ORIGINS)
                case "status":
                    self.choice(name, STATUSES)

    def __contains__(self, name: str) -> bool:
        """Tell whether the parameter was given, if only as null."""
        return name in self._fields

    def required(self, name: str) -> str:
        """Return a text that has to be given."""
        if name not in self._fields:
            raise _invalid(f"missing field `{name}`")
        return self._text(self._fields[name])

    def text(self, name: str) -> str | None:
        """Return a text, None where it is null or not given."""
        value = self._fields.get(name)
        return None if value is None else self._text(value)

    def flag(self, name: str) -> bool:
        """Return a truth value, False where it is null or not given."""
        value = self._fields.get(name)
        if value is not None and not isinstance(value, bool):
            raise _invalid(f"invalid type: {_found(value)}, expected a boolean")
        return bool(value)

    def integer(self, name: str) -> int | None:
        """Return an integer of 64 bits, None where it is null or not given."""
        value = self._fields.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int):
            raise _invalid(f"invalid type: {_found(value)}, expected i64")
        if not -_I64 <= value < _I64:
            raise _invalid(f"invalid value: {_found(value)}, expected i64")
        return value

    def choice(self, name: str, choices: Sequence[str]) -> str | None:
        """Return one of ``choices``, None where it is null or not given."""
        value = self._fields.get(name)
        if value is None:
            return None
        held = None
        if isinstance(value, dict):
            if len(value) != 1:
                raise _invalid("invalid value: map, expected map with a single key")
            ((value, held),) = value.items()
        if not isinstance(value, str):
            raise _invalid(f"invalid type: {_found(value)}, expected string or map")
        if value not in choices:
            raise _invalid(_unknown(value, choices))
        if held is not None:
            raise _invalid(f"invalid type: {_found(held)}, expected unit")
        return value

    def words(self, name: str) -> str:
        """Return the text of what a person wrote: the text items of an input, a line each."""
        if name not in self._fields:
            raise _invalid(f"missing field `{name}`")
        items = self._fields[name]
        if not isinstance(items, list):
            raise _invalid(f"invalid type: {_found(items)}, expected a sequence")
        texts: list[str] = []
        for item in items:
            if not isinstance(item, dict) or item.get("type") != "text":
                raise RequestRejected("only text can be handed to a goal's turn")
            texts.append(Params(item).required("text"))
        return "\n".join(texts).strip()

    def muted(self) -> frozenset[str]:
        """Return the notifications that a client which introduces itself does not want."""
        can = self._fields.get("capabilities")
        muted = can.get("optOutNotificationMethods") if isinstance(can, dict) else None
        named = muted if isinstance(muted, list) else ()
        return frozenset(one for one in named if isinstance(one, str))

    @staticmethod
    def _text(value: Any) -> str:
        if not isinstance(value, str):
            raise _invalid(f"invalid type: {_found(value)}, expected a string")
        return value


def canonical_id(text: str) -> str:
    """Return a UUID as threads are named by it.

    Raises `RequestRejected` for what is none, in the words of Codex's parser.
    """
    start, end = 0, len(text)
    if text.startswith("{") and text.endswith("}"):
        start, end = 1, end - 1
    elif text.startswith(_URN):
        start = len(_URN)
    if (fault := _uuid_fault(text[start:end], start)) is not None:
        raise RequestRejected(f"invalid thread id: {fault}")
    digits = text[start:end].replace("-", "").lower()
    bounds = itertools.accumulate(_GROUPS, initial=0)
    return "-".join(digits[begin:end] for begin, end in itertools.pairwise(bounds))


def _uuid_fault(text: str, start: int) -> str | None:
    """Return what is wrong with a UUID that began ``start`` characters before."""
    for at, found in enumerate(text, start + 1):
        if found != "-" and found not in _HEX:
            return (
                "invalid character: expected an optional prefix of `urn:uuid:` followed by "
                f"[0-9a-fA-F-], found `{found}` at {at}"
            )
    groups = text.split("-")
    if len(groups) == 1 and not start:
        if len(text) == _SIMPLE:
            return None
        return f"invalid length: expected length {_SIMPLE} for simple format, found {len(text)}"
    if len(groups) != len(_GROUPS):
        return f"invalid group count: expected {len(_GROUPS)}, found {len(groups)}"
    for number, (group, length) in enumerate(zip(groups, _GROUPS, strict=True)):
        if len(group) != length:
            return f"invalid group length in group {number}: expected {length}, found {len(group)}"
    return None


def _invalid(what: str) -> RequestRejected:
    return RequestRejected(f"Invalid request: {what}")


def _unknown(value: str, known: Sequence[str]) -> str:
    quoted = [f"`{one}`" for one in known]
    pair = 2
    listed = " or ".join(quoted) if len(quoted) == pair else f"one of {', '.join(quoted)}"
    return f"unknown variant `{value}`, expected {listed}"


def _found(value: Any) -> str:
    """Return how Codex's parser calls a value that it did not expect."""
    match value:
        case None:
            found = "null"
        case bool():
            found = f"boolean `{str(value).lower()}`"
        case int():
            found = f"integer `{value}`"
        case float():
            found = f"floating point `{value!r}`"
        case str():
            found = f"string {json.dumps(value, ensure_ascii=False)}"
        case list():
            found = "sequence"
        case _:
            found = "map"
    return found
