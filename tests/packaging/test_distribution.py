"""What is built holds all that is needed and nothing else, and runs without the source tree."""

from __future__ import annotations

import json
import re
import subprocess
import tarfile
import tomllib
import zipfile
from email.message import Message
from email.parser import Parser
from pathlib import Path

import pytest

from tests.packaging.conftest import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


@pytest.fixture(scope="session")
def names(wheel: Path) -> set[str]:
    """Return what the wheel holds."""
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


@pytest.fixture(scope="session")
def metadata(wheel: Path, names: set[str]) -> Message:
    """Return the wheel's metadata."""
    (found,) = (name for name in names if name.endswith(".dist-info/METADATA"))
    with zipfile.ZipFile(wheel) as archive:
        return Parser().parsestr(archive.read(found).decode())


def test_the_wheel_holds_both_packages_and_nothing_else(names: set[str]) -> None:
    assert {name.split("/")[0].split("-")[0] for name in names} == {"goalfsm", "recovery"}


def test_the_wheel_is_typed_and_licensed(names: set[str]) -> None:
    assert {"goalfsm/py.typed", "recovery/py.typed"} <= names
    assert any(name.endswith("/licenses/LICENSE") for name in names)


def test_every_file_of_the_packages_is_in_the_wheel(names: set[str]) -> None:
    """Templates and data too: a wheel that lacks one fails only when it is used."""
    here = {
        path.relative_to(ROOT).as_posix()
        for package in ("goalfsm", "recovery")
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and path.suffix != ".pyc"
    }
    assert here == {name for name in names if ".dist-info/" not in name}


def test_the_metadata_is_that_of_the_project(metadata: Message) -> None:
    assert metadata["Name"] == PROJECT["name"]
    assert metadata["Version"] == PROJECT["version"]
    assert metadata["Requires-Python"] == PROJECT["requires-python"]
    assert metadata["License-Expression"] == PROJECT["license"]
    assert metadata["Summary"] == PROJECT["description"]


LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)")


def test_the_readme_s_links_lead_somewhere_from_an_index_page(metadata: Message) -> None:
    """What is relative in the checkout is absolute there, and nothing else is changed."""
    here = (ROOT / "README.md").read_text("utf-8")
    there = metadata.get_payload()
    assert isinstance(there, str)
    assert LINK.sub(r"\1[\2]", there) == LINK.sub(r"\1[\2]", here)
    source = PROJECT["urls"]["Source"]
    version = PROJECT["version"]
    bases = {
        "": f"{source}/blob/v{version}/",
        "!": f"{source.replace('github.com', 'raw.githubusercontent.com')}/v{version}/",
    }
    links = list(zip(LINK.findall(here), LINK.findall(there), strict=True))
    assert len(links) > 10
    for (_, _, relative), (kind, _, absolute) in links:
        if relative.startswith("https://"):
            assert absolute == relative
        else:
            assert absolute == bases[kind] + relative
            assert (ROOT / relative).exists()


def test_the_project_says_where_it_is(metadata: Message) -> None:
    urls = dict(url.split(", ") for url in metadata.get_all("Project-URL"))
    assert urls == PROJECT["urls"]
    assert {"Documentation", "Source", "Changelog", "Issues"} <= urls.keys()


def test_the_sdist_holds_what_builds_and_tests_it(dist: Path) -> None:
    (sdist,) = dist.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        found = {name.partition("/")[2] for name in archive.getnames()}
    assert {
        "pyproject.toml",
        "README.md",
        "LICENSE",
        "Makefile",
        ".ci/requirements.lock",
        "goalfsm/goal/machine.py",
        "tests/conftest.py",
    } <= found


def test_the_installed_program_is_the_wheels(installed: Path) -> None:
    where = subprocess.run(
        [installed / "python", "-I", "-c", "import goalfsm, recovery; print(goalfsm.__file__)"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    assert Path(where).is_relative_to(installed.parent)


def test_an_installed_goal_completes_far_from_the_source(installed: Path, tmp_path: Path) -> None:
    """From nothing: a database, a worker in sh, a claim from inside the turn, a status."""
    worker = tmp_path / "worker.sh"
    worker.write_text(
        "#!/bin/sh\ngoalfsm tool update_goal --status complete --evidence 'it is done'\n"
    )
    worker.chmod(0o755)
    env = {"PATH": f"{installed}:/usr/bin:/bin", "HOME": str(tmp_path)}
    run = subprocess.run(
        [installed / "goalfsm", "run", "do it", "--", "./worker.sh"],
        check=False,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=env,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    status = subprocess.run(
        [installed / "goalfsm", "status", "--json"],
        check=True,
        capture_output=True,
        cwd=tmp_path,
        env=env,
    )
    assert json.loads(status.stdout)["goal"]["status"] == "complete"
