"""The record of a complete goal: where it is written, once more, and for a goal that is gone."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from goalfsm.daemon.flow.ports import Task
from goalfsm.daemon.flow.replay import as_completed
from goalfsm.daemon.host.records import file_name, reports_folder
from goalfsm.daemon.stages.performers import NotWritten, Reports
from goalfsm.session import Session
from goalfsm.session import effects as f
from goalfsm.session import events as e
from goalfsm.session.policy import Policy
from goalfsm.testing import MemoryGoals
from goalfsm.views.report import markdown, pull_request, record
from tests.daemon.scenes import COMPLETE, OBJECTIVE, THREAD, play, steps, worker
from tests.unit.reports import DONE, GOAL

NOTHING = Session()
Told = list[tuple[str, str, str, str]]


def task(form: str = "report", goal_id: str = "goal-1") -> Task:
    return Task("main", "k", f.WriteReport(goal_id=goal_id, form=form))  # type: ignore[arg-type]


def reports(beside: Path, before: Session | None = None, told: Told | None = None) -> Reports:
    said, db = [] if told is None else told, str(beside / "goals.db")
    return Reports(db, lambda _thread, _goal: before, lambda *words: said.append(words))


@pytest.mark.parametrize(("form", "text"), [("report", markdown), ("pr", pull_request)])
def test_it_is_one_file_that_a_second_time_leaves_the_same(
    tmp_path: Path, form: str, text: object
) -> None:
    folder = tmp_path / "reports"
    for _ in range(2):
        reports(tmp_path).perform(task(form), DONE)
    (path,) = folder.iterdir()
    assert path.name == "main-goal-1.md"
    assert callable(text)
    assert path.read_text() == text(record(DONE, GOAL.updated_at * 1000, thread_id="main"))
    assert (path.stat().st_mode & 0o777, folder.stat().st_mode & 0o777) == (0o600, 0o700)


def test_a_goal_that_has_a_successor_is_written_as_it_was(tmp_path: Path) -> None:
    after = Session(goal=replace(GOAL, goal_id="goal-2", objective="The next"))
    reports(tmp_path, DONE).perform(task(), after)
    assert "Release 2.0" in (tmp_path / "reports" / "main-goal-1.md").read_text()


@pytest.mark.parametrize("before", [None, NOTHING])
def test_a_goal_of_which_nothing_is_left_is_not_written(
    tmp_path: Path, before: Session | None
) -> None:
    reports(tmp_path, before).perform(task(), NOTHING)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_is_told_and_tried_again(tmp_path: Path) -> None:
    (tmp_path / "reports").write_text("in the way")
    told: Told = []
    with pytest.raises(NotWritten) as caught:
        reports(tmp_path, told=told).perform(task(), DONE)
    assert caught.value.hint
    ((thread, code, message, _),) = told
    assert (thread, code) == ("main", "report_not_written")
    assert "main-goal-1.md could not be written" in message


@pytest.mark.parametrize(
    ("thread", "goal", "name"),
    [
        ("main", "g-1", "main-g-1.md"),
        ("../../etc/passwd", "../x", "etc-passwd-x.md"),
        ("a b/c", "g", "a-b-c-g.md"),
        ("é😀", "g", "g.md"),
        ("x" * 300, "g", f"{'x' * 80}-g.md"),
    ],
)
def test_no_name_leads_out_of_the_folder(thread: str, goal: str, name: str) -> None:
    assert file_name(thread, goal) == name


def test_it_is_beside_the_database_or_in_the_state_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert reports_folder("/data/goals.db") == Path("/data/reports")
    assert reports_folder("") == tmp_path / "goalfsm" / "reports"


def test_the_journal_gives_a_goal_again_that_the_thread_has_no_more() -> None:
    async def scene(goals: MemoryGoals) -> None:
        turns = worker(steps(["one", COMPLETE], ["two"]))
        async with goals.process(turns, policy=Policy(max_continuations=2)) as engine:
            await engine.submit(THREAD, OBJECTIVE)
            before = await engine.settled(THREAD)
            assert before.goal is not None
            await engine.submit(THREAD, e.GoalQueued(objective="next"))
            await engine.submit(THREAD, e.NextGoalRequested())
            after = await engine.settled(THREAD)
        assert after.goal is not None
        assert after.goal.objective == "next"
        found = as_completed(goals.store(), THREAD, before.goal.goal_id)
        assert found is not None
        assert (found.goal, found.completion) == (before.goal, before.completion)
        assert as_completed(goals.store(), THREAD, after.goal.goal_id) is None
        assert as_completed(goals.store(), "nobody", before.goal.goal_id) is None

    play(scene)


def test_an_engine_writes_it_beside_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))

    async def scene(goals: MemoryGoals) -> None:
        policy = Policy(on_complete="pr")
        async with goals.process(worker(steps(["one", COMPLETE])), policy=policy) as engine:
            await engine.submit(THREAD, OBJECTIVE)
            session = await engine.settled(THREAD)
        assert session.goal is not None
        assert goals.open_effects() == []
        (path,) = (tmp_path / "goalfsm" / "reports").iterdir()
        assert path.name == file_name(THREAD, session.goal.goal_id)
        assert path.read_text().startswith("## What\n")

    play(scene)
