"""Every command of the README and of the tutorial runs, in its order, and prints what is shown.

``…`` on a line of its own stands for any lines, within a line for any text.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.packaging.conftest import ROOT

README = (ROOT / "README.md").read_text("utf-8")
TUTORIAL = (ROOT / "docs" / "tutorial.md").read_text("utf-8")
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SAVED = re.compile(r"Save this as `([\w./-]+)`[^\n]*\n*\Z")
SEPARATOR = "\x1e"


class Shown(NamedTuple):
    """A command and the output that is shown for it."""

    command: str
    output: str


class Scene(NamedTuple):
    """Files to save, and then commands to type into one shell."""

    files: dict[str, str]
    commands: list[Shown]


def scenes(page: str) -> list[Scene]:
    """Return a page as a person would follow it."""
    found: list[Scene] = []
    files: dict[str, str] = {}
    for block in BLOCK.finditer(page):
        language, text = block.groups()
        named = SAVED.search(page[: block.start()])
        if named is not None:
            files[named[1]] = text
        elif language == "console":
            commands = typed(text)
            if commands:
                found.append(Scene(files, commands))
                files = {}
    return found


def typed(text: str) -> list[Shown]:
    """Return the commands of a console block; one that ends in a backslash goes on below."""
    found: list[Shown] = []
    rows = iter(text.splitlines())
    for row in rows:
        if row.startswith("$ "):
            command = row[2:]
            while command.endswith("\\"):
                command = f"{command}\n{next(rows)}"
            found.append(Shown(command, ""))
        elif found:
            found[-1] = found[-1]._replace(output=f"{found[-1].output}{row}\n")
    return found


def pattern(shown: str) -> re.Pattern[str]:
    """Return what matches an output as it is shown."""
    parts = []
    for row in shown.splitlines():
        if row.strip() == "…":
            parts.append(r"(?:.*\n)*?")
        else:
            parts.append(
                ".*".join(re.escape(piece) for piece in row.rstrip().split("…")) + r"\s*\n"
            )
    return re.compile("".join(parts))


@pytest.mark.parametrize("page", [README, TUTORIAL], ids=["readme", "tutorial"])
def test_a_page_shows_commands(page: str) -> None:
    assert sum(len(scene.commands) for scene in scenes(page)) >= 5


@pytest.mark.parametrize("page", [README, TUTORIAL], ids=["readme", "tutorial"])
def test_every_command_does_what_is_shown(page: str, installed: Path, tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    folder.mkdir()
    env = {"PATH": f"{installed}:/usr/local/bin:/usr/bin:/bin", "HOME": str(tmp_path)}
    for scene in scenes(page):
        for name, text in scene.files.items():
            (folder / name).write_text(text, "utf-8")
        script = "".join(f"{shown.command}\nprintf '{SEPARATOR}'\n" for shown in scene.commands)
        done = subprocess.run(
            ["bash", "-c", script],
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=folder,
            env=env,
        )
        outputs = done.stdout.split(SEPARATOR)[: len(scene.commands)]
        for shown, output in zip(scene.commands, outputs, strict=True):
            said = f"$ {shown.command}\n{output}"
            assert pattern(shown.output).fullmatch(output), said


def test_the_python_of_the_readme_prints_what_it_says(installed: Path, tmp_path: Path) -> None:
    programs = [text for language, text in BLOCK.findall(README) if language == "python"]
    assert programs
    for number, program in enumerate(programs):
        shown = re.findall(r"print\(.*\)  # (.*)", program)
        done = subprocess.run(
            [installed / "python", "-c", program],
            check=True,
            stdout=subprocess.PIPE,
            text=True,
            cwd=tmp_path,
            env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"},
        )
        assert done.stdout.split() == shown, number


@pytest.mark.parametrize(
    "target", sorted(set(re.findall(r"^\s*(?:\$ )?make ([\w-]+)", README, re.MULTILINE)))
)
def test_every_make_command_of_the_readme_exists(target: str) -> None:
    subprocess.run(["make", "--dry-run", target], check=True, capture_output=True, cwd=ROOT)
