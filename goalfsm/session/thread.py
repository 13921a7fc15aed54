"""One thread: the object between the pure function and whatever persists and does."""

from __future__ import annotations

from goalfsm.session.rules.handle import handle

__all__ = ["handle"]
