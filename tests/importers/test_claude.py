"""Goals of Claude Code: what the last attachment of a transcript says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from goalfsm.importers import claude
from goalfsm.importers.foreign import Foreign, ImportUnreadable
from tests.importers.samples import CLAUDE, PROJECT, lines


def said(uuid: str, **status: Any) -> dict[str, Any]:
    """Return a row of a transcript that tells of a goal."""
    return {
        "type": "attachment",
        "uuid": uuid,
        "timestamp": "2026-11-29T11:00:00.000Z",
        "sessionId": "s",
        "cwd": PROJECT,
        "attachment": {"type": "goal_status", "condition": "the tests pass", **status},
    }


GIVEN = said("a", met=False, sentinel=True)


def only(path: Path) -> Foreign:
    (one,) = claude.read(path)
    assert isinstance(one, Foreign)
    return one


@pytest.mark.parametrize(
    ("name", "status", "tokens", "note"),
    [
        ("met", "complete", 30, ""),
        ("failed", "blocked", 30, "the disk is read-only"),
        ("going-on", "active", 0, ""),
    ],
)
def test_what_claude_wrote_is_read(name: str, status: str, tokens: int, note: str) -> None:
    one = only(CLAUDE / f"{name}.jsonl")
    assert (one.objective, one.status) == ("the file notes.txt exists", status)
    assert (one.tokens, one.note, one.cwd) == (tokens, note, PROJECT)
    assert one.source.startswith(f"claude:{one.name[7:]}/")
    assert one.created_at is not None


def test_the_source_is_where_the_goal_was_given(tmp_path: Path) -> None:
    path = lines(
        tmp_path / "s.jsonl",
        said("z", met=True, condition="another"),
        GIVEN,
        said("b", met=False, reason="not yet"),
        said("c", met=True, reason="they do", durationMs=61_500, tokens=900),
    )
    one = only(path)
    assert (one.source, one.name, one.seconds, one.tokens) == ("claude:s/a", "claude-s", 61, 900)


def test_a_goal_that_was_given_up_is_none(tmp_path: Path) -> None:
    path = lines(tmp_path / "s.jsonl", GIVEN, said("b", met=True, sentinel=True))
    assert claude.read(path) == []
    again = lines(tmp_path / "s.jsonl", GIVEN, said("b", met=True, sentinel=True), GIVEN)
    assert only(again).status == "active"


def test_what_a_subagent_says_is_its_own(tmp_path: Path) -> None:
    path = lines(tmp_path / "s.jsonl", GIVEN, said("b", met=True) | {"isSidechain": True})
    assert only(path).status == "active"


def test_a_home_is_read_and_rows_without_a_goal_are_not_looked_into(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLAUDE_CONFIG_DIR", str(tmp_path))
    with pytest.raises(ImportUnreadable, match="there is no"):
        claude.read(None)
    lines(tmp_path / "projects" / "-a" / "1.jsonl", GIVEN)
    (tmp_path / "projects" / "-a" / "2.jsonl").write_text("nothing of ours\n")
    (tmp_path / "projects" / "-a" / "3.jsonl").write_text("goal_status, but no JSON\n")
    first, broken = claude.read(None)
    assert isinstance(first, Foreign)
    assert isinstance(broken, ImportUnreadable)


@pytest.mark.parametrize(
    ("row", "told"),
    [
        (GIVEN | {"sessionId": None}, "a goal without a session"),
        (said("a", met=False, condition=""), "a goal without a condition"),
    ],
)
def test_what_is_not_understood_is_refused(tmp_path: Path, row: dict[str, Any], told: str) -> None:
    with pytest.raises(ImportUnreadable, match=told):
        claude.read(lines(tmp_path / "s.jsonl", row))


def test_a_file_that_is_no_transcript_is_refused(tmp_path: Path) -> None:
    (tmp_path / "s.jsonl").write_text("not JSON\n")
    with pytest.raises(ImportUnreadable, match="line 1, is no JSON object"):
        claude.read(tmp_path / "s.jsonl")


def test_a_moment_that_is_none_is_left_out(tmp_path: Path) -> None:
    assert only(lines(tmp_path / "s.jsonl", GIVEN | {"timestamp": "soon"})).created_at is None
