"""One thread as a pure state machine: its values, and ``handle(session, event, ctx)``.

It may use goals, recovery, errors and text; it does no I/O and asks for no time. The names are
written once, in ``__init__.pyi``, and imported on first use: who only sends an event needs no
session.
"""

from __future__ import annotations

from recovery.lazy import exports

__getattr__, __dir__, __all__ = exports(globals())
