"""What the system gives or takes: one line and a hint, no traceback, nothing written."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.processes import goalfsm
from tests.cli.terminal import Cli

STRANGE = os.fsdecode(b"\xff")


@pytest.fixture
def strange(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the working directory, whose name is no UTF-8."""
    place = tmp_path / f"{STRANGE}d"
    try:
        place.mkdir()
    except OSError:
        pytest.skip("this file system takes UTF-8 alone")
    monkeypatch.chdir(place)
    return place


@pytest.mark.parametrize(
    "words",
    [
        ("run", "do it", "--", "true"),
        ("set", "t", "do it", "--", "true"),
        ("set", "t", "do it", "--db", f"{STRANGE}.db", "--", "true"),
        ("run", "do it", "--", "echo", STRANGE),
    ],
)
def test_what_is_no_utf_8_is_refused_before_anything_is_written(
    words: tuple[str, ...], strange: Path, tmp_path: Path
) -> None:
    done = goalfsm(*words)
    assert done.status == 2, done
    assert "no UTF-8" in done.err
    assert "Hint: use a path" in done.err
    assert "Traceback" not in done.err
    assert list(strange.iterdir()) == []
    assert not list(tmp_path.glob("state/goalfsm/*.db"))


def test_commands_that_keep_nothing_work_there(cli: Cli, strange: Path) -> None:
    for command in ("list", "status", "explain", "report"):
        assert "no goal yet" in cli(command).err
    assert list(strange.iterdir()) == []


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the limit means something else")
@pytest.mark.parametrize("words", [("run", "do it", "--", "true"), ("daemon",), ("status",)])
def test_without_memory_it_ends_with_a_line(words: tuple[str, ...]) -> None:
    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (50_000_000, 50_000_000))

    done = subprocess.run(
        [sys.executable, "-m", "goalfsm.cli", *words],
        preexec_fn=limited,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode != 0
    assert "Traceback" not in done.stderr, done.stderr
    assert "Hint: " in done.stderr
    assert len([row for row in done.stderr.splitlines() if row.startswith("goalfsm: ")]) == 1
