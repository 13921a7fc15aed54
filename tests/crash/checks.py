"""What has to hold after any number of kills: compares the store with what the runs wrote down."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import psutil

from goalfsm.daemon.flow.replay import replay
from goalfsm.session import codec
from goalfsm.session import events as e
from goalfsm.store.sqlite import SqliteStore
from tests.crash.serve import THREAD

if TYPE_CHECKING:
    from collections.abc import Iterable

    from goalfsm.session.state import Session
    from goalfsm.store.port import Store


class Findings(msgspec.Struct, kw_only=True):
    """What came of a run of the harness; ``faults`` is empty when all is well."""

    kills: int
    seconds: float
    turns: int = 0
    interrupted: int = 0
    tokens: int = 0
    older: int = 0
    faults: list[str] = []

    def summary(self) -> str:
        """Return it in a line."""
        return (
            f"{self.kills} kills in {self.seconds:.0f} s, {self.older} before a migration: "
            f"{self.turns} runs, {self.interrupted} interrupted, {self.tokens} tokens, "
            f"{len(self.faults)} faults"
        )


def check(place: Path, *, kills: int, status: int, seconds: float, older: int = 0) -> Findings:
    """Return what is wrong, after the last daemon ended with ``status``.

    ``older``: how many starts found a database of an older schema.
    """
    found = Findings(kills=kills, seconds=seconds, older=older, faults=[])
    if status != 0:
        found.faults.append(f"the last daemon ended with status {status}")
    store = SqliteStore.open(place / "goals.db", read_only=True)
    try:
        stored = store.sessions.load(THREAD)
        if stored is None:
            found.faults.append("the thread is lost")
            return found
        session = codec.decode(stored.state)
        journal = [codec.decode_event(row.event) for row in _rows(store)]
        _check_goal(session, found)
        _check_store(store, found)
        _check_runs(_written(place), journal, found)
        _check_ledger(_written(place), journal, session, found)
    finally:
        store.close()
    _check_processes(place, found)
    _check_doctor(place, found)
    return found


def _check_doctor(place: Path, found: Findings) -> None:
    """Ask the command that people ask; the folder of a test is not one of goalfsm's own."""
    command = [sys.executable, "-m", "goalfsm.cli", "doctor", "--db", str(place / "goals.db")]
    asked = subprocess.run([*command, "--json"], capture_output=True, text=True, check=False)
    if asked.returncode != 0 or not json.loads(asked.stdout)["healthy"]:
        found.faults.append(f"doctor: {asked.returncode}, {asked.stdout}{asked.stderr}")


def _rows(store: Store) -> list[Any]:
    rows: list[Any] = []
    while page := store.journal.read(THREAD, after=len(rows), limit=1_000):
        rows += page
    return rows


def _written(place: Path) -> list[dict[str, Any]]:
    lines = (place / "runs.log").read_text().splitlines()
    return [json.loads(line) for line in lines]


def _check_goal(session: Session, found: Findings) -> None:
    if session.goal is None or session.goal.status != "complete":
        found.faults.append(f"the goal is not complete: {session.goal}")
    if session.run is not None:
        found.faults.append(f"a run is open: {session.run.run_id}")


def _check_store(store: Store, found: Findings) -> None:
    found.faults += [f"integrity: {fault}" for fault in store.integrity()]
    again = replay(store, THREAD)
    if not again.ok or again.skipped:
        found.faults.append(f"replay differs from what is stored: {again}")
    if store.inbox.pending():
        found.faults.append("inbox rows were not consumed")
    if left := store.outbox.open():
        found.faults.append(f"effects are open: {[(row.key, row.kind) for row in left]}")
    if left_processes := store.processes.open():
        found.faults.append(f"processes are recorded: {left_processes}")
    if store.owner.current() is not None:
        found.faults.append("the store still has an owner")


def _check_runs(written: list[dict[str, Any]], journal: list[e.Event], found: Findings) -> None:
    dispatched = [event.run_id for event in journal if isinstance(event, e.RunDispatched)]
    ends = Counter(
        event.run_id for event in journal if isinstance(event, e.RunFinished | e.RunInterrupted)
    )
    found.turns = len(dispatched)
    found.interrupted = sum(isinstance(event, e.RunInterrupted) for event in journal)
    for run_id, times in Counter(dispatched).items():
        if times > 1:
            found.faults.append(f"run {run_id} was dispatched {times} times")
    for run_id in dispatched:
        if ends[run_id] != 1:
            found.faults.append(f"run {run_id} has {ends[run_id]} ends")
    begun = Counter(line["run_id"] for line in written if line["what"] == "begin")
    for run_id, times in begun.items():
        if times > 1:
            found.faults.append(f"run {run_id} was run {times} times")
        if run_id not in ends:
            found.faults.append(f"run {run_id} was run and never committed")
    found.faults += [
        f"run {line['run_id']} began while another was running"
        for line in written
        if line["what"] == "overlap"
    ]


def _check_ledger(
    written: list[dict[str, Any]], journal: list[e.Event], session: Session, found: Findings
) -> None:
    """Compare by run: all of a finished run's usage, a beginning of an interrupted one's."""
    said = _by_run(
        (line["run_id"], line["tokens"] + line["number"])
        for line in written
        if line["what"] == "usage"
    )
    kept = _by_run(
        (event.run_id, event.usage.input_tokens + event.usage.output_tokens)
        for event in journal
        if isinstance(event, e.UsageReported)
    )
    finished = {event.run_id for event in journal if isinstance(event, e.RunFinished)}
    for run_id in said.keys() | kept.keys():
        mine, theirs = kept[run_id], said[run_id]
        if mine != theirs[: len(mine)]:
            found.faults.append(f"run {run_id} reported {theirs}, charged were {mine}")
        elif run_id in finished and len(mine) != len(theirs):
            found.faults.append(f"run {run_id} finished, and {theirs[len(mine) :]} is missing")
    found.tokens = sum(map(sum, kept.values()))
    _check_sums(session, found)


def _by_run(pairs: Iterable[tuple[str, int]]) -> defaultdict[str, list[int]]:
    runs: defaultdict[str, list[int]] = defaultdict(list)
    for run_id, tokens in pairs:
        runs[run_id].append(tokens)
    return runs


def _check_sums(session: Session, found: Findings) -> None:
    ledger, total = session.ledger, found.tokens
    if ledger.reported.input_tokens + ledger.reported.output_tokens != total:
        found.faults.append(f"the ledger says {ledger.reported}, the journal {total}")
    used = 0 if session.goal is None else session.goal.tokens_used
    if ledger.charged_tokens != used:
        found.faults.append(f"{ledger.charged_tokens} was charged, the goal has {used}")
    if used + sum(ledger.uncharged.values()) != total:
        found.faults.append(f"{used} charged and {ledger.uncharged} are not {total}")


def _check_processes(place: Path, found: Findings) -> None:
    mine = str(place)
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and any(mine in part for part in process.cmdline()):
                found.faults.append(f"process {process.pid} is left: {process.cmdline()}")
        except psutil.Error:
            continue
