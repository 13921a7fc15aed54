"""Public names that are imported on first use, so that importing a package stays light.

A package's public names are written once, in the ``__init__.pyi`` beside its ``__init__.py``, where
type checkers look for them: one line ``from HOME import NAME as NAME`` for each.
"""

from __future__ import annotations

from importlib import import_module

# A command that is interrupted before it has begun shows where: what takes time comes later.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


def exports(
    names: dict[str, Any],
) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """Return ``__getattr__``, ``__dir__`` and ``__all__`` of the package with the ``globals()``."""
    homes = _homes(names)
    public = sorted(homes)

    def get(name: str) -> Any:
        home = homes.get(name)
        if home is None:
            message = f"module {names['__name__']!r} has no attribute {name!r}"
            raise AttributeError(message)
        holder = import_module(home)
        if not hasattr(holder, name):
            import_module(f"{home}.{name}")
        value = names[name] = getattr(holder, name)
        return value

    def listed() -> list[str]:
        return sorted({*names, *public})

    return get, listed, public


def _homes(names: dict[str, Any]) -> dict[str, str]:
    """Return the module or package that holds each name of a package's stub."""
    # Through the loader, so that a package in an archive has its names too.
    spec = names["__spec__"]
    stub = spec.loader.get_data(f"{spec.origin}i").decode()
    rows = [line.split() for line in stub.splitlines() if line.startswith("from ")]
    return {row[3]: row[1] for row in rows}
