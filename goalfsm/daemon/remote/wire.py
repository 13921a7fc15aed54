"""What an engine and other processes say to each other over its socket: one JSON object a line."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Final

import msgspec

from goalfsm.errors import GoalError, Remedy
from goalfsm.goal.model import Reply
from goalfsm.store.rows import MAX_COMMIT_BYTES
from goalfsm.text import MALFORMED, line

if TYPE_CHECKING:
    from goalfsm.daemon.flow.notices import Notice
    from goalfsm.session.events import Event
    from goalfsm.views.status import Status
    from goalfsm.views.tool_answers import ToolResponse

MAX_LINE: Final = 2 * MAX_COMMIT_BYTES
"""Longest line in bytes; what is larger could not be committed either."""

CROWDED: Final = "too_many_connections"
"""The code of a refusal for want of a place; nothing was read of the request."""

INVALID: Final = "request_invalid"
"""The code of an answer to what is no request: another version may have sent it."""

GONE: Final = frozenset({"store_closed", "fenced", "database_replaced"})
"""The codes of an engine that has the database no more."""


class _Request(msgspec.Struct, frozen=True, kw_only=True, tag_field="op"):
    pass


class Submit(_Request, frozen=True, kw_only=True, tag="submit"):
    """Decide an event; answered by `Replied`. A repeated ``event_id`` changes nothing.

    ``event`` is an `Event`, which only who decides it has to know whole.
    """

    thread_id: str
    event_id: str
    event: msgspec.Raw


class AskStatus(_Request, frozen=True, kw_only=True, tag="status"):
    """Tell how a thread stands; answered by `Told`."""

    thread_id: str


class Look(_Request, frozen=True, kw_only=True, tag="look"):
    """Tell how a thread stands, as people see it; answered by `Seen`, at once."""

    thread_id: str


class Follow(_Request, frozen=True, kw_only=True, tag="follow"):
    """Tell everything that happens to a thread from now on: `Noticed` until the engine ends.

    With ``after_revision`` also what was committed after that one. Who ``succeeds`` goes on with
    the thread then; its running turn is not cut short.
    """

    thread_id: str
    succeeds: bool = False
    after_revision: int | None = None


class Ping(_Request, frozen=True, kw_only=True, tag="ping"):
    """Tell whether the engine is well; answered by `Pong` at once, also while it takes over.

    With a ``thread_id`` the answer says what keeps turns of that thread from starting.
    """

    thread_id: str = ""


class CallTool(_Request, frozen=True, kw_only=True, tag="tool"):
    """Call a goal's tool; answered by `ToolTold`.

    At a run's own socket whoever asks is that run. Elsewhere the thread is named, and the run's
    token authorises what it asks for. A repeated ``event_id`` changes nothing.
    """

    name: str
    arguments: dict[str, Any] = {}
    thread_id: str = ""
    run_token: str = ""
    event_id: str = ""


Request = Submit | AskStatus | Look | Follow | Ping | CallTool


class _Answer(msgspec.Struct, frozen=True, kw_only=True, tag_field="answer"):
    pass


class Replied(_Answer, frozen=True, kw_only=True, tag="reply"):
    """What was decided; it is durable."""

    reply: Reply


class Told(_Answer, frozen=True, kw_only=True, tag="status"):
    """How the thread stands: a `Status`, which only who asks for it has to know."""

    status: msgspec.Raw


class Seen(_Answer, frozen=True, kw_only=True, tag="seen"):
    """How the thread stands, for those who know no session: in lines, and on one as a `Chip`.

    ``hint`` speaks of THREAD. ``chip`` is None where there is no goal. ``status`` is the whole
    `Status`.
    """

    lines: tuple[str, ...]
    hint: str
    chip: tuple[str, str] | None
    status: msgspec.Raw


class Noticed(_Answer, frozen=True, kw_only=True, tag="notice"):
    """Something happened: a `Notice`."""

    notice: msgspec.Raw


class Pong(_Answer, frozen=True, kw_only=True, tag="pong"):
    """The engine is there; ``held`` is in words why no turn starts, "" where one may.

    ``brings_workers``: it may do turns of threads that no program is stored for.
    """

    held: str = ""
    brings_workers: bool = False


class ToolTold(_Answer, frozen=True, kw_only=True, tag="tool"):
    """What the model is told, as in a `ToolResponse`; what was decided is durable."""

    ok: bool
    text: str
    data: msgspec.Raw


class Failed(_Answer, frozen=True, kw_only=True, tag="error"):
    """The request could not be answered; nothing was written."""

    code: str
    message: str
    hint: str = ""
    remedies: tuple[Remedy, ...] = ()


Answer = Replied | Told | Seen | Noticed | Pong | ToolTold | Failed

_encoder: Final = msgspec.json.Encoder()


@cache
def _decoder(*, answers: bool) -> msgspec.json.Decoder[Any]:
    """Return a decoder; making it takes milliseconds, and most processes need one of the two."""
    return msgspec.json.Decoder(Answer if answers else Request)


def unknown(thread_id: str) -> Reply:
    """Return the reply to what only a thread that exists can be asked."""
    return Reply(
        ok=False,
        code="unknown_thread",
        message=f"there is no thread {thread_id}",
        remedies=(Remedy("list", does="shows the threads"),),
    )


def encode(message: Request | Answer) -> bytes:
    """Return a message as one line."""
    return _encoder.encode(message) + b"\n"


def decode_request(line: bytes) -> Request:
    """Return a request; raises one of `MALFORMED` for anything else."""
    request: Request = _decoder(answers=False).decode(line)
    return request


def decode_answer(line: bytes) -> Answer:
    """Return an answer; raises one of `MALFORMED` for anything else."""
    answer: Answer = _decoder(answers=True).decode(line)
    return answer


def tool_told(response: ToolResponse) -> ToolTold:
    """Return the answer that has the model told ``response``."""
    data = msgspec.Raw(_encoder.encode(response.data))
    return ToolTold(ok=response.ok, text=response.text, data=data)


def raw(value: Status | Notice | Event) -> msgspec.Raw:
    """Return a value as a request or an answer carries it."""
    return msgspec.Raw(_encoder.encode(value))


def event_of(request: Submit) -> Event:
    """Return the event in a request; raises GoalError for anything else."""
    try:
        return _events().decode(request.event)
    except MALFORMED as error:
        raise GoalError(line(str(error)), code=INVALID) from error


@cache
def _events() -> msgspec.json.Decoder[Event]:
    from goalfsm.session.events import Event  # noqa: PLC0415  who asks knows the one that is sent

    return msgspec.json.Decoder(Event)


def status_told(answer: Told) -> Status:
    """Return the status in an answer; raises one of `MALFORMED` for anything else."""
    from goalfsm.views.status import Status  # noqa: PLC0415  few who ask want one

    return msgspec.json.decode(answer.status, type=Status)


def notice_told(answer: Noticed) -> Notice:
    """Return the notice in an answer; raises one of `MALFORMED` for anything else."""
    return _notices().decode(answer.notice)


@cache
def _notices() -> msgspec.json.Decoder[Notice]:
    from goalfsm.daemon.flow.notices import Notice  # noqa: PLC0415  as above

    return msgspec.json.Decoder(Notice)
