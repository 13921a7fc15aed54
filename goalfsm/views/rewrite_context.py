"""A host's history as the model should see it: goal messages that no longer apply are marked.

A host keeps the messages that started goal turns in its history. The newest one of the current
goal is what the model works by; older ones, and those of other goals, would have it do things
twice, or for a goal that is gone. ``rewrite_context`` puts one fixed line in their place.

A goal message is recognised by its metadata alone, never by its text::

    {"role": "custom", "content": "...", "metadata": {"goal_work": {"kind": "continuation",
                                                                    "goal_id": "..."}}}

Every other key, and every other message, is passed on as it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, get_args

from goalfsm.session.events import GoalWork, WorkKind

BOOKKEEPING: Final = (
    "[Bookkeeping: a goal message was here that no longer applies. "
    "There is nothing to do about it.]"
)
"""What stands in the place of a goal message that no longer applies."""

_KINDS: Final = frozenset(get_args(WorkKind))


def work_of(message: Mapping[str, Any]) -> GoalWork | None:
    """Return the goal work that a host's message was sent for; None for any other message."""
    work = _unmarked(message)
    if work is None or work["kind"] not in _KINDS:
        return None
    return GoalWork(work["kind"], work["goal_id"])


def rewrite_context(
    messages: Sequence[Mapping[str, Any]], goal_id: str | None
) -> Sequence[Mapping[str, Any]]:
    """Return ``messages`` with the goal messages that no longer apply turned into bookkeeping.

    ``goal_id`` is the thread's goal, whatever its status; None when it has none. The newest
    message of that goal stays. The same object comes back when there is nothing to mark, and each
    message that is not marked stays the same object; what was marked before is left alone, and
    its text depends on nothing. So a provider's cache of the history holds up to the first
    message that is newly marked, whether the host keeps the result or rewrites its own history
    for every call.
    """
    newest = _newest(messages, goal_id)
    marked = {
        index: _bookkeeping(message, work)
        for index, message in enumerate(messages)
        if index != newest and (work := _unmarked(message)) is not None
    }
    if not marked:
        return messages
    return [marked.get(index, message) for index, message in enumerate(messages)]


def _newest(messages: Sequence[Mapping[str, Any]], goal_id: str | None) -> int | None:
    for index in range(len(messages) - 1, -1, -1):
        work = _unmarked(messages[index])
        if work is not None and work["goal_id"] == goal_id:
            return index
    return None


def _unmarked(message: Mapping[str, Any]) -> Mapping[str, Any] | None:
    work = _work(message)
    return None if work is None or work.get("bookkeeping") else work


def _work(message: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the metadata of a goal message; None for any other, however it reads."""
    metadata = message.get("metadata")
    work = metadata.get("goal_work") if isinstance(metadata, Mapping) else None
    if not isinstance(work, Mapping):
        return None
    whole = isinstance(work.get("kind"), str) and isinstance(work.get("goal_id"), str)
    return work if whole else None


def _bookkeeping(message: Mapping[str, Any], work: Mapping[str, Any]) -> dict[str, Any]:
    content = message.get("content")
    text = BOOKKEEPING if not isinstance(content, list) else [{"type": "text", "text": BOOKKEEPING}]
    metadata = {**message["metadata"], "goal_work": {**work, "bookkeeping": True}}
    return {**message, "content": text, "metadata": metadata}
