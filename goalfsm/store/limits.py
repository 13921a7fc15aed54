"""What every backend refuses by size or leaves out of a batch, here so that they all agree."""

from __future__ import annotations

from collections.abc import Sequence

from goalfsm.errors import TooLarge
from goalfsm.store.port import (
    KEPT_BYTES,
    KEPT_TRANSCRIPTS,
    MAX_ANSWER_BYTES,
    MAX_COMMIT_BYTES,
    MAX_STDERR_BYTES,
    Commit,
    Committed,
    Duplicate,
    Outcome,
    Transcript,
)


def weight(commit: Commit) -> int:
    """Return how many bytes a commit carries, all its blobs together."""
    total = len(commit.event) + len(commit.state) + len(commit.digest)
    if commit.decision is not None:
        total += len(commit.decision)
    if commit.reply is not None:
        total += len(commit.reply)
    for effect in commit.outbox:
        total += len(effect.payload)
    for entry in commit.history:
        total += len(entry)
    return total


def too_large(commit: Commit) -> str | None:
    """Return why a commit is refused for its size, None when it is not."""
    size = weight(commit)
    return _reason("commit", size) if size > MAX_COMMIT_BYTES else None


def check_size(what: str, blob: bytes) -> None:
    """Raise `TooLarge` when one blob exceeds what a row may carry."""
    if len(blob) > MAX_COMMIT_BYTES:
        raise TooLarge(_reason(what, len(blob)))


def bounded(transcript: Transcript) -> Transcript:
    """Return a transcript with the ends that are kept."""
    return Transcript(
        thread_id=transcript.thread_id,
        run_id=transcript.run_id,
        turn=transcript.turn,
        at_ms=transcript.at_ms,
        answer=transcript.answer[-MAX_ANSWER_BYTES:],
        stderr=transcript.stderr[-MAX_STDERR_BYTES:],
        answer_bytes=max(transcript.answer_bytes, len(transcript.answer)),
        stderr_bytes=max(transcript.stderr_bytes, len(transcript.stderr)),
    )


def surplus(sizes: Sequence[int]) -> int:
    """Return from which place on transcripts go, of which these are the sizes, newest first."""
    total = 0
    for place, size in enumerate(sizes):
        total += size
        if place and (place >= KEPT_TRANSCRIPTS or total > KEPT_BYTES):
            return place
    return len(sizes)


def _reason(what: str, size: int) -> str:
    return f"{what} of {size:,} bytes exceeds the {MAX_COMMIT_BYTES:,} that the store takes"


class Lost:
    """The commits of one batch that were left out, as far as others may build on them.

    The revision alone does not tell: when somebody else has written the thread meanwhile, it may
    be the very one that a follower expects.
    """

    __slots__ = ("_first",)

    def __init__(self) -> None:
        """Have left out no commit yet."""
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
