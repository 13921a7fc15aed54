"""Commands that name a program behind ``--``, or a template in place of an objective."""

from __future__ import annotations

import shlex
from typing import Final

import click

from goalfsm.cli.arguments import HintedError
from goalfsm.cli.templating import expand, positional

_PROGRAM: Final = "goalfsm.program"


class ProgramCommand(click.Command):
    """A command that may end in ``-- PROGRAM ARGS``; that is the program's alone."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Set the program aside, then parse the rest."""
        if ctx.resilient_parsing:
            return super().parse_args(ctx, args)  # a shell completes a line that is not done
        if "--" in args:
            cut = args.index("--")
            program = tuple(args[cut + 1 :])
            if not program:
                raise HintedError("no program behind --", "put it there: -- PROGRAM ARGS")
            ctx.meta[_PROGRAM] = program
            args = args[:cut]
        written = args
        args, program = expand(self, args)
        if program:
            ctx.meta.setdefault(_PROGRAM, program)
        given = [*args]
        templated = given != written
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            hint = "words may begin with a dash behind a space: ' -like this'"
            said = error.format_message()
            raise HintedError(said, f"{ctx.command_path} --help lists them; {hint}") from None
        except click.UsageError as error:
            if error.message.startswith("Got unexpected extra argument"):
                told = _beside(self, given) if templated else _behind(ctx, given)
                raise HintedError(*told) from None
            raise

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        """Return the pieces of the usage line, the program last."""
        return [*super().collect_usage_pieces(ctx), "[-- PROGRAM ARGS…]"]


def _beside(command: click.Command, args: list[str]) -> tuple[str, str]:
    """Return what to say of words beside a template, whose objective stands last."""
    words = [word for _, word in positional(command, args)][:-1]
    return f"no inputs of the template: {shlex.join(words)}", "an input is given as NAME=VALUE"


def _behind(ctx: click.Context, args: list[str]) -> tuple[str, str]:
    """Return what to say of words behind the objective: they may be a program, if none is named."""
    rest = [at for at, _ in positional(ctx.command, args)][1:]
    said = f"more words than an objective: {shlex.join(args[at] for at in rest)}"
    hint = "an objective of several words goes in quotes"
    if _PROGRAM in ctx.meta:
        words = [args[at] for at, _ in positional(ctx.command, args)]
        return said, f"{hint}: {shlex.join((*ctx.command_path.split(), ' '.join(words)))} …"
    given = [*args[: rest[0]], "--", *args[rest[0] :]]
    return said, f"put -- before the program: {ctx.command_path} {shlex.join(given)}; {hint}"


def program_of(ctx: click.Context) -> tuple[str, ...]:
    """Return the program given behind ``--``, empty when there was none."""
    program: tuple[str, ...] = ctx.meta.get(_PROGRAM, ())
    return program
