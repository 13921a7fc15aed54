"""The page about more than one machine: its five commands are run, its commands exist."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from goalfsm.cli.app import SECTIONS
from tests.postgres import PostgresServer

PAGE = (Path(__file__).parents[2] / "docs" / "cluster.md").read_text("utf-8")
PLAYED = re.search(r"<!-- played by \S+ -->\n```sh\n(.*?)```", PAGE, re.DOTALL)


def test_two_nodes_in_five_commands(
    postgres: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As they stand on the page, against an empty database, in an empty directory."""
    assert PLAYED is not None
    script = PLAYED[1]
    assert len(script.splitlines()) == 5
    place = tmp_path / "two-nodes"
    place.mkdir()
    monkeypatch.setenv("GOALFSM_DB", postgres.create(migrated=False))
    # The nodes end with the shell's group.
    with subprocess.Popen(
        ["sh", "-ec", script],
        cwd=place,
        env=dict(os.environ),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    ) as shell:
        try:
            assert shell.stdout is not None
            said = ""
            for row in shell.stdout:
                said += row
                if "healthy" in row:
                    break
        finally:
            os.killpg(shell.pid, signal.SIGTERM)
    assert (place / "hello.txt").read_text() == "hello\n"
    assert re.search(r"node (blue|green) on \S+ has the turn", said), said
    assert "hello: complete" in said
    assert re.search(r"ok +nodes +blue on ", said), said
    assert re.search(r"ok +nodes +green on .*serves any, build-host", said), said
    assert "is healthy" in said


def test_a_node_in_a_program_of_ones_own(dsn: str, tmp_path: Path) -> None:
    """As it stands on the page, in a process of its own."""
    program = re.search(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert program is not None
    ran = subprocess.run(
        [sys.executable, "-c", program[1]],
        cwd=tmp_path,
        env={**os.environ, "GOALFSM_DB": dsn},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.stdout == "complete 960\n", ran.stderr


def test_every_command_on_the_page_exists() -> None:
    known = {entry.name for section in SECTIONS for entry in section.entries}
    named = set(re.findall(r"(?:`|^)goalfsm ([a-z][a-z-]*)", PAGE, re.MULTILINE))
    assert named
    assert named <= known
