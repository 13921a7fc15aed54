"""docs/benchmarks.md: written from what was measured last of each part of the benchmark."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Final

import msgspec

from tests.bench.harness import Section, markdown
from tests.bench.targets import judged

ROOT: Final = Path(__file__).parents[2]
PAGE: Final = ROOT / "docs" / "benchmarks.md"
KEPT: Final = Path(__file__).with_name("measured.json")
HEAD: Final = """# Benchmarks

Written by `make bench`; `make bench QUICK=1` takes less than a minute, is coarser and writes
nothing; `make bench LONG=1` adds the storm of half an hour. Contenders take turns in every round,
so that a machine that slows down slows all of them; a figure is the median, beside it the least
and the most. Absolute times are worth little on another machine: compare the ratios. Peers come
from the `bench` dependency group and are used as their own documentation recommends.
`python -m tests.bench --only NAME --write` measures one part anew and leaves the others:

"""


class Measured(msgspec.Struct):
    """What one part of the benchmark has measured: at which commit, under which conditions."""

    commit: str
    under: list[str]
    sections: list[Section]


def commit() -> str:
    """Return the short name of the commit that is checked out, or nothing where none is."""
    argv = ["git", "rev-parse", "--short", "HEAD"]
    told = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
    return told.stdout.strip() or "no commit"


def kept() -> dict[str, Measured]:
    """Return what was measured last, by the name of the part."""
    if not KEPT.exists():
        return {}
    return msgspec.json.decode(KEPT.read_bytes(), type=dict[str, Measured])


def keep(name: str, measured: Measured, order: list[str]) -> None:
    """Put what was measured now in the place of what was measured last, and write the page."""
    everything = kept() | {name: measured}
    everything = {each: everything[each] for each in order if each in everything}
    KEPT.write_bytes(msgspec.json.format(msgspec.json.encode(everything), indent=1) + b"\n")
    PAGE.write_text(rendered(everything), "utf-8")


def rendered(everything: dict[str, Measured]) -> str:
    """Return the page as Markdown."""
    runs: dict[tuple[str, ...], list[str]] = {}
    for name, measured in everything.items():
        runs.setdefault((measured.commit, *measured.under), []).append(name)
    told = [f"- {', '.join(names)}: at {'; '.join(run)}" for run, names in runs.items()]
    sections = [section for measured in everything.values() for section in measured.sections]
    return HEAD + "\n".join([*told, "", *judged(sections), *map(markdown, sections)])
