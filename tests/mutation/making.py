"""Every mutant of a module that mutmut's operators make, as the source of one changed function."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator
from difflib import unified_diff
from pathlib import Path
from textwrap import dedent
from typing import Any, Final, NamedTuple

import libcst as cst
from libcst.metadata import MetadataWrapper, PositionProvider
from mutmut.mutation.file_mutation import create_mutations, deep_replace

from tests.mutation.swapping import Change, Mutant

_UNREACHABLE: Final = re.compile(r"assert_never\(|if TYPE_CHECKING:")
"""What coverage leaves out as well: no test can get there."""


class Site(NamedTuple):
    """Where a mutant can be made; making it costs a few milliseconds."""

    name: str
    module: str
    function: str
    lines: range
    body: range
    tree: cst.Module
    before: cst.FunctionDef
    nodes: tuple[cst.CSTNode, cst.CSTNode]

    def written(self, function: cst.FunctionDef) -> str:
        """Return the source of the function, or of a changed one."""
        return dedent(self.tree.code_for_node(function)).strip() + "\n"

    def unchanged(self) -> Mutant:
        """Return the function as it is, in the place of a mutant."""
        change = Change(self.module, self.function, self.written(self.before))
        return Mutant(self.name, change, self.lines, self.body, "")

    def mutant(self) -> Mutant:
        """Make the mutant."""
        after: Any = deep_replace(self.before, *self.nodes)
        old, new = self.written(self.before), self.written(after)
        lines = (text.splitlines(keepends=True) for text in (old, new))
        diff = "".join(list(unified_diff(*lines, n=1))[2:])
        change = Change(self.module, self.function, new)
        return Mutant(self.name, change, self.lines, self.body, diff)


def _spans(source: str) -> list[tuple[int, int]]:
    """Return the lines of every statement up to its first block; of a function, all of it."""
    spans = []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.stmt) or node.end_lineno is None:
            continue
        end = node.end_lineno
        if not isinstance(node, ast.FunctionDef):
            inside = [n.lineno for n in ast.iter_child_nodes(node) if isinstance(n, ast.stmt)]
            inside += [case.pattern.lineno for case in getattr(node, "cases", ())]
            inside += [handler.lineno for handler in getattr(node, "handlers", ())]
            end = min([end, *(line - 1 for line in inside if line > node.lineno)])
        spans.append((node.lineno, end))
    return spans


def _around(line: int, spans: list[tuple[int, int]]) -> range:
    """Return the lines of the innermost statement that this line belongs to."""
    start, end = max((s for s in spans if s[0] <= line <= s[1]), default=(line, line))
    return range(start, end + 1)


def _functions(tree: cst.Module) -> Iterator[tuple[str, cst.FunctionDef]]:
    """Yield each function that mutmut changes, with its qualified name."""
    for node in tree.body:
        if isinstance(node, cst.FunctionDef):
            yield node.name.value, node
        elif isinstance(node, cst.ClassDef):
            for child in node.body.body:
                if isinstance(child, cst.FunctionDef):
                    yield f"{node.name.value}.{child.name.value}", child


def sites(module: str, path: Path) -> list[Site]:
    """Return where mutants of the module can be made, in the order of its source."""
    source = path.read_text(encoding="utf-8")
    skipped = {
        number
        for number, line in enumerate(source.splitlines(), 1)
        if _UNREACHABLE.search(line.split("#")[0])
    }
    tree, mutations, _, _ = create_mutations(str(path), source, None, skipped)
    wrapper = MetadataWrapper(tree, unsafe_skip_copy=True)
    positions: Any = wrapper.resolve(PositionProvider)
    names = {id(node): name for name, node in _functions(tree)}
    spans = _spans(source)
    counts: Counter[str] = Counter()
    found = []
    for mutation in mutations:
        function = mutation.contained_by_top_level_function
        name = names.get(id(function))
        if function is None or name is None:
            continue
        counts[name] += 1
        nodes = (mutation.original_node, mutation.mutated_node)
        around = positions[function]
        lines = _around(positions.get(nodes[0], around).start.line, spans)
        begins = positions[function.body.body[0]].start.line
        body = range(max(begins, around.start.line + 1), around.end.line + 1)
        label = f"{module}.{name}#{counts[name]}"
        found.append(Site(label, module, name, lines, body, tree, function, nodes))
    return found
