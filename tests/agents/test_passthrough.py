"""A whole app-server with goals of ours: Codex's own program behind it, and a client before it."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.agents import homes
from tests.agents.terminal import DONE
from tests.appserver.piping import Message, Pipe
from tests.providers.script import Reply, calls, says
from tests.providers.server import Provider

GOALFSM = (sys.executable, "-m", "goalfsm.cli", "app-server", "--passthrough", "--grace", "1s")


@pytest.fixture
def home(place: Path) -> Path:
    if not homes.installed("codex"):
        pytest.skip("codex is not installed: sh .ci/tools")
    return place


@contextlib.contextmanager
def speaking(home: Path, *argv: str, **capabilities: Any) -> Iterator[Pipe]:
    """Start a server in a process of its own, and end it by the end of its stdin."""
    words = argv or (*GOALFSM, "--db", str(home.parent / "goals.db"))
    with subprocess.Popen(
        words, cwd=home, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        pipe = Pipe(process)
        pipe.open(**capabilities)
        yield pipe
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(timeout=60) == 0


def text(words: str) -> list[dict[str, Any]]:
    return [{"type": "text", "text": words, "text_elements": []}]


def reaches(status: str) -> Any:
    def reached(message: Message) -> bool:
        told = message.get("method") == "thread/goal/updated"
        return told and message["params"]["goal"]["status"] == status

    return reached


def start(pipe: Pipe, **params: Any) -> str:
    return str(pipe.ask("thread/start", **params)["result"]["thread"]["id"])


def test_a_model_makes_a_goal_in_a_turn_of_its_persons(home: Path, provider: Provider) -> None:
    made = calls("create_goal", objective="Plant a tree", token_budget=5_000)
    provider.rewrite([made, says("I have set it."), says("The seed is in."), DONE, says("Done.")])
    with speaking(home) as pipe:
        thread_id = start(pipe)
        turn = pipe.ask("turn/start", threadId=thread_id, input=text("Please set a goal"))
        first = turn["result"]["turn"]["id"]
        told = pipe.until(reaches("active"))["params"]["goal"]
        assert (told["objective"], told["tokenBudget"]) == ("Plant a tree", 5_000)
        ended = pipe.told("turn/completed")["params"]["turn"]
        assert (ended["id"], ended["status"]) == (first, "completed")
        told = pipe.until(reaches("complete"))["params"]
        assert told["turnId"] not in {None, first}
        pipe.told("turn/completed")
        goal = pipe.ask("thread/goal/get", threadId=thread_id)["result"]["goal"]
        # What a person asked for, the first two calls, costs the goal nothing.
        charged = [request.charged for request in provider.requests[2:]]
        assert len(charged) == 3
        assert goal["tokensUsed"] == sum(one.input_tokens + one.output_tokens for one in charged)
    asked = provider.requests[1].text
    assert "Plant a tree" in asked


def test_a_goal_that_is_there_is_not_made_again_by_the_model(
    home: Path, provider: Provider
) -> None:
    made, claimed = (
        calls("create_goal", objective="Fell it"),
        calls("update_goal", status="complete"),
    )
    provider.rewrite([made, says("I may not."), claimed, says("Nor that.")])
    with speaking(home) as pipe:
        thread_id = start(pipe)
        given = {"objective": "Plant a tree", "status": "paused"}
        pipe.ask("thread/goal/set", threadId=thread_id, **given)
        pipe.ask("turn/start", threadId=thread_id, input=text("Make another"))
        pipe.told("turn/completed")
        pipe.ask("turn/start", threadId=thread_id, input=text("Then say that it is complete"))
        pipe.told("turn/completed")
        goal = pipe.ask("thread/goal/get", threadId=thread_id)["result"]["goal"]
        assert (goal["objective"], goal["status"]) == ("Plant a tree", "paused")
    assert "only a run can claim" in provider.requests[-1].text


def test_a_person_allows_what_a_goals_turn_may_not_do(home: Path, provider: Provider) -> None:
    wants = calls(
        "exec_command",
        cmd=f"touch {home}/sign",
        sandbox_permissions="require_escalated",
        justification="May I put up a sign?",
    )
    provider.rewrite([wants, DONE, says("Done.")])
    with speaking(home) as pipe:
        thread_id = start(pipe, approvalPolicy="on-request", sandbox="read-only")
        pipe.ask("thread/goal/set", threadId=thread_id, objective="Put up a sign")
        asked = pipe.told("item/commandExecution/requestApproval")
        assert asked["params"]["threadId"] == thread_id
        assert not (home / "sign").exists()
        pipe.say({"id": asked["id"], "result": {"decision": "accept"}})
        pipe.until(reaches("complete"))
    assert (home / "sign").exists()


def test_a_message_between_two_turns_opens_the_next_and_is_shown(
    home: Path, provider: Provider
) -> None:
    waits = calls("wait", **{"for": "person", "note": "which door?"})
    provider.rewrite([waits, says("I wait."), DONE, says("Done.")])
    with speaking(home) as pipe:
        thread_id = start(pipe)
        pipe.ask("thread/goal/set", threadId=thread_id, objective="Open the door")
        pipe.told("turn/completed")
        said = {"input": text("The green one"), "clientUserMessageId": "m-1"}
        turn = pipe.ask("turn/start", threadId=thread_id, **said)["result"]["turn"]["id"]
        shown = pipe.told("item/completed")["params"]
        assert (shown["turnId"], shown["item"]["clientId"]) == (turn, "m-1")
        assert shown["item"]["content"] == text("The green one")
        pipe.until(reaches("complete"))
    assert provider.requests[2].text.count("The green one") == 1


def test_a_thread_without_the_tools_gets_no_goal(home: Path, provider: Provider) -> None:
    provider.rewrite([says("Hello.")])
    with speaking(home, "codex", "app-server") as codex:
        thread_id = start(codex)
        codex.ask("turn/start", threadId=thread_id, input=text("Hello"))
        codex.told("turn/completed")
    with speaking(home) as pipe:
        assert pipe.ask("thread/goal/get", threadId=thread_id)["result"] == {"goal": None}
        refused = pipe.ask("thread/goal/set", threadId=thread_id, objective="Plant a tree")
        assert "was started without goalfsm" in refused["error"]["message"]
        assert "/new" in refused["error"]["message"]
        # Everything else is as it was.
        pipe.ask("thread/resume", threadId=thread_id)
        assert pipe.ask("turn/start", threadId=thread_id, input=text("Again"))["result"]
        pipe.told("turn/completed")


def test_what_concerns_no_goal_is_codexs_to_answer(home: Path, provider: Provider) -> None:
    with speaking(home, optOutNotificationMethods=["thread/goal/updated"]) as pipe:
        assert pipe.ask("config/read", includeLayers=False)["result"]["config"]["model"] == "gpt-5"
        passing = start(pipe, ephemeral=True)
        for method in ("get", "clear"):
            refused = pipe.ask(f"thread/goal/{method}", threadId=passing)["error"]
            assert refused["message"] == f"ephemeral thread does not support goals: {passing}"
        nobody = "00000000-0000-7000-8000-000000000000"
        refused = pipe.ask("thread/goal/get", threadId=nobody)["error"]
        assert refused["message"] == f"thread not found: {nobody}"
        unknown = pipe.ask("thread/goal/pause", threadId=passing)["error"]["message"]
        assert unknown.startswith("Invalid request: unknown variant `thread/goal/pause`")
        thread_id = start(pipe)
        given = {"objective": "Plant a tree", "status": "paused"}
        pipe.ask("thread/goal/set", threadId=thread_id, **given)
        assert pipe.ask("thread/unsubscribe", threadId=thread_id)["result"]
        assert pipe.ask("thread/goal/clear", threadId=thread_id)["result"] == {"cleared": True}
        # It has opted out of the one, and not of the other.
        heard = pipe.until(lambda message: message.get("method", "").startswith("thread/goal/"))
        assert heard["method"] == "thread/goal/cleared"
    assert provider.requests == []


def the_agents(pid: int) -> psutil.Process:
    """Return the agent's own app-server among the processes below ``pid``."""
    found = []
    for process in psutil.Process(pid).children(recursive=True):
        # Short commands are begun and gone while this looks.
        with contextlib.suppress(psutil.NoSuchProcess):
            if "--disable" in process.cmdline():
                found.append(process)
    (only,) = found
    return only


def test_an_app_server_that_dies_takes_its_client_along_and_the_goal_goes_on(
    home: Path, provider: Provider
) -> None:
    provider.rewrite([Reply("Half of it", linger=600)])
    with speaking(home) as pipe:
        thread_id = start(pipe)
        pipe.ask("thread/goal/set", threadId=thread_id, objective="Plant a tree")
        pipe.told("item/agentMessage/delta")
        provider.rewrite([DONE, says("Done.")])
        the_agents(pipe.pid).kill()
        pipe.ended()
    with speaking(home) as pipe:
        goal = pipe.ask("thread/resume", threadId=thread_id)
        assert goal["result"]["thread"]["id"] == thread_id
        pipe.until(reaches("complete"))
