"""What every backend refuses by size, in one place so that they agree."""

from __future__ import annotations

from goalfsm.errors import TooLarge
from goalfsm.store.port import MAX_COMMIT_BYTES, Commit


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


def _reason(what: str, size: int) -> str:
    return f"{what} of {size:,} bytes exceeds the {MAX_COMMIT_BYTES:,} that the store takes"
