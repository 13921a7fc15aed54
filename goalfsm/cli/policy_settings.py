"""Settings of a thread: as they stand on the command line, ``blocked_after=5``, and as shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, get_args, get_type_hints

import msgspec

from goalfsm.cli import asking
from goalfsm.cli.arguments import HintedError
from goalfsm.cli.output import say
from goalfsm.session.commands import Setting
from goalfsm.session.policy import Policy
from goalfsm.session.routes import EXAMPLE, parse

if TYPE_CHECKING:
    from goalfsm.cli.places import Place
    from recovery import Rule


HOST_SETTINGS: Final = ("retries", "compacts")
"""Settings that leave a recovery to the host: here that is an engine, and nobody else."""


def setting(text: str) -> tuple[str, Setting]:
    """Return a setting of the policy, written like ``blocked_after=5``."""
    name, equals, value = text.partition("=")
    name = name.strip().replace("-", "_")
    if not equals or not name:
        raise HintedError(f"{text!r} is not a setting", "write it like blocked_after=5")
    known = [field for field in Policy.__struct_fields__ if field not in HOST_SETTINGS]
    if name in HOST_SETTINGS:
        raise HintedError(
            f"{name} is no setting of a thread that an engine drives",
            "a program that calls goalfsm.handle itself chooses it; leave it out here",
        )
    if name not in known:
        raise HintedError(f"there is no setting {name!r}", f"there are {', '.join(known)}")
    if name == "failure_rules":
        return name, failure_rules(value.strip())
    wrong = f"{value!r} is no value for {name}"
    try:
        found: Setting = msgspec.convert(value.strip(), get_type_hints(Policy)[name], strict=False)
    except msgspec.ValidationError:
        raise HintedError(wrong, f"give {_kind(name)}") from None
    try:
        Policy().changed({name: found})
    except ValueError as error:
        raise HintedError(wrong, str(error)) from None
    return name, found


def route(text: str) -> str:
    """Return a route as it was written: ``below 25% tokens: -- PROGRAM``."""
    try:
        found = parse(text)
    except ValueError as error:
        raise HintedError(str(error), f"write it like {EXAMPLE!r}") from None
    if len(found) != 1:
        raise HintedError(f"{text!r} is not one route", "give each by an option of its own")
    return text.strip()


def failure_rules(path: str) -> tuple[Rule, ...]:
    """Return the rules of a file; no path takes all of them away."""
    try:
        from recovery import load_rules  # noqa: PLC0415  it compiles the whole table

        return load_rules(path) if path else ()
    except OSError as error:
        raise HintedError(f"cannot read {path!r}", f"{error.strerror}") from None
    except ValueError as error:
        raise HintedError(f"{error}", "docs/failures.md shows how a rule is written") from None


def _kind(name: str) -> str:
    """Return in words what a setting may be."""
    kind = get_type_hints(Policy)[name]
    if choices := get_args(kind):
        return f"one of {', '.join(choices)}"
    words = {bool: "true or false", int: "a whole number", float: "a number"}
    return f"{words[kind]}, like {name}={str(getattr(Policy(), name)).lower()}"


def show_budgets(place: Place) -> None:
    """Print each budget of the thread's goal and what is used of it."""
    from goalfsm.session.continuation import budget_lines  # noqa: PLC0415  only here

    progress = asking.stored_status(place).progress
    if progress is None:
        raise asking.no_goal(place)
    for row in budget_lines(progress):
        say(row)


def show_policy(place: Place) -> None:
    """Print each setting of the thread, with the default of those that differ from it."""
    from goalfsm.session.policy import Policy  # noqa: PLC0415  as above

    with asking.reading(place) as store:
        policy = asking.require_thread(store, place).policy
    usual = Policy()
    for name in Policy.__struct_fields__:
        if name in HOST_SETTINGS:
            continue
        value, default = getattr(policy, name), getattr(usual, name)
        note = "" if value == default else f"  (default: {_shown(default) or 'none'})"
        say(f"{name}={_shown(value)}{note}")


def _shown(value: Setting) -> str:
    """Return a setting as it is given on the command line; rules by their number."""
    if isinstance(value, tuple):
        return f"{len(value)} rule{'s' * (len(value) != 1)}" if value else ""
    return str(value).lower() if isinstance(value, bool) else str(value)
