"""The chip: one line, wherever it is asked for."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from goalfsm.cli import exits
from tests.cli.processes import daemon, goalfsm
from tests.cli.terminal import Cli

FORMATS = ("plain", "tmux", "starship")
TMUX = shutil.which("tmux")


@pytest.mark.parametrize(
    ("form", "said"), [("plain", "○ no goal\n"), ("tmux", ""), ("starship", "")]
)
def test_where_there_is_no_goal(cli: Cli, form: str, said: str) -> None:
    assert cli("chip", "--format", form) == (exits.OK, said, "")
    cli("set", "other", "another goal")
    assert cli("chip", "--format", form) == (exits.OK, said, "")
    cli("clear", "other")
    assert cli("chip", "other", "--format", form) == (exits.OK, said, "")


def test_it_makes_no_database(cli: Cli, tmp_path: Path) -> None:
    cli("chip", "--db", str(tmp_path / "none.db"))
    assert not (tmp_path / "none.db").exists()


@pytest.mark.parametrize("form", FORMATS)
def test_one_line_of_a_goal(cli: Cli, form: str) -> None:
    cli("set", "ship it", "--tokens", "20k", "--", "true")
    cli("pause")
    shown = cli("chip", "--format", form)
    assert shown.status == exits.OK
    assert "‖ paused (user) · goalfsm resume · 0 % of tokens" in shown.out
    assert shown.out.count("\n") == 1


def test_nobody_works_after_an_engine_that_was_killed(cli: Cli) -> None:
    cli("set", "ship it", "--", "sleep", "60")
    with daemon() as serving:
        serving.process.kill()
        serving.process.wait()
    assert goalfsm("chip").out.startswith("! nobody works on this")


@pytest.mark.skipif(TMUX is None, reason="needs tmux")
def test_tmux_takes_the_colour_as_a_style_and_the_words_as_they_are(
    cli: Cli, tmp_path: Path
) -> None:
    """Nothing in the line is a format of tmux but its style, which is left to the bar."""
    cli("set", "ship it", "--tokens", "20k", "--", "true")
    socket = tmp_path / "t"

    def tmux(*words: str) -> str:
        ran = subprocess.run(
            [str(TMUX), "-S", str(socket), "-f", "/dev/null", *words],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "LC_ALL": "C.UTF-8", "TERM": "xterm-256color"},
        )
        return ran.stdout

    tmux("new-session", "-d", "-x", "80", "-y", "5", "sleep 60")
    try:
        shown = goalfsm("chip", "--format", "tmux").out.rstrip("\n")
        # What a job of the status bar prints is expanded like this text.
        assert tmux("display-message", "-p", shown).strip() == shown
        assert "▶ continuing" in shown or "! nobody works" in shown
    finally:
        tmux("kill-server")
