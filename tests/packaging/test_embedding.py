"""The host of docs/embedding.md is complete, short, and goes on after a crash."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from goalfsm import Usage

PAGE = (Path(__file__).parents[2] / "docs" / "embedding.md").read_text("utf-8")
HOST, USE = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def test_the_host_is_complete_in_under_sixty_lines() -> None:
    assert len([line for line in HOST.splitlines() if line.strip()]) < 60


def test_the_example_prints_what_the_page_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(HOST + USE, names)  # noqa: S102  the page is ours
    names["host"].journal.close()
    shown = re.findall(r"print\(.*\)  # (.*)", USE)
    assert capsys.readouterr().out.splitlines() == shown


@pytest.mark.parametrize("dies_in", [1, 2, 3])
def test_a_host_that_died_in_a_turn_goes_on_from_its_journal(tmp_path: Path, dies_in: int) -> None:
    """The turn that was cut off is made again; no turn that ended is."""
    names: dict[str, Any] = {}
    exec(HOST, names)  # noqa: S102  the page is ours
    turns: list[int] = []

    def model(objective: str, turn: int) -> tuple[str, Any, Any]:
        turns.append(turn)
        if len(turns) == dies_in:
            raise KeyboardInterrupt
        done = {"status": "complete", "evidence": [objective]}
        usage = Usage(input_tokens=10)
        return f"{len(turns)} of 4", usage, done if len(turns) == 4 else None

    path = tmp_path / "journal.jsonl"
    host = names["Host"](path, model)
    host.feed(names["events"].ObjectiveGiven(objective="Make turns"))
    with pytest.raises(KeyboardInterrupt):
        host.work()
    host.journal.write(b'{"half a line')
    host.journal.close()
    again = names["Host"](path, model)
    again.work()
    again.journal.close()
    goal = again.thread.session.goal
    assert goal.status == "complete"
    assert len(turns) == 4
    assert goal.tokens_used == 30
