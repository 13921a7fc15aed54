"""The page of the public names, made of the code: ``python -m tests.packaging.api [--check]``."""

from __future__ import annotations

import ast
import inspect
import sys
import textwrap
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
PAGE: Final = ROOT / "docs" / "api.md"
PACKAGES: Final = ("goalfsm", "recovery", "goalfsm.testing", "goalfsm.diagram")
_HEAD: Final = """\
# Public API

Every public name: those that `from goalfsm import …` and `from recovery import …` give, and from
`goalfsm.testing` ([](testing.md)) and `goalfsm.diagram` ([](diagrams.md)). A name that is not here
may change without notice, but for the adapters of [frameworks](frameworks.md), and what
`goalfsm.protocol` holds: what a worker is given and may say. This page is made of the code by
`make diagrams`.
"""


def page() -> str:
    """Return the page."""
    parts = [_HEAD]
    for package in PACKAGES:
        module = import_module(package)
        parts.append(f"## {package}\n")
        parts += [_entry(module, name) for name in module.__all__ if not name.startswith("_")]
    return "\n".join(parts)


def _entry(package: ModuleType, name: str) -> str:
    value = getattr(package, name)
    home = value if isinstance(value, ModuleType) else _home(package, name)
    tree = ast.parse(Path(str(home.__file__)).read_text(encoding="utf-8"))
    if isinstance(value, ModuleType):
        written, said = f"{package.__name__}.{name}", ast.get_docstring(tree)
    else:
        written, said = _written(tree, name)
    text = "\n".join(textwrap.wrap(_first(said), 128))
    parts = [f"```{{code-block}} python\n{written}\n```", text, "\n".join(_methods(tree, name))]
    return "\n\n".join([f"### {name}", *filter(None, parts)]) + "\n"


def _first(said: str | None) -> str:
    """Return the first paragraph of a docstring as a line of Markdown."""
    paragraph = inspect.cleandoc(said or "").split("\n\n")[0]
    return paragraph.replace("\n", " ").replace("``", "`")


def _methods(tree: ast.Module, name: str) -> list[str]:
    """Return the public methods and properties that a class itself defines, a line each."""
    rows = []
    for owner in tree.body:
        for node in owner.body if isinstance(owner, ast.ClassDef) and owner.name == name else ():
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or node.name[0] == "_":
                continue
            kinds = {ast.unparse(each) for each in node.decorator_list}
            if "staticmethod" not in kinds:
                del (node.args.posonlyargs or node.args.args)[:1]
            called = (
                "" if kinds & {"property", "cached_property"} else f"({ast.unparse(node.args)})"
            )
            waited = "await " if isinstance(node, ast.AsyncFunctionDef) else ""
            rows.append(f"- `{waited}{node.name}{called}`: {_first(ast.get_docstring(node))}")
    return rows


def _home(package: ModuleType, name: str) -> ModuleType:
    """Return the module that defines a name, following the imports from where it is public."""
    source = Path(str(package.__file__))
    stub = source.with_suffix(".pyi")
    tree = ast.parse((stub if stub.exists() else source).read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and name in {each.name for each in node.names}:
            return _home(import_module(str(node.module)), name)
    return package


def _written(tree: ast.Module, name: str) -> tuple[str, str | None]:
    """Return what a definition looks like to whoever uses it, and its docstring."""
    for node, after in zip(tree.body, [*tree.body[1:], None], strict=True):
        match node:
            case ast.FunctionDef(name=found) if found == name:
                returned = "" if node.returns is None else f" -> {ast.unparse(node.returns)}"
                return f"{name}({ast.unparse(node.args)}){returned}", ast.get_docstring(node)
            case ast.ClassDef(name=found) if found == name:
                return f"class {name}({_fields(node)})", ast.get_docstring(node)
            case ast.AnnAssign(target=ast.Name(id=found)) if found == name:
                return f"{name}: {ast.unparse(node.annotation)}", _string(after)
            case ast.Assign(targets=[ast.Name(id=found)]) if found == name:
                return f"{name} = {ast.unparse(node.value)}", _string(after)
            case _:
                pass
    message = f"{name} is not defined where it is imported from"
    raise LookupError(message)


def _fields(node: ast.ClassDef) -> str:
    for each in node.body:
        if isinstance(each, ast.FunctionDef) and each.name == "__init__":
            each.args.args = each.args.args[1:]
            return ast.unparse(each.args)
    fields = [each for each in node.body if isinstance(each, ast.AnnAssign)]
    named = any(each.arg == "kw_only" for each in node.keywords)
    listed = [ast.unparse(each) for each in fields if "ClassVar" not in ast.dump(each)]
    return ", ".join(["*", *listed] if named and listed else listed)


def _string(node: ast.stmt | None) -> str | None:
    match node:
        case ast.Expr(value=ast.Constant(value=str(said))):
            return said
        case _:
            return None


def main(words: list[str]) -> int:
    """Write the page, or tell with ``--check`` whether it is what the code gives."""
    made = page()
    if "--check" not in words:
        PAGE.write_text(made, encoding="utf-8")
        return 0
    fresh = PAGE.exists() and PAGE.read_text(encoding="utf-8") == made
    if not fresh:
        sys.stderr.write("docs/api.md is stale: make diagrams\n")
    return 0 if fresh else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
