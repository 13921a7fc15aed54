"""The command line as a program of newer rules has it: ``python -m tests.cluster.newer …``."""

from __future__ import annotations

import sys

from goalfsm.session import state

NEWER = state.RULES_VERSION + 1


def main() -> int:
    """Take what this program's rules decide for those of a newer version."""
    for module in list(sys.modules.values()):
        if hasattr(module, "RULES_VERSION"):
            module.RULES_VERSION = NEWER  # type: ignore[attr-defined]
    from goalfsm.cli import main as cli  # noqa: PLC0415  what it loads takes the newer version

    return cli()


if __name__ == "__main__":
    sys.exit(main())
