"""Whatever a repository, a path or a word contains, a terminal is shown text and nothing else."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import goalfsm.cli
from tests.cli.terminal import Cli

HOSTILE = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202e\u2066"
ACTS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
TEMPLATE = f"""\
+++
description = "does {HOSTILE.encode("unicode_escape").decode().replace("x1b", "u001b")}"
verify = ["make {HOSTILE.encode("unicode_escape").decode().replace("x1b", "u001b")}"]
+++
Do it
"""


@pytest.fixture(autouse=True)
def _repository() -> None:
    folder = Path(".goalfsm", "templates")
    folder.mkdir(parents=True)
    written = re.sub(r"\\x([0-9a-f]{2})", r"\\u00\1", TEMPLATE)
    (folder / f"x{HOSTILE}.md").write_text(written, "utf-8")
    (folder / "plain.md").write_text(written, "utf-8")


@pytest.mark.parametrize(
    "words",
    [
        ("templates", "list"),
        ("templates", "check"),
        ("templates", "show", f"x{HOSTILE}"),
        ("templates", "show", "plain"),
        ("templates", "trust", f"x{HOSTILE}"),
        ("run", "-t", "plain"),
        ("run", "-t", f"y{HOSTILE}"),
        (f"sta{HOSTILE}tus",),
        ("status", f"--nothing{HOSTILE}"),
        ("status", "--db", f"{HOSTILE}.db"),
        ("set", f"t{HOSTILE}", "go on"),
        ("set", "t", f"go {HOSTILE} on"),
        ("set", "t", "go on", "--verify", f"make {HOSTILE}"),
        ("budget", "t", "--tokens", HOSTILE),
        ("policy", "t", "--set", f"{HOSTILE}=1"),
        ("explain-error", f"429 {HOSTILE}"),
        ("diagram", f"{HOSTILE}:machine"),
        ("backup", f"{HOSTILE}.db"),
        ("import", "codex", f"{HOSTILE}"),
        ("notify", "add", "webhook", f"https://example.org/{HOSTILE}"),
        ("tool", f"get{HOSTILE}"),
    ],
    ids=lambda words: " ".join(words).encode("unicode_escape").decode()[:40],
)
def test_nothing_that_is_shown_acts_on_the_terminal(cli: Cli, words: tuple[str, ...]) -> None:
    cli("set", "t", f"the {HOSTILE} objective", "--", "true")
    shown = cli(*words)
    assert shown.out or shown.err
    assert not ACTS.search(shown.out + shown.err), ascii(shown.out + shown.err)


def test_the_commands_write_through_one_door() -> None:
    """What writes past it is data that a program asked for, or goes to a program."""
    past = set()
    for path in Path(str(goalfsm.cli.__file__)).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Attribute) and ast.unparse(node) == "click.echo":
                past.add(path.stem)
    assert past == {"app", "completing", "drawing", "hooking", "output", "tool"}
