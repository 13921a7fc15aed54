"""Exceptions with the shape of those of clients that are not installed."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any


def make(name: str, *bases: type[BaseException], module: str = "sdk", **attributes: Any) -> Any:
    """Return an instance of a new exception class, with attributes, as clients build theirs."""
    message = attributes.pop("text", "")
    cls = type(name, bases or (Exception,), {"__module__": module})
    error = cls(message)
    for key, value in attributes.items():
        setattr(error, key, value)
    return error


def raised(error: BaseException, cause: BaseException) -> BaseException:
    """Return ``error`` as it is after ``raise error from cause``."""
    try:
        raise error from cause  # noqa: TRY301 - the point is to raise it
    except BaseException as caught:  # noqa: BLE001 - the point is to catch what was raised
        return caught


class OpenAIError(Exception):
    """The base that an SDK's errors share."""


def openai_error(name: str, status: int, body: dict[str, Any], **headers: str) -> Any:
    """Return an error as the openai and anthropic clients build it."""
    return make(
        name,
        OpenAIError,
        module="openai",
        text=f"Error code: {status} - {{'error': {body!r}}}",
        status_code=status,
        code=body.get("code"),
        type=body.get("type"),
        body=body,
        response=SimpleNamespace(status_code=status, headers=headers, text="{}"),
    )
