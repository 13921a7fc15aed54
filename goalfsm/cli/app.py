"""The ``goalfsm`` program: its commands, imported one at a time, and how errors are shown."""

from __future__ import annotations

import contextlib
import errno
import importlib
import itertools
import os
import sys
from typing import TYPE_CHECKING, Final, NamedTuple

import click

from goalfsm.cli import exits
from goalfsm.cli.scarcity import LIMITS, is_missing
from goalfsm.cli.signals import leaving
from goalfsm.cli.streams import let_go
from goalfsm.errors import (
    Busy,
    Corrupt,
    DatabaseReplaced,
    DiskFull,
    Fenced,
    GoalError,
    OutcomeUnknown,
    StoreUnavailable,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from click.shell_completion import CompletionItem

_ENVIRONMENT: Final = (
    Busy,
    Corrupt,
    DatabaseReplaced,
    DiskFull,
    Fenced,
    OutcomeUnknown,
    StoreUnavailable,
)

_UTF8: Final = "use a path and arguments that are UTF-8; mv renames a directory"
_SCARCE: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.ENOMEM, errno.EFBIG})
_LEAST_FILES: Final = 32
"""So many open files a command may need; where there are fewer, SQLite gives other reasons."""
_BROKEN: Final = frozenset(
    ("codec_invalid", "failed", "no_engine", *(error.code for error in _ENVIRONMENT))
)
"""Codes of what nobody asked wrongly for, also where an engine in another process met it."""


class Entry(NamedTuple):
    """One command: where it is, and its line in the help, known without importing it."""

    module: str
    name: str
    help: str


class Section(NamedTuple):
    """Commands that belong together in the help."""

    title: str
    entries: tuple[Entry, ...]


SECTIONS: Final = (
    Section(
        "Work on a goal",
        (
            Entry("working", "run", "Drive a program, turn after turn, until the goal is done."),
            Entry("working", "daemon", "Serve every thread of the database that has a worker."),
            Entry("node", "node", "Serve goals kept in PostgreSQL, beside other nodes."),
            Entry("codexing", "codex", "Codex in this terminal, with goals that survive it."),
            Entry("app_serving", "app-server", "Serve goals to clients of Codex's app-server."),
            Entry("working", "set", "Give a thread an objective, without driving it here."),
            Entry(
                "queueing", "queue", "Goals that come after this one: add, list, move, drop, next."
            ),
            Entry("importing", "import", "Bring goals of Codex, pi or Claude Code here."),
            Entry("notifying", "notify", "Be told when a goal ends or needs somebody."),
            Entry("templating", "templates", "Goals written down to be used again."),
            Entry("agents", "agents", "Coding agents: installed, versions, what each can do."),
            Entry("hooking", "hook", "Continue a goal in your own session of Claude Code."),
        ),
    ),
    Section(
        "Have a say",
        (
            Entry("person", "pause", "Start no further turn; the running one ends."),
            Entry("person", "interrupt", "End the running turn; the next starts with your words."),
            Entry("person", "resume", "Take a paused or blocked goal up again."),
            Entry("person", "steer", "Tell the work something that it should take into account."),
            Entry("person", "edit", "Reword the objective; id, usage and budgets stay."),
            Entry("person", "budget", "Raise, lower or lift budgets; raising reopens a goal."),
            Entry("person", "policy", "Change thresholds and retries of a thread."),
            Entry("person", "wake", "Say that what the goal waits for has happened."),
            Entry("person", "accept", "Accept the open completion claim."),
            Entry("person", "reject", "Reject the open completion claim, with feedback."),
            Entry("person", "complete", "Declare the goal complete."),
            Entry("person", "block", "Declare the goal blocked."),
            Entry("person", "clear", "Give the goal up."),
        ),
    ),
    Section(
        "See what is going on",
        (
            Entry("reading", "status", "Where a thread is: goal, budgets, activity."),
            Entry("interface", "ui", "Look at goals and talk to them, in the terminal."),
            Entry("chipping", "chip", "The same on one line, for a prompt or a terminal's bar."),
            Entry("onlooking", "watch", "Look on while others work."),
            Entry("reading", "list", "All threads of the database, or of all of them."),
            Entry("journal", "log", "What happened, event by event."),
            Entry("journal", "logs", "What the newest turns answered."),
            Entry("explaining", "explain", "Why it last continued, waited or stopped."),
            Entry("explaining", "context", "The prompt of the next turn, and what it carries."),
            Entry("explaining", "report", "What the goal came to, for a pull request or a ticket."),
            Entry("judging", "explain-error", "What a failure is taken for, and by which rule."),
            Entry("explaining", "pr", "The same as a pull request: its text, or a draft of it."),
            Entry("drawing", "diagram", "Draw a machine: ours, or one of your own."),
        ),
    ),
    Section(
        "Look after the database",
        (
            Entry("upkeep", "doctor", "Examine it: integrity, replay, owner, permissions, space."),
            Entry("upkeep", "move", "Move every goal from a file to a server, or back."),
            Entry("upkeep", "backup", "Write a consistent copy, also while a daemon is working."),
        ),
    ),
    Section(
        "Set up",
        (Entry("completing", "completion", "Complete commands and options in bash, zsh or fish."),),
    ),
    Section(
        "From inside a turn",
        (
            Entry("tool", "tool", "The goal's tools: get_goal, create_goal, update_goal, wait."),
            Entry("serving_tools", "mcp", "The same tools for an agent that speaks MCP."),
        ),
    ),
)
_TABLE: Final = "person"
"""The module whose commands are rows of a table."""
_OWN: Final = frozenset({"-h", "--help", "--version", "--"})
"""Options of the program itself; others before a command are the command's."""
_VALUED: Final = frozenset({"--db", "--thread"})
_SPACE: Final = "df shows whether that disk is full; goalfsm status tells how the thread stands"
_ENTRIES: Final = {entry.name: entry for section in SECTIONS for entry in section.entries}


_ALIASES: Final = {"hunt": "run"}
"""Other names of commands, which no help shows."""
_NAMES: Final = frozenset((*_ENTRIES, *_ALIASES))


class LazyGroup(click.Group):
    """A group that imports a command when it is called, not to list it."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands, in the order of the help."""
        del ctx
        return list(_ENTRIES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command, None when there is none of that name."""
        del ctx
        entry = _ENTRIES.get(_ALIASES.get(cmd_name, cmd_name))
        if entry is None:
            return None
        module = importlib.import_module(f"goalfsm.cli.{entry.module}")
        if entry.module == _TABLE:
            made: click.Command = module.command(entry.name)
            return made
        command: click.Command = getattr(module, f"{entry.name.replace('-', '_')}_command")
        return command

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse; options that stand before a command are the command's."""
        before: list[str] = []
        rest = [*args]
        while rest and rest[0].startswith("-") and rest[0] not in _OWN:
            before.append(rest.pop(0))
            if rest and (before[-1] in _VALUED or _is_value(rest)):
                before.append(rest.pop(0))
        if rest and before and not rest[0].startswith("-"):
            args = [rest[0], *before, *rest[1:]]
        return super().parse_args(ctx, args)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; an unknown one is an error that names the nearest."""
        name = args[0]
        if name not in _NAMES and not name.startswith("-") and not ctx.resilient_parsing:
            error = click.UsageError(f"no such command: {name}", ctx)
            from goalfsm.cli.meant import suggestion  # noqa: PLC0415  only for such a word

            raise _hinted(error, suggestion(name, args[1:], _ENTRIES))
        return super().resolve_command(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Return the commands and options that begin so; no command is imported for that."""
        from click.shell_completion import CompletionItem  # noqa: PLC0415  only where a shell asks

        fitting = (entry for name, entry in _ENTRIES.items() if name.startswith(incomplete))
        commands = [CompletionItem(entry.name, help=entry.help) for entry in fitting]
        return commands + super(click.Group, self).shell_complete(ctx, incomplete)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the sections."""
        del ctx
        for section in SECTIONS:
            with formatter.section(section.title):
                formatter.write_dl([(entry.name, entry.help) for entry in section.entries])


def _is_value(words: Sequence[str]) -> bool:
    """Tell whether the first word, behind an option, is its value: the command comes later."""
    first, *others = words
    if first.startswith("-") or first in _NAMES:
        return False
    return any(word in _NAMES for word in itertools.takewhile(lambda word: word != "--", others))


def _hinted(error: click.ClickException, hint: str) -> click.ClickException:
    error.hint = hint  # type: ignore[attr-defined]
    return error


@click.command(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=(
        "Exit statuses: 0 done (of run: the goal is complete), 1 the machine was in the way, "
        "2 wrong usage or refused, 3 blocked, 4 paused or needs attention, "
        "5 a budget or quota is used up, 130 interrupted."
    ),
)
@click.version_option(package_name="goalfsm", message="goalfsm %(version)s")
def app() -> None:
    """Keep an agent working on an objective until it is complete, blocked, paused or limited."""


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status; errors are told in a line, with a hint."""
    _open_streams()
    try:
        _require_files()
        with leaving():
            result = app.main(
                None if arguments is None else list(arguments),
                prog_name="goalfsm",
                standalone_mode=False,
            )
        sys.stdout.flush()
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return exits.USAGE
    except click.ClickException as error:
        return complain(error.format_message(), _usage_hint(error))
    except (click.Abort, KeyboardInterrupt):
        return exits.INTERRUPTED
    except BrokenPipeError:
        # Whoever read the output has seen enough; the interpreter must not flush into it again.
        let_go(1)
        return exits.FAILED
    except (
        GoalError,
        OSError,
        UnicodeEncodeError,
        MemoryError,
        RuntimeError,
        SystemError,
        ImportError,
    ) as error:
        return _failed(error) if isinstance(error, GoalError | OSError) else _limited(error)
    return result if isinstance(result, int) else exits.OK


def _limited(
    error: UnicodeEncodeError | MemoryError | RuntimeError | SystemError | ImportError,
) -> int:
    """Say what could not be kept as text, or was not given by the system; raise anything else."""
    if isinstance(error, UnicodeEncodeError):
        given = error.object.encode("utf-8", "backslashreplace").decode()
        return complain(f"this is no UTF-8, so it cannot be kept: {given}", _UTF8)
    if isinstance(error, RuntimeError) and "thread" not in str(error):
        raise error
    if is_missing(error):
        raise error
    what = str(error) or "out of memory"
    return complain(f"the system gives no more: {what}", LIMITS, exits.FAILED)


def _failed(error: GoalError | OSError) -> int:
    """Say what went wrong, and return what that exits with."""
    if isinstance(error, OSError):
        let_go(1)
        where = f"{error.filename}: " if error.filename else "the output could not be written: "
        what = f"{where}{error.strerror or error}"
        if error.errno in _SCARCE:
            return complain(f"the system gives no more: {what}", LIMITS, exits.FAILED)
        return complain(what, _SPACE, exits.FAILED)
    broken = isinstance(error, _ENVIRONMENT) or error.code in _BROKEN
    return complain(error.message, error.hint, exits.FAILED if broken else exits.USAGE)


def _require_files() -> None:
    """Raise MemoryError where too few files may be open at once."""
    import resource  # noqa: PLC0415  not there on every system

    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if 0 <= files < _LEAST_FILES:
        raise MemoryError(f"{files} open files at most, and {_LEAST_FILES} are needed")


def _open_streams() -> None:
    """Put /dev/null where a standard stream was closed.

    A file that is opened later, such as the database, would get its number, and be written to.
    """
    for number, mode in enumerate(("r", "w", "w")):
        try:
            os.fstat(number)
        except OSError:
            # The lowest number that is free is this one.
            name = ("stdin", "stdout", "stderr")[os.open(os.devnull, os.O_RDWR)]
            setattr(sys, name, os.fdopen(number, mode, encoding="utf-8", closefd=False))


def complain(message: str, hint: str = "", status: int = exits.USAGE) -> int:
    """Say on stderr what is wrong, in a line, and what to do about it; return ``status``."""
    from goalfsm.text import line  # noqa: PLC0415  a shell that completes waits for every import

    # Where nobody can be told, the exit status still says it.
    with contextlib.suppress(OSError):
        click.echo(f"goalfsm: {line(message)}", err=True)
        if hint:
            click.echo(f"Hint: {line(hint)}", err=True)
    return status


def _usage_hint(error: click.ClickException) -> str:
    hint = getattr(error, "hint", "")
    if hint:
        return str(hint)
    ctx = getattr(error, "ctx", None)
    path = ctx.command_path if ctx is not None else "goalfsm"
    return f"{path} --help shows the usage"
