"""The errors about a loop that cannot go on, and what they say: who waits, for what and where."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import CodeType
from typing import Any, Final, NoReturn

from goalfsm.errors import GoalError

MOST: Final = 20
"""Most lines of one description."""
OUTSIDE: Final = (
    "add_reader",
    "add_signal_handler",
    "add_writer",
    "connect_accepted_socket",
    "connect_read_pipe",
    "connect_write_pipe",
    "create_connection",
    "create_datagram_endpoint",
    "create_server",
    "create_unix_connection",
    "create_unix_server",
    "getaddrinfo",
    "getnameinfo",
    "sendfile",
    "sock_accept",
    "sock_connect",
    "sock_recv",
    "sock_recv_into",
    "sock_recvfrom",
    "sock_recvfrom_into",
    "sock_sendall",
    "sock_sendfile",
    "sock_sendto",
    "start_tls",
    "subprocess_exec",
    "subprocess_shell",
)
"""What of an event loop reaches the outside world."""


class VirtualTimeError(GoalError):
    """Virtual time cannot go on: the test, or what it tests, would hang."""

    code = "virtual_time"


class Deadlock(VirtualTimeError):
    """Nothing is ready and no timer is set, but somebody waits."""

    code = "deadlock"
    hint = "set what it waits for, or give the wait a timeout"


class Stalled(VirtualTimeError):
    """What was waited for did not happen within the virtual time that it was given."""

    code = "stalled"
    hint = "give it more time with within=, or look at what it waits for"


class Spinning(VirtualTimeError):
    """Callbacks follow one another without end, and no time passes."""

    code = "spinning"
    hint = "let the loop that polls sleep for a while"


class LoopRunning(VirtualTimeError, RuntimeError):
    """Another event loop runs in this thread already, so that this one cannot."""

    code = "loop_running"
    hint = "write the test as a plain function, and hand its coroutine to goal_clock.run()"


class OutsideWorld(VirtualTimeError, NotImplementedError):
    """Something asked for the outside world: a socket, a process, a signal, another thread."""

    code = "outside_world"
    hint = "give the code under test a stand-in, or run it on a real loop"


def describe_tasks(loop: asyncio.AbstractEventLoop) -> str:
    """Return one line for each task of ``loop`` that is not done: its name, place, awaited thing.

    The lines are sorted by name, so that equal situations read the same.
    """
    tasks = sorted(asyncio.all_tasks(loop), key=lambda task: _natural(task.get_name()))
    if not tasks:
        return "  nobody: no task is left"
    return _lines(_describe(task) for task in tasks)


def describe_died(tasks: Iterable[asyncio.Task[Any]], lost: Iterable[str]) -> str:
    """Return one line for each of ``tasks`` that failed unseen, after those ``lost`` before."""
    died = [
        f"  {task.get_name()}: {task._exception!r}"  # noqa: SLF001
        for task in sorted(tasks, key=lambda task: _natural(task.get_name()))
        # What `Task.exception` would return, without counting as somebody who looked.
        if task.done() and getattr(task, "_log_traceback", False)
    ]
    return _lines([*lost, *died])


def describe_ready(handles: Iterable[Any]) -> str:
    """Return one line for each callback that is about to be called."""
    return _lines(f"  {_callback(handle)}" for handle in handles if not handle.cancelled())


def _lines(lines: Iterable[str]) -> str:
    every = list(lines)
    more = [f"  and {len(every) - MOST} more"] if len(every) > MOST else []
    return "\n".join([*every[:MOST], *more])


def _natural(name: str) -> tuple[tuple[int, str], ...]:
    parts = re.split(r"(\d+)", name)
    return tuple((int(part), "") if part.isdigit() else (-1, part) for part in parts)


def _describe(task: asyncio.Task[Any]) -> str:
    where = " > ".join(_places(task.get_coro()))
    return f"  {task.get_name()}: {where}{_awaited(task)}"


def _places(awaited: Any) -> Iterator[str]:
    """Follow what a coroutine awaits down to what is no coroutine, and yield each place."""
    while awaited is not None:
        code, frame, awaited = _parts(awaited)
        if code is not None:
            line = code.co_firstlineno if frame is None else frame.f_lineno
            yield f"{code.co_qualname} ({Path(code.co_filename).name}:{line})"


def _parts(awaited: Any) -> tuple[CodeType | None, Any, Any]:
    """Return code, frame and what is awaited, of a coroutine or a generator of either kind."""
    for kind in ("cr", "gi", "ag"):
        code = getattr(awaited, f"{kind}_code", None)
        if isinstance(code, CodeType):
            inner = getattr(awaited, "gi_yieldfrom" if kind == "gi" else f"{kind}_await", None)
            return code, getattr(awaited, f"{kind}_frame", None), inner
    return None, None, None


def _awaited(task: asyncio.Task[Any]) -> str:
    awaited = getattr(task, "_fut_waiter", None)
    return f", for task {awaited.get_name()}" if isinstance(awaited, asyncio.Task) else ""


def _callback(handle: Any) -> str:
    callback = getattr(handle, "_callback", None)
    task = getattr(callback, "__self__", None)
    if isinstance(task, asyncio.Task):
        return _describe(task).strip()
    return getattr(callback, "__qualname__", None) or repr(callback)


def refuse(name: str, *_args: object, **_options: object) -> NoReturn:
    """Raise `OutsideWorld`: it stands in for the method ``name`` of a loop."""
    raise OutsideWorld(f"the virtual loop has no {name}: nothing outside exists here")
