"""The machines that goalfsm itself runs, by name, and those of a user by where they are."""

from __future__ import annotations

import difflib
import importlib
import inspect
import os
import sys
from collections.abc import Callable, Iterable
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeGuard

import msgspec

from goalfsm.diagram.extract import beside, extract
from goalfsm.diagram.live import own_name
from goalfsm.diagram.model import Diagram, DiagramError, Drawing
from goalfsm.diagram.model import Sequence as Steps
from goalfsm.diagram.rows import from_rows

if TYPE_CHECKING:
    from collections.abc import Iterator

    from transitions import Machine

    from goalfsm.goal.machine import GoalMachine


class Builtin(NamedTuple):
    """One of our machines; ``modules`` are where what it shows is defined."""

    name: str
    about: str
    draw: Callable[[], Drawing]
    modules: tuple[str, ...]


def _goal() -> Diagram:
    from goalfsm.goal.machine import default_machine  # noqa: PLC0415  see named()

    return of_goal_machine(default_machine())


def of_goal_machine(machine: GoalMachine) -> Diagram:
    """Return the diagram of a goal machine, an embedder's extended one included."""
    from goalfsm.goal.machine import build  # noqa: PLC0415
    from goalfsm.goal.model import ABSENT, COMPLETE  # noqa: PLC0415

    live = build(
        machine.rows, guards=machine.guards, effects=machine.effects, on_enter=machine.on_enter
    )
    drawn = extract(live, title="The goal machine")
    labels = {ABSENT: "no goal"}
    states = tuple(
        msgspec.structs.replace(node, label=labels.get(node.name, "")) for node in drawn.states
    )
    # That our effects stand before the change of state there is how they are compiled, no more.
    edges = tuple(
        msgspec.structs.replace(edge, effects=edge.before, before=()) for edge in drawn.edges
    )
    return msgspec.structs.replace(drawn, states=states, edges=edges, finals=(COMPLETE,))


def _recovery() -> Diagram:
    from recovery.machine import IDLE, PHASE_TRANSITIONS, PHASES  # noqa: PLC0415

    return from_rows(
        PHASE_TRANSITIONS,
        title="Recovery from a context overflow",
        initial=IDLE,
        notes={phase.name: phase.reason.rstrip(".") for phase in PHASES},
    )


def _stale_work() -> Diagram:
    from recovery.stale_work import IDLE_NAME, LIFECYCLE, STATES  # noqa: PLC0415

    return from_rows(
        LIFECYCLE,
        title="Cancelling superseded work",
        initial=IDLE_NAME,
        notes=dict.fromkeys(STATES, ""),
    )


def _continuation() -> Diagram:
    from goalfsm.diagram.ours.decisions import decision_flow  # noqa: PLC0415

    return decision_flow()


def _run() -> Diagram:
    from goalfsm.diagram.ours.life import run_life  # noqa: PLC0415

    return run_life()


def _session() -> Steps:
    from goalfsm.diagram.ours.loop import session_sequence  # noqa: PLC0415

    return session_sequence()


BUILTINS: Final = {
    builtin.name: builtin
    for builtin in (
        Builtin("goal", "what a goal's status may become", _goal, ("goalfsm.goal.machine",)),
        Builtin("recovery", "what an overflow leads to", _recovery, ("recovery.machine",)),
        Builtin(
            "stale-work", "how superseded work is cancelled", _stale_work, ("recovery.stale_work",)
        ),
        Builtin(
            "continuation", "whether work goes on", _continuation, ("goalfsm.session.continuation",)
        ),
        Builtin("run", "a run and its crash points", _run, ("goalfsm.diagram.ours.life",)),
        Builtin("session", "the loop of one thread", _session, ("goalfsm.diagram.ours.loop",)),
    )
}


def named(name: str) -> Drawing:
    """Return the drawing of ``name``: one of ours, or ``package.module:object``.

    The object may be a ``transitions`` machine, something with one as its ``machine``, a class or
    function that returns one when it is called without arguments, a table of rows, or a diagram.
    The current directory is searched as well. Raises ``DiagramError`` for everything else.
    """
    # The machines are imported when they are asked for: drawing a user's needs none of ours.
    builtin = BUILTINS.get(name)
    if builtin is not None:
        return builtin.draw()
    module, colon, path = name.partition(":")
    if not colon or not module or not path:
        raise DiagramError(f"unknown machine {name!r}", hint=_meant(name))
    if "/" in module or module.endswith(".py"):
        meant = module.removesuffix(".py").strip("./").replace("/", ".")
        raise DiagramError(f"{module} is a file", hint=f"name its module: {meant}:{path}")
    return _drawing(_load(module, path, name), name)


def _meant(name: str) -> str:
    near = difflib.get_close_matches(name, BUILTINS, n=1)
    if near:
        return f"did you mean {near[0]!r}?"
    return f"use one of {', '.join(BUILTINS)}, or package.module:object for your own"


def _load(module: str, path: str, name: str) -> Any:
    with _here_first():
        try:
            found: Any = importlib.import_module(module)
        except ImportError as error:
            raise DiagramError(
                f"{name}: cannot import {module}: {error}",
                hint="run this where the module can be imported, or set PYTHONPATH",
            ) from error
        except (Exception, SystemExit) as error:
            raise DiagramError(
                f"{name}: {module} failed: {type(error).__name__}: {error}",
                hint=f"python -c 'import {module}' shows where",
            ) from error
    for at, part in enumerate(path.split(".")):
        if at and inspect.isclass(found) and not hasattr(found, part):
            # What a class makes for each of its objects is looked for on one of them.
            found = _called(found, name)
        try:
            found = getattr(found, part)
        except AttributeError as error:
            raise DiagramError(
                f"{name}: there is no {part!r}", hint=_nearest(part, found, module)
            ) from error
    return found


def _nearest(part: str, found: Any, module: str) -> str:
    """Return what may have been meant by ``part`` of ``found``, machines first."""
    names = (key for key in dir(found) if not key.startswith("_"))
    known = {key: inspect.getattr_static(found, key, None) for key in names}
    near = difflib.get_close_matches(part, known, n=1)
    if near:
        return f"did you mean {near[0]!r}?"
    machines = [key for key, value in known.items() if _is_machine(value)]
    return f"it has {', '.join(machines)}" if machines else f"look into {module}"


@contextmanager
def _here_first() -> Iterator[None]:
    """Let modules of the current directory be found, as they are with ``python -m``."""
    here = os.getcwd()  # noqa: PTH109  sys.path holds texts
    if here in sys.path:
        yield
        return
    sys.path.insert(0, here)
    try:
        yield
    finally:
        sys.path.remove(here)


def _drawing(found: Any, name: str) -> Drawing:
    title = name.partition(":")[2]
    found = _called(found, name)
    if isinstance(found, Diagram | Steps):
        return found
    if _is_machine(found):
        return _titled(extract(found), title)
    machines = _machines_of(found)
    if len(machines) == 1:
        return _titled(extract(next(iter(machines.values()))), title)
    if machines:
        several = {key: extract(one, title=own_name(one) or key) for key, one in machines.items()}
        return beside(several, title=title)
    if hasattr(found, "rows") and hasattr(found, "on_enter"):
        return msgspec.structs.replace(of_goal_machine(found), title=title)
    if isinstance(found, Iterable) and not isinstance(found, str):
        return from_rows(found, title=title)
    raise DiagramError(
        f"{name}: {type(found).__name__} is nothing that can be drawn",
        hint="name a transitions.Machine, or a function that returns one",
    )


def _titled(drawn: Diagram, title: str) -> Diagram:
    return drawn if drawn.title else msgspec.structs.replace(drawn, title=title)


def _machines_of(model: Any) -> dict[str, Machine]:
    """Return the machines that a model holds, each once, by the names of its attributes."""
    found: dict[str, Machine] = {}
    for key in dict.fromkeys(("machine", *getattr(model, "__dict__", {}), *dir(type(model)))):
        if key.startswith("__"):
            continue
        value = inspect.getattr_static(model, key, None)
        value = getattr(model, key, None) if key == "machine" else value
        if _is_machine(value) and not any(value is other for other in found.values()):
            found[key] = value
    return found


def _is_machine(value: Any) -> TypeGuard[Machine]:
    return (
        hasattr(value, "events") and hasattr(value, "states") and hasattr(value, "add_transition")
    )


def _called(found: Any, name: str) -> Any:
    """Return what a class or function makes; everything else is returned as it is."""
    if not inspect.isclass(found) and not inspect.isroutine(found):
        return found
    try:
        return found()
    except Exception as error:
        raise DiagramError(
            f"{name}: calling it failed: {type(error).__name__}: {error}",
            hint="name an object, or something that needs no arguments",
        ) from error
