"""The real interface in a real terminal, beside a real engine that is killed under it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from goalfsm.cli import main
from tests.agents.screen import Screen
from tests.cli.processes import daemon, goalfsm

TMUX = shutil.which("tmux")
PATIENCE_S = 60.0
WORK = "echo reading the ledger; exec sleep 600"
"""It is said before the interface has come back to the engine."""

pytestmark = [
    pytest.mark.skipif(TMUX is None, reason="needs tmux"),
    pytest.mark.timeout(240),
]


class Terminal(Screen):
    """A terminal with the interface in it."""

    def open(self, *words: str) -> None:
        """Start a command in it."""
        self.tmux(
            "new-session", "-d", "-x", "100", "-y", "34",
            sys.executable, "-m", "goalfsm.cli", *words,
        )  # fmt: skip


@pytest.fixture
def terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Terminal]:
    for name in ("GOALFSM_THREAD", "GOALFSM_RUN_ID", "GOALFSM_RUN_TOKEN", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GOALFSM_DB", str(tmp_path / "goals.db"))
    monkeypatch.chdir(tmp_path)
    window = Terminal(tmp_path / "t")
    yield window
    subprocess.run([str(TMUX), "-S", str(tmp_path / "t"), "kill-server"], check=False)


def test_it_follows_an_engine_through_a_kill_and_never_takes_over(terminal: Terminal) -> None:
    assert goalfsm("set", "books", "balance the ledger", "--", "sh", "-c", WORK).status == 0
    terminal.open("ui", "books")
    terminal.shows("balance the ledger", "nobody drives this")

    with daemon() as first:
        terminal.shows("following the engine", "running a turn", f"process {first.process.pid}")
        first.process.kill()
        first.process.wait()
        terminal.shows("nobody works on this", "nobody drives this", "goalfsm run --thread books")

    with daemon() as second:
        terminal.shows(
            "following the engine", f"process {second.process.pid}", "reading the ledger"
        )
        terminal.press("s")
        terminal.shows("What should the work take into account?")
        terminal.press("-l", "mind the notes")
        terminal.press("Enter")
        terminal.shows("mind the notes", "message")
        terminal.press("p")
        terminal.shows("paused (user)", "goalfsm resume books")
    terminal.press("q")


def test_goals_are_queued_and_put_in_order(terminal: Terminal) -> None:
    assert goalfsm("set", "books", "balance the ledger", "--", "sh", "-c", WORK).status == 0
    assert goalfsm("queue", "add", "books", "ask for the receipts").status == 0
    terminal.open("ui", "books")
    terminal.shows("balance the ledger", "ask for the receipts")
    terminal.press("g")
    terminal.shows("queue a goal", "goalfsm queue drop books")
    terminal.press("n")
    terminal.shows("without a template")
    terminal.press("Enter")
    terminal.shows("Token budget")
    terminal.press("-l", "thank the auditors")
    terminal.press(*["Enter"] * 3)
    terminal.press("-l", "20k")
    terminal.press(*["Enter"] * 2)
    terminal.shows("2.", "20,000 tokens", "thank the auditors")
    terminal.press("]")
    terminal.shows("earlier", "goalfsm queue move books q1 1")
    listed = json.loads(goalfsm("queue", "list", "books", "--json").out)["queue"]
    assert [one["objective"] for one in listed] == ["thank the auditors", "ask for the receipts"]
    assert listed[0]["limits"]["tokens"] == 20_000
    terminal.press("escape", "q")


def test_it_ends_with_its_terminal_also_where_no_signal_tells_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A terminal that is not the controlling one hangs up in silence."""
    monkeypatch.setenv("GOALFSM_DB", str(tmp_path / "goals.db"))
    master, slave = os.openpty()
    command = (sys.executable, "-m", "goalfsm.cli", "ui", "--everywhere")
    with subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave) as shown:
        os.close(slave)
        assert os.read(master, 1)  # It draws.
        os.close(master)
        try:
            assert shown.wait(PATIENCE_S) != 0
        finally:
            shown.kill()


def test_without_the_extra_the_error_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    assert main(["ui"]) == 2
    told = capfd.readouterr().err
    assert "not installed" in told
    assert "pip install 'goalfsm[ui]'" in told


def test_in_a_pipe_the_error_says_what_works_there() -> None:
    told = goalfsm("ui")
    assert told.status == 2
    assert "needs a terminal" in told.err
