"""What a batch leaves out takes with it what was computed from it."""

from __future__ import annotations

from goalfsm.store.port import Commit, Committed, Duplicate, Outcome


class Lost:
    """The commits of one batch that were left out, as far as others may build on them.

    The revision alone does not tell: when somebody else has written the thread meanwhile, it may
    be the very one that a follower expects.
    """

    __slots__ = ("_first",)

    def __init__(self) -> None:
        """Start with none."""
        self._first: dict[str, int] = {}

    def note(self, commit: Commit, outcome: Outcome) -> None:
        """Take note of an outcome; a repeat of this very commit is none that was left out."""
        match outcome:
            case Committed():
                return
            case Duplicate(revision=revision) if revision == commit.expected_revision + 1:
                return
            case _:
                expected, thread_id = commit.expected_revision, commit.thread_id
                self._first[thread_id] = min(expected, self._first.get(thread_id, expected))

    def carries(self, commit: Commit) -> bool:
        """Tell whether the commit was computed from the state after one that was left out."""
        first = self._first.get(commit.thread_id)
        return first is not None and first < commit.expected_revision
