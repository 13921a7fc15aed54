"""Which agent does a thread's turns, and whether it is here: what a daemon stores of it."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from typing import Any, Final, Literal, NamedTuple

import msgspec

from goalfsm.errors import GoalError
from goalfsm.workers.isolating import check_machine
from goalfsm.workers.spec import tool_path
from goalfsm.workers.supervisor.spawning import check_program

AgentName = Literal["codex", "claude", "pi", "acp"]

_VERSION: Final = re.compile(r"\d+\.\d+\.\d+\S*")
_ASK_S: Final = 10.0
_A_SPEAKER: Final = "npm install -g opencode-ai, for example"
_SPEAKERS: Final = ("opencode", "gemini", "claude-agent-acp", "codex-acp", "pi-acp", "goose")


class Known(NamedTuple):
    """What is known of an agent: how it is installed, and which version was tested."""

    title: str
    install: str
    tested: str
    can: tuple[str, ...]
    needs: str = ""


_ALL: Final = ("session", "usage", "goal tools", "steer", "interrupt", "compact")
AGENTS: Final[Mapping[AgentName, Known]] = {
    "codex": Known("Codex CLI", "npm install -g @openai/codex", "0.171.0", _ALL),
    "claude": Known("Claude Code", "npm install -g @anthropic-ai/claude-code", "2.1.332", _ALL),
    "pi": Known(
        "pi",
        "npm install -g @earendil-works/pi-coding-agent",
        "1.6.0",
        _ALL,
        "pi 1.6 needs Node 22.19 or newer",
    ),
    "acp": Known(
        "any agent that speaks the Agent Client Protocol",
        'pip install "goalfsm[acp,mcp]"',
        "",
        ("session", "usage where the agent says it", "goal tools", "interrupt"),
    ),
}


class AgentSpec(msgspec.Struct, frozen=True, kw_only=True):
    """How a thread's agent is started; it holds no secret.

    ``args`` are the person's own arguments for the agent; for ``acp`` they begin with its program.
    ``env_names`` are the variables that it inherits besides a few base ones; None passes all on.
    ``isolate`` starts it in namespaces of its own, where it sees its home and no goals.
    """

    agent: AgentName
    args: tuple[str, ...] = ()
    cwd: str | None = None
    env_names: tuple[str, ...] | None = None
    isolate: bool = False

    @property
    def program(self) -> str:
        """Return the program that is started."""
        return self.args[0] if self.agent == "acp" and self.args else self.agent

    def validate(self) -> None:
        """Raise GoalError, with a hint, when the agent cannot be started from here."""
        if self.agent == "acp" and not self.args:
            raise GoalError(
                "no agent was named to speak the Agent Client Protocol with",
                code="program_missing",
                hint="add the program that speaks it: --agent acp -- opencode acp",
            )
        env = {"PATH": tool_path(os.environ.get("PATH", os.defpath))}
        try:
            check_program((self.program,), self.cwd, env)
        except GoalError as error:
            if self.agent == "acp" or error.code != "program_not_found":
                raise
            raise GoalError(
                f"{AGENTS[self.agent].title} is not installed: there is no {self.program} on PATH",
                code=error.code,
                hint=f"{AGENTS[self.agent].install}; goalfsm agents shows what there is",
            ) from None
        if self.isolate:
            check_machine()


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """An agent as this machine has it; ``version`` is "" where it does not say one.

    ``problem`` says what keeps it from working, "" where nothing is known to; ``install`` is the
    command that helps.
    """

    agent: AgentName
    path: str | None
    version: str = ""
    problem: str = ""
    install: str = ""

    @property
    def warning(self) -> str:
        """Return a sentence on a version that was not tested, "" for the one that was."""
        tested = AGENTS[self.agent].tested
        if not tested or not self.version or self.version == tested:
            return ""
        title = AGENTS[self.agent].title
        return f"{title} {self.version} was not tested with this goalfsm; {tested} was"


def _protocol(env: Mapping[str, str]) -> Found:
    """Say which of the programs that speak the protocol are on PATH, and whether we can."""
    programs = [name for name in _SPEAKERS if shutil.which(name, path=env.get("PATH"))]
    path = ", ".join(programs) or None
    install = AGENTS["acp"].install
    for name, of in (("acp", "the protocol"), ("mcp", "the goal's tools")):
        if importlib.util.find_spec(name) is None:
            problem = f"the library of {of} is not installed"
            return Found(agent="acp", path=path, problem=problem, install=install)
    if path is None:
        problem = f"none of these is on PATH: {', '.join(_SPEAKERS)}"
        return Found(agent="acp", path=None, problem=problem, install=_A_SPEAKER)
    return Found(agent="acp", path=path, install=install)


def look(agent: AgentName, env: Mapping[str, str] | None = None) -> Found:
    """Find an agent on PATH and ask it for its version."""
    env = dict(os.environ if env is None else env)
    if agent == "acp":
        return _protocol(env)
    path, install = shutil.which(agent, path=env.get("PATH")), AGENTS[agent].install
    if path is None:
        return Found(agent=agent, path=None, problem="not installed", install=install)
    try:
        asked: Any = subprocess.run(  # noqa: S603 - the program that a run would start
            [path, "--version"],
            env=env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_ASK_S,
            check=False,
            text=True,
            errors="replace",
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        problem = f"it does not start: {error}"
        return Found(agent=agent, path=path, problem=problem, install=install)
    said = f"{asked.stdout}\n{asked.stderr}".strip()
    if asked.returncode != 0:
        last = said.splitlines()[-1] if said else f"status {asked.returncode}"
        problem = f"it does not start: {last}"
        return Found(agent=agent, path=path, problem=problem, install=install)
    found = _VERSION.search(said)
    version = "" if found is None else found[0]
    return Found(agent=agent, path=path, version=version, install=install)
