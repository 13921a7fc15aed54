"""The history of a thread's goal: what is appended to it, and loaded from it again."""

from __future__ import annotations

import msgspec

from goalfsm.goal.model import Goal, Source


class SetEntry(msgspec.Struct, frozen=True, kw_only=True, gc=False, tag="set"):
    """The goal as it then was."""

    source: Source
    goal: Goal


class ClearEntry(msgspec.Struct, frozen=True, kw_only=True, gc=False, tag="clear"):
    """The goal was given up."""

    source: Source
    cleared: str | None


class UserStartEntry(
    msgspec.Struct, frozen=True, kw_only=True, gc=False, tag="user_start_required"
):
    """Whether the next run has to start with a visible message."""

    active: bool


Entry = SetEntry | ClearEntry | UserStartEntry
