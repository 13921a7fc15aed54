"""Goal messages of a host's history: bookkeeping once they no longer apply, else untouched."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from goalfsm.session.events import GoalWork
from goalfsm.views.rewrite_context import BOOKKEEPING, rewrite_context, work_of


def work(goal_id: str, kind: Any = "continuation", **fields: Any) -> dict[str, Any]:
    metadata = {"goal_work": {"kind": kind, "goal_id": goal_id}}
    return {"role": "custom", "content": f"{kind} of {goal_id}", "metadata": metadata, **fields}


def said(text: str = "hello", **fields: Any) -> dict[str, Any]:
    return {"role": "user", "content": text, **fields}


def marked(messages: Any) -> list[int]:
    return [at for at, message in enumerate(messages) if message["content"] == BOOKKEEPING]


def test_newest_message_of_the_goal_stays() -> None:
    history = [work("g", "command_start"), said(), work("g"), said(), work("g"), said()]
    assert marked(rewrite_context(history, "g")) == [0, 2]


def test_messages_of_other_goals_are_stale() -> None:
    history = [work("old"), work("g"), said(), work("old")]
    assert marked(rewrite_context(history, "g")) == [0, 3]


def test_without_a_goal_every_goal_message_is_stale() -> None:
    assert marked(rewrite_context([work("g"), said()], None)) == [0]


def test_history_with_nothing_to_mark_is_the_same_object() -> None:
    for history in ([], [said()], [said(), work("g"), said()]):
        assert rewrite_context(history, "g") is history


def test_unmarked_messages_are_the_same_objects() -> None:
    history = [said(), work("g"), work("g")]
    result = rewrite_context(history, "g")
    assert result is not history
    assert result[0] is history[0]
    assert result[2] is history[2]


def test_input_is_not_changed() -> None:
    history = [work("g", extra=[1]), work("g")]
    before = copy.deepcopy(history)
    rewrite_context(history, "g")
    assert history == before


def test_marked_message_keeps_everything_but_its_content() -> None:
    first = work("g", id=7)
    first["metadata"]["other"] = True
    (bookkept, _) = rewrite_context([first, work("g")], "g")
    assert bookkept == {
        "role": "custom",
        "content": BOOKKEEPING,
        "id": 7,
        "metadata": {
            "goal_work": {"kind": "continuation", "goal_id": "g", "bookkeeping": True},
            "other": True,
        },
    }


def test_content_in_blocks_stays_in_blocks() -> None:
    history = [work("g", content=[{"type": "text", "text": "a"}]), work("g")]
    assert rewrite_context(history, "g")[0]["content"] == [{"type": "text", "text": BOOKKEEPING}]


@pytest.mark.parametrize(
    "metadata",
    [
        None,
        "goal_work",
        {},
        {"goal_work": None},
        {"goal_work": "g"},
        {"goal_work": {}},
        {"goal_work": {"kind": "continuation"}},
        {"goal_work": {"goal_id": "g"}},
        {"goal_work": {"kind": 1, "goal_id": "g"}},
        {"goal_work": {"kind": "continuation", "goal_id": None}},
    ],
)
def test_goal_messages_are_recognised_by_whole_metadata_only(metadata: Any) -> None:
    """Text that reads like a goal message, or like bookkeeping, is a person's text."""
    history = [said(work("x")["content"], metadata=metadata), said(BOOKKEEPING)]
    assert rewrite_context(history, "g") is history
    assert work_of(history[0]) is None


def test_wind_down_notice_is_superseded_like_any_goal_message() -> None:
    assert marked(rewrite_context([work("g", "wind_down"), work("g")], "g")) == [0]


def test_work_of_a_message() -> None:
    assert work_of(work("g", "command_resume")) == GoalWork("command_resume", "g")
    assert work_of(work("g", "wind_down")) is None
    assert work_of(rewrite_context([work("g"), work("g")], "g")[0]) is None
    assert work_of(said()) is None


MESSAGES = st.lists(
    st.one_of(
        st.builds(said, st.sampled_from(["a", "b"])),
        st.builds(work, st.sampled_from(["g", "h"]), st.sampled_from(["continuation", "x"])),
    ),
    max_size=12,
)


@given(MESSAGES, st.sampled_from(["g", "h", None]))
def test_marking_happens_once(history: list[dict[str, Any]], goal_id: str | None) -> None:
    once = rewrite_context(history, goal_id)
    assert rewrite_context(once, goal_id) is once


@given(MESSAGES, MESSAGES, st.sampled_from(["g", "h", None]), st.sampled_from(["g", "h", None]))
def test_each_message_changes_its_bytes_at_most_once(
    history: list[dict[str, Any]],
    more: list[dict[str, Any]],
    first: str | None,
    second: str | None,
) -> None:
    """Whether a host keeps the result or starts from its own history, what was marked stays so."""
    before = rewrite_context(history, first)
    after = rewrite_context([*before, *more], second)
    for old, new in zip(before, after, strict=False):
        if old["content"] == BOOKKEEPING:
            assert json.dumps(old) == json.dumps(new)
    growing = rewrite_context(history, first)
    grown = rewrite_context([*history, *more], first)
    assert set(marked(growing)) <= set(marked(grown))
