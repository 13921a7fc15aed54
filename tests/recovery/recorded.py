"""Exceptions of real client libraries, recorded as data and built again without the libraries.

Each was raised by the library itself against a server on loopback that failed in one way. What the
evidence of a failure reads of an exception was written down: its classes, text, attributes,
response and links. ``rebuilt`` is an exception of the same shape.
"""

from __future__ import annotations

import builtins
import json
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

PATH: Final = Path(__file__).parent / "exceptions.jsonl"


def recorded() -> list[dict[str, Any]]:
    """Return the records: client, case, what is expected, and the error."""
    return [json.loads(line) for line in PATH.read_text("utf-8").splitlines()]


def rebuilt(record: Mapping[str, Any]) -> BaseException:
    """Return an exception of the recorded shape."""
    links = {name: rebuilt(link) for name, link in record.get("links", {}).items()}
    arguments = [rebuilt(each) for each in record.get("args", ())]
    if record["classes"][0][0] == "builtins":
        own = getattr(builtins, record["classes"][0][1])(*(arguments or (record["text"],)))
        for name, value in (record["attributes"] | links).items():
            setattr(own, name, value)
        return own
    return _class(record, links)(*arguments)


def _class(record: Mapping[str, Any], links: dict[str, BaseException]) -> type[BaseException]:
    """Return a class with the names of the recorded ones, on Python's own where there is one."""
    cls: type[BaseException] = Exception
    for module, name in reversed(record["classes"][1:]):
        own = getattr(builtins, name, None) if module == "builtins" else None
        if isinstance(own, type) and issubclass(own, cls):
            cls = own
        elif own is None:
            cls = type(name, (cls,), {"__module__": module})
    members: dict[str, Any] = {"__str__": lambda _: record["text"], **links}
    members |= {name: _value(value) for name, value in record["attributes"].items()}
    if "response" in record:
        members["response"] = _response(record["response"])
    module, name = record["classes"][0]
    return type(name, (cls,), {"__module__": module, **members})


def _value(value: Any) -> Any:
    """Return a recorded value: bytes, a member of an enumeration and a method are marked."""
    if isinstance(value, dict):
        if "$enum" in value:
            return SimpleNamespace(name=value["$enum"])
        if "$bytes" in value:
            return value["$bytes"].encode("latin-1")
        if "$call" in value:
            answer = _value(value["$call"])
            return lambda _self: answer
        return {name: _value(each) for name, each in value.items()}
    return [_value(each) for each in value] if isinstance(value, list) else value


def _response(value: dict[str, Any]) -> Any:
    if "$mapping" in value:
        return _value(value["$mapping"])
    return SimpleNamespace(**{name: _value(each) for name, each in value.items()})
