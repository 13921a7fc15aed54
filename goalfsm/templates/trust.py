"""Which templates of a repository may start programs: those that this user has looked at.

Trust is in a file as it is: one that has changed since has to be looked at again.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from goalfsm import files
from goalfsm.errors import GoalError
from goalfsm.templates.finding import Found
from goalfsm.templates.template import Template

_FILE: Final = "trusted-templates.json"


def is_trusted(found: Found, template: Template) -> bool:
    """Tell whether the template's programs may run: it is the user's, or was trusted as it is."""
    if not found.foreign or found.path is None or not template.programs:
        return True
    return _known().get(str(found.path)) == template.digest


def require_trust(found: Found, template: Template) -> None:
    """Raise GoalError where the template names programs and nobody has trusted it."""
    if is_trusted(found, template):
        return
    raise GoalError(
        f"the template {found.name} of this repository starts programs: "
        f"{'; '.join(template.programs)}",
        code="template_untrusted",
        hint=f"read {found.path}, then: goalfsm templates trust {found.name}",
    )


def trust(found: Found, template: Template) -> None:
    """Remember that the template may start its programs, as it is now."""
    known = _known() | {str(found.path): template.digest}
    files.write_bytes(_file(), json.dumps(known, indent=1, sort_keys=True).encode())


def _known() -> dict[str, str]:
    try:
        known: Any = json.loads(files.read_bytes(_file()))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise GoalError(
            f"{_file()} cannot be read: {error}",
            code="trust_unreadable",
            hint="remove it, and trust again what you have read",
        ) from error
    return known if isinstance(known, dict) else {}


def _file() -> Path:
    from platformdirs import user_state_path  # noqa: PLC0415  few commands need it

    return user_state_path("goalfsm") / _FILE
