"""The Stop hook of Claude Code, as Claude Code calls it."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from goalfsm.cli import exits
from tests.cli.terminal import Cli, Result

Hook = Callable[..., dict[str, Any]]


@pytest.fixture
def stdin(monkeypatch: pytest.MonkeyPatch) -> Callable[[bytes], None]:
    def given(data: bytes) -> None:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))

    return given


@pytest.fixture
def hook(cli: Cli, stdin: Callable[[bytes], None]) -> Hook:
    """Call the hook at the end of a turn; return what it answers."""

    def stop(said: str = "Done.", *, session: str = "one", active: bool = True) -> dict[str, Any]:
        told = {
            "session_id": session,
            "hook_event_name": "Stop",
            "stop_hook_active": active,
            "last_assistant_message": said,
        }
        stdin(json.dumps(told).encode())
        result = cli("hook", "stop")
        assert (result.status, result.err) == (exits.OK, "")
        return json.loads(result.out) if result.out else {}

    return stop


@pytest.fixture
def other(monkeypatch: pytest.MonkeyPatch) -> Iterator[subprocess.Popen[bytes]]:
    """Have the hook called by another process, which ends when its stdin does."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    monkeypatch.setattr("goalfsm.cli.hooking.os.getppid", lambda: process.pid)
    yield process
    if process.poll() is None:
        process.communicate(b"\n")


def given(cli: Cli, *words: str) -> Result:
    result = cli("set", "Plant a tree", *words)
    assert result.status == exits.OK, result
    return result


def status(cli: Cli) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(cli("status", "--json").out)
    return found


def test_a_goal_goes_on_until_its_budget_is_used_up(cli: Cli, hook: Hook) -> None:
    given(cli, "--max-continuations", "2")
    first = hook(active=False)
    assert first["decision"] == "block"
    assert "Plant a tree" in first["reason"]
    assert hook("Half of it.")["decision"] == "block"
    last = hook("The other half.")
    assert "decision" not in last
    assert "budgetLimited" in last["systemMessage"]
    assert status(cli)["goal"]["status"] == "budgetLimited"
    assert hook(active=False) == {}
    assert cli("doctor").status == exits.OK


def test_while_a_session_works_that_is_shown_and_its_time_counts(cli: Cli, hook: Hook) -> None:
    given(cli)
    hook(active=False)
    found = status(cli)
    assert found["activity_kind"] == "running"
    assert found["driver"]["alive"]
    hook()
    journal = [json.loads(row)["event"] for row in cli("log", "--json").out.splitlines()]
    assert "EngineLost" not in str(journal)
    assert cli("doctor").out.count("0 effects to do") == 1


def test_the_same_answer_again_and_again_pauses(cli: Cli, hook: Hook) -> None:
    given(cli)
    hook(active=False)
    answers = [hook("I am done.") for _ in range(3)]
    assert [answer.get("decision") for answer in answers] == ["block", "block", None]
    assert status(cli)["goal"]["pause_reason"] == "no_progress"


def test_its_model_claims_by_the_goal_tools_in_such_a_turn_only(cli: Cli, hook: Hook) -> None:
    given(cli)
    claim = ("tool", "update_goal", "--status", "complete", "--evidence", "it stands")
    assert cli(*claim).status == exits.USAGE
    hook(active=False)
    assert cli(*claim).status == exits.OK
    assert "complete" in hook()["systemMessage"]
    assert status(cli)["goal"]["status"] == "complete"
    assert cli(*claim).status == exits.USAGE


def test_what_it_claims_is_verified_before_it_counts(cli: Cli, hook: Hook) -> None:
    given(cli, "--verify", "test -e tree")
    hook(active=False)
    claim = ("tool", "update_goal", "--status", "complete", "--evidence", "it stands")
    assert cli(*claim).status == exits.OK
    again = hook()
    assert again["decision"] == "block"
    assert "test -e tree" in again["reason"]
    Path("tree").touch()
    assert cli(*claim).status == exits.OK
    assert "complete" in hook()["systemMessage"]


def test_a_message_reaches_the_next_turn_once(cli: Cli, hook: Hook) -> None:
    given(cli)
    hook(active=False)
    assert cli("steer", "Use the green door.").status == exits.OK
    assert hook("One.")["reason"].count("Use the green door.") == 1
    assert "Use the green door." not in hook("Two.")["reason"]


def test_a_paused_goal_lets_the_session_stop(cli: Cli, hook: Hook) -> None:
    given(cli)
    hook(active=False)
    cli("pause")
    assert "paused" in hook()["systemMessage"]
    assert hook(active=False) == {}
    cli("resume")
    assert hook(active=False)["decision"] == "block"


def test_a_turn_that_its_person_ended_is_told_as_interrupted(cli: Cli, hook: Hook) -> None:
    given(cli)
    hook(active=False)
    again = hook("What the person asked.", active=False)
    assert again["decision"] == "block"
    assert "its person ended it" in again["reason"]


def test_another_session_takes_no_part_before_the_first_is_gone(
    cli: Cli, hook: Hook, other: subprocess.Popen[bytes]
) -> None:
    given(cli)
    hook(active=False)
    assert hook(session="two", active=False) == {}
    other.communicate(b"\n")
    assert hook(session="two", active=False)["decision"] == "block"


def test_what_another_hook_continued_is_left_to_it(cli: Cli, hook: Hook) -> None:
    given(cli)
    assert hook(active=True) == {}


def test_without_a_goal_of_its_own_to_continue_it_says_nothing(
    cli: Cli, hook: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert hook(active=False) == {}
    assert not Path(os.environ["XDG_STATE_HOME"]).exists()
    cli("set", "Plant a tree", "--", "true")
    assert hook(active=False) == {}
    monkeypatch.setenv("GOALFSM_RUN_ID", "run")
    assert hook(active=False) == {}


def test_whatever_is_wrong_is_said_and_stops_nobody(
    cli: Cli, stdin: Callable[[bytes], None]
) -> None:
    endless = b'{"session_id": "' + b"a" * 17 * 1024 * 1024 + b'"}'
    for data in (b"", b"[]", b"no json", b"{}", endless):
        stdin(data)
        result = cli("hook", "stop")
        assert result.status == exits.OK
        assert "no Stop hook" in json.loads(result.out)["systemMessage"]
    given(cli)
    db = next(Path(os.environ["XDG_STATE_HOME"]).rglob("*.db"))
    db.write_bytes(b"no database" * 1000)
    stdin(b'{"session_id": "one"}')
    result = cli("hook", "stop")
    assert result.status == exits.OK
    assert "database" in json.loads(result.out)["systemMessage"]
