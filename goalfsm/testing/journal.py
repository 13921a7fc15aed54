"""A journal as text that a person writes and reads, and a diff where it is another.

One line is one event: when, what, and the decision that was taken after it::

    02:00:00      ObjectiveGiven objective='Fix the tests' => continue [otherwise]
    02:00:00      RunDispatched run-1
    02:00:00      RunFinished run-1 failed '529 overloaded' => wait [recovery] until 02:00:02

Ids are numbered in the order in which they appear. What a host tells of every turn is left out
unless a decision followed.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Final, Literal, NamedTuple

import msgspec

from goalfsm.session import codec
from goalfsm.session import events as e
from goalfsm.session.state import Decision
from goalfsm.store.port import JournalRow
from goalfsm.text import line, shortened

ROUTINE: Final = frozenset(
    {
        "AgentEnded",
        "AgentStarting",
        "ContextRequested",
        "HostChanged",
        "MessageStarted",
        "RunFinished",
        "ToolFinished",
        "TurnEnded",
        "TurnStarted",
    }
)
"""Events of every turn: shown where a decision followed, or something failed."""
ANYTHING: Final = "..."
"""A line that stands for any number of lines; ``*`` within a line stands for any text."""

_HIDDEN: Final = frozenset(
    {
        "answer_digest",
        "answer_length",
        "answer_shape",
        "can_compact",
        "can_steer",
        "digest",
        "key",
        "message",
        "message_id",
        "run_token",
        "started",
        "token",
        "tools_failed",
        "tools_ok",
    }
)
_IDS: Final = {"run_id": "run", "goal_id": "goal", "expected_goal_id": "goal", "claim_id": "claim"}
_EMPTY: Final[tuple[object, ...]] = ((), {}, [])
_BARE: Final = frozenset({"name", "kind", "outcome", "reason"})
_LONGEST: Final = 72
_STAMP: Final = re.compile(r"(?:\+\d+d )?\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?=\s)")


class Line(NamedTuple):
    """One event of a journal: its moment and what happened."""

    stamp: str
    text: str

    def __str__(self) -> str:
        """Return it as it is written."""
        return f"{self.stamp:<13} {self.text}"


def journal_lines(
    rows: Iterable[JournalRow], *, every: bool = False, only: Collection[str] = ()
) -> tuple[Line, ...]:
    """Return the lines of a thread's journal.

    ``every`` shows what a host tells of every turn; ``only`` names the events to show.
    """
    writer = _Writer()
    lines = (writer.line(row) for row in rows)
    return tuple(
        Line(stamp, text)
        for name, stamp, text, matters in lines
        if (name in only if only else every or matters)
    )


def assert_journal(
    rows: Iterable[JournalRow], expected: str, *, every: bool = False, only: Collection[str] = ()
) -> None:
    """Raise AssertionError, with a diff, when the journal is not as ``expected``.

    A line of ``expected`` may leave out the time, or the end of it (``03:00`` is any moment of
    that minute); see also `ANYTHING`. How many spaces there are does not matter.
    """
    actual = journal_lines(rows, every=every, only=only)
    wanted = [one.strip() for one in expected.strip().splitlines() if one.strip()]
    steps = _align(wanted, actual)
    if all(kind == " " for kind, _ in steps):
        return
    diff = "\n".join(f"{kind} {text}" for kind, text in steps)
    whole = "\n".join(map(str, actual))
    raise AssertionError(
        f"the journal is another (- expected, + happened):\n{diff}\n\nall of it:\n{whole}"
    )


class _Writer:
    """Writes rows, and remembers what each id is called."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}
        self._counts: dict[str, int] = {}
        self._first: datetime | None = None

    def line(self, row: JournalRow) -> tuple[str, str, str, bool]:
        """Return an event's name, its stamp, its text, and whether it is more than routine."""
        event = codec.decode_event(row.event)
        decision = None if row.decision is None else codec.decode_decision(row.decision)
        name = type(event).__name__
        words = [name, *self._words(event)]
        if decision is not None:
            words.append(self._decided(decision))
        matters = name not in ROUTINE or decision is not None or _failed(event)
        return name, self._stamp(row.at_ms), " ".join(words), matters

    def _stamp(self, at_ms: int) -> str:
        moment = datetime.fromtimestamp(at_ms // 1000, UTC)
        self._first = self._first or moment
        days = (moment.date() - self._first.date()).days
        rest = f".{at_ms % 1000:03}" if at_ms % 1000 else ""
        return f"{f'+{days}d ' if days else ''}{moment:%H:%M:%S}{rest}"

    def _decided(self, decision: Decision) -> str:
        until = "" if decision.until_ms is None else f" until {self._stamp(decision.until_ms)}"
        reason = f" {decision.reason}" if decision.decision == "stop" else ""
        return f"=> {decision.decision} [{decision.guard}]{reason}{until}"

    def _words(self, event: e.Event) -> Iterator[str]:
        match event:
            case e.TurnEnded(message=message) | e.AgentEnded(messages=(*_, message)):
                yield from _ended(message)
            case e.AgentStarting() | e.MessageStarted() | e.TurnStarted() | e.AgentEnded():
                return
            case e.RunFinished(message=message):
                yield from self._fields(event)
                if message is not None and message.error is not None:
                    yield _plain(message.error)
            case e.ToolCalled(name=name, arguments=arguments):
                shown = ", ".join(f"{key}={_plain(value)}" for key, value in arguments.items())
                yield f"{name}({shown})"
            case e.UsageReported(usage=usage):
                yield from _given(usage)
            case _:
                yield from self._fields(event)

    def _fields(self, event: e.Event) -> Iterator[str]:
        for field in msgspec.structs.fields(event):
            value = getattr(event, field.name)
            left_out = value == field.default or value in _EMPTY
            if field.name in _HIDDEN or left_out:
                continue
            if field.name in _IDS:
                yield self._name(_IDS[field.name], str(value))
            elif field.name in _BARE:
                yield str(value)
            elif field.name.endswith("_ms") and field.name != "by_ms":
                yield f"{field.name.removesuffix('_ms')} {self._stamp(value)}"
            elif value is True:
                yield field.name
            else:
                yield f"{field.name}={_plain(value)}"

    def _name(self, kind: str, given: str) -> str:
        if given not in self._names:
            self._counts[kind] = self._counts.get(kind, 0) + 1
            self._names[given] = f"{kind}-{self._counts[kind]}"
        return self._names[given]


def _failed(event: e.Event) -> bool:
    return isinstance(event, e.RunFinished) and event.outcome != "finished"


def _ended(message: e.Message) -> Iterator[str]:
    if message.stop_reason is not None:
        yield message.stop_reason
    if message.error is not None:
        yield _plain(message.error)


def _given(struct: msgspec.Struct) -> Iterator[str]:
    for field in msgspec.structs.fields(struct):
        value = getattr(struct, field.name)
        if value != field.default:
            yield f"{field.name}={_plain(value)}"


def _plain(value: Any) -> str:
    """Return a value in one bounded line."""
    if isinstance(value, str):
        return repr(shortened(line(value), _LONGEST))
    if isinstance(value, msgspec.Struct):
        return f"({', '.join(_given(value))})"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_plain, value))}]"
    return shortened(line(str(value)), _LONGEST)


# Comparing.

_Kind = Literal[" ", "-", "+"]


def _align(wanted: Sequence[str], actual: Sequence[Line]) -> list[tuple[_Kind, str]]:
    """Return the shortest way from ``wanted`` to ``actual``; equal where every step is a space."""
    rows, columns = len(wanted), len(actual)
    # cost[i][j]: fewest differences between wanted[i:] and actual[j:].
    cost = [[0] * (columns + 1) for _ in range(rows + 1)]
    cost[rows] = list(range(columns, -1, -1))
    same = [[_matches(one, other) for other in actual] for one in wanted]
    for i in range(rows - 1, -1, -1):
        for j in range(columns, -1, -1):
            if wanted[i] == ANYTHING:
                more = cost[i][j + 1] if j < columns else cost[i + 1][j]
                cost[i][j] = min(cost[i + 1][j], more)
                continue
            best = cost[i + 1][j] + 1
            if j < columns:
                best = min(best, cost[i][j + 1] + 1)
                if same[i][j]:
                    best = min(best, cost[i + 1][j + 1])
            cost[i][j] = best
    return list(_walk(wanted, actual, cost, same))


def _walk(
    wanted: Sequence[str],
    actual: Sequence[Line],
    cost: Sequence[Sequence[int]],
    same: Sequence[Sequence[bool]],
) -> Iterator[tuple[_Kind, str]]:
    i, j = 0, 0
    while i < len(wanted) or j < len(actual):
        left, right = i < len(wanted), j < len(actual)
        if left and wanted[i] == ANYTHING:
            if cost[i][j] == cost[i + 1][j]:
                yield " ", ANYTHING
                i += 1
            else:
                j += 1
        elif left and right and same[i][j] and cost[i][j] == cost[i + 1][j + 1]:
            yield " ", str(actual[j])
            i, j = i + 1, j + 1
        elif left and cost[i][j] == cost[i + 1][j] + 1:
            yield "-", _laid_out(wanted[i])
            i += 1
        else:
            yield "+", str(actual[j])
            j += 1


def _laid_out(wanted: str) -> str:
    found = _STAMP.match(wanted)
    return str(Line(found[0], wanted[found.end() :].strip()) if found else Line("", wanted))


def _matches(wanted: str, actual: Line) -> bool:
    if found := _STAMP.match(wanted):
        if not actual.stamp.startswith(found[0]):
            return False
        wanted = wanted[found.end() :]
    # A star at the beginning may stand for the time as well.
    said = str(actual) if wanted.startswith("*") else actual.text
    parts = (re.escape(part) for part in " ".join(wanted.split()).split("*"))
    return re.fullmatch(".*".join(parts), " ".join(said.split())) is not None
