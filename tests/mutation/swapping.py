"""Puts one changed function in the place of the real one: in a running process, or at import."""

from __future__ import annotations
import __future__

import ast
import importlib
import importlib.machinery
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from types import CodeType, FunctionType, ModuleType
from typing import Any, Final, NamedTuple

_ANNOTATIONS: Final = __future__.annotations.compiler_flag


class Change(NamedTuple):
    """The source of a changed function, without its decorators; it may be ``Class.method``."""

    module: str
    function: str
    source: str

    @property
    def definition(self) -> ast.FunctionDef:
        """Return the changed function as it is parsed."""
        (node,) = ast.parse(self.source).body
        assert isinstance(node, ast.FunctionDef)
        return node


class Mutant(NamedTuple):
    """One change, as a person reads it, its lines, and those of the body that it is in."""

    name: str
    change: Change
    lines: range
    body: range
    diff: str


def _found(namespace: dict[str, Any], path: Sequence[str]) -> FunctionType:
    for name in path[:-1]:
        namespace = dict(vars(namespace[name]))
    found = namespace[path[-1]]
    function = getattr(found, "__func__", found)
    assert isinstance(function, FunctionType)
    return function


def swap(change: Change) -> None:
    """Give the function its changed code: whoever holds the function calls the changed one.

    Raises NameError, TypeError or ValueError for a change that can be made at import only.
    """
    module = sys.modules[change.module]
    *owners, name = change.function.split(".")
    body: list[ast.stmt] = [change.definition]
    for owner in reversed(owners):
        body = [ast.ClassDef(name=owner, bases=[], keywords=[], body=body, decorator_list=[])]
    tree = ast.fix_missing_locations(ast.Module(body=body, type_ignores=[]))
    namespace = dict(vars(module))
    code = compile(tree, module.__file__ or "", "exec", _ANNOTATIONS, dont_inherit=True)
    exec(code, namespace)  # noqa: S102  it is our own code, changed
    changed = _found(namespace, (*owners, name))
    function = _found(dict(vars(module)), (*owners, name))
    function.__code__ = changed.__code__
    function.__defaults__ = changed.__defaults__
    function.__kwdefaults__ = changed.__kwdefaults__


class _Loader(importlib.machinery.SourceFileLoader):
    """Compiles the module with the changed function in it."""

    change: Change

    def get_code(self, fullname: str) -> CodeType:
        tree = ast.parse(self.get_source(fullname) or "")
        *owners, name = self.change.function.split(".")
        body = tree.body
        for owner in owners:
            (body,) = (
                node.body for node in body if isinstance(node, ast.ClassDef) and node.name == owner
            )
        at = max(  # the last of a name is the one that counts
            index
            for index, node in enumerate(body)
            if isinstance(node, ast.FunctionDef) and node.name == name
        )
        old, new = body[at], self.change.definition
        assert isinstance(old, ast.FunctionDef)
        new.decorator_list = new.decorator_list or old.decorator_list
        body[at] = new
        return compile(ast.fix_missing_locations(tree), self.path, "exec", dont_inherit=True)


class _Finder(MetaPathFinder):
    """Finds the changed module, and no other."""

    def __init__(self, change: Change) -> None:
        self._change = change

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != self._change.module:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        assert spec is not None
        assert spec.origin is not None
        loader = _Loader(fullname, spec.origin)
        loader.change = self._change
        spec.loader = loader
        return spec


def import_changed(change: Change) -> None:
    """Import the module with the change in it; it must not have been imported yet.

    This has to happen before pytest starts, whose own finder would find the module unchanged.
    """
    assert change.module not in sys.modules
    finder = _Finder(change)
    sys.meta_path.insert(0, finder)
    importlib.import_module(change.module)
    sys.meta_path.remove(finder)
