"""What may stand on the command line: durations, counts, costs, and the program behind ``--``."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, TypeVar, get_args, get_type_hints

import click
import msgspec

from goalfsm.errors import GoalError
from goalfsm.goal import amounts
from goalfsm.goal.model import Limits
from goalfsm.goal.rejection import Rejection
from goalfsm.goal.validation import check_objective, check_text
from goalfsm.session.events import Setting
from goalfsm.session.policy import Policy
from goalfsm.session.routes import EXAMPLE, parse

if TYPE_CHECKING:
    from recovery import Rule

_Amount = TypeVar("_Amount")
NO_LIMIT: Final = "none"
HOST_SETTINGS: Final = ("retries", "compacts")
"""Settings that leave a recovery to the host: here that is an engine, and nobody else."""


class HintedError(click.UsageError):
    """A wrong argument, with what would have been right."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


def duration(text: str) -> float:
    """Return the seconds of a text like 90, 90s, 5m, 1h30m or 2d; zero is no duration."""
    return _read(amounts.duration, text)


def place(text: str) -> str:
    """Return the name of a place, as nodes serve it."""
    if not text or not all(c.isalnum() or c in "-._" for c in text):
        raise HintedError(
            f"{text!r} is no name of a place",
            "letters, digits, dots, dashes and underscores, as in build-host",
        )
    return text


def moment_before(text: str) -> int:
    """Return the time (unix ms) that is so long ago, or that is named, in the local time zone."""
    try:
        at = datetime.fromisoformat(text.strip())
    except ValueError:
        try:
            return int((time.time() - duration(text)) * 1000)
        except HintedError:
            raise HintedError(
                f"{text!r} is neither a duration nor a time", "write 8h, or 2026-03-01T22:00"
            ) from None
    return int(at.astimezone().timestamp() * 1000)


def seconds(text: str) -> int:
    """Return the whole seconds of a duration, for a budget."""
    return _read(amounts.whole_seconds, text)


def count(what: str, *, minimum: int = 1) -> Callable[[str], int]:
    """Return what reads a whole number, also one written like 200k, 1.5M or 1_000."""

    def convert(text: str) -> int:
        return _read(lambda given: amounts.count(given, what, minimum=minimum), text)

    return convert


def cost(text: str) -> int:
    """Return an amount of the account's currency, written like 2.50, in millionths."""
    return _read(amounts.cost, text)


def inline(text: str, named: Limits) -> tuple[str, Limits]:
    """Return an objective without the budgets that it ends with, and all limits together.

    One that ``named`` has too is an error: nobody can tell which was meant.
    """
    rest, limits = _read(amounts.inline_budget, text.rstrip())
    for name in Limits.__struct_fields__:
        if None not in {getattr(limits, name), getattr(named, name)}:
            raise HintedError(
                f"two budgets of {name}: one at the objective's end, one as an option",
                "give it once",
            )
    both = {
        name: getattr(limits, name) if getattr(named, name) is None else getattr(named, name)
        for name in Limits.__struct_fields__
    }
    return rest, Limits(**both)


def _read(amount: Callable[[str], _Amount], text: str) -> _Amount:
    try:
        return amount(text)
    except amounts.AmountInvalid as error:
        raise HintedError(error.message, error.hint) from None


def or_none(convert: Callable[[str], int]) -> Callable[[str], int | str]:
    """Return what also accepts the word ``none``: no budget."""

    def accept(text: str) -> int | str:
        return NO_LIMIT if text.strip().lower() == NO_LIMIT else convert(text)

    return accept


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


def thread_and_text(
    what: str, *, required: bool = True
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return an argument ``[THREAD] TEXT``: one word is the text, two are thread and text.

    One that is not ``required`` may be left out: then the text is None.
    """

    def split(
        ctx: click.Context, param: click.Parameter, given: tuple[str, ...]
    ) -> tuple[str | None, str | None]:
        del ctx, param
        if not given and not required:
            return None, None
        if len(given) == 1:
            return None, given[0]
        if len(given) == 2:  # noqa: PLR2004  a thread and a text
            return given[0], given[1]
        if not given:
            raise HintedError(f"the {what} is missing", f"give the {what} in quotes")
        raise HintedError(
            f"{len(given)} arguments, but only a thread and the {what} are expected",
            f"put the {what} in quotes",
        )

    metavar = f"[THREAD] {what.upper() if required else f'[{what.upper()}]'}"
    return click.argument("thread_and_text", nargs=-1, callback=split, metavar=metavar)


def objective(given: str) -> str:
    """Return the objective as it will be stored, or raise with the rule that it breaks."""
    return _checked(check_objective(given))


def text(given: str, what: str) -> str:
    """Return a criterion, piece of evidence, reason or message as it will be stored, or raise."""
    return _checked(check_text(given, what))


def _checked(result: str | Rejection) -> str:
    if isinstance(result, Rejection):
        raise GoalError(result.message, code=result.code, hint=result.hint)
    return result
