"""Every message that the recorded sessions call forth has the shape that Codex's clients expect."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator, ValidationError

from goalfsm.appserver.goals import STATUSES
from goalfsm.testing import MemoryGoals, hangs
from tests.agents import homes
from tests.appserver import schema
from tests.appserver.playing import NAMES, SESSIONS, Client, play, serving

Shapes = dict[str, dict[str, Any]]


@pytest.fixture(scope="module", params=["written", "printed"])
def shapes(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Shapes:
    if request.param == "written":
        return schema.WRITTEN
    if not homes.installed("codex"):
        pytest.skip("codex is not installed: sh .ci/tools")
    return schema.printed(tmp_path_factory.mktemp("schema"))


@pytest.mark.parametrize("name", NAMES)
def test_every_message_of_a_session_has_its_shape(name: str, shapes: Shapes) -> None:
    steps = json.loads((SESSIONS / f"{name}.json").read_text())["steps"]
    methods = {step["send"]["id"]: step["send"]["method"] for step in steps if "send" in step}
    _, ours, _ = play(name)
    assert ours
    for message in ours:
        if "method" in message:
            schema.check(shapes, message["method"], message["params"])
        elif "result" in message:
            schema.check(shapes, methods[message["id"]], message["result"])
        else:
            assert sorted(message["error"]) == ["code", "message"]


def test_what_opens_a_thread_has_its_shape(shapes: Shapes) -> None:
    goals = MemoryGoals()
    goals.worker.turn(hangs())
    goals.worker.turn(hangs())
    server = serving(goals)

    async def playing() -> None:
        client = Client(goals, server)
        info = {"name": "test", "version": "1"}
        told = await client.ask("initialize", clientInfo=info)
        schema.check(shapes, "initialize", told["result"])
        started = await client.ask("thread/start", cwd="/")
        schema.check(shapes, "thread/start", started["result"])
        schema.check(shapes, "thread/started", client.told.said("thread/started")[0])
        thread_id = started["result"]["thread"]["id"]
        await client.ask("thread/goal/set", threadId=thread_id, objective="Write")
        resumed = await client.ask("thread/resume", threadId=thread_id)
        schema.check(shapes, "thread/resume", resumed["result"])
        turn_id = client.told.said("turn/started")[0]["turn"]["id"]
        ended = await client.ask("turn/interrupt", threadId=thread_id, turnId=turn_id)
        schema.check(shapes, "turn/interrupt", ended["result"])
        await client.close()
        await server.close()

    try:
        goals.clock.run(playing())
    finally:
        goals.close()


@pytest.mark.parametrize(
    "spoil",
    [
        lambda goal: goal.update(status="done"),
        lambda goal: goal.pop("tokensUsed"),
        lambda goal: goal.update(tokenBudget="5"),
    ],
)
def test_a_message_of_another_shape_is_noticed(
    spoil: Callable[[dict[str, Any]], object], shapes: Shapes
) -> None:
    _, ours, _ = play("06-usage-limit")
    result = next(message["result"] for message in ours if "result" in message)
    spoil(result["goal"])
    with pytest.raises(ValidationError):
        schema.check(shapes, "thread/goal/set", result)


def test_the_requests_of_the_recordings_are_such_as_codex_takes(tmp_path: Path) -> None:
    if not homes.installed("codex"):
        pytest.skip("codex is not installed: sh .ci/tools")
    printed = schema.printed(tmp_path)
    told = Draft7Validator(schema.requests(tmp_path))
    # What the recordings send wrongly on purpose.
    wrong = {"thread/goal/pause"}
    steps = json.loads((SESSIONS / "07-steer-interrupt.json").read_text())["steps"]
    for step in steps:
        if "send" in step and step["send"]["method"] not in wrong:
            told.validate(step["send"])
    goal = json.loads((tmp_path / "v2" / "ThreadGoalGetResponse.json").read_text())
    assert goal["definitions"]["ThreadGoalStatus"]["enum"] == [*STATUSES]
    assert set(printed) >= set(schema.WRITTEN)
