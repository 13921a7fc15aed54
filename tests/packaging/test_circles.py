"""No two modules import each other in a circle, wherever and for whatever they do so.

import-linter compares packages: it sees neither a circle through a package's own ``__init__`` nor
what a stub names.
"""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("goalfsm", "recovery")


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(source: str, modules: Collection[str]) -> Iterator[str]:
    """Yield the ``modules`` that a source imports from, in functions and for types too."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import():
                yield from (name.name for name in node.names if name.name in modules)
            case ast.ImportFrom(module=home, level=level):
                assert level == 0, "imports say the whole name"
                whole = (f"{home}.{name.name}" for name in node.names)
                yield from {name if name in modules else home for name in whole} & set(modules)


def circle(imports: Mapping[str, Collection[str]]) -> list[str]:
    """Return the modules of one circle, nothing where there is none."""
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        found: list[str] = error.args[1]
        return found
    return []


def test_no_module_imports_itself_by_way_of_others() -> None:
    files = [path for name in PACKAGES for path in sorted((ROOT / name).rglob("*.py*"))]
    files = [path for path in files if path.suffix in {".py", ".pyi"}]
    imports: dict[str, set[str]] = {module_of(path): set() for path in files}
    for path in files:
        imports[module_of(path)].update(imported(path.read_text(encoding="utf-8"), imports))
    assert sum(map(len, imports.values())) > 2_000
    assert circle(imports) == []


@pytest.mark.parametrize(
    "source",
    ["import a.c", "def later():\n    from a import c", "if TYPE_CHECKING:\n    from a.c import C"],
)
def test_a_circle_is_noticed_wherever_the_import_stands(source: str) -> None:
    modules = ("a", "a.b", "a.c")
    imports = {"a.b": set(imported(source, modules)), "a.c": set(imported("import a", modules))}
    assert circle(imports) == []
    imports["a"] = set(imported("from a.b import B as B", modules))
    assert set(circle(imports)) == set(modules)
