"""Which database and which thread a command speaks of when it is not told."""

from __future__ import annotations

from pathlib import Path

import pytest

from goalfsm.cli import places
from goalfsm.errors import GoalError


def test_each_directory_has_a_database_and_a_thread_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for name in ("a/app", "b/app"):
        (tmp_path / name).mkdir(parents=True)
        monkeypatch.chdir(tmp_path / name)
        found.append(places.find(None, None))
    assert found[0].db != found[1].db
    assert found[0].thread_id != found[1].thread_id
    assert all(place.thread_id.startswith("app-") and not place.given for place in found)
    assert all(place.db.parent == tmp_path / "state" / "goalfsm" for place in found)


def test_a_link_to_the_directory_is_the_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    monkeypatch.chdir(tmp_path / "real")
    real = places.find(None, None)
    monkeypatch.chdir(tmp_path / "link")
    assert places.find(None, None) == real


def test_an_option_comes_before_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOALFSM_DB", str(tmp_path / "env.db"))
    assert places.database(None) == tmp_path / "env.db"
    assert places.database("option.db") == Path.cwd() / "option.db"


def test_inside_a_turn_the_environment_names_the_thread_with_its_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOALFSM_THREAD", "outer")
    assert places.find(None, None).thread_id != "outer"
    monkeypatch.setenv("GOALFSM_DB", str(tmp_path / "env.db"))
    assert places.find(None, None).thread_id == "outer"
    assert places.find("other.db", None).thread_id != "outer"
    assert places.find(None, "mine").thread_id == "mine"


@pytest.mark.parametrize("name", ["", " a", "a\n", "a\x1b[0m", "x" * 201])
def test_a_name_that_does_not_fit_on_a_line_is_refused(name: str) -> None:
    with pytest.raises(GoalError) as refused:
        places.check_thread(name)
    assert refused.value.code == "thread_invalid"
    assert refused.value.hint


@pytest.mark.parametrize("name", ["/", "/ünïcode näme", "/日本", "/..."])
def test_every_directory_has_a_readable_name(name: str) -> None:
    made = places.default_name(Path(name))
    assert places.check_thread(made) == made
    assert made.isascii()


def test_a_hint_names_the_thread_only_where_it_was_named() -> None:
    assert places.speak("goalfsm resume THREAD", places.Place(Path("x"), "my app", given=True)) == (
        "goalfsm resume 'my app'"
    )
    assert places.speak("goalfsm resume THREAD", places.Place(Path("x"), "a-1", given=False)) == (
        "goalfsm resume"
    )


def test_a_directory_that_is_gone_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(GoalError) as refused:
        places.find(None, None)
    assert refused.value.code == "no_directory"
    monkeypatch.chdir(tmp_path)
