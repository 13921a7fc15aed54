"""Where templates are: a project's folder, the user's own, goalfsm's; and which are trusted."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from goalfsm import files
from goalfsm.errors import GoalError
from goalfsm.templates.template import MAX_BYTES, Template, TemplateError, parse

Source = Literal["project", "user", "built in"]

FOLDER: Final = Path(".goalfsm", "templates")
_SUFFIX: Final = ".md"


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """A template and where it is; ``path`` is None for one that comes with goalfsm."""

    name: str
    source: Source
    path: Path | None
    text: str

    def parse(self) -> Template:
        """Return what the template says; raise TemplateError where that makes no sense."""
        return parse(self.name, self.text)

    @property
    def foreign(self) -> bool:
        """Return whether the template came with a repository: others may have written it."""
        return self.source == "project"


def project_folder(start: Path) -> Path | None:
    """Return the folder of templates of the project around ``start``, None where it has none."""
    for folder in (start, *start.parents):
        if (folder / FOLDER).is_dir():
            return folder / FOLDER
        if (folder / ".git").exists():
            return None
    return None


def user_folder() -> Path:
    """Return the user's own folder of templates; it need not exist."""
    from platformdirs import user_config_path  # noqa: PLC0415  few commands need it

    return user_config_path("goalfsm") / "templates"


def every(start: Path) -> Iterator[Found]:
    """Yield all templates, by name; of two of one name the nearer one."""
    named: dict[str, Found] = {}
    for found in (*_built_in(), *_in(user_folder(), "user"), *_of_project(start)):
        named[found.name] = found
    yield from (named[name] for name in sorted(named))


def find(name: str, start: Path) -> Found:
    """Return the template of this name, or of this file; raise GoalError where there is none."""
    if os.sep in name or name.endswith(_SUFFIX):
        path = Path(name)
        if not path.exists():
            raise GoalError(
                f"there is no file {name}", code="template_unknown", hint="name a file that exists"
            )
        return Found(name=path.stem, source="project", path=path.resolve(), text=_read(path))
    known = {found.name: found for found in every(start)}
    if name not in known:
        raise GoalError(
            f"there is no template {name}",
            code="template_unknown",
            hint=f"there are {', '.join(known)}; goalfsm templates new {name} makes one",
        )
    return known[name]


def _of_project(start: Path) -> Iterator[Found]:
    folder = project_folder(start)
    if folder is not None:
        yield from _in(folder, "project")


def _in(folder: Path, source: Source) -> Iterator[Found]:
    for path in sorted(folder.glob(f"*{_SUFFIX}")):
        if path.is_file():
            yield Found(name=path.stem, source=source, path=path, text=_read(path))


def _built_in() -> Iterator[Found]:
    for entry in resources.files("goalfsm.templates.builtin").iterdir():
        if entry.name.endswith(_SUFFIX):
            text = entry.read_text(encoding="utf-8")
            yield Found(
                name=entry.name.removesuffix(_SUFFIX), source="built in", path=None, text=text
            )


def _read(path: Path) -> str:
    try:
        return files.read_bytes(path, most=MAX_BYTES).decode()
    except UnicodeDecodeError as error:
        raise TemplateError(f"{path} is no text in UTF-8: {error}") from None
    except OSError as error:
        raise TemplateError(f"{path} cannot be read: {error.strerror}") from None


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
