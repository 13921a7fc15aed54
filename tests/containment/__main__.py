"""Play every scenario and print the table; ``--write`` writes the pages of the docs as well."""

from __future__ import annotations

import argparse
import contextlib
import logging
import sys

import structlog

from tests.containment import long_goal, table, telling


def main() -> int:
    """Return 0 when everything is contained."""
    parser = argparse.ArgumentParser(prog="python -m tests.containment", description=__doc__)
    parser.add_argument("--write", action="store_true", help="write the pages of the docs")
    write = parser.parse_args().write
    # What goes wrong is the point of most scenarios; it need not be told twice.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    played = table.play(table.ordered())
    sys.stdout.write(table.plain(played) + "\n")
    failed = table.failures(played)
    for words in failed:
        sys.stderr.write(f"not contained: {words}\n")
    if write and not failed:
        table.DOC.write_text(table.markdown(played), encoding="utf-8")
        with contextlib.closing(long_goal.tell()) as story:
            telling.DOC.write_text(telling.page(story), encoding="utf-8")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
