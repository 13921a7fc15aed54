"""The page of the public names names all of them, and is what the code gives."""

from __future__ import annotations

import re
from importlib import import_module

import pytest

from goalfsm import Engine
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


def test_the_page_of_the_engine_says_all_that_an_embedder_may_call() -> None:
    page = PAGE.with_name("engine.md").read_text(encoding="utf-8").split("\n## ")[0]
    called = set(re.findall(r"engine\.(\w+)\(", page))
    assert called == {name for name in dir(Engine) if not name.startswith("_")}


def test_a_stale_page_is_told(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.packaging.api.page", lambda: page() + "more")
    assert main(["--check"]) == 1
    assert "make diagrams" in capsys.readouterr().err
