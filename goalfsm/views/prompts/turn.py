"""The prompt of the next dispatch, from the session alone: equal sessions give equal bytes.

Templates are Markdown files of this package with ``{{placeholders}}``, filled in one pass. Values
are never looked at again, so a value that looks like a placeholder stays as it is. A value that is
missing, or that the template has no place for, is an error.
"""

from __future__ import annotations

import re
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple

from goalfsm.errors import GoalError
from goalfsm.goal.accounting import live
from goalfsm.goal.model import LIMITED, Goal, used_up
from goalfsm.session.continuation import budget_lines, max_continuations, progress
from goalfsm.session.prompt_notices import Notice, parse
from goalfsm.text import attribute, xml

if TYPE_CHECKING:
    from goalfsm.session.policy import Policy
    from goalfsm.session.state import Session, Steering

_PLACEHOLDER: Final = re.compile(r"\{\{([a-z_]+)\}\}")
_WORK: Final = frozenset({"objective", "criteria", "budget"})
_CLAIMS: Final = frozenset({"turn", "claim_rule", "blocked_after", "blocked_count"})
_DETAIL: Final = frozenset({"detail"})

TEMPLATES: Final = MappingProxyType(
    {
        "continuation": _WORK | _CLAIMS,
        "continuation_compact": _WORK | _CLAIMS,
        "last_turn": frozenset({"most"}),
        "last_answer": frozenset({"text"}),
        "wind_down": _WORK | {"limit"},
        "steering": frozenset({"messages"}),
        "steering_message": frozenset({"message_id", "text"}),
        "interrupted": _DETAIL,
        "turn_failed": _DETAIL,
        "resumed": _DETAIL,
        "objective_updated": _DETAIL,
        "budget_raised": _DETAIL,
        "verification_failed": _DETAIL,
        "unverifiable": _DETAIL,
        "rejected": _DETAIL,
        "set_aside": _DETAIL,
        "woken": _DETAIL,
        "compacted": _DETAIL,
    }
)
"""Each template and the placeholders that it has."""
_LIMITS: Final = {
    "tokens": "its token budget is used up",
    "time": "its time budget is used up",
    "cost": "its cost budget is used up",
    "continuations": "it has been continued as often as it may be",
}


class NothingToDo(GoalError):
    """The session has no goal to work on."""

    code = "no_goal"
    hint = "Give the thread an objective first."


def render_turn(session: Session, now_ms: int) -> str:
    """Return the prompt of the open run or, while there is none, of the next one; see `contents`.

    Steering comes first, then what happened since the last turn, then the work: the rules in full
    in a goal's first turn and after a notice, compact in the others; the wind-down where the run
    is one. The last turn that the goal may take is told so. ``now_ms`` (unix ms) is for the active
    time that is shown. Raises NothingToDo.
    """
    return "\n\n".join(part.text for part in contents(session, now_ms)) + "\n"


class Part(NamedTuple):
    """A piece of a prompt: what it is, why it is in there, and its text."""

    name: str
    why: str
    text: str


def contents(session: Session, now_ms: int) -> tuple[Part, ...]:
    """Return what the prompt of the open or the next run is made of, in order.

    Raises NothingToDo.
    """
    goal = live(session.goal, session.clock, now_ms)
    if goal is None:
        raise NothingToDo("the thread has no goal")
    run = session.run
    notices = session.notices if run is None else run.notices
    winding_down = goal.status == LIMITED if run is None else run.wind_down
    turn = session.next_turn if run is None else run.turn
    said = carried(session)
    named = ", ".join(message.message_id for message in said)
    parts = [Part("messages", f"no turn has taken them into account: {named}", _steering(said))]
    for text in notices:
        notice = parse(text)
        kind = notice.kind.replace("_", " ")
        parts.append(Part("notice", f"since the last turn: {kind}", _notice(notice)))
    if winding_down:
        why = "a budget is used up, and one turn is left to wind the work down"
        parts.append(Part("wind-down", why, _wind_down(goal, session.policy)))
    else:
        full = turn == 1 or bool(notices)
        why = "the first turn" if turn == 1 else "something has happened since the last turn"
        why = f"the rules in full: {why}" if full else "the rules in short: they were given before"
        work = _continuation(session, goal, turn, full=full)
        last = _last_turn(turn, max_continuations(goal, session.policy))
        parts += [Part("work", why, work), Part("last turn", "no more may follow", last)]
    return tuple(part for part in parts if part.text)


def last_answer(text: str) -> str:
    """Return what a prompt says of the end of the last turn's answer."""
    return fill("last_answer", text=xml(text))


def wind_down_text(session: Session) -> str:
    """Return the wind-down prompt, to be steered into a running turn. Raises NothingToDo."""
    if session.goal is None:
        raise NothingToDo("the thread has no goal")
    return _wind_down(session.goal, session.policy) + "\n"


def steering_text(message_id: str, text: str) -> str:
    """Return one steering message, to be steered into a running turn."""
    return fill("steering", messages=_message(message_id, text)) + "\n"


def carried(session: Session) -> tuple[Steering, ...]:
    """Return the steering messages that the prompt carries, oldest first.

    While a run is open these are the ones that the session has given to it; what came later is
    steered into it, or is for the next one.
    """
    run = session.run
    if run is None:
        return session.steering
    return tuple(kept for kept in session.steering if kept.carried_by == run.run_id)


def _continuation(session: Session, goal: Goal, turn: int, *, full: bool) -> str:
    return fill(
        "continuation" if full else "continuation_compact",
        turn=str(turn),
        objective=xml(goal.objective),
        criteria=_criteria(goal),
        claim_rule=_claim_rule(goal, session.policy),
        blocked_after=str(session.policy.blocked_after),
        blocked_count=str(session.blocking.count),
        budget=_budget(goal, session.policy),
    )


def _last_turn(turn: int, most: int | None) -> str:
    return "" if most is None or turn < most else fill("last_turn", most=str(most))


def _wind_down(goal: Goal, policy: Policy) -> str:
    return fill(
        "wind_down",
        limit=_LIMITS[goal.limited_by or used_up(goal) or "tokens"],
        objective=xml(goal.objective),
        criteria=_criteria(goal),
        budget=_budget(goal, policy),
    )


def _steering(messages: tuple[Steering, ...]) -> str:
    if not messages:
        return ""
    shown = (_message(kept.message_id, kept.text) for kept in messages)
    return fill("steering", messages="\n".join(shown))


def _message(message_id: str, text: str) -> str:
    return fill("steering_message", message_id=attribute(message_id), text=xml(text))


def _notice(notice: Notice) -> str:
    detail = f"\n\n<detail>\n{xml(notice.detail)}\n</detail>" if notice.detail else ""
    return fill(notice.kind, detail=detail)


def _criteria(goal: Goal) -> str:
    if not goal.criteria:
        return ""
    numbered = "\n".join(
        f'<criterion number="{number}">{xml(criterion.text)}</criterion>'
        for number, criterion in enumerate(goal.criteria, 1)
    )
    return f"\n\n<criteria>\n{numbered}\n</criteria>"


def _claim_rule(goal: Goal, policy: Policy) -> str:
    if goal.criteria:
        evidence = "Give evidence for each criterion, by its number."
    elif policy.evidence_required:
        evidence = "At least one piece of evidence is required."
    else:
        evidence = "Say what shows it."
    if goal.until is not None:
        named = xml(goal.until.name)
        evidence += f" After each turn the engine runs <command>{named}</command>: when it exits"
        evidence += " with 0, it claims completion itself."
    checks = len(goal.verifiers)
    persons = sum(verifier.kind == "person" for verifier in goal.verifiers)
    if not checks:
        return evidence
    if persons == checks:
        how = "A person looks at the claim"
    elif persons:
        how = "The engine runs checks of its own and a person looks at the claim"
    else:
        how = "The engine runs checks of its own"
    return f"{evidence} {how} before it counts; until then the goal stays active."


def _budget(goal: Goal, policy: Policy) -> str:
    return "\n".join(f"- {text}" for text in budget_lines(progress(goal, policy)))


# Templates.


class TemplateError(ValueError):
    """A template and the values given to it do not fit; one of them is a mistake in the code."""


@cache
def load(name: str) -> tuple[str, ...]:
    """Return the template ``name`` in pieces: text and placeholder by turns, text at both ends.

    It is read once. TemplateError when it does not hold exactly the declared placeholders.
    """
    from importlib import resources  # noqa: PLC0415  imported with the first prompt only

    text = (
        resources.files("goalfsm.views.prompts").joinpath(f"{name}.md").read_text(encoding="utf-8")
    )
    return compiled(name, text)


def compiled(name: str, text: str) -> tuple[str, ...]:
    """Return ``text`` in pieces, or raise TemplateError when it is not what ``name`` declares."""
    pieces = tuple(_PLACEHOLDER.split(text.strip("\n")))
    found = set(pieces[1::2])
    if found != TEMPLATES[name]:
        message = f"{name}: placeholders {sorted(found)}, not {sorted(TEMPLATES[name])}"
        raise TemplateError(message)
    if any("{{" in literal or "}}" in literal for literal in pieces[::2]):
        message = f"{name}: braces that are no placeholder"
        raise TemplateError(message)
    return pieces


def fill(name: str, **values: str) -> str:
    """Return the template with ``values`` in place; TemplateError unless they fit exactly."""
    pieces = load(name)
    if values.keys() != TEMPLATES[name]:
        message = f"{name}: values {sorted(values)}, not {sorted(TEMPLATES[name])}"
        raise TemplateError(message)
    filled = list(pieces)
    filled[1::2] = map(values.__getitem__, pieces[1::2])
    return "".join(filled)
