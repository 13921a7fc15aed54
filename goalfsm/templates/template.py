"""What a template file says, and the command line that it becomes when its inputs are given.

A file begins with TOML between two lines ``+++``; what follows is the objective, in Markdown. Lines
``- [ ] …`` are criteria. ``{{name}}`` stands for an input.
"""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Mapping
from hashlib import sha256
from typing import Any, Final, Literal

import msgspec

from goalfsm.errors import GoalError
from goalfsm.text import line

MAX_BYTES: Final = 256 * 1024
_FENCE: Final = "+++"
_INPUT: Final = re.compile(r"\{\{\s*([A-Za-z][A-Za-z0-9_-]*)\s*\}\}")
_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
_CRITERION: Final = re.compile(r"^\s*[-*] \[[ xX]\] +(?P<text>.+?)\s*$")


class TemplateError(GoalError):
    """A template says something that makes no sense; nothing was started."""

    code = "template_invalid"
    hint = "goalfsm templates check NAME says what is wrong"


class Input(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A value that whoever uses the template gives; without ``default`` it has to be given.

    In a command a ``text`` is one word, whatever stands in it; a ``command`` is what it says.
    """

    description: str = ""
    kind: Literal["text", "command"] = "text"
    default: str | None = None


class Head(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The TOML of a template. Budgets are written as on the command line: ``2M``, ``1h30m``."""

    description: str = ""
    inputs: dict[str, Input] = {}
    criteria: tuple[str, ...] = ()
    verify: tuple[str, ...] = ()
    until: str | None = None
    accept: bool = False
    tokens: str | int | None = None
    time: str | int | None = None
    cost: str | int | float | None = None
    turns: int | None = None
    inline: bool = False
    seal: tuple[str, ...] = ()
    unsealed: tuple[str, ...] = ()
    verify_changed: Literal["ask", "accept"] | None = None
    agent: str | None = None
    program: str | None = None
    isolate: bool = False
    routes: tuple[str, ...] = ()


class Template(msgspec.Struct, frozen=True, kw_only=True):
    """One template, as it was read."""

    name: str
    head: Head
    objective: str
    criteria: tuple[str, ...]
    digest: str
    """SHA-256 of the file: what trust in it holds on to."""

    @property
    def programs(self) -> tuple[str, ...]:
        """Return every command that using the template would run."""
        named = (*self.head.verify, self.head.until, self.head.program, *self.head.routes)
        return tuple(command for command in named if command)


class Filled(msgspec.Struct, frozen=True, kw_only=True):
    """A template with its inputs: the objective, the options of ``goalfsm run``, the program."""

    objective: str
    options: tuple[str, ...]
    program: tuple[str, ...] = ()


def parse(name: str, text: str) -> Template:
    """Return what a template file says; raise TemplateError where that makes no sense."""
    if len(text.encode()) > MAX_BYTES:
        raise TemplateError(f"the template {name} is larger than {MAX_BYTES:,} bytes")
    head, body = _head(name, text)
    found = [_CRITERION.match(row) for row in body.splitlines()]
    kept = [row for row, match in zip(body.splitlines(), found, strict=True) if match is None]
    template = Template(
        name=name,
        head=head,
        objective="\n".join(kept).strip(),
        criteria=(*head.criteria, *(match["text"] for match in found if match)),
        digest=sha256(text.encode()).hexdigest(),
    )
    _check(template)
    return template


def _head(name: str, text: str) -> tuple[Head, str]:
    if not text.lstrip("\ufeff\n").startswith(_FENCE):
        return Head(), text
    _, _, rest = text.partition(_FENCE)
    toml, fence, body = rest.partition(f"\n{_FENCE}")
    if not fence:
        raise TemplateError(
            f"the front matter of {name} does not end", hint=f"close it with a line {_FENCE}"
        )
    try:
        return msgspec.convert(tomllib.loads(toml), Head), body.partition("\n")[2]
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise TemplateError(f"the front matter of {name} is no TOML: {error}") from None
    except msgspec.ValidationError as error:
        known = ", ".join(Head.__struct_fields__)
        raise TemplateError(
            f"the front matter of {name}: {error}", hint=f"it may have {known}"
        ) from None


def _check(template: Template) -> None:
    head = template.head
    if not template.objective:
        raise TemplateError(
            f"the template {template.name} has no objective",
            hint="write it behind the front matter, or in a file without one",
        )
    if head.agent is not None and head.program is not None:
        raise TemplateError(
            f"the template {template.name} names an agent and a program", hint="name one of them"
        )
    if not head.verify and head.until is None and (head.seal or head.unsealed):
        raise TemplateError(
            f"the template {template.name} says what is sealed, but names no verifier",
            hint='add verify = ["make test"]',
        )
    for name in head.inputs:
        if _NAME.fullmatch(name) is None:
            raise TemplateError(
                f"{line(name)} cannot be the name of an input",
                hint="use letters, digits, - and _",
            )
    texts = (
        template.objective,
        *template.criteria,
        *template.programs,
        *head.seal,
        *head.unsealed,
    )
    used = {match[1] for text in texts for match in _INPUT.finditer(text)}
    unknown = sorted(used - head.inputs.keys())
    if unknown:
        raise TemplateError(
            f"the template {template.name} uses {', '.join(unknown)}, which is no input of it",
            hint=f"declare it: [inputs.{unknown[0]}]",
        )
    unused = sorted(head.inputs.keys() - used)
    if unused:
        raise TemplateError(
            f"the template {template.name} asks for {', '.join(unused)} and does not use it",
            hint=f"write {{{{{unused[0]}}}}} where it belongs, or leave the input out",
        )


def fill(template: Template, given: Mapping[str, str]) -> Filled:
    """Return the template with these inputs; raise TemplateError where one is missing or unknown.

    See `Input` for what becomes of a value in a command.
    """
    inputs = template.head.inputs
    unknown = sorted(given.keys() - inputs.keys())
    if unknown:
        raise TemplateError(
            f"the template {template.name} has no input {line(unknown[0])}",
            code="template_input_unknown",
            hint=f"it has {', '.join(inputs)}" if inputs else "it has none",
        )
    values = {name: given.get(name, spec.default) for name, spec in inputs.items()}
    missing = [name for name, value in values.items() if value is None]
    if missing:
        about = inputs[missing[0]].description
        raise TemplateError(
            f"the template {template.name} needs {', '.join(missing)}",
            code="template_input_missing",
            hint=f"add {missing[0]}=…" + (f" ({line(about)})" if about else ""),
        )
    filled = {name: value for name, value in values.items() if value is not None}
    words = {
        name: value if inputs[name].kind == "command" else shlex.quote(value)
        for name, value in filled.items()
    }

    def text(said: str) -> str:
        return _INPUT.sub(lambda match: filled[match[1]], said)

    def command(said: str) -> str:
        return _INPUT.sub(lambda match: words[match[1]], said)

    head = template.head
    options: list[str] = []
    for criterion in template.criteria:
        options += ["--criterion", text(criterion)]
    for verifier in head.verify:
        options += ["--verify", command(verifier)]
    several = (
        ("--route", head.routes, command),
        ("--seal", head.seal, text),
        ("--unsealed", head.unsealed, text),
    )
    for option, said, filled_in in several:
        for one in said:
            options += [option, filled_in(one)]
    valued: dict[str, Any] = {
        "--until": None if head.until is None else command(head.until),
        "--tokens": head.tokens,
        "--time": head.time,
        "--cost": head.cost,
        "--max-continuations": head.turns,
        "--verify-changed": head.verify_changed,
        "--agent": head.agent,
    }
    for option, value in valued.items():
        options += [] if value is None else [option, str(value)]
    options += ["--accept"] if head.accept else []
    options += ["--inline"] if head.inline else []
    options += ["--isolate"] if head.isolate else []
    program = () if head.program is None else tuple(shlex.split(command(head.program)))
    return Filled(objective=text(template.objective), options=tuple(options), program=program)
