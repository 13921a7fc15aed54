"""Options that many commands share: where the goal is, who may have changed it meanwhile."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Final, TypeVar

import click

from goalfsm.cli import arguments, asking, places

_Function = TypeVar("_Function", bound=Callable[..., Any])
Expected = dict[str, Any]
"""The fields ``expected_goal_id`` and ``expected_revision`` of a command's event."""

DB: Final = click.option(
    "--db",
    metavar="PATH|URL",
    help="Database: a file, or postgresql://…; default GOALFSM_DB, else this directory's own file.",
)
THREAD: Final = click.option(
    "--thread",
    "thread_option",
    metavar="NAME",
    help="Thread; default: the one of the working directory.",
)
_THREAD_ARGUMENT: Final = click.argument("thread", required=False)
VERIFY_TIMEOUT: Final = click.option(
    "--verify-timeout",
    type=arguments.duration,
    metavar="DURATION",
    help="Longest run of a verifier, or of --until; default 10m.",
)
JSON: Final = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def all_of(*options: Callable[[_Function], _Function]) -> Callable[[_Function], _Function]:
    """Return what gives a command all these options, in this order."""

    def decorate(function: _Function) -> _Function:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


def named(options: Callable[..., Any]) -> frozenset[str]:
    """Return the names by which a command gets the values of ``options``."""
    given = click.command()(options(lambda: None))
    return frozenset(one.name for one in given.params if one.name and one.expose_value)


def database_only(function: _Function) -> _Function:
    """Give a command ``--db`` and call it with the path of the database as ``db``."""

    @DB
    @functools.wraps(function)
    def command(*args: Any, db: str | None, **kwargs: Any) -> Any:
        return function(*args, db=places.database(db), **kwargs)

    return command  # type: ignore[return-value]


def placed(function: _Function) -> _Function:
    """Give a command ``--db`` and ``--thread`` and call it with the `Place` as ``place``."""

    @DB
    @THREAD
    @functools.wraps(function)
    def command(*args: Any, db: str | None, thread_option: str | None, **kwargs: Any) -> Any:
        return function(*args, place=places.find(db, thread_option), **kwargs)

    return command  # type: ignore[return-value]


def placed_by_argument(function: _Function) -> _Function:
    """Do as `placed`, and take the thread as an argument too."""

    @DB
    @THREAD
    @_THREAD_ARGUMENT
    @functools.wraps(function)
    def command(
        *args: Any, db: str | None, thread_option: str | None, thread: str | None, **kwargs: Any
    ) -> Any:
        return function(*args, place=places.find(db, one_thread(thread, thread_option)), **kwargs)

    return command  # type: ignore[return-value]


def placed_with_text(
    what: str, *, required: bool = True, lone_thread: bool = False
) -> Callable[[_Function], _Function]:
    """Do as `placed_by_argument`, with a text behind the thread, given as ``text``.

    One that is not ``required`` is None where it is left out; a lone word that is the name of a
    thread is that thread where other options say what is asked for, or with ``lone_thread``.
    """

    def decorate(function: _Function) -> _Function:
        @DB
        @THREAD
        @arguments.thread_and_text(what, required=required)
        @functools.wraps(function)
        def command(
            *args: Any,
            db: str | None,
            thread_option: str | None,
            thread_and_text: tuple[str | None, str | None],
            **kwargs: Any,
        ) -> Any:
            thread, text = thread_and_text
            place = places.find(db, one_thread(thread, thread_option))
            if text is not None and not place.given and asking.is_thread(place.db, text):
                others = (value for name, value in kwargs.items() if name != "expected")
                said = any(value not in (None, (), False) for value in others)
                if lone_thread or (not required and said):
                    place = places.find(db, text)
                    return function(*args, place=place, text=None, **kwargs)
                raise arguments.HintedError(
                    f"the {what} is missing: {text} is the name of a thread",
                    f"give the {what} behind it; for the words themselves name the thread too",
                )
            return function(*args, place=place, text=text, **kwargs)

        return command  # type: ignore[return-value]

    return decorate


def one_thread(argument: str | None, option: str | None) -> str | None:
    """Return the thread that was named as an argument or as an option; raise for two."""
    if argument is not None and option is not None and argument != option:
        raise arguments.HintedError(
            f"two threads are named: {argument} and {option}", "name one of them"
        )
    return argument if argument is not None else option


def expecting(function: _Function) -> _Function:
    """Give a command ``--expect-goal`` and ``--expect-revision``, as ``expected``.

    They are fields of a command's event: it is refused where one does not hold.
    """

    @click.option(
        "--expect-goal",
        metavar="ID",
        help="Refuse when the thread's goal is another one by now.",
    )
    @click.option(
        "--expect-revision",
        type=arguments.count("revision"),
        metavar="N",
        help="Refuse when the goal was changed since this revision.",
    )
    @functools.wraps(function)
    def command(
        *args: Any, expect_goal: str | None, expect_revision: int | None, **kwargs: Any
    ) -> Any:
        expected = {"expected_goal_id": expect_goal, "expected_revision": expect_revision}
        return function(*args, expected=expected, **kwargs)

    return command  # type: ignore[return-value]


sealing: Final = all_of(
    click.option(
        "--seal",
        multiple=True,
        metavar="PATH",
        help="What else must stay as it is for a verifier to count; repeatable.",
    ),
    click.option(
        "--unsealed",
        multiple=True,
        metavar="PATH",
        help="What the work is meant to change of a verifier's files; repeatable.",
    ),
    click.option(
        "--verify-changed",
        type=click.Choice(("ask", "accept")),
        help="Where a verifier is not as it was sealed: ask a person (default), or run it.",
    ),
)
"""The options that say what of a verifier must stay as it is."""

editing: Final = all_of(
    click.option(
        "--criterion",
        "criteria",
        multiple=True,
        metavar="TEXT",
        help="In place of the criteria so far; repeatable.",
    ),
    click.option("--no-criteria", is_flag=True, help="Drop the criteria."),
    click.option(
        "--verify",
        "verifiers",
        multiple=True,
        metavar="CMD",
        help="In place of the verifiers so far; repeatable.",
    ),
    click.option(
        "--until",
        metavar="CMD",
        help="In place of the command so far; run after each turn, 0 completes the goal.",
    ),
    VERIFY_TIMEOUT,
    click.option("--no-verify", is_flag=True, help="Drop the verifiers."),
    click.option("--no-until", is_flag=True, help="Drop the command that completes the goal."),
    sealing,
    click.option(
        "--accept",
        "acceptance",
        flag_value=True,
        type=bool,
        default=None,
        help="A person has to accept completion: goalfsm accept.",
    ),
    click.option(
        "--no-accept",
        "acceptance",
        flag_value=False,
        type=bool,
        default=None,
        help="Nobody has to accept completion any more.",
    ),
)
"""The options that change what completion hangs on."""

serving: Final = all_of(
    click.option(
        "--max-runs",
        type=arguments.count("number of runs"),
        default="8",
        show_default=True,
        metavar="N",
        help="Most turns that run at once.",
    ),
    click.option(
        "--grace",
        type=arguments.duration,
        default="10s",
        show_default=True,
        metavar="DURATION",
        help="How long running turns may go on after SIGTERM.",
    ),
    click.option("--log-json", is_flag=True, help="Log JSON lines."),
    click.option(
        "--log-level",
        type=click.Choice(["debug", "info", "warning", "error"]),
        default="info",
        show_default=True,
        help="The least that is logged.",
    ),
)
"""The options of a process that serves until SIGTERM."""

budgets: Final = all_of(
    click.option(
        "--tokens",
        type=arguments.count("token budget"),
        metavar="N",
        help="Token budget, like 20000 or 200k.",
    ),
    click.option(
        "--time",
        "seconds",
        type=arguments.seconds,
        metavar="DURATION",
        help="Budget of active time, like 90s, 5m or 1h30m.",
    ),
    click.option(
        "--cost",
        type=arguments.cost,
        metavar="AMOUNT",
        help="Cost budget, like 2.50.",
    ),
    click.option(
        "--max-continuations",
        type=arguments.count("number of continuations", minimum=0),
        metavar="N",
        help="Stop after N turns; 0 is unlimited; default 100.",
    ),
)
"""The options that bound a goal's work."""
