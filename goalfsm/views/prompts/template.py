"""Templates: Markdown files of this package with ``{{placeholders}}``, filled in one pass.

Values are never looked at again, so a value that looks like a placeholder stays as it is. A value
that is missing, or that the template has no place for, is an error.
"""

from __future__ import annotations

import re
from functools import cache
from types import MappingProxyType
from typing import Final

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
