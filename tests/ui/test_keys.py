"""What each key does, and that it does nothing where it makes no sense."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from textual.pilot import Pilot
from textual.widgets import DataTable, Input, OptionList

from goalfsm.goal.model import Criterion, Limits
from goalfsm.session import events as e
from goalfsm.session.state import QueuedGoal, Reply
from goalfsm.ui.app import GoalsApp, Surroundings
from goalfsm.ui.forms import Choice, Form, Page
from goalfsm.ui.screens import GoalScreen, GoalsScreen
from goalfsm.views.status import Status
from tests.ui.pressing import drawn, until, window
from tests.ui.states import STATES
from tests.ui.still import THREAD, Given, Still, app_of

Play = Callable[[Pilot[Any]], Coroutine[Any, Any, None]]


def play(
    source: Still, steps: Play, thread: str | None = THREAD, given: Given | None = None
) -> None:
    """Run the interface and do ``steps``."""

    async def run() -> None:
        app = app_of(source, Path("/"), thread, given)
        async with app.run_test(size=(100, 40)) as pilot:
            await drawn(pilot)
            await steps(pilot)

    asyncio.run(run())


def in_state(state: str) -> Still:
    return Still({THREAD: STATES[state]})


def sent_after(state: str, *keys: str, typed: tuple[str, ...] = ()) -> e.Event:
    """Return the one event that is sent when keys are pressed and fields are filled in."""
    source = in_state(state)

    async def steps(pilot: Pilot[Any]) -> None:
        if typed:
            await window(pilot, *keys)
            for field, text in zip(pilot.app.screen.query(Input), typed, strict=True):
                field.value = text
            await pilot.press(*["enter"] * len(typed))
        else:
            await pilot.press(*keys)
        await until(pilot, lambda: bool(source.sent))

    play(source, steps)
    ((thread, event),) = source.sent
    assert thread == THREAD
    return event


@pytest.mark.parametrize(
    ("state", "key", "typed", "event"),
    [
        ("running", "p", (), e.PauseRequested(expected_goal_id="g-1")),
        ("paused_user", "p", (), e.ResumeRequested(expected_goal_id="g-1")),
        ("blocked", "p", (), e.ResumeRequested(expected_goal_id="g-1")),
        (
            "verifying",
            "a",
            (),
            e.ClaimAccepted(expected_claim="c-1", expected_goal_id="g-1"),
        ),
        (
            "verifying",
            "x",
            ("the tables are still there",),
            e.ClaimRejected(
                feedback="the tables are still there",
                expected_claim="c-1",
                expected_goal_id="g-1",
            ),
        ),
        (
            "running",
            "e",
            ("Do half of it.", "the first; the second ;"),
            e.EditRequested(
                objective="Do half of it.",
                criteria=(Criterion(text="the first"), Criterion(text="the second")),
                expected_goal_id="g-1",
            ),
        ),
        (
            "limited_tokens",
            "b",
            ("300k", "2h", "none", ""),
            e.BudgetChanged(
                limits=Limits(tokens=300_000, seconds=7_200),
                unlimited=("cost",),
                expected_goal_id="g-1",
            ),
        ),
    ],
)
def test_a_key_sends_its_event(
    state: str, key: str, typed: tuple[str, ...], event: e.Event
) -> None:
    assert sent_after(state, key, typed=typed) == event


def test_s_steers() -> None:
    event = sent_after("running", "s", typed=("no migration at night",))
    assert isinstance(event, e.SteeringReceived)
    assert (event.text, event.expected_goal_id) == ("no migration at night", "g-1")
    assert event.message_id


def test_i_interrupts_with_a_word_for_the_next_turn() -> None:
    event = sent_after("running", "i", typed=("start with the archive",))
    assert isinstance(event, e.InterruptRequested)
    assert event.text == "start with the archive"


def test_c_clears_when_it_is_meant() -> None:
    assert sent_after("blocked", "c", "down", "enter") == e.ClearRequested(expected_goal_id="g-1")


@pytest.mark.parametrize("keys", [("c", "enter"), ("c", "escape"), ("s", "escape")])
def test_what_is_given_up_sends_nothing(keys: tuple[str, ...]) -> None:
    source = in_state("running")

    async def steps(pilot: Pilot[Any]) -> None:
        await window(pilot, keys[0])
        await pilot.press(*keys[1:])
        await until(pilot, lambda: isinstance(pilot.app.screen, GoalScreen))

    play(source, steps)
    assert source.sent == []


@pytest.mark.parametrize("key", ["s", "p", "e", "b", "a", "x", "i"])
def test_what_is_not_possible_is_said_and_not_sent(key: str) -> None:
    source = in_state("complete")

    async def steps(pilot: Pilot[Any]) -> None:
        await pilot.press(key)
        await until(pilot, lambda: bool(pilot.app._notifications))
        assert "nothing to" in next(iter(pilot.app._notifications)).message

    play(source, steps)
    assert source.sent == []


@pytest.mark.parametrize(
    ("state", "key", "kind"),
    [
        ("recovering", "w", Page),
        ("complete", "r", Page),
        ("blocked", "exclamation_mark", Page),
        ("blocked", "question_mark", Page),
        ("blocked", "enter", Choice),
        ("running", "s", Form),
    ],
)
def test_a_key_opens_its_window_and_escape_closes_it(
    state: str, key: str, kind: type[object]
) -> None:
    async def steps(pilot: Pilot[Any]) -> None:
        await window(pilot, key)
        assert isinstance(pilot.app.screen, kind)
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(pilot.app.screen, GoalScreen))

    play(in_state(state), steps)


def test_a_report_without_a_goal_is_an_error_that_is_shown() -> None:
    async def steps(pilot: Pilot[Any]) -> None:
        await pilot.press("r")
        await until(pilot, lambda: bool(pilot.app._notifications))
        assert "no goal" in next(iter(pilot.app._notifications)).message

    play(in_state("no_goal"), steps)


@pytest.mark.parametrize("key", ["l", "escape"])
def test_back_to_all_goals(key: str) -> None:
    async def steps(pilot: Pilot[Any]) -> None:
        await pilot.press(key)
        await until(pilot, lambda: isinstance(pilot.app.screen, GoalsScreen))

    play(in_state("running"), steps)


def test_slash_finds_a_goal_and_enter_opens_it() -> None:
    source = Still(dict.fromkeys(("bread", "butter", "milk"), STATES["continuing"]))

    async def steps(pilot: Pilot[Any]) -> None:
        await pilot.press("slash")
        await pilot.press(*"but")
        table = pilot.app.screen.query_one(DataTable)
        await until(pilot, lambda: table.row_count == 1)
        await pilot.press("enter")
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, GoalScreen))
        assert pilot.app.screen.thread_id == "butter"

    play(source, steps, thread=None)


class Counting(Still):
    """A source of many threads that counts how many are read at once."""

    def __init__(self, count: int) -> None:
        super().__init__({f"t{number:05}": STATES["continuing"] for number in range(count)})
        self.most = 0

    def rows(self, names: Sequence[str]) -> tuple[Status, ...]:
        self.most = max(self.most, len(names))
        return super().rows(names)


def test_of_ten_thousand_threads_those_in_sight_are_read() -> None:
    source = Counting(10_000)

    async def steps(pilot: Pilot[Any]) -> None:
        table = pilot.app.screen.query_one(DataTable)
        assert table.row_count == 10_000
        assert str(table.get_row("t00000")[0]).endswith("continuing")
        assert table.get_row("t09999")[0] == ""
        await pilot.press("down", "ctrl+end")
        await until(pilot, lambda: str(table.get_row("t09999")[0]).endswith("continuing"))
        assert table.get_row("t05000")[0] == ""
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, GoalScreen))
        assert pilot.app.screen.thread_id == "t09999"

    play(source, steps, thread=None)
    assert 0 < source.most < 500


def test_q_quits() -> None:
    async def steps(pilot: Pilot[Any]) -> None:
        await pilot.press("q")
        await until(pilot, lambda: pilot.app._exit)

    play(in_state("running"), steps)


def test_the_menu_offers_what_is_possible_and_does_it() -> None:
    source = in_state("waiting_event")

    async def steps(pilot: Pilot[Any]) -> None:
        await window(pilot, "enter")
        offered = pilot.app.screen.query_one(OptionList)
        names = [option.id for option in offered.options]
        assert names == ["steer", "wake", "pause", "budget", "edit", "new", "clear"]
        assert "goalfsm wake billing" in str(offered.options[1].prompt)
        await pilot.press("down", "enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, Form))
        await pilot.press("enter")
        await until(pilot, lambda: bool(source.sent))

    play(source, steps)
    assert source.sent == [(THREAD, e.WakeRequested(expected_goal_id="g-1"))]


def test_the_menu_takes_the_next_queued_goal_up() -> None:
    complete = STATES["complete"]
    assert complete.session is not None
    queued = QueuedGoal(queue_id="q1", objective="the printer", at_ms=0)
    session = replace(complete.session, queue=(queued,))
    source = Still({THREAD: complete._replace(session=session)})

    async def steps(pilot: Pilot[Any]) -> None:
        await window(pilot, "enter")
        first = pilot.app.screen.query_one(OptionList).options[0]
        assert first.id == "next"
        assert "goalfsm queue next billing" in str(first.prompt)
        await pilot.press("enter")
        await until(pilot, lambda: bool(source.sent))

    play(source, steps)
    assert source.sent == [(THREAD, e.NextGoalRequested(expected_goal_id="g-1"))]


def test_n_gives_a_goal_from_a_template() -> None:
    given = Given()

    async def steps(pilot: Pilot[Any]) -> None:
        await window(pilot, "n")
        options = pilot.app.screen.query_one(OptionList)
        options.highlighted = [option.id for option in options.options].index("fix-issue")
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, Form))
        fields = {str(field.id): field for field in pilot.app.screen.query(Input)}
        assert fields["thread"].value == THREAD
        fields["input-issue"].value = "123"
        await pilot.press(*["enter"] * len(fields))
        await until(pilot, lambda: bool(given.words))

    play(in_state("complete"), steps, given=given)
    ((command, thread, words),) = given.words
    assert (command, thread) == ("set", THREAD)
    assert words[:2] == ["-t", "fix-issue"]
    assert "issue=123" in words


def test_n_replaces_an_unfinished_goal_only_when_that_is_meant() -> None:
    given = Given()

    async def steps(pilot: Pilot[Any]) -> None:
        await window(pilot, "n")
        await pilot.press("down", "enter")
        await until(pilot, lambda: bool(pilot.app.screen.query("OptionList")))
        await until(pilot, lambda: len(pilot.app.screen.query_one(OptionList).options) > 2)
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, Form))
        fields = {str(field.id): field for field in pilot.app.screen.query(Input)}
        fields["objective"].value = "another goal"
        fields["tokens"].value = "20k"
        fields["program"].value = "sh work.sh 'a b'"
        await pilot.press(*["enter"] * len(fields))
        await until(pilot, lambda: bool(given.words))

    play(in_state("blocked"), steps, given=given)
    program = ["--", "sh", "work.sh", "a b"]
    words = ["--replace", "--tokens", "20k", "another goal", *program]
    assert given.words == [("set", THREAD, words)]


def test_a_refusal_is_shown_with_its_hint() -> None:
    source = in_state("running")
    source.reply = Reply(ok=False, code="no", message="it is too late", hint="goalfsm log THREAD")

    async def steps(pilot: Pilot[Any]) -> None:
        await pilot.press("p")
        await until(pilot, lambda: bool(pilot.app._notifications))
        shown = next(iter(pilot.app._notifications))
        assert shown.message == "it is too late\ngoalfsm log billing"
        assert shown.severity == "error"

    play(source, steps)


@pytest.mark.parametrize("typed", ["lots", "0", "-1"])
def test_a_wrong_budget_is_told_and_nothing_is_sent(typed: str) -> None:
    source = in_state("limited_tokens")

    async def steps(pilot: Pilot[Any]) -> None:
        await window(pilot, "b")
        pilot.app.screen.query(Input).first().value = typed
        await pilot.press(*["enter"] * 4)
        await until(pilot, lambda: bool(pilot.app._notifications))
        assert "token budget" in next(iter(pilot.app._notifications)).message

    play(source, steps)
    assert source.sent == []


def test_a_command_that_is_longer_than_the_window_is_wide_is_shown_whole() -> None:
    """As with ``--everywhere``, where the database is named."""
    where = f"billing --db /home/somebody/{'deep/' * 20}goals.db"

    def speak(hint: str, _thread_id: str) -> str:
        return hint.replace("THREAD", where)

    source = Still({THREAD: STATES["nobody_drives"]})
    app = GoalsApp(source, Surroundings(Path("/"), speak, Given()), THREAD)

    async def run() -> None:
        async with app.run_test(size=(80, 24)) as pilot:
            await drawn(pilot)
            hint = app.screen.query_one("#hint")
            rows = [hint.render_line(row) for row in range(hint.size.height)]
            shown = "".join(part.text for row in rows for part in row)
            wanted = speak("goalfsm run --thread THREAD", "")
            assert shown.replace(" ", "") == wanted.replace(" ", "")
            assert hint.region.bottom <= 24

    asyncio.run(run())
