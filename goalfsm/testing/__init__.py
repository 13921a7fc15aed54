"""A kit for tests of goals: frozen time, turns as data, crashes everywhere, coverage of rows.

It may use everything but front ends; nothing of goalfsm may use it.

The fixtures of `goalfsm.testing.plugin` appear in pytest by installing the package. Everything
here is imported on first use, so that a suite that does not use the kit does not pay for it.
"""

from __future__ import annotations

from recovery.lazy import exports

__getattr__, __dir__, __all__ = exports(globals())
