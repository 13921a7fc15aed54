"""Goals of pi: the branch of a session that counts, entry by entry."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from goalfsm.importers import pi
from goalfsm.importers.foreign import Foreign, ImportUnreadable
from tests.importers.samples import PI, PROJECT, lines

HEAD = {"type": "session", "version": 3, "id": "s", "timestamp": "", "cwd": PROJECT}
GOAL = {
    "goalId": "g",
    "objective": "Port it",
    "status": "active",
    "tokenBudget": 500,
    "usage": {"tokensUsed": 10, "activeSeconds": 2},
    "createdAt": 1_700_000_000,
    "updatedAt": 1_700_000_000,
}


def entry(id_: str, parent: str | None, **data: Any) -> dict[str, Any]:
    """Return an entry of the extension."""
    return {
        "type": "custom",
        "customType": "pi-codex-goal",
        "id": id_,
        "parentId": parent,
        "data": {"version": 1, "at": 1_700_000_000, **data},
    }


def given(id_: str, parent: str | None, **fields: Any) -> dict[str, Any]:
    """Return the entry of a goal as it then was."""
    return entry(id_, parent, kind="set", source="runtime", goal=GOAL | fields)


def only(*rows: dict[str, Any], at: Path) -> Foreign | None:
    """Return the goal of a session of these entries, None where it has none."""
    found = pi.read(lines(at / "session.jsonl", HEAD, *rows))
    assert len(found) < 2
    assert all(isinstance(one, Foreign) for one in found)
    return found[0] if found else None  # type: ignore[return-value]


def test_what_pi_wrote_is_read() -> None:
    (one,) = pi.read(PI)
    assert isinstance(one, Foreign)
    assert (one.objective, one.status, one.cwd) == ("Port the printer", "active", PROJECT)
    assert (one.token_budget, one.tokens, one.seconds) == (500_000, 12_345, 67)
    assert one.name == "pi-01a2271b-68ab-7447-8155-e501d2dd289b"
    assert one.source == f"pi:{one.name[3:]}/5d7e1c0a-1111-4222-8333-444455556666"
    assert one.created_at == 1_795_951_000


def test_the_newest_entry_of_the_branch_counts(tmp_path: Path) -> None:
    one = only(
        given("a", None),
        given("b", "a", usage={"tokensUsed": 70, "activeSeconds": 9}),
        given("c", "b", status="paused", usage={"tokensUsed": 90, "activeSeconds": 11}),
        at=tmp_path,
    )
    assert one is not None
    assert (one.status, one.tokens, one.seconds) == ("paused", 90, 11)


def test_an_abandoned_branch_does_not_count(tmp_path: Path) -> None:
    one = only(
        given("a", None),
        given("b", "a", objective="The other way", status="complete"),
        {"type": "message", "id": "c", "parentId": "a", "message": {}},
        given("d", "c", usage={"tokensUsed": 20, "activeSeconds": 3}),
        at=tmp_path,
    )
    assert one is not None
    assert (one.objective, one.status, one.tokens) == ("Port it", "active", 20)


def test_a_cleared_goal_is_none_and_one_after_it_is(tmp_path: Path) -> None:
    cleared = entry("b", "a", kind="clear", source="command", clearedGoalId="g")
    assert only(given("a", None), cleared, at=tmp_path) is None
    one = only(given("a", None), cleared, given("c", "b", goalId="h"), at=tmp_path)
    assert one is not None
    assert one.source == "pi:s/h"


def test_what_it_notes_of_recovery_is_passed_over(tmp_path: Path) -> None:
    one = only(
        given("a", None), entry("b", "a", kind="host_overflow_cap_reset", active=True), at=tmp_path
    )
    assert one is not None
    assert one.status == "active"


def test_use_that_is_told_alone_is_of_the_goal_that_it_names(tmp_path: Path) -> None:
    used = {"tokensUsed": 600, "activeSeconds": 5}
    said = {"kind": "usage", "source": "runtime", "status": "budgetLimited", "usage": used}
    one = only(given("a", None), entry("b", "a", goalId="g", **said), at=tmp_path)
    assert one is not None
    assert (one.status, one.tokens) == ("budget_limited", 600)
    one = only(given("a", None), entry("b", "a", goalId="other", **said), at=tmp_path)
    assert one is not None
    assert (one.status, one.tokens) == ("active", 10)


def test_a_goal_without_a_budget_of_tokens_has_none(tmp_path: Path) -> None:
    without = {name: value for name, value in GOAL.items() if name != "tokenBudget"}
    for goal in (without, GOAL | {"tokenBudget": None}):
        one = only(entry("a", None, kind="set", source="command", goal=goal), at=tmp_path)
        assert one is not None
        assert one.token_budget is None


def test_a_session_without_a_goal_has_none(tmp_path: Path) -> None:
    assert only({"type": "message", "id": "a", "parentId": None}, at=tmp_path) is None
    assert only(at=tmp_path) is None


def test_a_line_that_is_being_written_is_left_out(tmp_path: Path) -> None:
    path = lines(tmp_path / "s.jsonl", HEAD, given("a", None))
    with path.open("a") as file:
        file.write('{"type":"custom","customType":"pi-co')
    (one,) = pi.read(path)
    assert isinstance(one, Foreign)


def test_a_tree_that_turns_in_a_circle_comes_to_an_end(tmp_path: Path) -> None:
    assert only(given("a", "b"), given("b", "a"), at=tmp_path) is not None


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ((), "does not begin with one"),
        (({"type": "message"},), "does not begin with one"),
        ((HEAD | {"version": 1},), "version 1"),
        ((HEAD | {"version": 4},), "version 4"),
        ((HEAD, given("a", None, status="dreaming")), "status 'dreaming'"),
        ((HEAD, given("a", None, objective=7)), "a goal without an objective: 7"),
        ((HEAD, entry("a", None, version=2, kind="set", goal=GOAL)), "version that is not known"),
        ((HEAD | {"id": ""}, given("a", None)), "a goal without a session"),
    ],
)
def test_what_is_not_understood_is_refused_in_a_line(
    tmp_path: Path, rows: tuple[dict[str, Any], ...], said: str
) -> None:
    with pytest.raises(ImportUnreadable, match=said) as caught:
        pi.read(lines(tmp_path / "s.jsonl", *rows))
    assert caught.value.hint


def test_a_home_is_read_whole_and_a_bad_session_hides_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PI_CODING_AGENT_DIR", str(tmp_path))
    with pytest.raises(ImportUnreadable, match="there is no"):
        pi.read(None)
    lines(tmp_path / "sessions" / "--a--" / "1.jsonl", HEAD, given("a", None))
    bad = tmp_path / "sessions" / "--a--" / "2.jsonl"
    bad.write_text("{\n")
    lines(tmp_path / "sessions" / "--b--" / "3.jsonl", HEAD | {"id": "t"}, given("a", None))
    first, broken, last = pi.read(None)
    assert isinstance(first, Foreign)
    assert isinstance(last, Foreign)
    assert (first.name, last.name) == ("pi-s", "pi-t")
    assert isinstance(broken, ImportUnreadable)
    assert f"{bad}, line 1, is no JSON object" in broken.message
