"""The project's own files: the lock, the commands, and what may not be in any of them."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

from tests.packaging.conftest import ROOT

FLOORS = ROOT / ".ci" / "floors.lock"
LOCKS = {
    "dev": ROOT / ".ci" / "requirements.lock",
    "bench": ROOT / ".ci" / "bench.lock",
    "mutants": ROOT / ".ci" / "mutants.lock",
}
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
# Spelled in pieces, so that this file does not hold what it looks for.
FORBIDDEN = (
    "py" + "pi.org",
    "python" + "hosted.org",
    "npm" + "js.org",
    "npm" + "js.com",
    "deb." + "debian.org",
    "/work/" + "main",
    "/opt/" + "pypi",
)


def locked(group: str) -> dict[str, str]:
    """Return the packages that a group's lock file names, and their versions."""
    text = LOCKS[group].read_text("utf-8")
    return dict(re.findall(r"^([a-z0-9-]+)==(\S+)", text, re.MULTILINE))


def asked(group: str) -> set[str]:
    """Return the names of what the project and the group ask for."""
    project = PYPROJECT["project"]
    needs = [*project["dependencies"], *PYPROJECT["dependency-groups"][group]]
    needs += [need for extra in project["optional-dependencies"].values() for need in extra]
    plain = [need for need in needs if isinstance(need, str)]
    return {re.split(r"[\[<>=~! ;]", need, maxsplit=1)[0].lower() for need in plain}


@pytest.mark.parametrize("group", LOCKS)
def test_every_dependency_is_locked(group: str) -> None:
    assert asked(group) <= locked(group).keys()


@pytest.mark.parametrize("group", LOCKS)
def test_every_locked_version_has_hashes(group: str) -> None:
    blocks = re.split(r"\n(?=[a-z0-9])", LOCKS[group].read_text("utf-8"))
    pinned = [block for block in blocks if "==" in block.split("\n", maxsplit=1)[0]]
    assert len(pinned) >= len(locked(group))
    assert all("--hash=sha256:" in block for block in pinned)


@pytest.mark.parametrize("group", ["bench", "mutants"])
def test_what_is_measured_is_what_is_tested(group: str) -> None:
    assert locked("dev").items() <= locked(group).items()


def test_the_floors_that_are_tested_are_those_that_are_promised() -> None:
    """`make floors` runs with exactly the lowest version of each dependency that we ask for."""
    project = PYPROJECT["project"]
    needs = [need for extra in project["optional-dependencies"].values() for need in extra]
    text = FLOORS.read_text("utf-8")
    tested = dict(re.findall(r"^([a-z0-9-]+)==([\w.]+)", text, re.MULTILINE))
    for need in (*project["dependencies"], *needs):
        found = re.match(r"([\w-]+)(?:\[[\w,]+\])?>=([\d.]+)", need)
        assert found is not None, f"{need} has no floor"
        name, floor = found[1].lower(), found[2]
        # 8.2 stands for 8.2.0, and for the first release of 8.2 where that is not there.
        assert f"{tested[name]}.".startswith(f"{floor}."), need


def test_every_package_begins_with_what_it_is_and_what_it_may_touch() -> None:
    wrong = []
    for path in (ROOT / "goalfsm").rglob("__init__.py"):
        first, _, rest = (ast.get_docstring(ast.parse(path.read_text("utf-8"))) or "").partition(
            "\n\n"
        )
        may = re.match(r"(It|They) may use ", rest)
        if not first.endswith(".") or (may is None and path.parent != ROOT / "goalfsm"):
            wrong.append(f"{path.relative_to(ROOT)}: its second paragraph says no `It may use …`")
    assert wrong == []


def committed() -> list[Path]:
    """Return the files of the project, by git where it is a checkout, else all there are."""
    listed = subprocess.run(["git", "ls-files", "-z"], check=False, capture_output=True, cwd=ROOT)
    if listed.returncode == 0:
        return [ROOT / name for name in os.fsdecode(listed.stdout).split("\0") if name]
    hidden = {".git", ".venv", "__pycache__", "build", "dist", "node_modules"}
    return [path for path in ROOT.rglob("*") if path.is_file() and not hidden & set(path.parts)]


INSTALLS = re.compile(r"pip install ['\"]?([^\s'\"`]+)")
EXTRAS = set(PYPROJECT["project"]["optional-dependencies"])


@pytest.mark.parametrize(
    "page", sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")]), ids=lambda page: page.name
)
def test_every_line_that_installs_goalfsm_is_for_a_checkout(page: Path) -> None:
    """No index has it: only what is installed already can be given more by its name."""
    text = page.read_text("utf-8")
    for named in INSTALLS.findall(text):
        place, _, extras = named.partition("[")
        if place in {".", "path/to/the/checkout"}:
            assert set(extras.rstrip("]").split(",")) - {""} <= EXTRAS, named
        elif place == "goalfsm":
            assert page.name == "README.md"
            assert "to what is installed" in text


def test_no_file_names_a_registry_or_a_place_on_one_machine() -> None:
    found = [
        f"{path.relative_to(ROOT)}: {word}"
        for path in committed()
        # The messages of real tools, which the classifier is tested with, are what they are.
        if path.is_file() and path.name != "errors.jsonl"
        for text in [path.read_text("utf-8", errors="ignore")]
        for word in FORBIDDEN
        if word in text
    ]
    assert found == []


@pytest.mark.parametrize("name", ["run", "setup", "tools", "lock", "newer", "mutants"])
def test_the_scripts_can_be_run_and_parsed(name: str) -> None:
    script = ROOT / ".ci" / name
    assert os.access(script, os.X_OK)
    shell = script.read_text("utf-8").split("\n", maxsplit=1)[0].rpartition("/")[2].split()[-1]
    subprocess.run([shell, "-n", script], check=True)


def test_every_make_target_says_what_it_is_for() -> None:
    text = (ROOT / "Makefile").read_text("utf-8")
    (phony,) = re.findall(r"^\.PHONY: (.*)$", text, re.MULTILINE)
    # These tests may run under make themselves.
    env = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    shown = subprocess.run(
        ["make", "help"], check=True, capture_output=True, text=True, cwd=ROOT, env=env
    )
    listed = {row.split()[0] for row in shown.stdout.splitlines() if row.strip()}
    assert set(phony.split()) == listed
