"""Templates on the command line: -t NAME INPUT=VALUE, and the commands that look after them."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Final

import click

from goalfsm.cli import exits
from goalfsm.cli.arguments import HintedError
from goalfsm.cli.output import say
from goalfsm.cli.places import working_directory
from goalfsm.errors import GoalError
from goalfsm.text import line, visible

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from click.shell_completion import CompletionItem

    from goalfsm.templates.finding import Found
    from goalfsm.templates.template import Filled

FLAGS: Final = ("-t", "--template")
_LIMITS: Final = {
    "tokens": "--tokens",
    "seconds": "--time",
    "cost": "--cost",
    "continuations": "--max-continuations",
}
_SKELETON: Final = """\
+++
description = "…"
tokens = "1M"
# verify = ["make test"]     # must exit with 0 before "complete" counts
# unsealed = ["test_new.py"] # what of the verifiers' files the work is meant to change
# until = "make test"        # completes the goal as soon as it exits with 0
# agent = "codex"            # who does the work
# accept = true              # a person has to accept completion
# isolate = true             # without the goals, the engine and other runs

[inputs.what]
description = "…"
# default = "…"
+++
What is to be achieved: {{what}}

- [ ] What shows that it is
"""


def expand(command: click.Command, args: Sequence[str]) -> tuple[list[str], tuple[str, ...]]:
    """Return the arguments with a template in place of its name and inputs, and its program.

    What is given on the command line comes behind and wins. Without a template nothing changes.
    """
    name, rest = _name_of(args)
    if name is None:
        return [*args], ()
    words = [(at, word) for at, word in positional(command, rest)]
    inputs = dict(word.split("=", 1) for _, word in words if "=" in word)
    taken = {at for at, word in words if "=" in word}
    filled = filled_of(name, inputs)
    budgets = {}
    options = [*filled.options]
    if "--inline" in (*rest, *options):
        budgets = {at: word for at, word in words if word.lower().startswith("budget:")}
        options = _beside(options, " ".join(budgets.values()))
    kept = [word for at, word in enumerate(rest) if at not in taken | budgets.keys()]
    objective = " ".join((filled.objective, *budgets.values()))
    return [*options, *kept, objective], filled.program


def _beside(options: list[str], budgets: str) -> list[str]:
    """Return a template's options without the budgets that the command line names in words."""
    from goalfsm.goal.amounts import inline_budget  # noqa: PLC0415  only where there are some

    _, limits = inline_budget(budgets)
    for name, flag in _LIMITS.items():
        if getattr(limits, name) is not None and flag in options:
            at = options.index(flag)
            options = [*options[:at], *options[at + 2 :]]
    return options


def filled_of(name: str, inputs: dict[str, str]) -> Filled:
    """Return a template with its inputs; raise GoalError where it must not or cannot be used."""
    from goalfsm.templates.finding import find, require_trust  # noqa: PLC0415  where one is used
    from goalfsm.templates.template import fill  # noqa: PLC0415  the same

    found = find(name, working_directory())
    template = found.parse()
    require_trust(found, template)
    return fill(template, inputs)


def names_of_templates(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Return the templates whose names begin so, for a shell that completes."""
    from click.shell_completion import CompletionItem  # noqa: PLC0415  only where a shell asks

    from goalfsm.templates.finding import every  # noqa: PLC0415  it reads folders

    del ctx, param
    found = (one for one in every(working_directory()) if one.name.startswith(incomplete))
    return [CompletionItem(one.name, help=one.source) for one in found]


def _name_of(args: Sequence[str]) -> tuple[str | None, list[str]]:
    for at, word in enumerate(args):
        flag, equals, value = word.partition("=")
        if flag in FLAGS:
            if equals:
                return value, [*args[:at], *args[at + 1 :]]
            if at + 1 == len(args):
                raise HintedError(f"{flag} needs a name", "goalfsm templates list shows them")
            return args[at + 1], [*args[:at], *args[at + 2 :]]
    return None, [*args]


def positional(command: click.Command, args: Sequence[str]) -> Iterator[tuple[int, str]]:
    """Yield the words that are neither options nor their values, with their places."""
    valued = {
        flag
        for param in command.params
        if isinstance(param, click.Option) and not param.is_flag
        for flag in param.opts
    }
    of_an_option = False
    for at, word in enumerate(args):
        if of_an_option:
            of_an_option = False
        elif word in valued:
            of_an_option = True
        elif not word.startswith("-"):
            yield at, word


@click.group("templates")
def templates_command() -> None:
    """Goals written down to be used again: goalfsm run -t NAME INPUT=VALUE."""


@templates_command.command("list")
def list_templates() -> int:
    """Show all templates, the nearest of each name, and what each is for."""
    from goalfsm.templates.finding import every  # noqa: PLC0415  it reads folders

    found = [*every(working_directory())]
    width = max(len(one.name) for one in found)
    for one in found:
        say(f"{one.name:{width}}  {one.source:8}  {_about(one)}")
    return exits.OK


def _about(found: Found) -> str:
    from goalfsm.templates.finding import is_trusted  # noqa: PLC0415  the same

    try:
        template = found.parse()
    except GoalError as error:
        return f"(unusable: {line(error.message)})"
    mark = "" if is_trusted(found, template) else " (not trusted)"
    return line(template.head.description) + mark


@templates_command.command("show")
@click.argument("name", shell_complete=names_of_templates)
@click.argument("inputs", nargs=-1, metavar="[INPUT=VALUE]…")
def show_template(name: str, inputs: tuple[str, ...]) -> int:
    """Show a template as it is written; with inputs, the command that it becomes."""
    from goalfsm.templates.finding import find  # noqa: PLC0415  the same
    from goalfsm.templates.template import fill  # noqa: PLC0415  the same

    found = find(name, working_directory())
    template = found.parse()
    if not inputs:
        say(visible(found.text).rstrip())
        return exits.OK
    filled = fill(template, dict(_pair(word) for word in inputs))
    program = ["--", *filled.program] if filled.program else []
    say(shlex.join(["goalfsm", "run", *filled.options, filled.objective, *program]))
    return exits.OK


def _pair(word: str) -> tuple[str, str]:
    name, equals, value = word.partition("=")
    if not equals:
        raise HintedError(f"{line(word)} is no input", "write INPUT=VALUE")
    return name, value


@templates_command.command("new")
@click.argument("name")
@click.option("--user", "for_user", is_flag=True, help="Into your own folder, for every project.")
def new_template(name: str, for_user: bool) -> int:
    """Write a template to fill in, in this project's folder."""
    from goalfsm.templates.finding import FOLDER, project_folder, user_folder  # noqa: PLC0415  the same

    here = working_directory()
    if not name.replace("-", "").replace("_", "").isalnum():
        raise HintedError(f"{line(name)} is no name of a template", "use letters, digits, - and _")
    folder = user_folder() if for_user else project_folder(here) or here / FOLDER
    path = folder / f"{name}.md"
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(_SKELETON)
    except FileExistsError:
        raise GoalError(
            f"{path} exists", code="template_exists", hint="edit it, or choose another name"
        ) from None
    say(f"{path}")
    return exits.OK


@templates_command.command("check")
@click.argument("names", nargs=-1, metavar="[NAME or FILE]…")
def check_templates(names: tuple[str, ...]) -> int:
    """Say what is wrong with templates, by default with all; exit with 1 where something is."""
    from goalfsm.templates.finding import every, find  # noqa: PLC0415  the same

    here = working_directory()
    wrong = 0
    for found in [find(name, here) for name in names] if names else every(here):
        try:
            template = found.parse()
        except GoalError as error:
            wrong += 1
            say(f"{found.name}: {line(error.message)}\nHint: {line(error.hint)}", err=True)
        else:
            takes = ", ".join(template.head.inputs) or "nothing"
            say(f"{found.name}: well formed, takes {takes}")
    return exits.FAILED if wrong else exits.OK


@templates_command.command("trust")
@click.argument("name")
def trust_template(name: str) -> int:
    """Let a template of this repository start the programs that it names, as it is now."""
    from goalfsm.cli.asking import require_person  # noqa: PLC0415  the same
    from goalfsm.templates import finding  # noqa: PLC0415  the same
    from goalfsm.templates.finding import find  # noqa: PLC0415  the same

    require_person(None, "trusting a template")
    found = find(name, working_directory())
    template = found.parse()
    finding.trust(found, template)
    may = "; ".join(visible(program) for program in template.programs) or "no program"
    say(f"{found.name} may start: {may}")
    return exits.OK
