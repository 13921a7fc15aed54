"""Goals that the real programs have just worked on are brought here as they stand."""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from goalfsm.importers import claude, codex, pi
from goalfsm.importers.foreign import Foreign
from tests.agents import homes
from tests.providers.script import Usage, says
from tests.providers.server import Provider

_LIMIT_S: Final = 60.0
_PI: Final = """
export default function (pi: any) {
  pi.on("agent_end", async () => {
    const usage = { tokensUsed: 70, activeSeconds: 3 };
    const at = 1700000000;
    const goal = { goalId: "g", objective: "Port the printer", status: "active", tokenBudget: 500,
                   usage, createdAt: at, updatedAt: at };
    pi.appendEntry("pi-codex-goal", { version: 1, kind: "set", source: "runtime", goal, at });
  });
}
"""
"""What the extension writes, by the program's own means: its file is what is looked at."""


def installed(name: str) -> None:
    if not homes.installed(name):
        pytest.skip(f"{name} is not installed: sh .ci/tools")


def run(work: Path, *words: str) -> None:
    """Run a program in ``work`` to its end."""
    subprocess.run(
        words, cwd=work, check=True, capture_output=True, stdin=subprocess.DEVNULL, timeout=_LIMIT_S
    )


class Server:
    """The app-server of Codex, over stdio."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._asked = 0

    def ask(self, method: str, **params: Any) -> dict[str, Any]:
        """Send a request and return its result."""
        self._asked += 1
        assert self._process.stdin is not None
        request = {"id": self._asked, "method": method, "params": params}
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return self.until(lambda told: told.get("id") == self._asked)["result"]  # type: ignore[no-any-return]

    def until(self, holds: Any) -> dict[str, Any]:
        """Read to the message for which ``holds``."""
        assert self._process.stdout is not None
        for row in self._process.stdout:
            told: dict[str, Any] = json.loads(row)
            if holds(told):
                return told
        raise AssertionError("the server has ended")


@contextlib.contextmanager
def app_server(work: Path) -> Iterator[Server]:
    process = subprocess.Popen(
        ["codex", "app-server"],
        cwd=work,
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield Server(process)
    finally:
        process.kill()
        process.communicate()


def test_a_goal_of_codex_is_read_while_its_server_runs_and_when_it_was_killed(
    place: Path, provider: Provider
) -> None:
    installed("codex")
    provider.script = [says("Working on it.", Usage(60, 20, 40))]
    with app_server(place) as server:
        server.ask("initialize", clientInfo={"name": "t", "title": "t", "version": "1"})
        thread = server.ask("thread/start", cwd=str(place))["thread"]["id"]
        server.ask("thread/goal/set", threadId=thread, objective="Port it", tokenBudget=10_000)
        server.until(lambda told: told.get("method") == "turn/completed")
        server.ask("thread/goal/set", threadId=thread, status="paused")
        shown = server.ask("thread/goal/get", threadId=thread)["goal"]
        (while_it_runs,) = codex.read(None)
    assert [while_it_runs] == codex.read(None)
    assert isinstance(while_it_runs, Foreign)
    one = while_it_runs
    assert (one.name, one.objective, one.status) == (f"codex-{thread}", "Port it", "paused")
    assert (one.token_budget, one.tokens) == (10_000, shown["tokensUsed"])
    assert one.tokens > 0
    assert (one.created_at, one.cwd) == (shown["createdAt"], str(place))


@pytest.mark.parametrize(
    ("verdict", "status"),
    [
        ({"ok": True, "reason": "it is there"}, "complete"),
        ({"ok": False, "impossible": True, "reason": "the disk is read-only"}, "blocked"),
    ],
)
def test_a_goal_of_claude_is_read_as_it_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verdict: dict[str, Any], status: str
) -> None:
    installed("claude")
    work = tmp_path / "work"
    work.mkdir()
    working, judged = says("Working on it.", Usage(60, 20, 40)), says(json.dumps(verdict))
    with Provider([working], aside=judged) as provider:
        for name, value in homes.environment(tmp_path / "home", provider).items():
            monkeypatch.setenv(name, value)
        run(work, "claude", "-p", "--max-turns", "3", "/goal notes.txt is there")
    (one,) = claude.read(None)
    assert isinstance(one, Foreign)
    assert (one.objective, one.status, one.cwd) == ("notes.txt is there", status, str(work))
    assert one.tokens > 0
    assert one.note == ("the disk is read-only" if status == "blocked" else "")


def test_a_session_that_pi_wrote_is_read(place: Path, provider: Provider) -> None:
    installed("pi")
    provider.script = [says("Working on it.")]
    extension = place / "goal.ts"
    extension.write_text(_PI)
    run(place, "pi", "-p", "-e", str(extension), "hello")
    (one,) = pi.read(None)
    assert isinstance(one, Foreign)
    assert (one.objective, one.status, one.cwd) == ("Port the printer", "active", str(place))
    assert (one.tokens, one.seconds, one.token_budget) == (70, 3, 500)
