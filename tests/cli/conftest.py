"""A command line in an empty directory, with a state folder of its own."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from goalfsm.cli import main
from tests.cli.terminal import Cli, Result


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GOALFSM_DB", "GOALFSM_THREAD", "GOALFSM_RUN_ID", "GOALFSM_RUN_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)


@pytest.fixture
def cli(capfd: pytest.CaptureFixture[str]) -> Cli:
    """Run a command in this process."""

    def run(*words: str) -> Result:
        capfd.readouterr()
        status = main(list(words))
        out, err = capfd.readouterr()
        return Result(status, out, err)

    return run
