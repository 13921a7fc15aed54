"""Public names that are imported on first use."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

import pytest

NAMES = "from lazily.rooms import hall as hall\nfrom lazily.rooms.hall import LIGHT as LIGHT\n"
OPENED = "from recovery.lazy import exports\n\n__getattr__, __dir__, __all__ = exports(globals())\n"


def test_a_module_may_be_a_public_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is imported when it is asked for, also where its package does not import it."""
    rooms = tmp_path / "lazily" / "rooms"
    rooms.mkdir(parents=True)
    (rooms / "__init__.py").touch()
    (rooms / "hall.py").write_text("LIGHT = 'on'\n", encoding="utf-8")
    (rooms.parent / "__init__.py").write_text(OPENED, encoding="utf-8")
    (rooms.parent / "__init__.pyi").write_text(NAMES, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    lazily = import_module("lazily")
    try:
        assert lazily.__all__ == ["LIGHT", "hall"]
        assert "lazily.rooms" not in sys.modules
        assert lazily.hall is sys.modules["lazily.rooms.hall"]
        assert lazily.LIGHT == "on"
        assert {"LIGHT", "hall"} <= set(dir(lazily))
        with pytest.raises(AttributeError, match="no attribute 'cellar'"):
            _ = lazily.cellar
    finally:
        for name in [one for one in sys.modules if one.partition(".")[0] == "lazily"]:
            del sys.modules[name]
