"""Agents that misbehave: each turn ends by itself, and says clearly how."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import pytest
import pytest_asyncio

from goalfsm.workers import protocol as w
from goalfsm.workers.agents import run
from goalfsm.workers.agents.jsonrpc import MAX_LINE
from goalfsm.workers.agents.run import dialect_of
from goalfsm.workers.supervisor.client import Supervisor
from tests.agents.driving import Agent, Turn, accepts
from tests.agents.recording import begun
from tests.agents.test_transcripts import TRANSCRIPTS, read

PROGRAM: Final = """#!{python}
import json, os, signal, sys, time

def say(*messages):
    for message in messages:
        sys.stdout.write(message if isinstance(message, str) else json.dumps(message) + "\\n")
    sys.stdout.flush()

def hear():
    line = sys.stdin.readline()
    return json.loads(line) if line else sys.exit(0)

def until(what):
    while True:
        heard = hear()
        if what in (heard.get("method"), heard.get("type"), heard.get("id")):
            return heard

{talk}
"""
"""An agent for one turn; it stays until its stdin ends, unless its talk says otherwise."""
CODEX: Final = """
asked = until("initialize")
say({"id": asked["id"], "result": {}})
asked = hear() if (asked := hear()).get("method") == "initialized" else asked
say({"id": asked["id"], "result": {"thread": {"id": THREAD}}})
turn = until("turn/start")
def used(total, turn="turn-1"):
    counts = {"inputTokens": total, "outputTokens": total // 10, "cachedInputTokens": 0}
    say({"method": "thread/tokenUsage/updated", "params": {"threadId": THREAD, "turnId": turn,
         "tokenUsage": {"total": counts}}})
def begin():
    say({"id": turn["id"], "result": {"turn": {"id": "turn-1"}}})
def end(**more):
    say({"method": "turn/completed", "params": {"threadId": THREAD,
         "turn": {"id": "turn-1", "status": "completed", "error": None, **more}}})
def stay():
    while hear(): pass
"""
CLAUDE: Final = """
asked = until("user")
def begin(session="11111111-1111-4111-8111-111111111111"):
    say({"type": "system", "subtype": "init", "session_id": session})
def end(**more):
    say({"type": "result", "subtype": "success", "is_error": False, "result": "", **more})
def stay():
    while hear(): pass
"""
PI: Final = """
asked = until("prompt")
def begin():
    say({"type": "response", "id": "prompt", "success": True})
def end():
    say({"type": "agent_settled"})
def stay():
    while hear(): pass
"""


ACP: Final = """
asked = until("initialize")
def introduce(answer={"protocolVersion": 1}):
    say({"jsonrpc": "2.0", "id": asked["id"], "result": answer})
def open():
    say({"jsonrpc": "2.0", "id": until("session/new")["id"], "result": {"sessionId": "s-1"}})
    return until("session/prompt")["id"]
def end(prompt, answer={"stopReason": "end_turn"}):
    say({"jsonrpc": "2.0", "id": prompt, "result": answer})
def stay():
    while hear(): pass
"""


@pytest_asyncio.fixture
async def supervisor(tmp_path: Path) -> AsyncIterator[Supervisor]:
    started = await Supervisor.start(db=str(tmp_path / "goal.db"))
    yield started
    await started.close()


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PATH", f"{tmp_path / 'programs'}:/usr/bin:/bin")
    return tmp_path


def agent(place: Path, supervisor: Supervisor, name: str, talk: str) -> Agent:
    """Return an agent of this name that behaves as ``talk`` has it."""
    folder = place / "programs"
    folder.mkdir(exist_ok=True)
    openings = {"codex": CODEX, "claude": CLAUDE, "pi": PI, "acp": ACP}
    opening = openings[name].replace("THREAD", '"thread-1"')
    text = PROGRAM.replace("{python}", sys.executable).replace("{talk}", f"{opening}\n{talk}")
    (folder / name).write_text(text)
    (folder / name).chmod(0o755)
    return Agent(name, str(place), supervisor, *(["acp"] if name == "acp" else []))


async def turn_of(place: Path, supervisor: Supervisor, name: str, talk: str, **given: Any) -> Turn:
    return await agent(place, supervisor, name, talk).turn("Do it.", **given)


ENDS_BADLY = {
    "exits-in-the-middle": ("codex", "begin(); sys.exit(0)", "exited with status 0 in the middle"),
    "exits-with-words": (
        "claude",
        "begin(); sys.stderr.write('the disk is full'); sys.exit(3)",
        "exited with status 3 in the middle of its turn: the disk is full",
    ),
    "is-killed": ("pi", "begin(); os.kill(os.getpid(), signal.SIGKILL)", "ended by SIGKILL"),
    "ends-in-no-shape": (
        "codex",
        "begin(); say({'method': 'turn/completed', 'params': 7}); stay()",
        "ended its turn by a message not understood",
    ),
    "fails-in-no-shape": (
        "codex",
        "begin(); end(status='failed', error={'codexErrorInfo': {'x': 7}}); stay()",
        "not understood",
    ),
    "fails-without-words": (
        "codex",
        "begin(); end(status='failed', error={'message': [], 'codexErrorInfo': 3}); stay()",
        "codex failed without saying why",
    ),
    "opens-nothing": (
        "codex",
        "say({'id': turn['id'], 'result': None}); stay()",
        "not understood",
    ),
    "result-in-no-shape": (
        "claude",
        "begin(); end(is_error=True, model_usage_since_last_result=[1], result=[]); stay()",
        "ended its turn by a message not understood",
    ),
    "answers-in-no-shape": (
        "pi",
        "say({'type': 'response', 'id': 'prompt', 'success': True, 'data': [3]}); stay()",
        "ended its turn by a message not understood",
    ),
    "introduces-itself-in-no-shape": (
        "acp",
        "introduce({'protocolVersion': 'tomorrow'}); stay()",
        "acp ended its turn by a message not understood",
    ),
    "stops-in-no-shape": (
        "acp",
        "introduce(); end(open(), {'stopReason': 7}); stay()",
        "acp ended its turn by a message not understood",
    ),
    "says-nothing": ("claude", "begin(); time.sleep(600)", "no output for"),
    "will-not-go": (
        "claude",
        "begin(); signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)",
        "no output for",
    ),
    "waits-for-ever-to-try-again": (
        "claude",
        (
            "begin(); say({'type': 'system', 'subtype': 'api_retry', 'retry_delay_ms': 1e300,"
            " 'attempt': 1}); time.sleep(600)"
        ),
        "no output for",
    ),
}


@pytest.mark.asyncio
@pytest.mark.parametrize("case", ENDS_BADLY)
async def test_a_turn_that_ends_badly_says_how(
    place: Path, supervisor: Supervisor, case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "MAX_RETRY_S", 1.0)
    name, talk, words = ENDS_BADLY[case]
    turn = await turn_of(place, supervisor, name, talk, silence_timeout_s=2.0)
    assert not turn.exited.ok
    assert words in turn.error.message
    assert turn.exited.left == ()


@pytest.mark.asyncio
async def test_an_agent_that_is_silent_behind_an_answer_is_ended(
    place: Path, supervisor: Supervisor
) -> None:
    call = {"id": 1, "method": "item/tool/call", "params": {"tool": "get_goal"}}
    mute = agent(place, supervisor, "codex", f"begin(); say({call}); hear(); time.sleep(600)")
    turn, answers = Turn([]), []
    async with asyncio.timeout(60):
        async for event in mute.worker.run(mute.work("Do it.", silence_timeout_s=3.0)):
            turn.events.append(event)
            if isinstance(event, w.ToolCalled):
                # As an engine answers: while the turn waits for what comes next.
                told = mute.worker.tool_result(mute.run_id, event.id, accepts(event))
                answers.append(asyncio.create_task(told))
    assert [await each for each in answers] == [True]
    assert turn.error.code == "silence_timeout"


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("name", "question", "answer"),
    [
        (
            "codex",
            {"id": 7, "method": "item/commandExecution/requestApproval", "params": {"odd": [1]}},
            {"id": 7, "result": {"decision": "decline"}},
        ),
        ("codex", {"id": "x", "method": "item/tool/call", "params": {"tool": 3}}, "not understood"),
        ("codex", {"id": "x", "method": "item/tool/call"}, "not understood"),
        ("codex", {"id": 8, "method": "approval/of/tomorrow", "params": None}, "nobody is here"),
        (
            "claude",
            {"type": "control_request", "request_id": "q", "request": {"subtype": "can_use_tool"}},
            "not supported",
        ),
        (
            "claude",
            {"type": "control_request", "request_id": "q", "request": {"subtype": "tomorrow"}},
            "not supported",
        ),
        ("claude", {"type": "control_request", "request_id": "q", "request": 3}, "not supported"),
        (
            "pi",
            {"type": "extension_ui_request", "id": "q", "method": "input", "title": "goalfsm"},
            "cancelled",
        ),
        ("pi", {"type": "extension_ui_request", "id": "q", "method": "confirm"}, "cancelled"),
    ],
)
async def test_a_question_in_no_known_shape_is_answered(
    place: Path, supervisor: Supervisor, name: str, question: Any, answer: Any
) -> None:
    """Whoever asks waits: the agent goes on only when it has heard something."""
    talk = (
        f"begin(); say({question!r}); heard = hear(); open('heard', 'w').write(str(heard)); end()"
    )
    turn = await turn_of(place, supervisor, name, f"{talk}; stay()", silence_timeout_s=20.0)
    assert turn.exited.ok, turn.events
    heard = (place / "heard").read_text()
    assert (str(answer) if isinstance(answer, dict) else answer) in heard


@pytest.mark.asyncio
async def test_a_permission_in_no_known_shape_is_answered_over_acp(
    place: Path, supervisor: Supervisor
) -> None:
    odd = {"jsonrpc": "2.0", "id": 9, "method": "session/request_permission", "params": {"x": 1}}
    talk = (
        f"introduce(); prompt = open(); say({odd!r}); heard = hear();"
        "end(prompt) if heard['id'] == 9 and 'not understood' in str(heard) else None; stay()"
    )
    turn = await turn_of(place, supervisor, "acp", talk, silence_timeout_s=20.0)
    assert turn.exited.ok, turn.events


@pytest.mark.asyncio
@pytest.mark.parametrize("name", ["codex", "claude", "pi"])
async def test_noise_changes_nothing(place: Path, supervisor: Supervisor, name: str) -> None:
    noise = [
        {"method": "thread/of/tomorrow", "params": {"x": 1}},
        {"type": "event_of_tomorrow", "x": [1]},
        {"id": 99, "result": {}},
        {"id": 99, "error": {"code": 1}},
    ]
    talk = (
        f"begin(); say(*{noise!r}); say('no json\\n', '[]\\n', '\\n', '{{\"a\\n'); "
        "sys.stdout.buffer.write(b'\\xff\\xfe\\n'); end(); stay()"
    )
    turn = await turn_of(place, supervisor, name, talk)
    assert turn.exited.ok, turn.events
    assert {event.reason.partition(":")[0] for event in turn.all(w.Skipped)} == {"not JSON"}


@pytest.mark.asyncio
async def test_a_line_without_end_is_told_and_the_turn_goes_on(
    place: Path, supervisor: Supervisor
) -> None:
    talk = f"begin(); say('x' * {MAX_LINE + 100_000}); say('\\n'); end(); stay()"
    turn = await turn_of(place, supervisor, "codex", talk)
    assert turn.exited.ok
    (skipped,) = turn.all(w.Skipped)
    assert "too long" in skipped.reason


@pytest.mark.asyncio
async def test_usage_that_falls_is_charged_from_0_again_and_never_below(
    place: Path, supervisor: Supervisor
) -> None:
    talk = (
        "begin(); used(100); used(60); used(60); used(80);"
        "say({'method': 'thread/tokenUsage/updated', 'params': {'tokenUsage': {'total':"
        " {'inputTokens': -5, 'outputTokens': 'many', 'cachedInputTokens': None}}}});"
        "end(); stay()"
    )
    turn = await turn_of(place, supervisor, "codex", talk)
    assert turn.exited.ok
    assert [event.input_tokens for event in turn.all(w.UsageReported)] == [100, 60, 20]


@pytest.mark.asyncio
async def test_a_session_that_changes_its_id_is_kept_under_the_newest(
    place: Path, supervisor: Supervisor
) -> None:
    other = "22222222-2222-4222-8222-222222222222"
    talk = f"begin(); begin({other!r}); begin(3); begin('x' * 5000); end(); stay()"
    claude = agent(place, supervisor, "claude", talk)
    turn = await claude.turn("Do it.")
    assert turn.exited.ok
    assert json.loads(claude.session or b"{}")["id"] == other
    assert len(turn.all(w.Skipped)) == 2


@pytest.mark.parametrize(
    "path", TRANSCRIPTS[::4], ids=lambda path: f"{path.parent.name}/{path.stem}"
)
def test_an_end_in_odd_shape_is_an_end(path: Path) -> None:
    """What ended a recorded turn ends it also where any field of it is of another kind."""
    head, steps = read(path)
    kind = dialect_of(head["agent"])
    at = next(at for at, step in enumerate(steps) if step["do"] == "hear" and ends(kind, steps, at))
    message = json.loads(steps[at]["line"])
    name = "method" if "method" in message else "type"
    inner = message.get("params") if name == "method" else message
    for key in inner if isinstance(inner, dict) else ():
        for odd in (None, 3, "x", [3], {}, 1.5):
            maimed = {**inner, key: odd}
            if key in {name, "id"}:
                continue
            line = {**message, "params": maimed} if name == "method" else maimed
            assert ends(kind, [*steps[:at], {**steps[at], "line": json.dumps(line)}], at), line


def ends(kind: Any, steps: list[dict[str, Any]], at: int) -> bool:
    """Tell whether the turn is over behind a recorded step."""
    dialect = begun(kind, steps[0])
    dialect.launch()
    for step in steps[1 : at + 1]:
        match step["do"]:
            case "hear":
                dialect.hear(step["line"].encode(), step["now"])
            case "steer":
                dialect.steer(step["id"], step["text"])
            case "interrupt":
                dialect.interrupt()
    return dialect.over or dialect.lost
