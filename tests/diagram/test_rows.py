"""Rows as `transitions` takes them: drawn as the machine is that they would make."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from transitions import Machine

from goalfsm.cli import exits, main
from goalfsm.diagram import DiagramError, Edge, extract, from_rows, render


class Lamp(Enum):
    """States that are no texts."""

    OFF = 1
    ON = 2


def ready() -> bool:
    raise AssertionError("a guard is not asked to be drawn")


ROWS: dict[str, list[Any]] = {
    "names": [
        {"trigger": "go", "source": "a", "dest": "b", "conditions": "ready", "unless": "late"},
        {"trigger": "back", "source": "b", "dest": "a", "before": "tell", "after": ["log", "tell"]},
    ],
    "callables": [
        {"trigger": "go", "source": "a", "dest": "b", "conditions": [ready], "prepare": ready},
        {"trigger": "go", "source": "b", "dest": "a", "unless": [ready, lambda: True]},
    ],
    "several sources": [
        {"trigger": "go", "source": "a", "dest": "b"},
        {"trigger": "stop", "source": ["a", "b"], "dest": "c", "conditions": ["ready", "asked"]},
        {"trigger": "reset", "source": "*", "dest": "a"},
    ],
    "to itself, and not moving": [
        {"trigger": "again", "source": "a", "dest": "="},
        {"trigger": "named", "source": "a", "dest": "a"},
        {"trigger": "look", "source": "a", "dest": None, "after": "seen"},
        {"trigger": "anywhere", "source": "*", "dest": "="},
    ],
    "enums": [
        {"trigger": "press", "source": Lamp.OFF, "dest": Lamp.ON},
        {"trigger": "press", "source": Lamp.ON, "dest": Lamp.OFF},
    ],
    "lists": [
        ["go", "a", "b"],
        ["back", "b", "a", "ready", "late", "tell", "log", "look"],
        ["reset", "*", "a"],
    ],
}


def states(rows: list[Any]) -> list[Any]:
    """Return the states that a table names."""
    ends = [row[1:3] if not isinstance(row, dict) else (row["source"], row["dest"]) for row in rows]
    found: dict[Any, None] = {}
    for source, dest in ends:
        for end in (*(source if isinstance(source, list) else [source]), dest):
            if end not in ("*", "=", None):
                found[end] = None
    return list(found)


@pytest.mark.parametrize("name", ROWS)
def test_rows_are_drawn_as_the_machine_that_they_make(name: str) -> None:
    rows = ROWS[name]
    known = states(rows)
    machine = Machine(
        None, states=known, initial=known[0], transitions=rows, auto_transitions=False
    )
    drawn, live = from_rows(rows), extract(machine)
    assert sorted(drawn.edges, key=str) == sorted(live.edges, key=str)
    assert drawn.initial == live.initial
    assert replace(drawn, edges=live.edges, finals=live.finals) == live
    assert render(drawn, format="json")


def test_mappings_may_have_what_objects_have() -> None:
    (edge,) = from_rows(
        [
            {
                "trigger": "go",
                "source": "a",
                "dest": "b",
                "when": "ready",
                "actions": "count",
                "skip": True,
                "reason": "because",
                "fault": True,
                "owner": "nobody asks",
            }
        ]
    ).edges
    assert edge == Edge(
        trigger="go",
        source="a",
        dest="b",
        guards=("ready",),
        effects=("count", "skip_event"),
        reason="because",
        fault=True,
    )


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"trigger": "go", "source": "a"}, "it has no dest"),
        ({"source": "a", "dest": "b"}, "it has no trigger"),
        (["go", "a"], "it has no dest"),
        ([], "it has no trigger"),
        ("go", "'go' is not a row"),
        (["go", "a", "b", *"123456"], "is not a row"),
    ],
)
def test_what_is_no_row_is_named(row: Any, said: str) -> None:
    with pytest.raises(DiagramError, match=said) as caught:
        from_rows([row])
    assert "trigger, source and dest" in caught.value.hint


def test_a_module_s_table_is_drawn_by_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "lamp_table.py").write_text(
        'ROWS = [{"trigger": "press", "source": "off", "dest": "on", "unless": "broken"}]\n'
    )
    monkeypatch.chdir(tmp_path)
    assert main(["diagram", "lamp_table:ROWS"]) == exits.OK
    assert "press [not broken]" in capsys.readouterr().out
