"""What went wrong and what to do about it: failures, the recovery machine, stale queued work.

Pure functions over immutable values; knows nothing of goals. The names are written once, in
``__init__.pyi``, and imported on first use: most programs never meet a failure.
"""

from __future__ import annotations

from recovery.lazy import exports

__getattr__, __dir__, __all__ = exports(globals())
