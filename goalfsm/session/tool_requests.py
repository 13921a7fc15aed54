"""What the model asks for by a call of one of the goal's tools.

Arguments are a JSON object; an argument that is null or empty counts as left out, because some
providers make the model fill in every one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sized
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from goalfsm.goal.model import (
    MAX_ITEMS,
    Criterion,
    Evidence,
    Rejection,
    check_budget,
    check_objective,
    check_text,
)
from goalfsm.session.tools import BY_NAME, MAX_WAIT_S, WAITS_FOR, ToolName, WaitFor, canonical
from goalfsm.text import line, shortened


class CreateGoal(msgspec.Struct, frozen=True, kw_only=True):
    """The model asks for a goal of the thread that it works in."""

    objective: str
    token_budget: int | None = None
    criteria: tuple[Criterion, ...] = ()


class GetGoal(msgspec.Struct, frozen=True, kw_only=True):
    """The model asks how the goal stands."""


class ClaimComplete(msgspec.Struct, frozen=True, kw_only=True):
    """The model claims that the objective is met."""

    evidence: tuple[Evidence, ...] = ()
    read: int | None = None


class ClaimBlocked(msgspec.Struct, frozen=True, kw_only=True):
    """The model claims that nothing can go on without somebody else."""

    reason: str = ""
    read: int | None = None


class DeclareWait(msgspec.Struct, frozen=True, kw_only=True):
    """The model asks for no turn before something has happened; see `WaitDeclared`."""

    kind: WaitFor
    seconds: float | None = None
    pid: int | None = None
    start_time: str = ""
    note: str = ""
    any: bool = False


ToolRequest = CreateGoal | GetGoal | ClaimComplete | ClaimBlocked | DeclareWait


def parse(name: str, arguments: Mapping[str, Any]) -> ToolRequest | Rejection:
    """Return what the call asks for, or why it is refused.

    Codes: ``unknown_tool``, ``unknown_argument``, ``argument_missing``, ``argument_invalid``,
    ``status_not_allowed``, ``too_many_items``, and those of the checks in
    ``goalfsm.goal.model``.
    """
    tool = BY_NAME.get(canonical(name))
    if tool is None:
        return Rejection(
            "unknown_tool",
            message=f"there is no tool {_short(name)}",
            hint=f"the tools are {_listed(BY_NAME)}",
        )
    known = tool.parameters["properties"]
    for key in arguments:
        if key not in known:
            takes = f"it takes {_listed(known)}" if known else "it takes no arguments"
            return Rejection(
                "unknown_argument", message=f"{tool.name} has no argument {_short(key)}", hint=takes
            )
    given = {key: value for key, value in arguments.items() if value not in (None, "", [])}
    return _PARSERS[tool.name](given)


def _create(given: dict[str, Any]) -> CreateGoal | Rejection:
    text = given.get("objective", "")
    if not isinstance(text, str):
        return _invalid("objective", "a text")
    objective = check_objective(text)
    if isinstance(objective, Rejection):
        return objective
    budget = given.get("token_budget")
    refused = check_budget(budget)
    if refused is not None:
        return refused
    criteria = _criteria(given.get("criteria", ()))
    if isinstance(criteria, Rejection):
        return criteria
    tokens = None if budget is None else int(budget)
    return CreateGoal(objective=objective, token_budget=tokens, criteria=criteria)


def _criteria(items: Any) -> tuple[Criterion, ...] | Rejection:
    if not isinstance(items, list | tuple) or not all(isinstance(item, str) for item in items):
        return _invalid("criteria", "a list of texts")
    if len(items) > MAX_ITEMS:
        return _too_many(items, "criteria")
    checked = [check_text(item, "criterion") for item in items]
    refused = next((text for text in checked if isinstance(text, Rejection)), None)
    return refused or tuple(Criterion(text=text) for text in checked if isinstance(text, str))


def _update(given: dict[str, Any]) -> ClaimComplete | ClaimBlocked | Rejection:
    status, read = given.get("status"), given.get("read")
    if read is not None and (isinstance(read, bool) or not isinstance(read, int) or read < 1):
        return _invalid("word that was read", "the number that the refusal named")
    if status == "complete":
        claim = _unfit("reason", given, '"blocked"') or _complete(given.get("evidence", ()))
        return claim if isinstance(claim, Rejection) else replace(claim, read=read)
    if status == "blocked":
        said = _unfit("evidence", given, '"complete"') or _blocked(given.get("reason", ""))
        return said if isinstance(said, Rejection) else replace(said, read=read)
    if status is None:
        return Rejection(
            "argument_missing", message="the status is missing", hint='give "complete" or "blocked"'
        )
    return Rejection(
        "status_not_allowed",
        message=f"a tool cannot set the status {_short(status)}",
        hint='claim "complete" or "blocked"; the rest belongs to the person',
    )


def _wait(given: dict[str, Any]) -> DeclareWait | Rejection:
    kind, note, started = given.get("for"), given.get("note", ""), given.get("start_time", "")
    if kind not in WAITS_FOR:
        return _invalid("thing to wait for", _listed(dict.fromkeys(WAITS_FOR)))
    refused = _seconds(given.get("seconds"), kind) or _pid(given.get("pid"), kind)
    if refused is not None:
        return refused
    if not isinstance(note, str) or not isinstance(started, str):
        return _invalid("note or start time", "texts")
    if not isinstance(given.get("any", False), bool):
        return _invalid("any", "true or false")
    said = check_text(note, "note") if note else ""
    if isinstance(said, Rejection):
        return said
    return DeclareWait(
        kind=kind,
        seconds=given.get("seconds"),
        pid=given.get("pid"),
        start_time=started,
        note=said,
        any=given.get("any", False),
    )


def _seconds(seconds: Any, kind: WaitFor) -> Rejection | None:
    if seconds is None:
        missing = Rejection(
            "argument_missing", message="a timer needs its seconds", hint="give seconds"
        )
        return missing if kind == "timer" else None
    number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
    if number and 0 < seconds <= MAX_WAIT_S:
        return None
    return _invalid("number of seconds", f"more than 0, at most {MAX_WAIT_S:,}")


def _pid(pid: Any, kind: WaitFor) -> Rejection | None:
    if (kind == "process") != (pid is not None):
        return _invalid("pid", "one for a process, and none for anything else")
    if pid is None or (isinstance(pid, int) and not isinstance(pid, bool) and pid > 0):
        return None
    return _invalid("pid", "the number of a process")


def _unfit(argument: str, given: Mapping[str, Any], status: str) -> Rejection | None:
    if argument not in given:
        return None
    return Rejection(
        "argument_invalid",
        message=f"the {argument} does not fit this status",
        hint=f"it goes with {status}",
    )


def _blocked(reason: Any) -> ClaimBlocked | Rejection:
    if not isinstance(reason, str):
        return _invalid("reason", "a text")
    if not reason:
        return ClaimBlocked()
    text = check_text(reason, "reason")
    return text if isinstance(text, Rejection) else ClaimBlocked(reason=text)


def _too_many(items: Sized, what: str) -> Rejection:
    return Rejection(
        "too_many_items",
        message=f"{len(items):,} {what}, {MAX_ITEMS} are allowed",
        hint="sum some of them up",
    )


def _complete(items: Any) -> ClaimComplete | Rejection:
    if not isinstance(items, list | tuple):
        return _invalid("evidence", "a list of texts")
    if len(items) > MAX_ITEMS:
        return _too_many(items, "pieces of evidence")
    evidence: list[Evidence] = []
    for item in items:
        piece = _evidence(item)
        if isinstance(piece, Rejection):
            return piece
        evidence.append(piece)
    return ClaimComplete(evidence=tuple(evidence))


def _evidence(item: Any) -> Evidence | Rejection:
    fields = {"text": item} if isinstance(item, str) else item
    if not isinstance(fields, Mapping) or not fields.keys() <= {"text", "criterion"}:
        return _invalid("evidence", 'texts or objects of "text" and "criterion"')
    words, criterion = fields.get("text"), fields.get("criterion")
    if not isinstance(words, str):
        return _invalid("evidence's text", "a text")
    if criterion is not None and (isinstance(criterion, bool) or not isinstance(criterion, int)):
        return _invalid("evidence's criterion", "a number from 1")
    if criterion is not None and not 1 <= criterion <= MAX_ITEMS:
        return _invalid("evidence's criterion", "a number from 1")
    text = check_text(words, "evidence")
    return text if isinstance(text, Rejection) else Evidence(text=text, criterion=criterion)


def _invalid(argument: str, wanted: str) -> Rejection:
    return Rejection(
        "argument_invalid", message=f"the {argument} is not valid", hint=f"give {wanted}"
    )


def _listed(names: Mapping[str, Any]) -> str:
    return ", ".join(names)


def _short(value: Any) -> str:
    return shortened(line(str(value)), 80)


_PARSERS: Final[dict[ToolName, Callable[[dict[str, Any]], ToolRequest | Rejection]]] = {
    "create_goal": _create,
    "get_goal": lambda _given: GetGoal(),
    "update_goal": _update,
    "wait": _wait,
}
