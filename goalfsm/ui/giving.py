"""A new goal: what is asked of the person, and the words of the command that gives it."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Final, NamedTuple

from goalfsm.errors import GoalError
from goalfsm.templates.finding import every
from goalfsm.text import line
from goalfsm.ui.forms import Choice, Field, Form

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from typing import Any

    from textual.app import App

_NO_TEMPLATE: Final = "-"
_INPUT: Final = "input-"
"""What the name of a field begins with that fills in an input of a template."""
_PLAIN: Final = (
    Field("objective", "Objective"),
    Field("criterion", "Criterion", "what shows that it is reached; may be empty"),
    Field("verify", "Check", "a command that must exit with 0; may be empty"),
    Field("tokens", "Token budget", "like 200k; may be empty"),
    Field("time", "Time budget", "like 1h30m; may be empty"),
)
_WORKED_ON: Final = (
    Field("agent", "Agent", "codex, claude, pi, or empty"),
    Field("program", "Program", "in place of an agent; may be empty"),
)
_OPTIONS: Final = ("criterion", "verify", "tokens", "time", "agent")


class Wanted(NamedTuple):
    """What a person wants: in which thread, and the words that describe the goal."""

    thread_id: str
    words: list[str]


class _Asking(NamedTuple):
    """What is asked: ``before`` and ``after`` what describes the goal itself."""

    title: str
    command: str
    before: tuple[Field, ...] = ()
    after: tuple[Field, ...] = ()


async def set_anew(app: App[Any], directory: Path, thread_id: str) -> Wanted | None:
    """Ask for a thread's goal; None where it is given up. Raises `GoalError`."""
    thread = Field("thread", "Thread", "a name; empty: this directory's own", thread_id)
    return await _asked(app, directory, _Asking("New goal", "goalfsm set …", (thread,), _WORKED_ON))


async def queued(app: App[Any], directory: Path, thread_id: str, command: str) -> Wanted | None:
    """Ask for a goal that comes after the thread's; see `set_anew`. The thread's program does it.

    ``command`` is the command line that does the same.
    """
    wanted = await _asked(app, directory, _Asking("Queue a goal", command))
    return None if wanted is None else wanted._replace(thread_id=thread_id)


async def _asked(app: App[Any], directory: Path, asking: _Asking) -> Wanted | None:
    templates = {found.name: found for found in every(directory)}
    rows = [(name, name, f"{found.source} template") for name, found in templates.items()]
    choice = Choice(asking.title, [(_NO_TEMPLATE, "without a template", ""), *rows])
    picked = await app.push_screen_wait(choice)
    if picked is None:
        return None
    if picked == _NO_TEMPLATE:
        fields = (*asking.before, *_PLAIN, *asking.after)
    else:
        inputs = templates[picked].parse().head.inputs.items()
        fields = (
            *asking.before,
            *(
                Field(f"{_INPUT}{name}", line(one.description) or name, value=one.default or "")
                for name, one in inputs
            ),
        )
    form = Form(asking.title, fields, command=asking.command)
    given = await app.push_screen_wait(form) if fields else {}
    if given is None:
        return None
    template = None if picked == _NO_TEMPLATE else picked
    return Wanted(given.get("thread", ""), _words(template, given))


def _words(template: str | None, given: Mapping[str, str]) -> list[str]:
    """Return what describes the goal on a command line, for what was filled in."""
    if template is not None:
        inputs = [
            f"{name.removeprefix(_INPUT)}={value}"
            for name, value in given.items()
            if name.startswith(_INPUT) and value
        ]
        return ["-t", template, *inputs]
    options = [word for name in _OPTIONS if given.get(name) for word in (f"--{name}", given[name])]
    return [*options, given["objective"], *_program(given.get("program", ""))]


def _program(said: str) -> list[str]:
    try:
        words = shlex.split(said)
    except ValueError as error:
        raise GoalError(
            f"the program cannot be read: {error}", code="program_unreadable", hint="close quotes"
        ) from None
    return ["--", *words] if words else []
