"""The page of the public names names all of them, and is what the code gives."""

from __future__ import annotations

from importlib import import_module

import pytest

from tests.packaging.api import PACKAGES, PAGE, main, page


def test_the_page_is_fresh() -> None:
    """Make it anew with: make diagrams."""
    assert main(["--check"]) == 0


@pytest.mark.parametrize("package", PACKAGES)
def test_every_public_name_stands_there_with_its_words(package: str) -> None:
    written = PAGE.read_text(encoding="utf-8")
    for name in import_module(package).__all__:
        if name.startswith("_"):
            continue
        _, found, rest = written.partition(f"\n### {name}\n\n```{{code-block}} python\n")
        assert found, name
        assert rest.partition("```\n\n")[2].partition("\n#")[0].strip(), f"{name} says nothing"


def test_a_stale_page_is_told(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.packaging.api.page", lambda: page() + "more")
    assert main(["--check"]) == 1
    assert "make diagrams" in capsys.readouterr().err
