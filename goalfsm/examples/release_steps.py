"""The steps of this project's release check: each does real work once and writes down what it saw.

A step is done when its record exists; the record is written last and in one go, so a step that
was killed has none, and is done again from the start.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from email.parser import Parser
from hashlib import file_digest
from pathlib import Path
from typing import Any, Final, NamedTuple

_TAIL: Final = 2_000
_FENCED: Final = re.compile(r"^```\w*$(.*?)^```$", re.MULTILINE | re.DOTALL)
_COMMAND: Final = re.compile(r"\s*(?:\$ )?goalfsm ((?:tool )?[a-z_]+(?:-[a-z]+)*)\b")


class StepError(Exception):
    """A step found something that must not be released, or could not be done."""


class Workspace(NamedTuple):
    """Where the source is, and where everything that is made of it goes."""

    source: Path
    work: Path

    @property
    def dist(self) -> Path:
        """Where the sdist and the wheel are."""
        return self.work / "dist"

    @property
    def venv(self) -> Path:
        """Where the wheel is installed."""
        return self.work / "venv"

    @property
    def manifest(self) -> Path:
        """The list of what would be released."""
        return self.work / "manifest.json"

    @property
    def trail(self) -> Path:
        """Lines that say which step started and finished in which run."""
        return self.work / "trail.jsonl"

    def record_of(self, step: str) -> Path:
        """Return where the record of a step is."""
        return self.work / "records" / f"{step}.json"

    def record(self, step: str) -> dict[str, Any] | None:
        """Return what a step wrote down, None when it is not done."""
        try:
            found: dict[str, Any] = json.loads(self.record_of(step).read_text("utf-8"))
        except FileNotFoundError:
            return None
        return found

    def finish(self, step: str, facts: dict[str, Any]) -> None:
        """Write a step's record; from here on it is done."""
        path = self.record_of(step)
        path.parent.mkdir(exist_ok=True)
        write_whole(path, json.dumps(facts, indent=2, sort_keys=True) + "\n")

    def note(self, **facts: Any) -> None:
        """Add a line to the trail, on the disk before this returns."""
        with self.trail.open("a", encoding="utf-8") as trail:
            trail.write(json.dumps(facts, sort_keys=True) + "\n")
            trail.flush()
            os.fsync(trail.fileno())

    def notes(self) -> Iterator[dict[str, Any]]:
        """Yield the lines of the trail; one that a kill cut off is left out."""
        if not self.trail.exists():
            return
        for row in self.trail.read_text("utf-8").splitlines():
            try:
                yield json.loads(row)
            except json.JSONDecodeError:
                continue


class Step(NamedTuple):
    """One step: its name, what it shows (a criterion of the goal), and how it is done."""

    name: str
    criterion: str
    do: Callable[[Workspace], dict[str, Any]]


def write_whole(path: Path, text: str) -> None:
    """Write a file so that after a crash it is there whole or not at all."""
    part = path.with_name(path.name + ".part")
    with part.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def command(*argv: str | Path, cwd: Path | None = None, env: dict[str, str] | None = None) -> str:
    """Run a program and return what it printed; raise StepError with its last words when it fails.

    The goal that this runs under is none of its business, so it does not learn of it.
    """
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("GOALFSM_", "PYTHON"))}
    done = subprocess.run(  # noqa: S603  the programs are named in this file
        [os.fspath(word) for word in argv],
        cwd=cwd,
        env=clean | (env or {}),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        told = (done.stderr or done.stdout)[-_TAIL:].strip()
        raise StepError(f"{Path(argv[0]).name} exited with {done.returncode}: {told}")
    return done.stdout


def digest(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


def one(pattern: str, folder: Path) -> Path:
    """Return the only file of a folder that matches."""
    found = sorted(folder.glob(pattern))
    if len(found) != 1:
        raise StepError(f"{len(found)} files {pattern} in {folder}, expected one")
    return found[0]


def build(space: Workspace) -> dict[str, Any]:
    """Build the sdist, and the wheel from it, and keep them together or not at all."""
    part = space.work / "dist.part"
    for folder in (part, space.dist):
        shutil.rmtree(folder, ignore_errors=True)
    command(
        sys.executable, "-m", "build", "--no-isolation", "--outdir", part, space.source,
        cwd=space.work,
    )  # fmt: skip
    part.replace(space.dist)
    built = [one("*.tar.gz", space.dist), one("*.whl", space.dist)]
    return {"files": {path.name: digest(path) for path in built}}


def install(space: Workspace) -> dict[str, Any]:
    """Install the wheel, with the locked versions, in a new environment; run what it installs."""
    shutil.rmtree(space.venv, ignore_errors=True)
    command(sys.executable, "-m", "venv", space.venv)
    python = space.venv / "bin" / "python"
    wheel = one("*.whl", space.dist)
    pins = space.work / "pins.txt"
    write_whole(pins, "".join(_pins(space.source)))
    command(
        python, "-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check",
        "--constraint", pins, wheel,
    )  # fmt: skip
    command(python, "-m", "pip", "check")
    where = command(python, "-I", "-c", "import goalfsm; print(goalfsm.__file__)").strip()
    if not Path(where).is_relative_to(space.venv):
        raise StepError(f"goalfsm was imported from {where}, not from the wheel")
    program = space.venv / "bin" / "goalfsm"
    version = command(program, "--version").split()[-1]
    return {"version": version, "installed": where, "goal": _first_goal(program, space)}


def _pins(source: Path) -> Iterator[str]:
    """Yield the locked versions, without hashes: constraints cannot carry them."""
    for row in (source / ".ci" / "requirements.lock").read_text("utf-8").splitlines():
        if "==" in row and not row.startswith((" ", "#")):
            yield row.rstrip(" \\") + "\n"


_FIRST_GOAL: Final = """
import asyncio
from pathlib import Path

from goalfsm import Engine, events, worker
from goalfsm.store.sqlite import SqliteStore


@worker
async def turn(t):
    Path("done.txt").write_text("done")
    await t.tools.update_goal(status="complete", evidence=["done.txt was written"])


async def main():
    store = SqliteStore.open("goal.db")
    async with Engine(store, workers=turn, serve=False) as engine:
        await engine.submit("first", events.ObjectiveGiven(objective="write done.txt"))
        await engine.settled("first")
    store.close()


asyncio.run(main())
"""


def _first_goal(program: Path, space: Workspace) -> str:
    """Drive a goal of one turn with what is installed, from nothing to complete.

    A run may not act as a person at the command line, so an engine is embedded; the command line
    is asked how it ended.
    """
    folder = space.work / "first-goal"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    command(program.with_name("python"), "-I", "-c", _FIRST_GOAL, cwd=folder)
    place = ("--db", folder / "goal.db", "--thread", "first")
    status = json.loads(command(program, "status", *place, "--json", cwd=folder))
    if status["goal"]["status"] != "complete":
        raise StepError(f"the first goal ended {status['goal']['status']}")
    return str(status["goal"]["status"])


def check(space: Workspace) -> dict[str, Any]:
    """Check the metadata, what the wheel holds, and that every documented command exists."""
    wheel = one("*.whl", space.dist)
    with zipfile.ZipFile(wheel) as archive:
        broken = archive.testzip()
        names = archive.namelist()
        info = next(name for name in names if name.endswith(".dist-info/METADATA"))
        metadata = Parser().parsestr(archive.read(info).decode())
    stray = [name for name in names if name.split("/")[0] not in _tops(info)]
    faults = [
        (broken is not None, f"{broken} in the wheel is damaged"),
        (bool(stray), f"the wheel holds {stray[:3]}"),
        ("goalfsm/py.typed" not in names, "the wheel does not say that it is typed"),
        ("recovery/py.typed" not in names, "the wheel lacks the types of recovery"),
        (not metadata["Summary"], "no summary"),
        (not metadata["License-Expression"], "no licence"),
        (not metadata.get_payload(), "no description"),
    ]
    with tarfile.open(one("*.tar.gz", space.dist)) as archive:
        members = {name.partition("/")[2] for name in archive.getnames()}
    needed = ("pyproject.toml", "README.md", "LICENSE", "goalfsm/goal/machine.py")
    faults += [(name not in members, f"the sdist lacks {name}") for name in needed]
    found = [text for wrong, text in faults if wrong]
    if found:
        raise StepError("; ".join(found))
    commands = documented_commands(space.source)
    for words in commands:
        command(space.venv / "bin" / "goalfsm", *words.split(), "--help")
    return {
        "name": metadata["Name"],
        "version": metadata["Version"],
        "requires_python": metadata["Requires-Python"],
        "commands": commands,
        "wheel_files": len(names),
    }


def _tops(info: str) -> tuple[str, ...]:
    return "goalfsm", "recovery", info.split("/", maxsplit=1)[0]


def documented_commands(source: Path) -> list[str]:
    """Return every ``goalfsm`` command that the README and the docs show, once each."""
    pages = [source / "README.md", *sorted((source / "docs").glob("**/*.md"))]
    found = {
        hit[1]
        for page in pages
        if page.exists()
        for block in _FENCED.findall(page.read_text("utf-8"))
        for row in block.splitlines()
        if (hit := _COMMAND.match(row))
    }
    if not found:
        raise StepError("the documentation shows no command")
    return sorted(found)


def manifest(space: Workspace) -> dict[str, Any]:
    """Write the manifest: every file that would be released, its size and its SHA-256."""
    files = {
        path.name: {"bytes": path.stat().st_size, "sha256": digest(path)}
        for path in sorted(space.dist.iterdir())
    }
    checked = space.record("check") or {}
    listed = {"name": checked.get("name"), "version": checked.get("version"), "files": files}
    write_whole(space.manifest, json.dumps(listed, indent=2, sort_keys=True) + "\n")
    return {"manifest": digest(space.manifest), "files": len(files)}


STEPS: Final = (
    Step("build", "an sdist and a wheel are built from the source", build),
    Step("install", "the wheel installs in a fresh environment and its program runs", install),
    Step("check", "the metadata is right and every documented command exists", check),
    Step("manifest", "a manifest lists every file with its size and SHA-256", manifest),
)
