"""A goal from the command line to its end, by a real agent."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from goalfsm.cli import exits
from goalfsm.goal.model import LIMITED
from tests.agents import homes
from tests.agents.family import SLEEPS, family, leave
from tests.agents.terminal import DONE, Terminal, ended, wait_for
from tests.agents.tools import ARGS, shell
from tests.providers.script import (
    OVERFLOW,
    UNAUTHORIZED,
    UNAVAILABLE,
    Usage,
    calls,
    quota_used_up,
    says,
)
from tests.providers.server import Provider


@pytest.fixture
def terminal(name: str, place: Path) -> Terminal:
    if not homes.installed(name):
        pytest.skip(f"{name} is not installed: sh .ci/tools")
    return Terminal(name, place, *ARGS[name])


def test_a_refused_claim_goes_on_and_an_accepted_one_ends(
    terminal: Terminal, provider: Provider
) -> None:
    provider.rewrite(
        [DONE, says("I claim it."), shell(terminal.agent, "touch tree"), DONE, says("Now.")]
    )
    process = terminal.goal("Plant a tree", "--verify", "test -e tree")
    said = terminal.end(process)
    assert process.returncode == exits.OK, said
    assert "test -e tree" in provider.requests[2].text
    assert terminal.used() == provider.charged


def test_a_wait_starts_no_turn_before_it_is_over(terminal: Terminal, provider: Provider) -> None:
    waits = calls("wait", **{"for": "timer", "seconds": 1.5, "note": "the rain"})
    provider.rewrite([waits, says("I wait."), DONE, says("Done.")])
    process = terminal.goal("Plant a tree")
    said = terminal.end(process)
    assert process.returncode == exits.OK, said
    assert provider.requests[2].at - provider.requests[1].at >= 1.4
    assert terminal.used() == provider.charged


def test_a_used_up_quota_pauses_until_its_reset(
    terminal: Terminal, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Claude Code says the reset of a subscription, which a key has none of."""
    monkeypatch.delenv("ANTHROPIC_API_KEY")
    monkeypatch.setenv("CLAUDE_CODE_OAUTH_TOKEN", "token-of-a-test")
    resets = (int(time.time()) // 60 + 90) * 60
    provider.rewrite([quota_used_up(resets)])
    process = terminal.goal("Plant a tree")
    said = terminal.end(process)
    assert process.returncode == exits.GOAL_LIMITED, said
    goal = terminal.status()["goal"]
    assert (goal["status"], goal["pause_reason"]) == ("paused", "usage_limit")
    assert goal["resume_at_ms"] == resets * 1000


def test_a_rejected_key_pauses_with_attention(terminal: Terminal, provider: Provider) -> None:
    provider.rewrite([UNAUTHORIZED])
    process = terminal.goal("Plant a tree")
    said = terminal.end(process)
    assert process.returncode == exits.ATTENTION, said
    assert terminal.status()["goal"]["status"] == "paused"


def test_what_the_agent_did_not_overcome_is_tried_again_later(
    terminal: Terminal, provider: Provider
) -> None:
    provider.rewrite([UNAVAILABLE])
    with ended(terminal, terminal.goal("Plant a tree")) as process:
        provider.wait_for(1)
        until(lambda: terminal.status()["activity_kind"] == "recovering")
        assert terminal.status()["goal"]["status"] == "active"
        provider.rewrite([DONE, says("Done.")])
        said = terminal.end(process)
    assert process.returncode == exits.OK, said
    assert terminal.used() == provider.charged


def test_an_overflow_is_compacted_and_the_goal_goes_on(
    terminal: Terminal, provider: Provider
) -> None:
    long = "The tree is tall. " * 6_000
    summary = says("<summary>The tree is tall.</summary>", Usage(500, 50, 5))
    provider.rewrite([says(long), says(long), OVERFLOW, summary, DONE, says("Done.")])
    process = terminal.goal("Plant a tree")
    said = terminal.end(process)
    assert process.returncode == exits.OK, said
    assert terminal.used() == provider.charged


def test_a_message_from_another_terminal_reaches_the_running_turn(
    terminal: Terminal, provider: Provider, place: Path
) -> None:
    waiting = shell(terminal.agent, "touch begun; while [ ! -e go ]; do sleep 0.02; done")
    provider.rewrite([waiting, says("Ok."), DONE, says("Done.")])
    process = terminal.goal("Plant a tree")
    wait_for(place / "begun")
    terminal.end(terminal.start("steer", "Use the green door."))
    (place / "go").touch()
    said = terminal.end(process)
    assert process.returncode == exits.OK, said
    assert provider.requests[1].text.count("Use the green door.") == 1
    assert provider.requests[-1].text.count("Use the green door.") == 1


def test_a_budget_crossed_in_a_turn_has_that_turn_wind_the_work_down(
    terminal: Terminal, provider: Provider, place: Path
) -> None:
    """Codex may break off the call that is under way then: it does not say what that one used."""
    crosses = dataclasses.replace(shell(terminal.agent, "true"), usage=Usage(1_000, 100, 20))
    waiting = shell(terminal.agent, "while [ ! -e go ]; do sleep 0.02; done")
    provider.rewrite([crosses, waiting, says("Here is where it stands.")])
    with ended(terminal, terminal.goal("Plant a tree", "--tokens", "1000")) as process:
        provider.wait_for(2)
        until(lambda: "was told to wind down" in terminal.end(terminal.start("log")))
        (place / "go").touch()
        said = terminal.end(process)
    assert process.returncode == exits.GOAL_LIMITED, said
    goal = terminal.status()["goal"]
    assert (goal["status"], goal["limited_by"], goal["continuations"]) == (LIMITED, "tokens", 1)
    told = [request.text.count("has reached its limit") for request in provider.requests]
    assert (told[0], told[-1]) == (0, 1)
    assert "Here is where it stands." in said
    used, counted = terminal.used(), provider.charged
    # What the provider counts of the call that Codex breaks off depends on how far it was.
    broken_off = [Usage(-100, -10, -20)] if terminal.agent == "codex" else []
    assert used in [counted + unsaid for unsaid in [Usage(), *broken_off]]
    assert goal["tokens_used"] == used.input_tokens + used.output_tokens


def test_a_daemon_that_is_killed_leaves_no_process_and_the_next_goes_on_in_the_session(
    terminal: Terminal, provider: Provider, place: Path
) -> None:
    """The next daemon wakes the goal for a message, which its turn reads once."""
    # Codex says what a call used when its tools are done.
    unsaid = Usage(-100, -10, -20) if terminal.agent == "codex" else Usage()
    with ended(terminal, terminal.daemon()) as daemon:
        provider.rewrite([says("I know the apple."), shell(terminal.agent, SLEEPS)])
        terminal.set("Plant a tree")
        wait_for(place / "begun")
        until(lambda: terminal.used() == provider.charged + unsaid)
        everything = family(daemon.pid)
        daemon.kill()
        leave(everything)
        terminal.end(daemon)
    if terminal.agent == "codex" and codex_has_recorded() == len(provider.requests):
        unsaid = Usage()  # its tool died before it did: its session has it for the next turn to say
    asks = calls("wait", **{"for": "person", "note": "which door"})
    provider.rewrite([asks, says("I wait for an answer."), DONE, says("Done.")])
    with ended(terminal, terminal.daemon()) as daemon:
        until(lambda: terminal.status()["activity_kind"] == "waiting")
        terminal.end(terminal.start("steer", "Use the green door."))
        until(lambda: terminal.status()["goal"]["status"] == "complete")
        daemon.send_signal(signal.SIGTERM)
        said = terminal.end(daemon)
        assert daemon.returncode == exits.OK, said
    assert "I know the apple." in provider.requests[-1].text
    assert provider.requests[-1].text.count("Use the green door.") == 1
    assert terminal.used() == provider.charged + unsaid


def codex_has_recorded() -> int:
    """Return of how many calls Codex has written into its sessions what they used."""
    sessions = Path(os.environ["CODEX_HOME"], "sessions").rglob("*.jsonl")
    rows = [json.loads(row) for one in sessions for row in one.read_text("utf-8").splitlines()]
    told = [row["payload"] for row in rows if row["payload"].get("type") == "token_count"]
    infos = [payload["info"] for payload in told if payload["info"]]
    return len({info["total_token_usage"]["total_tokens"] for info in infos})


def until(holds: Callable[[], bool]) -> None:
    """Return when it holds."""
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.1)
