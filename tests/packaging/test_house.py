from __future__ import annotations

from pathlib import Path

from tests.packaging import house


def test_the_picture_of_the_house_is_what_the_contracts_say() -> None:
    """Anew: python -m tests.packaging.house."""
    assert house.picture() in house.PAGE.read_text(encoding="utf-8")


def test_every_package_that_the_page_names_is_there() -> None:
    root = Path(house.ROOT)
    named = [part for layer in house.layers("daemon") for part in layer]
    for part in named:
        folder = root / "goalfsm" / "daemon" / part
        assert folder.is_dir() or folder.with_suffix(".py").is_file()
    page = house.PAGE.read_text(encoding="utf-8")
    assert all(f"`{part}" in page for part in named)
