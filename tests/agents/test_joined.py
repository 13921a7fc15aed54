"""One goal's turn in a thread of Codex that a person has turns in too, without any program."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator

from goalfsm.appserver.relay import shown_message
from goalfsm.workers import protocol as w
from goalfsm.workers.agents.dialect import Task
from goalfsm.workers.agents.joined import Host, JoinedCodex, ThreadState
from tests.agents import homes
from tests.appserver import schema
from tests.work import make_work

THREAD = "00000000-0000-7000-8000-000000000001"
LOADED = ThreadState(loaded=True, used=None)


class Link:
    """What a dialect asks: in which words a person has written a message."""

    def __init__(self, **texts: str) -> None:
        self._texts = texts

    async def ready(self) -> Host:
        raise NotImplementedError

    async def idle(self, thread_id: str) -> None:
        raise NotImplementedError

    def attach(
        self,
        run_id: str,
        thread_id: str,
        heard: Callable[[bytes], None],
        lost: Callable[[int | None, str], None],
    ) -> ThreadState:
        raise NotImplementedError

    def detach(self, run_id: str) -> None:
        raise NotImplementedError

    def written(self, thread_id: str, message_id: str) -> str | None:
        assert thread_id == THREAD
        return self._texts.get(message_id)

    def write(self, data: bytes) -> bool:
        raise NotImplementedError

    def end(self) -> None:
        raise NotImplementedError


class Turn:
    """A turn, and all that it has written."""

    def __init__(
        self, state: ThreadState = LOADED, session: bytes | None = None, **given: Any
    ) -> None:
        work = make_work(thread_id=THREAD, prompt="Go on.", session=session)
        self.codex = JoinedCodex(Task(work=work, **given), Link(m1="the green door"))
        self.events: list[w.TurnEvent] = []
        self.codex.enter(state)

    def written(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.codex.take_lines().splitlines()]

    def hear(self, **message: Any) -> None:
        self.events += self.codex.hear(json.dumps(message).encode(), 0.0)

    def told(self, method: str, **params: Any) -> None:
        self.hear(method=method, params={"threadId": THREAD, **params})

    def answered(self, number: int, result: Mapping[str, Any] | None = None) -> None:
        self.hear(id=f"run-1/{number}", result=result or {})

    def begin(self) -> None:
        """Let Codex take the prompt and begin turn ``t``."""
        self.answered(1)
        self.told("turn/started", turn={"id": "t"})
        self.written()

    def used(self, turn: str, tokens: int) -> None:
        total = {"inputTokens": tokens, "outputTokens": 0, "cachedInputTokens": 0}
        self.told("thread/tokenUsage/updated", turnId=turn, tokenUsage={"total": total})

    @property
    def charged(self) -> int:
        usage = [one for one in self.events if isinstance(one, w.UsageReported)]
        return sum(one.input_tokens for one in usage)

    @property
    def session(self) -> bytes | None:
        return [one for one in self.events if isinstance(one, w.SessionSaved)][-1].session


def test_the_prompt_goes_into_the_history_and_the_turn_begins_without_input() -> None:
    turn = Turn()
    (injected,) = turn.written()
    assert injected["method"] == "thread/inject_items"
    assert injected["params"]["items"][0]["content"][0]["text"] == "Go on."
    turn.answered(1)
    (started,) = turn.written()
    assert (started["method"], started["params"]) == (
        "turn/start",
        {"threadId": THREAD, "input": []},
    )


def test_a_thread_that_is_not_loaded_is_taken_up_first() -> None:
    turn = Turn(ThreadState(loaded=False, used=None))
    (resumed,) = turn.written()
    assert resumed["method"] == "thread/resume"
    turn.answered(1, {"thread": {"id": THREAD}})
    assert turn.written()[0]["method"] == "thread/inject_items"


@pytest.mark.parametrize("loaded", [True, False])
def test_what_codex_refuses_ends_the_turn_in_its_words(loaded: bool) -> None:
    turn = Turn(ThreadState(loaded=loaded, used=None))
    turn.hear(id="run-1/1", error={"code": -32600, "message": "no rollout found"})
    assert turn.codex.over
    (error,) = (one for one in turn.events if isinstance(one, w.ErrorReported))
    assert error.message == "no rollout found"


def test_only_the_goals_own_turns_are_charged() -> None:
    first = Turn(ThreadState(loaded=True, used=("talk", {"inputTokens": 500})))
    first.begin()
    first.used("t", 600)
    assert first.charged == 100

    # A person has talked meanwhile: what that used is not the goal's either.
    talked = Turn(ThreadState(loaded=True, used=("talk", {"inputTokens": 900})), first.session)
    talked.begin()
    talked.used("t", 950)
    assert talked.charged == 50

    # The turn went on when nobody could hear it any more: that was the goal's.
    lost = Turn(ThreadState(loaded=True, used=("t", {"inputTokens": 700})), first.session)
    lost.begin()
    lost.used("t", 750)
    assert lost.charged == 150


def test_another_turn_of_the_thread_neither_says_nor_ends_anything() -> None:
    turn = Turn()
    turn.begin()
    item = {"type": "agentMessage", "text": "Something else."}
    turn.told("item/completed", turnId="other", item=item)
    turn.told("turn/completed", turn={"id": "other", "status": "completed"})
    assert not turn.codex.over
    turn.told("item/completed", turnId="t", item={**item, "text": "The seed is in."})
    turn.told("turn/completed", turn={"id": "t", "status": "completed"})
    assert turn.codex.over
    assert [one.text for one in turn.events if isinstance(one, w.Text)] == ["The seed is in."]


def test_a_person_is_asked_elsewhere() -> None:
    turn = Turn()
    turn.begin()
    turn.hear(id=7, method="item/commandExecution/requestApproval", params={"threadId": THREAD})
    assert turn.codex.is_asking
    assert turn.written() == []
    turn.told("serverRequest/resolved", requestId=7)
    assert not turn.codex.is_asking


def test_a_message_is_steered_in_the_words_of_who_wrote_it() -> None:
    turn = Turn()
    assert not turn.codex.steer("m1", "<message>the green door</message>")
    turn.begin()
    assert turn.codex.steer("m1", "<message>the green door</message>")
    assert turn.codex.steer("m2", "from elsewhere")
    texts = [one["params"]["input"][0]["text"] for one in turn.written()]
    assert texts == ["the green door", "from elsewhere"]


def test_a_turn_is_stopped_as_soon_as_it_has_begun() -> None:
    turn = Turn()
    turn.written()
    turn.codex.interrupt()
    assert not turn.codex.over
    turn.answered(1)
    assert turn.codex.over
    assert turn.written() == []

    begun = Turn()
    begun.answered(1)
    begun.written()
    begun.codex.interrupt()
    assert begun.written() == []
    begun.answered(2, {"turn": {"id": "t"}})
    (stopped,) = begun.written()
    assert stopped["method"] == "turn/interrupt"
    assert stopped["params"] == {"threadId": THREAD, "turnId": "t"}


def test_the_context_is_shortened_in_the_same_thread() -> None:
    turn = Turn(compact=True)
    (asked,) = turn.written()
    assert asked["method"] == "thread/compact/start"
    turn.hear(id="run-1/1", error={"code": -32600, "message": "nothing to shorten"})
    assert turn.codex.over
    assert not turn.codex.changed


def test_what_is_said_to_codex_and_shown_to_clients_has_codexs_shapes(tmp_path: Path) -> None:
    if not homes.installed("codex"):
        pytest.skip("codex is not installed: sh .ci/tools")
    shapes = schema.printed(tmp_path)
    requests = Draft7Validator(schema.requests(tmp_path))
    turn = Turn(ThreadState(loaded=False, used=None))
    said = turn.written()
    turn.answered(1, {"thread": {"id": THREAD}})
    said += turn.written()
    turn.answered(2)
    said += turn.written()
    turn.told("turn/started", turn={"id": "t"})
    turn.codex.steer("m1", "x")
    turn.codex.interrupt()
    said += turn.written()
    said += Turn(compact=True).written()
    methods = [one["method"] for one in said]
    assert methods == [
        "thread/resume",
        "thread/inject_items",
        "turn/start",
        "turn/steer",
        "turn/interrupt",
        "thread/compact/start",
    ]
    for request in said:
        requests.validate(request)
    for message in shown_message(THREAD, "t", "m1", "the green door"):
        assert message["method"] in shapes
        schema.check(shapes, message["method"], message["params"])
