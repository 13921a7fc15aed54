"""What the next prompt has to mention: a closed vocabulary, kept in the session as strings.

A notice is its kind, or its kind, a colon and a detail in words. The detail is data: it is
escaped where it is shown.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple, TypeGuard, get_args

from goalfsm.text import shortened

NoticeKind = Literal[
    "interrupted",  # the run before was cut off by a crash; its work may be half done
    "turn_failed",  # the run before ended with an error; detail: which
    "resumed",  # a paused or blocked goal was taken up again
    "objective_updated",  # a person reworded the objective
    "budget_raised",  # a person gave more budget to a goal that had used its own up
    "verification_failed",  # a verifier refused the completion claim; detail: what it said
    "unverifiable",  # a verifier could not tell whether the goal is complete; detail: why
    "rejected",  # a person rejected the completion claim; detail: the feedback
    "set_aside",  # a completion claim no longer counts; detail: what a person said or changed
    "woken",  # what the work waited for has happened; detail: what that was
    "compacted",  # the context was compacted; what was said before may be gone
]

KINDS: Final[tuple[NoticeKind, ...]] = get_args(NoticeKind)
MAX_DETAIL_LENGTH: Final = 8_000
"""Longest detail that is kept, in code points; what is longer is cut, and says so."""


class Notice(NamedTuple):
    """One thing that the next prompt mentions: its kind, and what there is to say of it."""

    kind: NoticeKind
    detail: str = ""


def encode(kind: NoticeKind, detail: str = "") -> str:
    """Return the notice as the session keeps it."""
    trimmed = detail.strip()
    return f"{kind}:{shortened(trimmed, MAX_DETAIL_LENGTH)}" if trimmed else kind


def parse(text: str) -> Notice:
    """Return the notice that ``encode`` made ``text`` of; ValueError for any other text."""
    kind, _, detail = text.partition(":")
    if not _is_kind(kind):
        message = f"not a notice: {kind!r}"
        raise ValueError(message)
    return Notice(kind, detail)


def add(notices: tuple[str, ...], kind: NoticeKind, detail: str = "") -> tuple[str, ...]:
    """Return ``notices`` with one more at the end, in place of an earlier one of its kind.

    So there are never more notices than kinds, however long no turn is dispatched.
    """
    kept = tuple(text for text in notices if parse(text).kind != kind)
    return (*kept, encode(kind, detail))


def _is_kind(text: str) -> TypeGuard[NoticeKind]:
    return text in KINDS
