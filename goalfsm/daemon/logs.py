"""Logs: structured events, for people on a terminal and as JSON for machines; no secrets."""

from __future__ import annotations

import contextlib
import io
import logging
import sys
import time
from collections.abc import MutableMapping
from typing import Any, Final, TextIO, cast

import structlog

from goalfsm.text import line, visible

_SECRET: Final = frozenset({"token", "run_token", "env", "environment", "password", "prompt"})
_LEVELS: Final = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}

_NO_DESCRIPTOR: Final = "socket.accept() out of system resource"
_RAISE: Final = "raise the limit on open files (ulimit -n)"
_SAY_AGAIN_S: Final = 60.0
_said_at: float | None = None


def configure(*, json: bool = False, level: str = "info") -> None:
    """Write the engine's log to stderr, as JSON lines or for people; ``level`` is the lowest.

    The library that machines are built with says every transition at INFO; it is quieted. So is
    the loop where it has no descriptor for who comes: a hundred tracebacks a second fill a disk.
    """
    logging.getLogger("transitions").setLevel(logging.WARNING)
    logging.getLogger("asyncio").addFilter(_shut_door)
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        hide_secrets,
    ]
    # Tracebacks without local variables: these hold tokens and environments.
    if json:
        transformer = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
        shared += [
            structlog.processors.ExceptionRenderer(transformer),
            structlog.processors.JSONRenderer(default=str),
        ]
    else:
        shared += [
            make_visible,
            structlog.dev.ConsoleRenderer(
                colors=sys.stderr.isatty(), exception_formatter=_visible_traceback
            ),
        ]
    structlog.configure(
        processors=shared,
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=structlog.PrintLoggerFactory(cast("TextIO", _Stderr())),
        cache_logger_on_first_use=False,
    )


def _shut_door(record: logging.LogRecord) -> bool:
    """Say in a line, once a minute, what the loop says of who cannot be let in."""
    global _said_at  # noqa: PLW0603  of the process, as the loop's own log is
    if not record.getMessage().startswith(_NO_DESCRIPTOR):
        return True
    now = time.monotonic()
    if _said_at is None or now - _said_at >= _SAY_AGAIN_S:
        _said_at = now
        why = str(record.exc_info[1]) if record.exc_info else ""
        structlog.get_logger(__name__).error("nobody can connect", error=why, hint=_RAISE)
    return False


class _Stderr(io.TextIOBase):
    """Looked up anew: whoever replaced stderr for a while may have closed it since.

    A line that cannot be written is lost. Whoever read the log has gone, or the disk is full; what
    the line tells of, such as a request to stop, is carried out all the same.
    """

    def write(self, text: str) -> int:
        """Write to the present stderr."""
        with contextlib.suppress(OSError):
            sys.stderr.write(text)
        return len(text)

    def flush(self) -> None:
        """Flush the present stderr."""
        with contextlib.suppress(OSError):
            sys.stderr.flush()


def make_visible(
    _logger: Any, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """Have no text of a model, a program or a file control the terminal or begin a line."""
    for name, value in event.items():
        if isinstance(value, str):
            event[name] = line(value)
    return event


def _visible_traceback(stream: TextIO, exc_info: Any) -> None:
    text = io.StringIO()
    structlog.dev.plain_traceback(text, exc_info)
    stream.write(visible(text.getvalue()))


def hide_secrets(
    _logger: Any, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """Replace what must never be read in a log, wherever it came from."""
    for name in _SECRET & event.keys():
        event[name] = "[hidden]"
    return event
