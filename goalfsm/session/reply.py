"""What whoever asked something of a thread is told."""

from __future__ import annotations

import msgspec
from msgspec.structs import force_setattr

from goalfsm.errors import Remedy, told


class Reply(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What the one who asked is told.

    A claim that is refused because its run has not read all gets the texts in ``unread``, and in
    ``word`` what a second claim has to give back. ``remedies`` are what a person can do about it,
    as data; where there are any, ``hint`` is the same in words.
    """

    ok: bool
    code: str = "ok"
    message: str = ""
    hint: str = ""
    unread: tuple[str, ...] = ()
    word: int | None = None
    remedies: tuple[Remedy, ...] = ()

    def __post_init__(self) -> None:
        """Say the remedies in words, where nothing else is said."""
        if self.remedies and not self.hint:
            force_setattr(self, "hint", told(self.remedies))
