"""Public names that are imported on first use, so that importing a package stays light."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any


def exports(
    names: dict[str, Any], homes: Mapping[str, str], public: Sequence[str]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return ``__getattr__`` and ``__dir__`` of a module.

    ``names`` are the module's ``globals()``, ``homes`` the module or package that holds each lazy
    name (an attribute, or a module of that package), ``public`` its ``__all__``.
    """

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

    return get, listed
