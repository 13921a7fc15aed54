"""How often failures are told apart: on messages the rules were tuned on, and on others.

``python -m tests.recovery.accuracy`` prints the table, ``--misses`` the messages that are missed.

``messages.jsonl`` holds what services, clients and agents say (wording of public threads, names and
paths replaced) and what only sounds like it. Each was labelled before it was judged the first time.
Those of the sets in ``BLIND`` were never looked at to change a rule, nor were weights learned from
them: a set for which something is changed leaves ``BLIND``.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from recovery import classify
from tests.recovery.recorded import rebuilt, recorded

PATH: Final = Path(__file__).parent / "messages.jsonl"
BLIND: Final = frozenset({"y"})
"""The sets for which no rule was changed and from which no weight was learned."""
FIRST: Final = {
    "c": (92.9, 69.6, 89.9),
    "d": (84.7, 85.3, 90.6),
    "f": (94.3, 89.2, 93.5),
    "g": (94.7, 92.1, 95.6),
    "h": (95.7, 85.7, 93.3),
    "i": (92.6, 78.4, 93.3),
    "j": (94.3, 83.3, 93.4),
    "m": (94.3, 69.4, 93.4),
    "l": (98.3, 79.7, 93.9),
    "n": (92.9, 94.1, 95.6),
    "o": (84.6, 85.7, 91.6),
    "p": (88.4, 69.2, 88.4),
    "q": (86.4, 95.4, 93.2),
    "r": (90.0, 86.0, 94.0),
    "s": (94.2, 85.0, 94.9),
    "t": (84.7, 87.5, 92.9),
    "u": (93.7, 94.2, 96.2),
    "w": (84.0, 78.0, 90.7),
    "v": (92.0, 96.3, 95.8),
    "x": (87.0, 98.0, 94.4),
    "y": (96.5, 90.3, 96.2),
}
"""What was right at first sight, in percent: kind of real ones, kind of false positives, action."""
_ACTIONS: Final = {"transient": "retry", "rate_limited": "retry", "overflow": "compact"}


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """A labelled message; any of ``kinds`` is right, the first one best."""

    id: str
    error: str
    kinds: tuple[str, ...]
    false_positive: bool = False
    status: int | None = None
    code: str | None = None
    headers: dict[str, str] | None = None
    thread: str = ""
    """Where it was found, for those of the later sets: a public thread."""

    @property
    def set(self) -> str:
        """Return the set that it belongs to."""
        return self.id.partition("-")[0]

    @property
    def blind(self) -> bool:
        """Tell whether no rule was ever changed for it."""
        return self.set in BLIND


class Judged(NamedTuple):
    """What became of one message."""

    id: str
    error: str
    false_positive: bool
    kind: str
    right_kind: bool
    right_action: bool


def messages() -> list[Message]:
    """Return all labelled messages."""
    return [msgspec.json.decode(line, type=Message) for line in PATH.read_bytes().splitlines()]


def judged(message: Message) -> Judged:
    """Return what ``message`` is taken for, and whether that is right."""
    kind = classify(
        message.error, status=message.status, code=message.code, headers=message.headers
    ).kind
    actions = {_action(right) for right in message.kinds}
    return Judged(
        message.id,
        message.error,
        message.false_positive,
        kind,
        kind in message.kinds,
        _action(kind) in actions,
    )


@cache
def verdicts() -> tuple[tuple[Message, Judged], ...]:
    """Return every message with what became of it; by the weights that are kept."""
    return tuple((message, judged(message)) for message in messages())


def _action(kind: str) -> str:
    """Return what follows from a kind: retry, compact or stop."""
    return _ACTIONS.get(kind, "stop")


def table() -> str:
    """Return the figures as they are printed."""
    rows = [("", "kind, real", "kind, false positives", "action")]
    for name, blind in (("blind", True), ("tuned", False)):
        found = [each for message, each in verdicts() if message.blind is blind]
        rows.append(
            (
                name,
                _share(each.right_kind for each in found if not each.false_positive),
                _share(each.right_kind for each in found if each.false_positive),
                _share(each.right_action for each in found),
            )
        )
    exceptions = [
        (classify(rebuilt(record["error"])).kind, record["expect"]) for record in recorded()
    ]
    rows.append(
        (
            "exceptions",
            _share(kind == expected for kind, expected in exceptions),
            "",
            _share(_action(kind) == _action(expected) for kind, expected in exceptions),
        )
    )
    return "\n".join(f"{a:<12}{b:<22}{c:<22}{d}".rstrip() for a, b, c, d in rows)


def sets() -> str:
    """Return a table of the sets that were judged blind: their figures at first sight and now."""
    lines = [
        "| set | now | real | false | first: real | false | action | real | false | action |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name, first in FIRST.items():
        found = [each for message, each in verdicts() if message.set == name]
        real = [each.right_kind for each in found if not each.false_positive]
        false = [each.right_kind for each in found if each.false_positive]
        now = (_percent(real), _percent(false), _percent([each.right_action for each in found]))
        cells = (
            *(name, "blind" if name in BLIND else "tuned since", len(real), len(false)),
            *(f"{share:.1f} %" for share in (*first, *now)),
        )
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


def figures(asked: Iterable[Message]) -> str:
    """Return in one line how many are right: kind of real ones, kind of false positives, action."""
    found = [judged(message) for message in asked]
    real = _share(each.right_kind for each in found if not each.false_positive)
    false = _share(each.right_kind for each in found if each.false_positive)
    action = _share(each.right_action for each in found)
    return f"kind, real {real}; kind, false positives {false}; action {action}"


def _percent(right: list[bool]) -> float:
    return 100 * sum(right) / len(right)


def _share(right: Iterable[bool]) -> str:
    counted = list(right)
    return f"{_percent(counted):5.1f} % of {len(counted)}"


def misses() -> Iterator[str]:
    """Yield a line for each message whose kind is missed."""
    for message, found in verdicts():
        if not found.right_kind:
            told = json.dumps(message.error, ensure_ascii=False)[:100]
            yield f"{found.id}: {found.kind} for {' or '.join(message.kinds)}: {told}"


if __name__ == "__main__":
    sys.stdout.write(f"{table()}\n\n{sets()}\n")
    if "--misses" in sys.argv[1:]:
        sys.stdout.writelines(f"{line}\n" for line in misses())
