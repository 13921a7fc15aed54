"""How rows are measured: interleaved rounds, medians and spread, ratios within the run."""

from __future__ import annotations

import gc
import os
import platform
import random
import statistics
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from importlib import metadata

Timed = Callable[[int], float]
"""Runs a number of operations and returns the seconds that they took."""


@dataclass(frozen=True)
class Contender:
    """One side of a comparison: ``run(n)`` returns seconds for ``n`` operations."""

    name: str
    run: Timed
    note: str = ""


@dataclass(frozen=True)
class Figure:
    """One measured line: the median over rounds and its spread, in ``unit``."""

    name: str
    median: float
    low: float
    high: float
    unit: str
    ratio: str = ""
    note: str = ""
    values: tuple[float, ...] = ()
    """What each round measured."""


@dataclass
class Section:
    """A table of figures under one heading; ``lines`` are remarks below it."""

    title: str
    figures: list[Figure] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)


def loop(call: Callable[[], object]) -> Timed:
    """Return a timer of ``call`` in a bare loop, the collector held off."""

    def run(count: int) -> float:
        repeated = range(count)
        gc.disable()
        try:
            start = time.perf_counter()
            for _ in repeated:
                call()
            return time.perf_counter() - start
        finally:
            gc.enable()

    return run


def rounds(
    contenders: Iterable[Contender], *, count: int, repeat: int, scale: float = 1e6
) -> dict[str, list[float]]:
    """Return per-operation times (seconds x ``scale``), the contenders taking turns."""
    contenders = list(contenders)
    measured: dict[str, list[float]] = {contender.name: [] for contender in contenders}
    for contender in contenders:
        contender.run(max(1, count // 10))
    order = random.Random(repeat)
    for _ in range(repeat):
        # What ran just before leaves caches and a disk behind that help or hinder whoever follows.
        for contender in order.sample(contenders, len(contenders)):
            measured[contender.name].append(contender.run(count) / count * scale)
    return measured


def compare(
    title: str,
    contenders: list[Contender],
    *,
    count: int,
    repeat: int,
    unit: str = "µs",
    scale: float = 1e6,
) -> Section:
    """Measure ``contenders`` side by side; ratios are against the first of them."""
    measured = rounds(contenders, count=count, repeat=repeat, scale=scale)
    section = Section(title)
    for contender in contenders:
        line = figure(contender.name, measured[contender.name], unit, note=contender.note)
        if section.figures:
            line = replace(line, ratio=f"{times(line, section.figures[0]):.3g} x")
        section.figures.append(line)
    return section


def figure(name: str, values: list[float], unit: str, ratio: str = "", note: str = "") -> Figure:
    """Return the line of ``values``."""
    median = statistics.median(values)
    return Figure(name, median, min(values), max(values), unit, ratio, note, tuple(values))


def times(figure: Figure, over: Figure) -> float:
    """Return how many times ``over`` this is: the median over rounds, where both have as many.

    Whatever slows a machine for a while slows both sides of a round.
    """
    if len(figure.values) != len(over.values):
        return figure.median / over.median
    pairs = zip(figure.values, over.values, strict=True)
    return statistics.median(mine / theirs for mine, theirs in pairs)


def percentile(values: list[float], share: float) -> float:
    """Return the value below which ``share`` of ``values`` lie."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def machine() -> list[str]:
    """Return what the figures were measured on and with."""
    names = (
        "goalfsm", "transitions", "msgspec", "apsw", "python-statemachine",
        "langgraph-checkpoint-sqlite", "dbos",
    )  # fmt: skip
    versions = []
    for name in names:
        try:
            versions.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            versions.append(f"{name} not installed")
    return [
        (
            f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, "
            f"CPython {sys.version.split()[0]}"
        ),
        ", ".join(versions),
    ]


def markdown(section: Section) -> str:
    """Return the section as a Markdown table."""
    rows = [
        f"## {section.title}",
        "",
        "| | median | min to max | ratio | |",
        "|---|--:|--:|--:|---|",
    ]
    rows += [
        f"| {line.name} | {_number(line.median)} {line.unit} "
        f"| {_number(line.low)} to {_number(line.high)} | {line.ratio} | {line.note} |"
        for line in section.figures
    ]
    return "\n".join([*rows, "", *section.lines]).rstrip() + "\n"


def _number(value: float) -> str:
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"
