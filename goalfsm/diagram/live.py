"""What a live ``transitions`` machine is made of, and what its parts are called.

Any machine of that library does: flat or hierarchical, locked or asynchronous. Only what it
holds is read; nothing is triggered and no callback is called.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator
from functools import partial, wraps
from itertools import chain
from typing import Any, Final

AUTO_PREFIX: Final = "to_"

Path = tuple[str, ...]
"""The names from the outermost state to one that is nested in it; () is the machine itself."""


def separator_of(machine: Any) -> str:
    """Return what stands between the names of nested states."""
    return str(getattr(getattr(machine, "state_cls", None), "separator", "_"))


def states_of(states: Iterable[Any], prefix: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Yield the path and the object of every state, nested ones after what they are nested in."""
    for state in states:
        path = (*prefix, state_name(getattr(state, "_name", state)))
        yield path, state
        yield from states_of(getattr(state, "states", {}).values(), path)


def names_of_states(machine: Any) -> set[str]:
    """Return the full name of every state."""
    separator = separator_of(machine)
    return {separator.join(path) for path, _ in states_of(machine.states.values())}


def events_of(machine: Any) -> Iterator[tuple[Path, Any]]:
    """Yield the events of every scope: those of the machine, then those inside nested states."""
    scopes = states_of(machine.states.values())
    for path, scope in (((), machine), *scopes):
        yield from ((path, event) for event in (getattr(scope, "events", None) or {}).values())


def transitions_of(event: Any) -> Iterator[Any]:
    """Return the transitions of an event, in the order in which a machine tries them."""
    return chain.from_iterable(event.transitions.values())


def ends_of(transition: Any, scope: Path, known: set[str], separator: str) -> tuple[str, str]:
    """Return the states that a transition of ``scope`` leads from and to, by their full names.

    An internal one leads to where it comes from.
    """

    def full(name: Any) -> str:
        local = separator.join((*scope, state_name(name)))
        return local if local in known else state_name(name)

    source = full(transition.source)
    return source, source if transition.dest is None else full(transition.dest)


def guards_of(transition: Any, name: Callable[[Any], str]) -> tuple[str, ...]:
    """Return the guards as ``name`` calls them; one that must not hold is written ``not NAME``."""
    return tuple(
        name(check.func) if check.target else f"not {name(check.func)}"
        for check in transition.conditions
    )


def state_name(state: Any) -> str:
    """Return what a state is called, whether it is a text, an enum's member or a list of them."""
    if isinstance(state, list | tuple):
        return " + ".join(state_name(one) for one in state)
    return str(getattr(state, "name", state))


def callback_name(function: object) -> str:
    """Return what a callback or condition is called: a name, never an address in memory."""
    if isinstance(function, str):
        return function
    if isinstance(function, partial):
        given = [*map(repr, function.args), *(f"{k}={v!r}" for k, v in function.keywords.items())]
        return f"{callback_name(function.func)}({', '.join(given)})"
    name = getattr(function, "name", None) or getattr(function, "__name__", None)
    if not isinstance(name, str):
        name = type(function).__name__
    return "lambda" if name == "<lambda>" else name


def own_name(machine: Any) -> str:
    """Return the name that a machine was given, empty without one."""
    return str(getattr(machine, "name", "") or "").removesuffix(": ")


def telling(execute: Callable[..., Any], tell: Callable[..., None]) -> Callable[..., Any]:
    """Return ``execute`` such that ``tell`` is called with the same when it has done something."""

    @wraps(execute)
    def executed(*given: Any) -> Any:
        done = execute(*given)
        if inspect.isawaitable(done):
            return later(done, *given)
        if done:
            tell(*given)
        return done

    async def later(awaitable: Any, *given: Any) -> Any:
        done = await awaitable
        if done:
            tell(*given)
        return done

    return executed
