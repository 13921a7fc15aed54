"""Which rows of which machine fired: noted while the code under test runs, shown as a table.

Nothing is noted before somebody watches. Then our machines tell of each row that they have chosen,
whoever asked them, and machines of ``transitions`` of every transition that they execute.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any, Final
from weakref import WeakKeyDictionary

import msgspec

from goalfsm.diagram.ours.observing import observed_by
from goalfsm.diagram.ours.table_rows import (
    TABLES,
    MachineUnknown,
    Names,
    TableRow,
    goal_rows,
    rows_of,
)
from goalfsm.errors import GoalError
from goalfsm.goal.machine import GoalMachine

HUNDRED: Final = 100.0


class RowsMissed(GoalError, AssertionError):
    """Some rows of a machine never fired."""

    code = "rows_missed"
    hint = "write a test for them; for_each_path() finds the shortest way to each"


class TableCoverage(msgspec.Struct, frozen=True, kw_only=True):
    """How often each row of one machine fired."""

    name: str
    rows: tuple[TableRow, ...]
    counts: Mapping[TableRow, int]

    @property
    def missed(self) -> tuple[TableRow, ...]:
        """Return the rows that never fired."""
        return tuple(row for row in self.rows if not self.counts.get(row))

    @property
    def fired(self) -> tuple[TableRow, ...]:
        """Return the rows that fired."""
        return tuple(row for row in self.rows if self.counts.get(row))

    @property
    def percent(self) -> float:
        """Return the share of rows that fired; 100 where there are none."""
        return HUNDRED * len(self.fired) / len(self.rows) if self.rows else HUNDRED

    def check(self, minimum: float = HUNDRED) -> None:
        """Raise `RowsMissed` where less than ``minimum`` percent of the rows fired."""
        if self.percent < minimum:
            missed = "".join(f"\n  {row}" for row in self.missed)
            raise RowsMissed(f"{self.name}: {shown(self.percent)} of the rows fired, not{missed}")


class MachineCoverage:
    """Counts, per machine, the rows that fire while it is watching.

    Ours are always watched: ``goal``, ``recovery``, ``stale-work`` and the order of decisions,
    ``continuation``. `watch` adds others.
    """

    def __init__(self, whole: MachineCoverage | None = None, *, only: Collection[str] = ()) -> None:
        """Begin with nothing fired; what is watched here is watched by the ``whole`` as well.

        ``only`` names the machines that `tables` shows and that `percent` is of: without it, all.
        """
        self._whole = whole
        self._only = tuple(only)
        self._rows: dict[str, dict[TableRow, None]] = {
            name: dict.fromkeys(read()) for name, read in TABLES.items()
        }
        self._counts: dict[str, Counter[TableRow]] = {name: Counter() for name in self._rows}
        self._goal_machines: list[tuple[GoalMachine, str]] = []
        self._classes: list[tuple[type, str]] = []
        self._live: WeakKeyDictionary[Any, str] = WeakKeyDictionary()
        self._read: WeakKeyDictionary[Any, dict[int, TableRow]] = WeakKeyDictionary()

    def watch(self, machine: Any, name: str | None = None) -> MachineCoverage:
        """Count the rows of another machine, too; return the coverage.

        ``machine`` is a ``transitions`` machine, a class of them (every machine of it counts
        together), or a `goalfsm.goal.machine.GoalMachine` with an embedder's rows. ``name`` is what
        it is called, by default what it calls itself; machines of one name count together.
        """
        if isinstance(machine, GoalMachine):
            name = name or "goal, extended"
            self._add(name, goal_rows(machine))
            self._goal_machines.append((machine, name))
        elif isinstance(machine, type):
            name = name or machine.__name__
            self._add(name, ())
            self._classes.append((machine, name))
        elif hasattr(machine, "events") and hasattr(machine, "states"):
            name = name or str(getattr(machine, "name", "")).removesuffix(": ") or "machine"
            self._live[machine] = name
            self._add(name, self._rows_of(machine).values())
        else:
            raise MachineUnknown(f"{machine!r} is no machine")
        if self._whole is not None:
            self._whole.watch(machine, name)
        return self

    def __getitem__(self, name: str) -> TableCoverage:
        """Return the coverage of one machine."""
        if name not in self._rows:
            raise MachineUnknown(
                f"no machine is watched as {name!r}", hint=f"one of {', '.join(self._rows)}"
            )
        return TableCoverage(
            name=name, rows=tuple(self._rows[name]), counts=dict(self._counts[name])
        )

    @property
    def tables(self) -> tuple[TableCoverage, ...]:
        """Return the coverage of every machine, in the order in which they were watched."""
        return tuple(self[name] for name in self._rows if not self._only or name in self._only)

    @property
    def unwatched(self) -> tuple[str, ...]:
        """Return which machines were asked for by ``only`` and never watched."""
        return tuple(name for name in self._only if name not in self._rows)

    @property
    def percent(self) -> float:
        """Return the share of all rows of all machines that fired."""
        rows = sum(len(table.rows) for table in self.tables)
        fired = sum(len(table.fired) for table in self.tables)
        return HUNDRED * fired / rows if rows else HUNDRED

    @contextlib.contextmanager
    def watching(self) -> Iterator[MachineCoverage]:
        """Count while inside."""
        with observed_by(self):
            yield self

    # What is told.

    def on_goal_row(self, machine: GoalMachine | None, row: TableRow) -> None:
        """Take note of a row of a goal machine; None is the default one."""
        if row in self._rows["goal"]:
            self._counts["goal"][row] += 1
        for watched, name in self._goal_machines:
            if watched is machine:
                self._counts[name][row] += 1

    def on_row(self, name: str, row: TableRow) -> None:
        """Take note of a row of one of our other machines."""
        self._counts[name][row] += 1

    def on_transition(self, machine: Any, transition: Any) -> None:
        """Take note of a transition that a live machine executed."""
        names = {self._live.get(machine)} | {n for c, n in self._classes if isinstance(machine, c)}
        for name in names - {None}:
            row = self._rows_of(machine, transition).get(id(transition))
            if name is not None and row is not None:
                self._add(name, self._rows_of(machine).values())
                self._counts[name][row] += 1

    # Several processes.

    def dump(self) -> dict[str, Any]:
        """Return what was counted as plain values, for another process to `merge`."""
        return {
            name: [[*row[:3], list(row.guards), self._counts[name][row]] for row in rows]
            for name, rows in self._rows.items()
        }

    def merge(self, dumped: Mapping[str, Any]) -> None:
        """Add the counts of another process."""
        for name, rows in dumped.items():
            for trigger, source, dest, guards, count in rows:
                row = TableRow(trigger, source, dest, tuple(guards))
                self._add(name, (row,))
                self._counts[name][row] += count

    # Its own.

    def _add(self, name: str, rows: Iterable[TableRow]) -> None:
        self._rows.setdefault(name, {}).update(dict.fromkeys(rows))
        self._counts.setdefault(name, Counter())

    def _rows_of(self, machine: Any, transition: Any = None) -> dict[int, TableRow]:
        """Return a machine's rows; read again when it has got a transition since."""
        known = self._read.get(machine)
        if known is None or (transition is not None and id(transition) not in known):
            known = self._read[machine] = rows_of(machine, Names())
        return known


def shown(percent: float) -> str:
    """Return a percentage that is only called 100 % when it is."""
    floored = int(percent * 10) / 10
    return f"{floored:.0f} %" if floored == int(floored) else f"{floored:.1f} %"


Write = Callable[[str], None]


def write_table(coverage: MachineCoverage, write: Write, *, most_missed: int = 40) -> None:
    """Write the coverage of every machine, and the rows that never fired."""
    tables = coverage.tables
    width = max(map(len, ["machine", *(table.name for table in tables)]))
    write(f"{'machine':<{width}}  {'rows':>5}  {'fired':>5}  {'missed':>6}  {'cover':>7}")
    for table in tables:
        fired, missed = len(table.fired), len(table.missed)
        cover = shown(table.percent)
        write(f"{table.name:<{width}}  {len(table.rows):>5}  {fired:>5}  {missed:>6}  {cover:>7}")
    rows = sum(len(table.rows) for table in tables)
    fired = sum(len(table.fired) for table in tables)
    cover = shown(coverage.percent)
    write(f"{'all':<{width}}  {rows:>5}  {fired:>5}  {rows - fired:>6}  {cover:>7}")
    missed_rows = [f"  {table.name}: {row}" for table in tables for row in table.missed]
    if missed_rows:
        write("rows that never fired:")
        for line in missed_rows[:most_missed]:
            write(line)
        if len(missed_rows) > most_missed:
            write(f"  and {len(missed_rows) - most_missed} more")
