"""How long a goal pauses between two turns of a coding agent, beside a loop of the shell."""

from __future__ import annotations

import itertools
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import uuid
from pathlib import Path
from typing import Final

from tests.agents import homes
from tests.bench.harness import Figure, Section
from tests.providers.script import says
from tests.providers.server import Provider

_TREES: Final = [
    *("apple", "birch", "cedar", "elder", "fir", "hazel"),
    *("juniper", "larch", "maple", "oak", "pine", "yew"),
]
_CODEX: Final = '--skip-git-repo-check "$0" </dev/null >/dev/null 2>&1'
_LOOPS: Final = {
    "codex": (
        f'codex exec {_CODEX}; for n in $(seq 2 "$1"); do codex exec resume --last {_CODEX}; done'
    ),
    "claude": (
        'claude -p --session-id "$2" "$0" </dev/null >/dev/null; '
        'for n in $(seq 2 "$1"); do claude -p --resume "$2" "$0" </dev/null >/dev/null; done'
    ),
    "pi": 'for n in $(seq "$1"); do pi -p --session-id "$2" "$0" </dev/null >/dev/null 2>&1; done',
}
"""One session, turn after turn, and nothing else: no budget, no claim, nothing durable."""


def pauses(*, quick: bool) -> Section:
    """Measure from a turn's last byte to the next turn's first request."""
    section = Section("Coding agents: from the end of a turn to the next request")
    turns = 4 if quick else 12
    for agent in homes.NATIVE:
        if not homes.installed(agent):
            section.lines.append(f"{agent} is not installed: sh .ci/tools")
            continue
        loop = _measured(agent, turns, by_loop=True)
        ours = _measured(agent, turns, by_loop=False)
        share = statistics.median(ours) / statistics.median(loop)
        section.figures.append(_figure(f"{agent}: a plain shell loop", loop))
        section.figures.append(_figure(f"{agent}: goalfsm run --agent {agent}", ours, share))
    section.lines.append(
        f"{turns} turns each in one session; a turn is a process of its own on both sides."
    )
    return section


def _figure(name: str, values: list[float], share: float | None = None) -> Figure:
    ratio = "" if share is None else f"{share:.2g} x"
    median = statistics.median(values)
    return Figure(name, median, min(values), max(values), "ms", ratio, values=tuple(values))


def _measured(agent: str, turns: int, *, by_loop: bool) -> list[float]:
    """Return the pauses between the turns of one agent, in milliseconds."""
    home = Path(tempfile.mkdtemp())
    try:
        with Provider([says(f"I plant {tree}.") for tree in _TREES[:turns]]) as provider:
            env = {**os.environ, **homes.environment(home / "home", provider)}
            (home / "work").mkdir()
            if by_loop:
                argv = ["sh", "-c", _LOOPS[agent], "Go on.", str(turns), str(uuid.uuid4())]
            else:
                argv = [sys.executable, "-m", "goalfsm.cli", "run", "Go on", "--agent", agent]
                argv += ["--max-continuations", str(turns), "--db", str(home / "goal.db")]
            done = subprocess.run(
                argv, cwd=home / "work", env=env, capture_output=True, check=False, timeout=600
            )
            calls = provider.requests[:turns]
            assert len(calls) == turns, (done.stdout, done.stderr)
            return [(b.at - a.done) * 1000 for a, b in itertools.pairwise(calls)]
    finally:
        shutil.rmtree(home, ignore_errors=True)
