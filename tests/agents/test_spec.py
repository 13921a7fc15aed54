"""Which agents there are, and what is said of one that is missing, broken or of another version."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from goalfsm.daemon.config import WorkerConfig, decode_config
from goalfsm.errors import GoalError
from goalfsm.workers.agents.codex import _config
from goalfsm.workers.agents.jsonrpc import Lines
from goalfsm.workers.agents.spec import AGENTS, AgentSpec, look
from goalfsm.workers.agents.usage import NOTHING, Meter, Totals, millionths, totals
from tests.cli.processes import goalfsm


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder that is all that PATH has, but for a shell."""
    folder = tmp_path / "programs"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/bin")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    return folder


def program(folder: Path, name: str, text: str) -> None:
    """Put a program there."""
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def test_an_agent_that_is_not_there_is_named_with_what_installs_it(programs: Path) -> None:
    del programs
    done = goalfsm("run", "Plant a tree", "--agent", "codex")
    assert done.status == 2
    assert "Codex CLI is not installed" in done.err
    assert "npm install -g @openai/codex" in done.err
    assert goalfsm("list").status == 2
    shown = goalfsm("agents").out
    assert "Claude Code: not installed" in shown
    assert "npm install -g @anthropic-ai/claude-code" in shown


def test_an_agent_that_does_not_start_is_refused_before_anything_is_written(
    programs: Path,
) -> None:
    program(programs, "pi", "echo 'Node.js v20' >&2; exit 1")
    done = goalfsm("set", "Plant a tree", "--agent", "pi")
    assert done.status == 2
    assert "pi is installed, but it does not start: Node.js v20" in done.err
    assert "Node 22.19" in done.err
    assert not (programs.parent / "state").exists()


def test_another_version_than_the_tested_one_is_named(programs: Path) -> None:
    program(programs, "codex", "echo codex-cli 9.9.9")
    done = goalfsm("set", "Plant a tree", "--agent", "codex")
    assert done.status == 0, done.err
    assert (
        f"Codex CLI 9.9.9 was not tested with this goalfsm; {AGENTS['codex'].tested} was"
        in done.err
    )
    rows = {row["agent"]: row for row in json.loads(goalfsm("agents", "--json").out)}
    assert (rows["codex"]["version"], rows["codex"]["problem"]) == ("9.9.9", "")
    assert "9.9.9 was not tested" in goalfsm("agents").out


def test_the_tested_version_is_not_worth_a_word(programs: Path) -> None:
    program(programs, "claude", f"echo '{AGENTS['claude'].tested} (Claude Code)'")
    assert look("claude").warning == ""
    assert goalfsm("set", "Plant a tree", "--agent", "claude").err == ""


def test_a_program_over_acp_has_to_be_named(programs: Path) -> None:
    del programs
    done = goalfsm("run", "Plant a tree", "--agent", "acp")
    assert done.status == 2
    assert "--agent acp -- opencode acp" in done.err
    with pytest.raises(GoalError, match="no such program"):
        AgentSpec(agent="acp", args=("nobody-speaks-it",)).validate()


def test_what_speaks_acp_is_looked_for_and_what_is_missing_is_named(
    programs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = look("acp")
    assert "opencode" in missing.problem
    assert missing.install in goalfsm("agents").out
    program(programs, "opencode", "true")
    assert look("acp").path == "opencode"
    assert look("acp").problem == ""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "mcp" else name)
    assert "the goal's tools" in look("acp").problem
    assert look("acp").install == 'pip install "goalfsm[acp,mcp]"'


def test_what_is_meant_for_programs_is_refused(programs: Path) -> None:
    program(programs, "codex", "echo codex-cli 0.171.0")
    done = goalfsm("run", "Plant a tree", "--agent", "codex", "--prompt-arg")
    assert done.status == 2
    assert "--prompt-arg is for programs" in done.err


def test_an_agent_is_stored_like_a_program() -> None:
    config = WorkerConfig(argv=("-m", "gpt-5"), agent="codex", cwd="/place")
    assert decode_config(config.encode()) == config
    assert config.agent_spec() == AgentSpec(agent="codex", args=("-m", "gpt-5"), cwd="/place")
    assert WorkerConfig(argv=("true",)).agent_spec() is None


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        ((), ("-c", "sandbox_mode=workspace-write")),
        (("-m", "gpt-5"), ("-c", "sandbox_mode=workspace-write", "-c", "model=gpt-5")),
        (("-s", "read-only"), ("-c", "sandbox_mode=read-only")),
        (("--sandbox=read-only",), ("-c", "sandbox_mode=read-only")),
        (("--yolo",), ("-c", "sandbox_mode=danger-full-access")),
        (("-p", "work"), ("-c", "profile=work")),
        (("-c", "sandbox_mode=read-only"), ("-c", "sandbox_mode=read-only")),
        (("--enable", "x"), ("-c", "sandbox_mode=workspace-write", "--enable", "x")),
    ],
)
def test_codex_takes_the_options_that_people_know(
    given: tuple[str, ...], taken: tuple[str, ...]
) -> None:
    assert _config(given) == taken


def test_a_counter_is_charged_by_what_is_new_and_from_0_when_it_began_again() -> None:
    meter = Meter(Totals(input_tokens=100, output_tokens=10, cached_tokens=20))
    more = Totals(input_tokens=150, output_tokens=15, cached_tokens=20)
    assert meter.advance(more) == Totals(input_tokens=50, output_tokens=5)
    assert meter.advance(more) == NOTHING
    again = Totals(input_tokens=7, output_tokens=3)
    assert meter.advance(again) == again


def test_what_came_from_the_cache_is_no_input() -> None:
    names = ("in",), "out", "cached"
    assert totals({"in": 120, "out": 10, "cached": 20}, *names, within=True) == Totals(
        input_tokens=100, output_tokens=10, cached_tokens=20
    )
    odd = {"in": "many", "out": -3, "cached": float("inf")}
    assert totals(odd, *names, within=True) == NOTHING
    assert (millionths(0.0012), millionths(None), millionths(float("nan"))) == (1_200, 0, 0)


@pytest.mark.parametrize("size", [1, 2, 5, 1_000])
def test_lines_come_whole_however_they_are_cut(size: int) -> None:
    said = b'{"a": 1}\r\n\n  \n{"b": "\xe2\x80\xa8"}\nrest'
    lines = Lines()
    heard = [
        line
        for start in range(0, len(said), size)
        for line in lines.feed(said[start : start + size])
    ]
    assert heard == [b'{"a": 1}', b'{"b": "\xe2\x80\xa8"}']
    assert lines.feed(b"\n") == [b"rest"]


def test_a_line_without_end_is_dropped_and_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("goalfsm.workers.agents.jsonrpc.MAX_LINE", 10)
    lines = Lines()
    assert lines.feed(b"x" * 11) == [None]
    assert lines.feed(b"x" * 11) == []
    assert lines.feed(b"xx\nfine\n") == [b"fine"]
