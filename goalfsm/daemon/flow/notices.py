"""What followers of a thread are told: values that also cross the socket."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from goalfsm.session.state import Decision, Reply
from goalfsm.views.status import Status


class _Notice(msgspec.Struct, frozen=True, kw_only=True, tag_field="type"):
    thread_id: str


class Happened(_Notice, frozen=True, kw_only=True, tag="event"):
    """An event was committed as ``revision``; ``event`` holds its fields without secrets."""

    revision: int
    at_ms: int
    event: dict[str, Any]
    reply: Reply | None = None
    decision: Decision | None = None


class StatusChanged(_Notice, frozen=True, kw_only=True, tag="status"):
    """Where the thread stands now."""

    status: Status


class Output(_Notice, frozen=True, kw_only=True, tag="output"):
    """The running turn said ``text``.

    ``again``: it had said so before this follower came, and ``left_out`` bytes before that.
    """

    run_id: str
    text: str
    again: bool = False
    left_out: int = 0


class Problem(_Notice, frozen=True, kw_only=True, tag="problem"):
    """Something went wrong that is no event of the thread: skipped output, a full disk."""

    code: str
    message: str
    hint: str = ""


class Missed(_Notice, frozen=True, kw_only=True, tag="missed"):
    """The follower was too slow for ``count`` notices."""

    count: int


class Settled(_Notice, frozen=True, kw_only=True, tag="settled"):
    """Nothing more will happen by itself, as long as this engine runs."""

    status: Status


class Ended(_Notice, frozen=True, kw_only=True, tag="ended"):
    """The engine has stopped; ``reason`` fenced means that another one has taken over.

    ``successor`` is the pid of the follower that goes on with the database: it asked first.
    """

    reason: Literal["stopped", "fenced", "failed"] = "stopped"
    message: str = ""
    successor: int | None = None


Notice = Happened | StatusChanged | Output | Problem | Missed | Settled | Ended
