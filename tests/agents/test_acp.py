"""An agent over the Agent Client Protocol: OpenCode, for real; others as the protocol has it."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
from pathlib import Path
from typing import Any

import msgspec
import pytest

from goalfsm.cli import exits
from goalfsm.workers import protocol as w
from goalfsm.workers.agents.acp import Acp
from goalfsm.workers.agents.dialect import Task
from goalfsm.workers.supervisor.client import Supervisor
from recovery import classify
from tests.agents import homes
from tests.agents.driving import Agent, Turn
from tests.agents.family import SLEEPS, family, leave
from tests.agents.terminal import DONE, Terminal, ended, wait_for
from tests.providers.script import (
    CUT,
    OVERFLOW,
    UNAUTHORIZED,
    UNAVAILABLE,
    Reply,
    Usage,
    calls,
    rate_limited,
    says,
)
from tests.providers.server import Provider
from tests.work import make_work

WORK = make_work(prompt="Do it.")


class Played:
    """An agent that says what a test gives it to say."""

    def __init__(self, session: bytes | None = None) -> None:
        work = msgspec.structs.replace(WORK, session=session)
        env = {"GOALFSM_TOOL": "/bin/goalfsm", "GOALFSM_RUN_TOKEN": WORK.run_token}
        self.dialect = Acp(Task(work=work, args=("agent", "acp"), cwd="/place", env=env))
        self.written = [json.loads(row) for row in self.dialect.launch().lines]
        self.events: list[w.TurnEvent] = []

    def says(self, **message: Any) -> list[dict[str, Any]]:
        """Have the agent say something; return what it is written then."""
        row = json.dumps({"jsonrpc": "2.0", **message}).encode()
        self.events += self.dialect.hear(row, 0.0)
        rows = self.dialect.take_lines().splitlines()
        self.written += [json.loads(row) for row in rows]
        return [json.loads(row) for row in rows]

    def begins(self, name: str = "some-agent", *, loads: bool = True) -> list[dict[str, Any]]:
        """Let the agent introduce itself."""
        told = {
            "protocolVersion": 1,
            "agentInfo": {"name": name, "version": "1"},
            "agentCapabilities": {"loadSession": loads},
        }
        return self.says(id=1, result=told)

    def opens(self) -> None:
        """Let the agent open the session."""
        self.says(id=2, result={"sessionId": "session-1"})

    def updates(self, **update: Any) -> None:
        """Have the agent tell of its work."""
        self.says(method="session/update", params={"sessionId": "session-1", "update": update})

    def reasons(self) -> str:
        """Return what was reported as odd."""
        return " ".join(e.reason for e in self.events if isinstance(e, w.Skipped))


def chunk(text: str, **more: Any) -> dict[str, Any]:
    content = {"type": "text", "text": text}
    return {"sessionUpdate": "agent_message_chunk", "content": content, **more}


def costs(amount: float) -> dict[str, Any]:
    told = {"amount": amount, "currency": "USD"}
    return {"sessionUpdate": "usage_update", "used": 120, "size": 200_000, "cost": told}


def test_a_prompt_is_done_and_charged() -> None:
    agent = Played()
    (opening,) = agent.begins()
    assert opening["method"] == "session/new"
    (server,) = opening["params"]["mcpServers"]
    assert (server["command"], server["args"]) == ("/bin/goalfsm", ["mcp"])
    assert {"name": "GOALFSM_RUN_TOKEN", "value": WORK.run_token} in server["env"]
    assert WORK.run_token not in " ".join([server["command"], *server["args"]])
    agent.opens()
    assert agent.written[-1]["params"]["prompt"] == [{"type": "text", "text": "Do it."}]
    agent.updates(**chunk("I look "))
    agent.updates(**chunk("around."))
    agent.updates(sessionUpdate="tool_call", toolCallId="1", title="make", kind="execute")
    agent.updates(sessionUpdate="tool_call_update", toolCallId="1", status="failed")
    agent.updates(**chunk("Done."))
    usage = {"totalTokens": 33, "inputTokens": 20, "outputTokens": 3, "cachedReadTokens": 10}
    agent.says(id=3, result={"stopReason": "end_turn", "usage": usage})
    assert agent.dialect.over
    texts = [event.text for event in agent.events if isinstance(event, w.Text)]
    assert "".join(texts) == "I look around.\n\nDone."
    (used,) = [event for event in agent.events if isinstance(event, w.UsageReported)]
    assert (used.input_tokens, used.output_tokens, used.cached_tokens) == (20, 3, 10)
    assert w.ToolEnded(name="make", ok=False) in agent.events
    assert agent.reasons() == ""


def test_an_agent_that_tells_no_usage_is_named() -> None:
    agent = Played()
    agent.begins("@somebody/codex-acp")
    agent.opens()
    agent.says(id=3, result={"stopReason": "end_turn"})
    assert "codex-acp does not say what this turn used" in agent.reasons()


def test_a_cost_is_charged_from_where_the_last_turn_had_left_the_session() -> None:
    agent = Played(b'{"agent":"acp","id":"session-1","charged":{"cost":2000}}')
    agent.begins()
    agent.updates(**costs(0.002))
    agent.says(id=2, result={})
    agent.updates(**costs(0.0025))
    agent.updates(sessionUpdate="usage_update", used=120, size=200_000)
    agent.updates(**costs(0.004))
    used = [event.cost for event in agent.events if isinstance(event, w.UsageReported)]
    assert used == [500, 1500]
    *_, saved = (event.session for event in agent.events if isinstance(event, w.SessionSaved))
    assert json.loads(saved) == {"agent": "acp", "id": "session-1", "charged": {"cost": 4000}}


def test_the_cost_of_a_session_in_place_of_a_lost_one_begins_at_nothing() -> None:
    agent = Played(b'{"agent":"acp","id":"session-1","charged":{"cost":2000}}')
    agent.begins(loads=False)
    agent.opens()
    agent.updates(**costs(0.003))
    assert [e.cost for e in agent.events if isinstance(e, w.UsageReported)] == [3000]


@pytest.mark.parametrize("name", ["OpenCode", "some-agent"])
def test_an_agent_known_to_compact_without_end_is_stopped_when_it_only_summarises(
    name: str,
) -> None:
    agent = Played()
    agent.begins(name)
    agent.opens()
    agent.updates(**chunk("The tree ", messageId="0"))
    agent.updates(**chunk("is planted.", messageId="0"))
    agent.updates(sessionUpdate="tool_call", toolCallId="1", title="make", kind="execute")
    for number in range(4):
        agent.updates(**chunk("A summary.", messageId=f"1{number}"))
    assert agent.written[-1]["method"] == "session/prompt"
    agent.updates(**chunk("A summary.", messageId="14"))
    failed = [e.failure for e in agent.events if isinstance(e, w.ErrorReported)]
    if name == "some-agent":
        assert failed == []
        return
    assert failed == ["overflow"]
    assert agent.written[-1]["method"] == "session/cancel"
    assert not agent.dialect.over  # what it says of the cost is waited for
    agent.says(id=3, result={"stopReason": "cancelled"})
    assert agent.dialect.over
    assert len([e for e in agent.events if isinstance(e, w.ErrorReported)]) == 1
    texts = [event.text for event in agent.events if isinstance(event, w.Text)]
    assert "".join(texts) == "\n\n".join(["The tree is planted.", *["A summary."] * 5])


def test_an_agent_that_goes_on_although_it_was_cancelled_is_not_waited_for() -> None:
    agent = Played()
    agent.begins("opencode")
    agent.opens()
    for number in range(6):
        agent.updates(**chunk("A summary.", messageId=str(number)))
    assert agent.dialect.over


def test_a_session_goes_on_and_what_is_told_again_of_it_is_no_news() -> None:
    agent = Played(b'{"agent":"acp","id":"session-1"}')
    (opening,) = agent.begins()
    assert (opening["method"], opening["params"]["sessionId"]) == ("session/load", "session-1")
    agent.updates(**chunk("what was said before"))
    agent.says(id=2, result={})
    assert not [event for event in agent.events if isinstance(event, w.Text)]
    assert agent.written[-1]["params"]["sessionId"] == "session-1"


@pytest.mark.parametrize("loads", [True, False])
def test_a_session_that_cannot_go_on_becomes_a_new_one_and_the_prompt_says_so(
    loads: bool,
) -> None:
    agent = Played(b'{"agent":"acp","id":"session-1"}')
    (opening,) = agent.begins(loads=loads)
    if loads:
        (opening,) = agent.says(id=2, error={"code": -32002, "message": "no such session"})
    assert opening["method"] == "session/new"
    agent.says(id=3 if loads else 2, result={"sessionId": "session-2"})
    assert "could not be found" in agent.written[-1]["params"]["prompt"][0]["text"]


@pytest.mark.parametrize(
    ("kind", "chosen"), [("edit", "yes"), ("execute", "no"), ("delete", "no"), (None, "no")]
)
def test_a_question_is_answered_at_once(kind: str | None, chosen: str) -> None:
    agent = Played()
    agent.begins()
    agent.opens()
    call = {"toolCallId": "1", "title": "make clean", **({"kind": kind} if kind else {})}
    options = [
        {"optionId": "yes", "name": "Yes", "kind": "allow_once"},
        {"optionId": "no", "name": "No", "kind": "reject_once"},
    ]
    asked = {"sessionId": "session-1", "toolCall": call, "options": options}
    (answer,) = agent.says(id=9, method="session/request_permission", params=asked)
    assert answer["result"] == {"outcome": {"outcome": "selected", "optionId": chosen}}
    assert ("permission refused: make clean" in agent.reasons()) is (chosen == "no")


def test_what_it_asks_that_nobody_does_is_refused_not_left_open() -> None:
    agent = Played()
    agent.begins()
    agent.opens()
    (answer,) = agent.says(id=9, method="terminal/create", params={"sessionId": "session-1"})
    assert answer["error"]["code"] == -32601


@pytest.mark.parametrize(
    ("said", "failure"),
    [
        ({"error": {"code": -32000, "message": "Authentication required"}}, "auth"),
        (
            {"error": {"code": -32603, "message": "Internal error", "data": {"details": "503"}}},
            None,
        ),
        ({"result": {"stopReason": "refusal"}}, "content_refused"),
    ],
)
def test_a_prompt_that_fails_says_why(said: dict[str, Any], failure: str | None) -> None:
    agent = Played()
    agent.begins()
    agent.opens()
    agent.says(id=3, **said)
    (error,) = [event for event in agent.events if isinstance(event, w.ErrorReported)]
    assert (error.failure, error.source) == (failure, "provider")
    assert agent.dialect.over


def test_a_turn_is_cancelled() -> None:
    agent = Played()
    agent.begins()
    agent.opens()
    agent.dialect.interrupt()
    assert json.loads(agent.dialect.take_lines())["method"] == "session/cancel"
    agent.says(id=3, result={"stopReason": "cancelled"})
    assert agent.dialect.over
    assert not agent.dialect.steer("1", "Too late.")


@pytest.fixture
def opencode(place: Path) -> Terminal:
    if not homes.OPENCODE.exists():
        pytest.skip("OpenCode is not installed: sh .ci/tools")
    return Terminal("acp", place, str(homes.OPENCODE), "acp")


def test_opencode_reaches_its_goal_in_one_session(opencode: Terminal, provider: Provider) -> None:
    """It asks nobody for long: what its person would have to allow is refused, and named."""
    path = Path(os.environ["OPENCODE_CONFIG"])
    path.write_text(json.dumps(json.loads(path.read_text()) | {"permission": {"bash": "ask"}}))
    asks = calls("bash", command="touch door", description="Makes a door")
    plants = calls("write", filePath=str(opencode.place / "tree"), content="an apple tree")
    claims = says("I claim it.", Usage(300, 30, 3))
    provider.rewrite(
        [asks, says("I know the apple."), DONE, claims, plants, DONE, says("It stands.")]
    )
    process = opencode.goal("Plant a tree", "--verify", "test -e tree")
    said = opencode.end(process)
    assert process.returncode == exits.OK, said
    assert {"goalfsm_update_goal", "goalfsm_wait"} <= set(provider.requests[0].tools)
    assert "permission refused" in said
    assert not (opencode.place / "door").exists()
    assert "test -e tree" in provider.requests[4].text
    assert "I know the apple." in provider.requests[-1].text
    # It tells what the last call of each turn used; what is refused ends a turn.
    assert opencode.used() == Usage(600, 60, 63)
    assert "says what the last model call of a turn used" in said


def waiting(command: str) -> Reply:
    """Return an answer that runs a command with OpenCode's own tool."""
    return calls("bash", command=command, description="Waits")


@pytest.mark.asyncio
async def test_what_opencode_overcomes_is_a_success_and_what_stays_leaves_its_session_whole(
    place: Path, provider: Provider
) -> None:
    """A 503, a stream cut in the middle and a context that fits once compacted; a refused key.

    It tells its cost: that of all calls of a turn, compaction too, but not the title's.
    """
    if not homes.OPENCODE.exists():
        pytest.skip("OpenCode is not installed: sh .ci/tools")
    supervisor = await Supervisor.start(db=str(place / "goal.db"))
    agent = Agent("acp", str(place), supervisor, str(homes.OPENCODE), "acp")
    try:
        unavailable = dataclasses.replace(UNAVAILABLE, headers=(("retry-after-ms", "20"),))
        works = calls("bash", command="touch begun", description="Begins")
        script = [unavailable, works, OVERFLOW, CUT, says("I know the apple.")]
        provider.rewrite(script)
        turn = await agent.turn("Do it.")
        assert turn.exited.ok, turn.events
        assert turn.all(w.ErrorReported) == []
        assert turn.text.endswith("I know the apple.")
        assert len(provider.requests) == len(script)
        # What was cut is not counted by whoever did not hear it.
        told = [r.charged for r in (*provider.requests, provider.asides[-1]) if r.answer != CUT]
        assert len(provider.asides) == 2
        assert cost_of(turn) == pytest.approx(sum(map(price, told)), abs=2)

        # It tries again without end; whoever has waited long enough stops it.
        provider.rewrite([unavailable])
        going = asyncio.create_task(agent.turn("Go on."))
        await asyncio.to_thread(provider.wait_for, len(script) + 3)
        assert await agent.worker.abort(agent.run_id)
        assert (await going).exited.aborted
        provider.rewrite([works, UNAUTHORIZED])
        turn = await agent.turn("Go on.")
        assert not turn.exited.ok
        assert classify(turn.error.text or "", code=turn.error.code).kind == "auth"
        assert "I know the apple." in provider.requests[-1].text
        assert cost_of(turn) == pytest.approx(price(provider.requests[-2].charged), abs=2)
    finally:
        await supervisor.close()


def price(use: Usage) -> float:
    """Return what a call costs with the prices of the test's home, in millionths."""
    return use.input_tokens + 2 * use.output_tokens + use.cached_tokens / 10


def cost_of(turn: Turn) -> int:
    """Return what a turn charges."""
    return sum(used.cost for used in turn.all(w.UsageReported))


def test_a_context_that_stays_too_long_for_opencode_pauses_the_goal(
    opencode: Terminal, provider: Provider
) -> None:
    """By itself it would compact and try again without end."""
    provider.rewrite([OVERFLOW])
    process = opencode.goal("Plant a tree")
    said = opencode.end(process)
    assert process.returncode == exits.ATTENTION, said
    assert "the context stays too long" in said
    assert len(provider.requests) < 10
    goal = opencode.status()["goal"]
    assert (goal["status"], goal["pause_reason"]) == ("paused", "recovery")


def test_opencode_overcomes_a_rate_limit_and_reads_a_message_in_its_next_turn(
    opencode: Terminal, provider: Provider, place: Path
) -> None:
    slow = waiting("touch begun; while [ ! -e go ]; do sleep 0.02; done")
    provider.rewrite([rate_limited(1), slow, says("Ok."), DONE, says("Done.")])
    with ended(opencode, opencode.goal("Plant a tree")) as process:
        wait_for(place / "begun")
        opencode.end(opencode.start("steer", "Use the green door."))
        (place / "go").touch()
        said = opencode.end(process)
    assert process.returncode == exits.OK, said
    told = [request.text.count("Use the green door.") for request in provider.requests]
    assert opencode.status()["goal"]["continuations"] == 2
    assert told == [0, 0, 0, 1, 1]


def test_opencode_goes_on_in_its_session_after_a_daemon_that_is_killed(
    opencode: Terminal, provider: Provider, place: Path
) -> None:
    with ended(opencode, opencode.daemon()) as daemon:
        provider.rewrite([says("I know the apple."), waiting(SLEEPS)])
        opencode.set("Plant a tree")
        wait_for(place / "begun")
        everything = family(daemon.pid)
        daemon.kill()
        leave(everything)
        opencode.end(daemon)
    provider.rewrite([DONE, says("Done.")])
    process = opencode.start("run")
    said = opencode.end(process)
    assert process.returncode == exits.OK, said
    assert "I know the apple." in provider.requests[-1].text
    assert "could not be found" not in provider.requests[-1].text
