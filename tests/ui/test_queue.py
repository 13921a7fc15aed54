"""What each key does in the window of the goals that come after a thread's goal."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace
from textual.pilot import Pilot
from textual.widgets import DataTable, Input

from goalfsm.session import events as e
from goalfsm.ui.forms import Choice, Form
from goalfsm.ui.queue import QueueScreen
from goalfsm.ui.screens import GoalScreen, GoalsScreen
from tests.ui.pressing import drawn, until, window
from tests.ui.states import STATES
from tests.ui.still import THREAD, Given, Still
from tests.ui.test_keys import in_state, play

DOWN, UP = "right_square_bracket", "left_square_bracket"


@pytest.mark.parametrize(
    ("state", "keys", "event"),
    [
        ("advancing", ("down", UP), e.QueueMoved(queue_id="q3", place=1)),
        ("advancing", ("down", DOWN), e.QueueMoved(queue_id="q3", place=3)),
        ("advancing", ("down", "d", "down", "enter"), e.QueueDropped(queue_id="q3")),
        ("queued", ("t",), e.NextGoalRequested(expected_goal_id="g-1")),
    ],
)
def test_a_key_sends_its_event(state: str, keys: tuple[str, ...], event: e.Event) -> None:
    source = in_state(state)

    async def steps(pilot: Pilot[Any]) -> None:
        await window(pilot, "g")
        for key in keys:
            await pilot.press(key)
            await pilot.pause()
        await until(pilot, lambda: bool(source.sent))

    play(source, steps)
    assert source.sent == [(THREAD, event)]


@pytest.mark.parametrize(
    ("state", "keys"),
    [
        ("advancing", (UP,)),
        ("advancing", ("down", "down", DOWN)),
        ("advancing", ("d", "enter")),
        ("advancing", ("d", "escape")),
        ("advancing", ("t",)),
        ("complete", ("d", UP, DOWN, "t")),
    ],
)
def test_what_makes_no_sense_or_is_not_meant_sends_nothing(
    state: str, keys: tuple[str, ...]
) -> None:
    source = in_state(state)

    async def steps(pilot: Pilot[Any]) -> None:
        await window(pilot, "g")
        for key in keys:
            await pilot.press(key)
            await pilot.pause()
        await until(pilot, lambda: isinstance(pilot.app.screen, QueueScreen))

    play(source, steps)
    assert source.sent == []


def test_n_queues_a_goal_as_the_command_does() -> None:
    given = Given()

    async def steps(pilot: Pilot[Any]) -> None:
        await window(pilot, "g")
        await pilot.press("n")
        await until(pilot, lambda: isinstance(pilot.app.screen, Choice))
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, Form))
        fields = {str(field.id): field for field in pilot.app.screen.query(Input)}
        assert set(fields) == {"objective", "criterion", "verify", "tokens", "time"}
        fields["objective"].value = "Thank the auditors"
        fields["tokens"].value = "20k"
        await pilot.press(*["enter"] * len(fields))
        await until(pilot, lambda: bool(given.words))

    play(in_state("advancing"), steps, given=given)
    assert given.words == [("queue add", THREAD, ["--tokens", "20k", "Thank the auditors"])]


def test_what_has_changed_meanwhile_is_shown_and_the_cursor_stays_with_its_goal() -> None:
    source = in_state("advancing")
    state = STATES["advancing"]
    session = state.session
    assert session is not None
    first, second, third = session.queue

    async def steps(pilot: Pilot[Any]) -> None:
        await window(pilot, "g")
        await pilot.press("down")
        table = pilot.app.screen.query_one(DataTable)
        changed = replace(session, queue=(second, third, first))
        source.states[THREAD] = state._replace(session=changed)
        await until(pilot, lambda: str(table.get_row_at(0)[1]) == "q3")
        assert table.cursor_row == 0
        await pilot.press(DOWN)
        await until(pilot, lambda: bool(source.sent))

    play(source, steps)
    assert source.sent == [(THREAD, e.QueueMoved(queue_id="q3", place=2))]


@pytest.mark.parametrize("key", ["escape", "q", "g"])
def test_a_key_leads_back_to_the_goal(key: str) -> None:
    async def steps(pilot: Pilot[Any]) -> None:
        await window(pilot, "g")
        await pilot.press(key)
        await until(pilot, lambda: isinstance(pilot.app.screen, GoalScreen))

    play(in_state("advancing"), steps)


def test_from_the_list_it_is_the_queue_of_the_chosen_thread() -> None:
    async def steps(pilot: Pilot[Any]) -> None:
        await until(pilot, lambda: isinstance(pilot.app.screen, GoalsScreen))
        await drawn(pilot)
        await window(pilot, "g")
        assert isinstance(pilot.app.screen, QueueScreen)
        assert pilot.app.screen.query_one(DataTable).row_count == 3

    play(Still({THREAD: STATES["queued"]}), steps, thread=None)


def test_without_a_thread_there_is_no_queue() -> None:
    async def steps(pilot: Pilot[Any]) -> None:
        await pilot.press("g")
        await until(pilot, lambda: bool(pilot.app._notifications))
        assert "no goal yet" in next(iter(pilot.app._notifications)).message

    play(in_state("no_thread"), steps)
