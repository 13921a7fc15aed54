"""A worker's environment: what it inherits, what it learns, and which goalfsm it calls."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from goalfsm.workers.spec import MAX_OBJECTIVE_BYTES, plain, tool_path, worker_environment


def directory_with_tool(path: Path) -> str:
    """Make a directory that holds a program called goalfsm."""
    path.mkdir()
    tool = path / "goalfsm"
    tool.write_text("#!/bin/sh\n")
    tool.chmod(0o755)
    return str(path)


@pytest.fixture
def ours(tmp_path: Path) -> str:
    return directory_with_tool(tmp_path / "ours")


def test_everything_is_inherited_unless_names_are_given(bench: Any, ours: str) -> None:
    here = {"PATH": "/bin", "HOME": "/h", "LC_ALL": "C", "SECRET": "s", "KEY": "k"}
    given: dict[str, Any] = {"inherited": here, "tool_directory": ours}
    everything = worker_environment(bench.work(), **given)
    assert here.items() - everything.items() == {("PATH", "/bin")}
    named = worker_environment(bench.work(), names=("KEY", "ABSENT"), **given)
    assert set(named) - {name for name in named if name.startswith("GOALFSM_")} == {
        "PATH",
        "HOME",
        "LC_ALL",
        "KEY",
    }


def test_a_worker_inside_a_worker_learns_its_own_run(bench: Any) -> None:
    """What names the outer run is replaced, and the outer supervisor is not passed on."""
    outer = {"GOALFSM_RUN_ID": "outer", "GOALFSM_SUPERVISOR": "/db", "GOALFSM_LOG": "debug"}
    env = worker_environment(bench.work(), inherited=outer)
    assert env["GOALFSM_RUN_ID"] == "run-1"
    assert "GOALFSM_SUPERVISOR" not in env
    assert env["GOALFSM_LOG"] == "debug"


def test_a_session_is_named_only_where_one_was_saved(bench: Any) -> None:
    outer = {"GOALFSM_SESSION": "the outer worker's"}
    assert "GOALFSM_SESSION" not in worker_environment(bench.work(), inherited=outer)
    env = worker_environment(bench.work(session="é".encode() + b"\xff\0"), inherited=outer)
    assert env["GOALFSM_SESSION"] == "é\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}"


def test_the_directory_is_named(bench: Any) -> None:
    assert worker_environment(bench.work(), cwd="/srv/x/../y")["PWD"] == "/srv/y"


def test_our_tool_goes_last_when_nothing_hides_it(ours: str) -> None:
    """Its directory may hold another Python, which must not become the worker's."""
    assert tool_path("/nowhere", ours) == f"/nowhere{os.pathsep}{ours}"
    assert tool_path("", ours) == ours


def test_our_tool_goes_first_when_another_one_would_hide_it(ours: str, tmp_path: Path) -> None:
    theirs = directory_with_tool(tmp_path / "theirs")
    assert tool_path(theirs, ours) == f"{ours}{os.pathsep}{theirs}"


def test_our_tool_is_left_where_it_is_found(ours: str, tmp_path: Path) -> None:
    linked = tmp_path / "linked"
    linked.mkdir()
    (linked / "goalfsm").symlink_to(Path(ours, "goalfsm"))
    assert tool_path(str(linked), ours) == str(linked)


def test_this_installation_s_script_is_on_path(bench: Any) -> None:
    """With the console script installed, a worker can call `goalfsm`."""
    env = worker_environment(bench.work(), inherited={"PATH": "/nowhere"})
    found = [place for place in env["PATH"].split(os.pathsep) if Path(place, "goalfsm").exists()]
    assert found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a\0b", "a\N{REPLACEMENT CHARACTER}b"),
        ("\ud800x", "?x"),
        ("é" * 10, "ééé"),
    ],
)
def test_text_is_made_fit_for_the_system(text: str, expected: str) -> None:
    limit = 7 if len(text) == 10 else None
    assert plain(text, limit) == expected


def test_the_longest_objective_is_not_cut(bench: Any) -> None:
    objective = "\N{GRINNING FACE}" * 8000
    env = worker_environment(bench.work(objective=objective))
    assert env["GOALFSM_OBJECTIVE"] == objective
    longer = worker_environment(bench.work(objective=objective * 2))["GOALFSM_OBJECTIVE"]
    assert len(longer.encode()) == MAX_OBJECTIVE_BYTES
