"""What followers of a thread are told: values that also cross the socket."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec

from goalfsm.session import codec
from goalfsm.session.state import Decision, Reply
from goalfsm.views.status import Status

if TYPE_CHECKING:
    from goalfsm.session.events import Event
    from goalfsm.store import port

LEFT_OUT: Final = ("token", "run_token", "state")
"""The fields of events that a notice does not hold."""


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

    ``left_out`` bytes just before it are not told. ``again``: it had said so before this follower
    came.
    """

    run_id: str
    text: str
    again: bool = False
    left_out: int = 0


class Heard:
    """What a follower has heard of a run's words, so that none is told twice."""

    def __init__(self) -> None:
        """Count from the first word of a run."""
        self._run_id, self._bytes = "", 0

    def unheard(self, said: Output) -> Output | None:
        """Return what was not heard of it yet, None where nothing is left; count it as heard."""
        heard = self._bytes if self._run_id == said.run_id else 0
        data, left_out = said.text.encode(), said.left_out
        end, again = heard + left_out + len(data), False
        if said.again:
            end = max(heard, left_out + len(data))
            data = data[min(max(0, heard - left_out), len(data)) :]
            left_out, again = max(0, left_out - heard), heard == 0
        self._run_id, self._bytes = said.run_id, end
        if not data:
            return None
        text = data.decode("utf-8", "ignore")
        return msgspec.structs.replace(said, text=text, again=again, left_out=left_out)


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


def public(event: Event) -> dict[str, Any]:
    """Return an event's fields without snapshots, and what authorises anybody to act as a run."""
    fields: dict[str, Any] = msgspec.to_builtins(event)
    for name in LEFT_OUT:
        fields.pop(name, None)
    return fields


def notice_of(row: port.JournalRow) -> Happened:
    """Return the notice of an event that was committed some time ago; nobody kept its reply."""
    return Happened(
        thread_id=row.thread_id,
        revision=row.revision,
        at_ms=row.at_ms,
        event=public(codec.decode_event(row.event)),
        decision=None if row.decision is None else codec.decode_decision(row.decision),
    )
