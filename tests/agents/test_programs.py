"""Programs that no agent's dialect is for: what the worker of commands does for them."""

from __future__ import annotations

from pathlib import Path

import pytest

from goalfsm.cli import exits
from tests.agents import homes
from tests.agents.terminal import DONE, Terminal
from tests.agents.tools import shell
from tests.providers.script import says
from tests.providers.server import Provider

_WITHOUT_PATH = """
PATH=/usr/bin:/bin
case $GOALFSM_TOOL in /*) ;; *) exit 8 ;; esac
! command -v goalfsm || exit 9
cd /
"$GOALFSM_TOOL" tool update_goal --status complete --evidence "the tree stands"
"""


@pytest.fixture
def terminal(place: Path) -> Terminal:
    return Terminal("", place)


def test_a_program_that_sets_its_path_afresh_finds_the_tool(terminal: Terminal) -> None:
    """As login shells do."""
    process = terminal.start("run", "Plant a tree", "--", "sh", "-c", _WITHOUT_PATH)
    said = terminal.end(process)
    assert process.returncode == exits.OK, said


def test_codex_exec_gets_the_prompt_as_an_argument(terminal: Terminal, provider: Provider) -> None:
    """It reads its input to the end as well, whatever its arguments say."""
    if not homes.installed("codex"):
        pytest.skip("codex is not installed: sh .ci/tools")
    provider.rewrite([shell("codex", "touch tree"), says("It stands.")])
    options = ("--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox")
    codex = ("--prompt-arg", "--", "codex", "exec", *options)
    process = terminal.start("run", "Plant a tree", "--until", "test -e tree", *codex)
    said = terminal.end(process)
    assert process.returncode == exits.OK, said
    assert "Plant a tree" in provider.requests[0].text
    assert "It stands." in said


def test_a_program_in_another_format_is_told_the_command_that_understands_it(
    terminal: Terminal, provider: Provider
) -> None:
    """Resumed, it would write the same again."""
    begins = 'echo \'{"type":"thread.started","thread_id":"x"}\''
    process = terminal.start("run", "Plant a tree", "--thread", "y", "--", "sh", "-c", begins)
    said = terminal.end(process)
    assert process.returncode == exits.ATTENTION, said
    hint = "Hint: goalfsm run --thread y --agent codex"
    assert said.rstrip().endswith(hint)
    assert terminal.end(terminal.start("status", "y")).rstrip().endswith(hint)
    if not homes.installed("codex"):
        pytest.skip("codex is not installed: sh .ci/tools")
    provider.rewrite([DONE, says("It stands.")])
    process = terminal.start(*hint.split()[2:])
    said = terminal.end(process)
    assert process.returncode == exits.OK, said
