"""Shell completion: the lines that a shell loads, which ask this program for what fits."""

from __future__ import annotations

from typing import Final

import click

from goalfsm.cli import exits

SHELLS: Final = ("bash", "zsh", "fish")
_VARIABLE: Final = "_GOALFSM_COMPLETE"
"""The variable by which a shell asks; click answers to it."""


@click.command("completion")
@click.argument("shell", type=click.Choice(SHELLS))
def completion_command(shell: str) -> int:
    """Print what SHELL loads to complete commands, options and the names of templates."""
    from click.shell_completion import get_completion_class  # noqa: PLC0415  only here

    kind = get_completion_class(shell)
    assert kind is not None  # noqa: S101  click knows these shells
    root = click.get_current_context().find_root().command
    click.echo(kind(root, {}, "goalfsm", _VARIABLE).source())
    return exits.OK
