"""A durable goal engine for agent daemons.

Give a thread an objective; goalfsm keeps an agent working on it until it is verifiably complete,
blocked, paused or out of budget, and can always say why it did or did not continue.

Everything here is imported on first use, so that ``import goalfsm`` stays light: the pure session
needs neither asyncio nor a store. The names are written once, in ``__init__.pyi``.
"""

from __future__ import annotations

from recovery.lazy import exports

__getattr__, __dir__, __all__ = exports(globals())
