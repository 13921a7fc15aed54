"""Files as the real programs wrote them, put back into the form in which they are read.

Of pi, the program is real and its goals are not: the extension that keeps them is not published on
the registry, and a stand-in wrote the entries as its source does.
"""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any, Final

SAMPLES: Final = Path(__file__).with_name("samples")
CODEX: Final = SAMPLES / "codex-0.171.0"
PI: Final = SAMPLES / "pi-1.6.0" / "session.jsonl"
CLAUDE: Final = SAMPLES / "claude-2.1.332"
PROJECT: Final = "/home/me/project"


def database(path: Path, *scripts: str) -> Path:
    """Write a database of SQL; return its path."""
    db = sqlite3.connect(path)
    for script in scripts:
        db.executescript(script)
    db.commit()
    db.close()
    return path


def codex_home(folder: Path) -> Path:
    """Write the home of Codex as Codex left it."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("goals_1", "state_5"):
        database(folder / f"{name}.sqlite", (CODEX / f"{name}.sql").read_text("utf-8"))
    return folder


def lines(path: Path, *rows: dict[str, Any]) -> Path:
    """Write JSON lines; return their path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), "utf-8")
    return path
