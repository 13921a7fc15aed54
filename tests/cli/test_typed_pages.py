"""The commands of pages that need no real agent, typed as they stand, in their order."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Final

import pytest

from tests.cli.processes import terminal
from tests.cli.test_notifying import Received, received
from tests.cli.workers import worker
from tests.importers.samples import CLAUDE, PI, codex_home

__all__ = ["received"]

DOCS: Final = Path(__file__).parents[2] / "docs"
OURS: Final = {"--agent codex": "-- ./worker.sh"}
"""A program of a few lines does the work, wherever a page names an agent."""
CLAIM: Final = "goalfsm tool update_goal --status complete --evidence seen"
WORK: Final = f"{CLAIM} --criterion 1 --criterion 2 --criterion 3 >&2 || {CLAIM} >&2"
STAND_IN: Final = '#!/bin/sh\necho "$0 $*" >> shown.txt\ncat >> shown.txt\n'


def blocks(page: str) -> str:
    """Return what a page has people type in a shell."""
    text = (DOCS / page).read_text("utf-8")
    return "".join(re.findall(r"^```(?:sh|console)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL))


def tabled(page: str) -> str:
    """Return the commands of a page's tables, with no thread named."""
    text = (DOCS / page).read_text("utf-8").replace(" [THREAD]", "")
    return "\n".join(re.findall(r"^\| `(goalfsm [^`]+)` \|", text, re.MULTILINE))


def typed(commands: str, swaps: dict[str, str], *, but: str = "pip install") -> dict[str, str]:
    """Type commands, and return what each printed; every one has to succeed.

    ``swaps`` are put in place of what is not here; each has to be on the page. What begins with
    ``but`` is left out.
    """
    for there, here in swaps.items():
        assert there in commands, there
        commands = commands.replace(there, here)
    said = {}
    for row in commands.splitlines():
        if not row.strip() or re.match(but, row):
            continue
        done = subprocess.run(
            ["bash", "-c", row], check=False, capture_output=True, stdin=subprocess.DEVNULL
        )
        assert done.returncode == 0, (row, done)
        said[row] = done.stdout.decode() + done.stderr.decode()
    return said


@pytest.fixture(autouse=True)
def _place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a project whose tests pass, with a worker, and programs that note what they get."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    Path("Makefile").write_text("test:\n\ttrue\n")
    Path("bin").mkdir()
    for name in ("notify-send", "gh", "pytest"):
        Path("bin", name).write_text(STAND_IN)
        Path("bin", name).chmod(0o755)
    monkeypatch.setenv("PATH", str(Path("bin").resolve()), prepend=":")
    worker(WORK)


def statuses(thread: str = "") -> list[str]:
    rows = json.loads(typed("goalfsm list --json", {})["goalfsm list --json"])
    return [row["goal"]["status"] for row in rows if thread in row["thread_id"]]


def test_templates() -> None:
    said = typed(blocks("templates.md"), OURS)
    assert statuses() == ["complete"]
    assert "upgrade-dependency" in said["goalfsm templates list"]
    text = (DOCS / "templates.md").read_text("utf-8")
    (sample,) = re.findall(r"```markdown\n(.*?)```", text, re.DOTALL)
    said = typed(
        tabled("templates.md"), {"show NAME": "show fix-issue", "[NAME]": "", "NAME": "own"}
    )
    assert "Fix this fault" in said["goalfsm templates show fix-issue"]
    Path(".goalfsm/templates/own.md").write_text(sample)
    typed("goalfsm templates trust own\ngoalfsm run -t own issue=1 -- ./worker.sh", {})
    assert statuses() == ["complete"]


def test_queue() -> None:
    said = typed(blocks("queue.md"), OURS)
    assert statuses() == ["complete"]
    went_on = said["goalfsm run --advance -- ./worker.sh"]
    assert "going on to the next goal of the queue: Fix this fault: 123" in went_on
    typed("goalfsm queue add 'Thank the auditors'", {})
    said = typed(
        tabled("queue.md"),
        {"OBJECTIVE": "'Paint the door'", "move ID PLACE": "move q4 1", "ID": "q3"},
    )
    assert "Thank the auditors" in said["goalfsm queue list"]
    assert statuses() == ["active"]
    assert "Paint the door" in typed("goalfsm status", {})["goalfsm status"]


def test_reports() -> None:
    typed(blocks("reports.md"), OURS)
    assert "Completion was accepted" in Path(next(Path.home().rglob("reports/*.md"))).read_text()
    said = typed(tabled("reports.md"), {})
    assert said["goalfsm report"].startswith("# Completion record")
    assert said["goalfsm report --pr"].startswith("## What")
    shown = Path("shown.txt").read_text()
    assert "pr create --draft --title=Port the parser --body-file=-" in shown
    assert "## Verification" in shown


def test_notices(received: Received) -> None:
    url = received.url
    swaps = {"https://example.org/hook": url, "discord://…": url.replace("http://", "json://")}
    said = typed(blocks("notices.md"), swaps)
    assert len(received.notes) == 2
    assert "Show that notices arrive" in Path("shown.txt").read_text()
    assert "apprise json://…" in next(text for row, text in said.items() if "notify list" in row)


def test_coming_from_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CODEX_HOME", str(codex_home(tmp_path / "codex")))
    monkeypatch.setenv("CLAUDE_CONFIG_DIR", str(tmp_path / "claude"))
    monkeypatch.setenv("GOALFSM_DB", "goals.db")
    sessions = tmp_path / "claude" / "projects" / "p"
    sessions.mkdir(parents=True)
    for name in CLAUDE.glob("*.jsonl"):
        (sessions / name.name).write_bytes(name.read_bytes())
    pi = "~/.pi/agent/sessions/--home-me-project--/2026-03-01T22-00-00-000Z_….jsonl"
    typed(blocks("coming-from-elsewhere.md"), {pi: str(PI)})
    assert len(statuses("codex-")) == 6
    assert (len(statuses("pi-")), len(statuses("claude-"))) == (1, 3)


def test_app_server() -> None:
    Path("turn.sh").symlink_to("worker.sh")
    whole = blocks("app-server.md")
    (listens,) = (row for row in whole.splitlines() if "--listen" in row)
    typed(whole.replace(f"{listens}\n", ""), OURS)
    words = (
        listens.partition("  #")[0].replace("--agent codex", "").replace("$PWD", str(Path.cwd()))
    )
    with terminal(*words.split()[1:], "--", "./turn.sh") as serving:
        serving.until("listening at unix://", where="stderr")
        assert Path("goals.sock").is_socket()


def test_mcp() -> None:
    said = typed(blocks("mcp.md"), {}, but="pip install|codex exec")
    (configured,) = (text for row, text in said.items() if "--print-config" in row)
    assert "goalfsm" in json.loads(configured)["mcpServers"]
    assert statuses() == ["active"]
