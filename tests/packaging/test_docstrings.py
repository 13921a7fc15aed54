"""A docstring of a public name can be read without its code."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("goalfsm", "recovery")
LEAST, SHORT = 3, 5
"""Words of a first sentence: the fewest, and up to how many none may stand for another."""
BEGINNINGS = {"it", "its", "they", "their", "them", "this", "that", "these", "those"}
STAND_INS = BEGINNINGS - {"that"} | {
    "anything",
    "everything",
    "nothing",
    "others",
    "something",
    "what",
    "who",
    "whoever",
}
BARE = re.compile(
    r"\b(none|(any|one)(?= (is|are|was|has|at|by|for|in|to)\b|\W*$|[,;:]))\b", re.IGNORECASE
)
"""A stand-in where no noun follows: "Start without any.", but not "Show one notice."."""


def riddles(source: str) -> Iterator[tuple[str, str]]:
    """Yield the public names of a module whose first sentence says nothing by itself."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        said = ast.get_docstring(node)
        if said is None or (node.name.startswith("_") and node.name != "__init__"):
            continue
        sentence = re.split(r"(?<=\.) |\n\n", said)[0]
        words = re.findall(r"[\w'.-]+", sentence.lower())
        named = "`" in sentence
        stands_in = BARE.search(sentence) or not STAND_INS.isdisjoint(_plain(words))
        short = len(words) <= SHORT and not named and stands_in
        hangs = node.name == "__init__" and re.match(r"\w+;", sentence)
        if (len(words) < LEAST and not named) or words[0] in BEGINNINGS or short or hangs:
            yield node.name, sentence


def _plain(words: list[str]) -> set[str]:
    return {word.strip(".'") for word in words}


def test_a_first_sentence_names_what_it_is_about() -> None:
    found = [
        f"{path.relative_to(ROOT)}: {name}: {sentence}"
        for package in PACKAGES
        for path in sorted((ROOT / package).rglob("*.py"))
        for name, sentence in riddles(path.read_text(encoding="utf-8"))
    ]
    assert not found, "\n".join(found)


def test_riddles_are_noticed() -> None:
    source = '''
def move():
    """Move what can be moved."""
def commit():
    """Commit."""
def told():
    """It is told of every row that fires in the thread."""
def end():
    """End the app-server now."""
def load():
    """See `Sessions.load`."""
def show():
    """Show one notice, not any more."""
def look():
    """Look when one is due."""
class Limits:
    def __init__(self):
        """Start with none."""
class Feed:
    def __init__(self):
        """Prepare; `start` begins."""
'''
    named = [name for name, _ in riddles(source)]
    assert sorted(named) == ["__init__", "__init__", "commit", "look", "move", "told"]
