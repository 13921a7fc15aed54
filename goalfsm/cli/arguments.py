"""What may stand on the command line: durations, counts, costs, and the program behind ``--``."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from goalfsm.errors import GoalError

if TYPE_CHECKING:
    from goalfsm.goal.model import Limits, Rejection

_Amount = TypeVar("_Amount")
NO_LIMIT: Final = "none"


class HintedError(click.UsageError):
    """A wrong argument, with what would have been right."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


def duration(text: str) -> float:
    """Return the seconds of a text like 90, 90s, 5m, 1h30m or 2d; zero is no duration."""
    from goalfsm.goal import amounts  # noqa: PLC0415  few commands are given one

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
    from goalfsm.goal import amounts  # noqa: PLC0415  few commands are given one

    return _read(amounts.whole_seconds, text)


def count(what: str, *, minimum: int = 1) -> Callable[[str], int]:
    """Return what reads a whole number, also one written like 200k, 1.5M or 1_000."""

    def convert(text: str) -> int:
        from goalfsm.goal import amounts  # noqa: PLC0415  as above

        return _read(lambda given: amounts.count(given, what, minimum=minimum), text)

    return convert


def variable(name: str) -> str:
    """Return the name of an environment variable, refuse values and lists of names."""
    if name and not {*"=, "} & {*name}:
        return name
    raise HintedError(
        f"{name!r} is not the name of a variable",
        "one name for each --env; what it holds comes from the environment: FOO=1 goalfsm run "
        "… --env FOO",
    )


def cost(text: str) -> int:
    """Return an amount of the account's currency, written like 2.50, in millionths."""
    from goalfsm.goal import amounts  # noqa: PLC0415  few commands are given one

    return _read(amounts.cost, text)


def inline(text: str, named: Limits) -> tuple[str, Limits]:
    """Return an objective without the budgets that it ends with, and all limits together.

    One that ``named`` has too is an error: nobody can tell which was meant.
    """
    from goalfsm.goal import amounts  # noqa: PLC0415  as above

    kind = type(named)
    rest, limits = _read(amounts.inline_budget, text.rstrip())
    for name in kind.__struct_fields__:
        if None not in {getattr(limits, name), getattr(named, name)}:
            raise HintedError(
                f"two budgets of {name}: one at the objective's end, one as an option",
                "give it once",
            )
    both = {
        name: getattr(limits, name) if getattr(named, name) is None else getattr(named, name)
        for name in kind.__struct_fields__
    }
    return rest, kind(**both)


def _read(amount: Callable[[str], _Amount], text: str) -> _Amount:
    try:
        return amount(text)
    except GoalError as error:
        raise HintedError(error.message, error.hint) from None


def or_none(convert: Callable[[str], int]) -> Callable[[str], int | str]:
    """Return what also accepts the word ``none``: no budget."""

    def accept(text: str) -> int | str:
        return NO_LIMIT if text.strip().lower() == NO_LIMIT else convert(text)

    return accept


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
    from goalfsm.goal.model import check_objective  # noqa: PLC0415  only where one is given

    return _checked(check_objective(given))


def text(given: str, what: str) -> str:
    """Return a criterion, piece of evidence, reason or message as it will be stored, or raise."""
    from goalfsm.goal.model import check_text  # noqa: PLC0415  only where one is given

    return _checked(check_text(given, what))


def _checked(result: str | Rejection) -> str:
    if isinstance(result, str):
        return result
    raise GoalError(result.message, code=result.code, hint=result.hint)
