"""``pytest tests/conformance --vectors DIR``: what it runs, counts and refuses."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


def run(folder: Path, *only: str) -> tuple[int, str]:
    """Return the status and the output of the runner."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:randomly"),
            *(only or ("tests/conformance",)),
            *("--vectors", str(folder)),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout


def write(path: Path, *lines: Any) -> None:
    """Write the lines as a vector file."""
    text = (
        line if isinstance(line, str) else json.dumps(line, ensure_ascii=False) for line in lines
    )
    path.write_text("\n".join(text) + "\n", encoding="utf-8")


def duration(name: Any, value: Any, expect: str, **more: Any) -> dict[str, Any]:
    """Return a line of the file ``format``."""
    return {"id": name, "fn": "duration", "value": value, "expect": expect, **more}


def test_every_file_of_a_folder_is_replayed_and_counted(tmp_path: Path) -> None:
    """Ids may skip or be texts; what a line has beside its fields changes nothing."""
    write(
        tmp_path / "format.jsonl",
        duration(0, 59, "59s"),
        duration(17, 60, "1m 0s", note="a line separator \u2028 and \u0085 are text"),
        duration("a text", 61, "1m 1s"),
    )
    write(tmp_path / "peer_tests.jsonl", {"id": 3, "context_window": None, "steps": []})
    write(tmp_path / "session_more.jsonl", {"id": "x", "context_window": None, "steps": []})
    status, said = run(tmp_path)
    assert status == 0, said
    counts = re.findall(r"^(\w+\.jsonl) +(\d+) of (\d+) passed$", said, re.MULTILINE)
    assert counts == [
        ("format.jsonl", "3", "3"),
        ("peer_tests.jsonl", "1", "1"),
        ("session_more.jsonl", "1", "1"),
    ]
    alone = "tests/conformance/test_vectors.py::format[17]"
    status, said = run(tmp_path, alone)
    assert (status, "1 passed" in said) == (0, True), said


def test_a_line_that_fails_is_named_and_counted(tmp_path: Path) -> None:
    write(
        tmp_path / "format.jsonl",
        duration(1, 59, "59s"),
        duration(2, 59, "60s"),
        {"id": "odd", "fn": "duration", "expect": "60s"},
    )
    steps = [
        {"op": "branch_replaced", "now_ms": 1, "entries": []},
        {"op": "session_tree", "now_ms": 2, "expect": {"aborts": 1}},
    ]
    write(tmp_path / "session.jsonl", {"id": 5, "context_window": None, "steps": steps})
    status, said = run(tmp_path)
    assert status == 1, said
    assert "got    59s\n  wanted 60s" in said
    assert "session[5] differs first at step 1: {'op': 'session_tree'" in said
    assert "KeyError: 'value'" in said
    assert "pluggy" not in said.split("short test summary")[0].split("= FAILURES =")[1]
    assert re.search(r"^format\.jsonl +1 of 3 passed$", said, re.MULTILINE)
    assert re.search(r"^session\.jsonl +0 of 1 passed$", said, re.MULTILINE)
    for name in ("format[2]", "format[odd]", "session[5]"):
        assert f"FAILED tests/conformance/test_vectors.py::{name}" in said


@pytest.mark.parametrize(
    ("name", "line", "fault"),
    [
        ("formats", duration(1, 59, "59s"), "formats.jsonl is no known vector file; known are: "),
        ("format", '{"id": 1,', "format.jsonl, line 1: no JSON: "),
        ("format", {"fn": "duration"}, "format.jsonl, line 1: no object with an id"),
        ("format", "[1]", "format.jsonl, line 1: no object with an id"),
        (None, None, "there are no vectors (*.jsonl) in "),
    ],
)
def test_what_is_no_vector_is_an_error(
    tmp_path: Path, name: str | None, line: Any, fault: str
) -> None:
    """Nothing is replayed then: a count that leaves a file out would look like success."""
    if name is not None:
        write(tmp_path / f"{name}.jsonl", line)
    status, said = run(tmp_path)
    assert status == pytest.ExitCode.INTERRUPTED, said
    assert fault in said
    assert "Traceback" not in said
    assert "passed" not in said
