"""How long the project's own tests take, and where that time goes."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Final
from xml.etree import ElementTree as ET

from tests.bench.harness import Section, figure

ROOT: Final = Path(__file__).parents[2]
WHOLE: Final = ("make shared", "make alone")
"""What ``make test`` consists of."""
_NAMED: Final = 12


def section() -> Section:
    """Run ``make quick``, then what ``make test`` runs; set up before, as a developer has it."""
    told = Section("The project's own tests")
    _make("setup")
    wall, _ = _tests("quick")
    told.figures.append(figure("make quick", [wall], "s"))
    spent: Counter[str] = Counter()
    total = 0.0
    for target in WHOLE:
        wall, where = _tests(target.removeprefix("make "))
        total += wall
        spent.update(where)
        told.figures.append(figure(target, [wall], "s"))
    told.figures.insert(1, figure("make test", [total], "s", note=" and ".join(WHOLE)))
    told.figures += [
        figure(f"in {folder}", [seconds], "s", note="of two processes, or one in make alone")
        for folder, seconds in spent.most_common(_NAMED)
    ]
    return told


def _tests(target: str) -> tuple[float, Counter[str]]:
    """Return the seconds that a target took, and those of its tests by folder."""
    with tempfile.TemporaryDirectory() as scratch:
        report = Path(scratch) / "report.xml"
        begun = time.perf_counter()
        _make(target, f"PYTEST=--junitxml={report}")
        wall = time.perf_counter() - begun
        spent: Counter[str] = Counter()
        for case in ET.parse(report).iter("testcase"):  # noqa: S314  pytest wrote it
            folder = "/".join(case.get("classname", "").split(".")[:2])
            spent[folder] += float(case.get("time", "0"))
    return wall, spent


def _make(*words: str) -> None:
    # The environment of the benchmark is not that of the tests.
    environment = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    argv = ["make", "--no-print-directory", "-s", *words]
    subprocess.run(
        argv, check=True, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )  # fmt: skip
