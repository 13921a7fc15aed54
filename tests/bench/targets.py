"""What the engine is held to, judged by the figures of the same run."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Final, Literal, NamedTuple

from tests.bench.harness import Figure, Section, times


class Target(NamedTuple):
    """A bound on one figure, or on the ratio of two figures of the same unit."""

    what: str
    bound: float
    unit: str
    sign: Literal["≤", "≥"]
    section: str
    figure: str
    over: str = ""
    """The figure that this one is divided by, of the same section."""
    why: str = ""
    """Why it may be missed, with the section that shows it."""


_TRANSITION: Final = "One transition"
_DURABLE: Final = "Time of one durable event"
_COST: Final = "What a durable event costs"
_NEXT: Final = "Turn end to next dispatch"

_FLOOR: Final = (
    "a copy of the goal, a plan, a guard's answer and a lookup are all that is left: see *Where "
    "the time of plan() goes*; the ratio is decided by what the peer needs on this machine"
)

_DISK: Final = (
    "the faster the disk, the more the processor's part counts: see *What a durable event costs "
    "beside the disk*"
)

_CLUSTER: Final = "More than one machine: on PostgreSQL"
_DEATHS: Final = "More than one machine: a node dies"
_SHARED: Final = "nodes, PostgreSQL and the programs of the test share two cores"

TARGETS: Final = (
    Target("`plan()`", 1.0, "µs", "≤", _TRANSITION, "goalfsm plan()"),
    Target(
        "`plan()` beside transitions", 20, "x", "≥", _TRANSITION,
        "transitions.Machine", "goalfsm plan()", _FLOOR,
    ),
    Target(
        "`plan()` beside python-statemachine", 250, "x", "≥", _TRANSITION,
        "python-statemachine", "goalfsm plan()", _FLOOR,
    ),
    Target("`handle()`, median of the vectors", 15, "µs", "≤", "handle()", "all events, median"),
    Target(
        "durable events, one thread: rate beside the raw loop", 0.9, "x", "≥", _DURABLE,
        "raw loop, one event a commit", "goalfsm store, 1 thread",
        _DISK,
    ),
    Target(
        "durable events, 64 threads: rate beside the raw loop", 3, "x", "≥", _DURABLE,
        "raw loop, one event a commit", "goalfsm store, 64 threads",
    ),
    Target(
        "durable events, 64 threads: processor time", 60, "µs", "≤", _COST,
        "64 threads, processor time", why=_DISK,
    ),
    Target(
        "durable events, 64 threads: events a sync", 20, "", "≥", _COST,
        "64 threads, events per commit",
    ),
    Target("turn end to next dispatch, p50", 3, "ms", "≤", _NEXT, "in-process worker, p50"),
    Target("turn end to next dispatch, p99", 10, "ms", "≤", _NEXT, "in-process worker, p99"),
    Target("resume, warm", 150, "ms", "≤", "Resume", "first dispatch, warm"),
    Target("memory of an idle thread", 4096, "bytes", "≤", "Memory", "goalfsm Session"),
    Target(
        "a whole turn, in process, beside one raw commit: processor time", 4.5, "x", "≤",
        "A whole turn", "a turn of one usage report, processor time",
        "one raw commit, processor time",
        "a commit of 13 pages where the raw one has 7, three decisions, and what starts and ends a "
        "run: see *Where the processor time of a turn goes*",
    ),
    Target(
        "a whole turn, in process: journal rows", 4, "rows", "≤", "A whole turn",
        "a turn of one usage report, journal rows",
    ),
    Target(
        "a turn of an sh worker: more than a shell loop", 3, "ms", "≤", "A turn of an sh worker",
        "more than the loop", why="a turn is two programs' work: see its processor time",
    ),
    *(
        Target(
            f"`goalfsm {words}`, from a second terminal", 60, "ms", "≤", "A command from",
            f"goalfsm {words}",
            why="modules are what it takes, most of them the libraries' own, which have a row "
            "there: `python -X importtime -m goalfsm.cli status`",
        )
        for words in ("status books", "steer books hello", "pause books", "tool get_goal")
    ),
    Target("1,000 active goals: processor time a turn", 0.5, "ms", "≤", "1,000 active",
           "processor time per turn",
           why="each turn waits after its dispatch, so its end is a commit of its own or of few: "
           "see *turns a commit* there, and *Where the processor time of a turn goes*"),
    Target("1,000 active goals: dispatch, p99", 15, "ms", "≤", "1,000 active",
           "turn end to next dispatch, p99",
           why="a dispatch waits for the commit under way, for its own and for the collector: see "
           "their rows there"),
    Target("1,000 active goals: memory a goal", 16, "KiB", "≤", "1,000 active",
           "memory per goal at the end",
           why="SQLite's pages, which have a row there, and what a running turn holds: its prompt, "
           "session, task and run"),
    *(
        target
        for words in ("log -n 50", "explain", "report")
        for target in (
            Target(f"`goalfsm {words}` on a journal of 1 GB", 300, "ms", "≤", "A journal of 1 GB",
                   f"goalfsm {words}"),
            Target(f"`goalfsm {words}` on a journal of 1 GB: memory", 80, "MB", "≤",
                   "A journal of 1 GB", f"goalfsm {words}, memory"),
        )
    ),
    *(
        Target(f"on PostgreSQL: {name}", bound, unit, "≤", _CLUSTER, name, why=_SHARED)
        for name, bound, unit in (
            ("turn end to next dispatch, follow-on, p50", 5, "ms"),
            ("turn end to next dispatch, follow-on, p99", 20, "ms"),
            ("turn end to next dispatch, through the queue, p50", 20, "ms"),
            ("turn end to next dispatch, through the queue, p99", 100, "ms"),
            ("a command, p50", 10, "ms"),
            ("a message into a turn at another node, p50", 20, "ms"),
            ("a message into a turn at another node, max", 200, "ms"),
            ("an idle node: transactions", 10, "/s"),
            ("an idle node: processor", 2, "%"),
        )
    ),
    *(
        Target(f"on PostgreSQL: {name}", bound, "s", "≤", _DEATHS, name, why=_SHARED)
        for name, bound in (
            ("takeover after kill -9, p50", 3.5),
            ("takeover after kill -9, max", 5),
            ("takeover after SIGSTOP, max", 5),
        )
    ),
    Target("on PostgreSQL: 200 kills of every kind, 50 threads: faults", 0, "", "≤",
           "More than one machine: a storm", "faults"),
    Target(
        "on PostgreSQL: turns a second beside the daemon", 0.4, "x", "≥",
        "More than one machine: a turn", "SQLite daemon", "a node on PostgreSQL",
        "a file's turn is a function call where a server's is two round trips and two processes' "
        "work: see the processor times of a turn, of the node, of PostgreSQL and on a file",
    ),
    *(
        Target(
            f"`{name}`", bound, "s", "≤", "The project's own tests", name,
            why="real agents, terminals, kills and databases are started by the hundred: see the "
            "folders there",
        )
        for name, bound in (("make test", 150), ("make quick", 70))
    ),
    Target("an idle daemon: bytes written", 0, "bytes", "≤", "A daemon that idles",
           "bytes written"),
    Target("an idle daemon: wake-ups a minute", 1, "", "≤", "A daemon that idles",
           "wake-ups a minute"),
    Target("an idle daemon: processor time a minute", 1, "ms", "≤", "A daemon that idles",
           "processor time a minute",
           why="its one wake-up a minute, of every thread of the daemon and its supervisor, as the "
           "kernel counts it: /proc/PID/task/*/schedstat"),
    Target(
        "`import goalfsm`, the interpreter's start included", 100, "ms", "≤", "Starting",
        "import goalfsm",
    ),
)  # fmt: skip


def judged(sections: Sequence[Section], targets: Sequence[Target] = TARGETS) -> list[str]:
    """Return the table of targets, as Markdown lines; those that were not measured are left out."""
    lines = ["## Targets", "", "| | target | measured | |", "|---|--:|--:|---|"]
    for target in targets:
        value = _measured(sections, target)
        if value is None:
            continue
        holds: Callable[[float, float], bool] = operator.le if target.sign == "≤" else operator.ge
        verdict = "met" if holds(value, target.bound) else "**missed**"
        if verdict != "met" and target.why:
            verdict += f": {target.why}"
        bound = f"{target.sign} {target.bound:,g} {target.unit}".rstrip()
        lines.append(f"| {target.what} | {bound} | {value:,.3g} {target.unit} | {verdict} |")
    return [*lines, ""]


def _measured(sections: Sequence[Section], target: Target) -> float | None:
    for section in sections:
        if section.title.startswith(target.section):
            found: dict[str, Figure] = {figure.name: figure for figure in section.figures}
            if target.figure not in found or (target.over and target.over not in found):
                return None
            figure = found[target.figure]
            return times(figure, found[target.over]) if target.over else figure.median
    return None
