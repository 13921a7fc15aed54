"""Kill nodes, stop them, kill PostgreSQL and lose the queue; then check that nothing is amiss.

``python -m tests.cluster.killing --kills 200 --threads 50`` is the long form.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import random
import signal
import sys
import tempfile
import time
import uuid
from collections import Counter, defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import msgspec
import psycopg

from goalfsm.cluster.client import ClusterClient
from goalfsm.daemon.config import WorkerConfig
from goalfsm.daemon.flow.replay import replay
from goalfsm.errors import GoalError
from goalfsm.session import codec
from goalfsm.session import events as e
from goalfsm.session.policy import Policy
from goalfsm.store.address import Server
from goalfsm.store.postgres import open_store
from tests.cluster.node_process import NodeProcess
from tests.postgres import PostgresServer, postgres_server

if TYPE_CHECKING:
    from collections.abc import Iterator

    from goalfsm.store.postgres.store import PostgresReading

ROOT: Final = Path(__file__).resolve().parents[2]
TOKENS: Final = 15
WHOLE_S: Final = 30.0
"""How long nodes that start may take until the next is killed."""
_OTHERS: Final = (
    "SELECT count(DISTINCT name)::int FROM goalfsm.node WHERE name <> %s"
    " AND seen_ms > extract(epoch FROM clock_timestamp()) * 1000 - 2000"
)
STOPPED_S: Final = 5.0
"""For how long a node is stopped: longer than its lease."""
AWAY_S: Final = (1.0, 5.0, 40.0, 10.0, 20.0)
"""For how long PostgreSQL is away, one after the other, in the long form."""
FINISH_S: Final = 120.0
SLOW_S: Final = 4.0
"""Which takeovers are told one by one, where somebody looks on."""
Fault = Literal["kill", "stop", "crash", "wipe"]
WORKER: Final = """#!/bin/sh
# One turn: it holds its thread's lock, and writes down what it has seen.
t=$GOALFSM_THREAD r=$GOALFSM_RUN_ID place=$1
exec 9>"$place/$t.lock"
flock -n 9 || { echo "overlap $t $r" >> "$place/runs.log"; flock 9; }
printf '%s' "$2" > "$place/prompts/$t.$GOALFSM_FENCE"
echo "begin $t $r $GOALFSM_TURN $GOALFSM_FENCE $(date +%s%N)" >> "$place/runs.log"
sleep 0.$((GOALFSM_FENCE % 4))
echo "usage $t $r" >> "$place/runs.log"
echo '{"type":"usage","input_tokens":10,"output_tokens":5,"key":"one"}'
sleep 0.$((GOALFSM_FENCE % 3))
if [ -e "$place/finish" ]; then
    echo '{"type":"tool_call","id":1,"name":"update_goal",' \\
        '"arguments":{"status":"complete","evidence":["the log"]}}'
    read -r answer
fi
echo '{"type":"progress"}'
echo "{\\"type\\":\\"text\\",\\"text\\":\\"step $GOALFSM_FENCE\\"}"
echo "end $t $r" >> "$place/runs.log"
"""


class Findings(msgspec.Struct, kw_only=True):
    """What came of it; ``faults`` is empty when all is well. Times in seconds."""

    counts: dict[str, int] = {}
    turns: int = 0
    interrupted: int = 0
    tokens: int = 0
    steered: int = 0
    seconds: float = 0.0
    takeovers: list[float] = []
    takeovers_of_stopped: list[float] = []
    faults: list[str] = []

    def summary(self) -> str:
        """Return it in a few words."""
        kills = ", ".join(f"{count} {name}" for name, count in sorted(self.counts.items()))
        return (
            f"{kills} in {self.seconds:.0f} s: {self.turns} turns, {self.interrupted} interrupted,"
            f" {self.tokens} tokens, {self.steered} messages; takeover after a kill"
            f" {_told(self.takeovers)}, of a stopped node {_told(self.takeovers_of_stopped)};"
            f" {len(self.faults)} faults"
        )


def _told(times: list[float]) -> str:
    if not times:
        return "not seen"
    ordered = sorted(times)
    return f"{len(ordered)} x p50 {ordered[len(ordered) // 2]:.2f} s, max {ordered[-1]:.2f} s"


class Killing:
    """One run of the harness."""

    def __init__(
        self, server: PostgresServer, place: Path, *, seed: int, nodes: int, threads: int
    ) -> None:
        self.server, self.place = server, place
        self.random = random.Random(seed)
        self.dsn = server.create(migrated=False)
        self.address = Server(self.dsn)
        policy = Policy(no_progress=0, max_continuations=0)
        self.client = ClusterClient(self.address, policy=policy)
        self.client.prepare()
        (place / "prompts").mkdir()
        program = place / "worker.sh"
        program.write_text(WORKER, "utf-8")
        program.chmod(0o755)
        config = WorkerConfig(
            argv=(str(program), str(place)), cwd=str(place), prompt_arg=True, output="lines"
        ).encode()
        self.threads = [f"t{number}" for number in range(threads)]
        for thread in self.threads:
            self.client.put_program(thread, config)
            self.client.request(thread, e.ObjectiveGiven(objective="go on"), uuid.uuid4().hex)
        self.nodes = [NodeProcess(f"n{number}", self.dsn, place) for number in range(nodes)]
        self.found = Findings(counts={}, takeovers=[], takeovers_of_stopped=[], faults=[])
        self.steered: dict[str, list[str]] = defaultdict(list)
        self._lost: list[tuple[str, int, bool]] = []
        self._moments: list[int] = []
        self.verbose = False
        self.begun = time.monotonic()
        self._epoch = time.time_ns()

    def run(
        self, faults: list[Fault], *, pause_s: float, away_s: tuple[float, ...] = (1.0,)
    ) -> Findings:
        """Do harm so many times, let everything finish, and check.

        PostgreSQL is away for each of ``away_s`` in turn.
        """
        away = itertools.cycle(away_s)
        begun = time.monotonic()
        try:
            for node in self.nodes:
                node.start()
            self._await_turns()
            for fault in faults:
                self._steer()
                self.found.counts[fault] = self.found.counts.get(fault, 0) + 1
                self._harm(fault, away)
                self.say(f"{fault} done")
                time.sleep(self.random.uniform(0.3, 1.0) * pause_s)
            (self.place / "finish").touch()
            self._finish()
            self.say("finished")
        finally:
            for node in self.nodes:
                node.stop()
        self.say("stopped")
        self._check()
        self.found.seconds = time.monotonic() - begun
        return self.found

    def say(self, what: str) -> None:
        """Tell how far it is, where somebody looks on."""
        if self.verbose:
            sys.stderr.write(f"{time.monotonic() - self.begun:7.1f} s  {what}\n")

    # Harm.

    def _harm(self, fault: Fault, away: Iterator[float]) -> None:
        node = self.random.choice(self.nodes)
        if fault in {"crash", "wipe"}:
            self._moments.append(time.time_ns())
        if fault == "kill":
            runs = self._runs_of(node) if self._has_others(node) else []
            moment = time.time_ns()
            node.kill(with_supervisor=self.random.random() < 0.25)
            self._lost += [(thread, moment, False) for thread in runs]
            time.sleep(self.random.uniform(0.0, 0.5))
            node.start()
        elif fault == "stop":
            runs = self._runs_of(node) if self._has_others(node) else []
            moment = time.time_ns()
            node.signal(signal.SIGSTOP)
            self._lost += [(thread, moment, True) for thread in runs]
            time.sleep(STOPPED_S)
            node.signal(signal.SIGCONT)
        elif fault == "crash":
            self.server.kill()
            time.sleep(next(away))
            self.server.start()
        else:
            with psycopg.connect(self.dsn, autocommit=True) as connection:
                connection.execute("TRUNCATE goalfsm.procrastinate_jobs CASCADE")

    def _has_others(self, node: NodeProcess) -> bool:
        """Tell whether every other node is there: only then a takeover says how long one takes.

        Mostly that is waited for; now and then nodes die while others are still starting.
        """
        deadline = time.monotonic() + (WHOLE_S if self.random.random() < 0.75 else 0.0)
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            while True:
                row = connection.execute(_OTHERS, (node.name,)).fetchone()
                if row == (len(self.nodes) - 1,) or time.monotonic() >= deadline:
                    return row == (len(self.nodes) - 1,)
                time.sleep(0.1)

    def _runs_of(self, node: NodeProcess) -> list[str]:
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            rows = connection.execute(
                "SELECT s.thread_id FROM goalfsm.session s JOIN goalfsm.node n USING (node_id)"
                " WHERE s.run_id IS NOT NULL AND n.name = %s"
                " AND n.pid = %s",
                (node.name, node.process.pid if node.process is not None else 0),
            ).fetchall()
        return [row[0] for row in rows]

    def _steer(self) -> None:
        thread, text = self.random.choice(self.threads), f"word-{uuid.uuid4().hex}"
        with contextlib.suppress(GoalError):
            reply = self.client.request(
                thread, e.SteeringReceived(message_id=text, text=text), text
            )
            if reply.ok:
                self.steered[thread].append(text)

    # The end.

    def _await_turns(self) -> None:
        """Return when every node is there and there are turns."""
        deadline = time.monotonic() + FINISH_S
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            there = (0,)
            while there != (len(self.nodes),) or len(self._written()) < len(self.threads):
                assert time.monotonic() < deadline, "no turn began"
                time.sleep(0.1)
                there = connection.execute("SELECT count(*)::int FROM goalfsm.node").fetchone()

    def _finish(self) -> None:
        deadline = time.monotonic() + FINISH_S
        while time.monotonic() < deadline:
            with psycopg.connect(self.dsn, autocommit=True) as connection:
                row = connection.execute(
                    "SELECT count(*) FROM goalfsm.session WHERE status <> 'complete'"
                ).fetchone()
            if row == (0,):
                return
            time.sleep(0.2)
        self.found.faults.append(f"not all goals are complete after {FINISH_S:g} s")

    def _written(self) -> list[list[str]]:
        log = self.place / "runs.log"
        return (
            [line.split() for line in log.read_text("utf-8").splitlines()] if log.exists() else []
        )

    # What has to hold.

    def _check(self) -> None:
        written, found = self._written(), self.found
        begins = Counter(row[2] for row in written if row[0] == "begin")
        found.turns = len(begins)
        found.faults += [f"run {run} began twice" for run, count in begins.items() if count > 1]
        found.faults += [f"two turns at once: {row}" for row in written if row[0] == "overlap"]
        fences: dict[str, int] = {}
        for row in written:
            if row[0] == "begin":
                if int(row[4]) <= fences.get(row[1], 0):
                    found.faults.append(f"the fence of {row[1]} went back")
                fences[row[1]] = int(row[4])
        self._measure(written)
        store = open_store(self.address)
        try:
            for thread in self.threads:
                self._check_thread(store, thread, written)
            found.faults += store.integrity()
        finally:
            store.close()

    def _measure(self, written: list[list[str]]) -> None:
        """Find out how long each thread whose run was lost had to wait for its next."""
        begins = defaultdict(list)
        for row in written:
            if row[0] == "begin":
                begins[row[1]].append(int(row[5]))
        for thread, moment, stopped in self._lost:
            after = min((at for at in begins[thread] if at > moment), default=None)
            again = [at for other, at, _ in self._lost if other == thread]
            # Where everybody's database or queue, or the thread's run broke again, it says nothing.
            if after is not None and not any(moment < at < after for at in self._moments + again):
                times = self.found.takeovers_of_stopped if stopped else self.found.takeovers
                times.append((after - moment) / 1e9)
                if times[-1] > SLOW_S:
                    at = (moment - self._epoch) / 1e9
                    self.say(f"{thread} was lost at {at:.1f} s for {times[-1]:.2f} s")

    def _check_thread(self, store: PostgresReading, thread: str, written: list[list[str]]) -> None:
        found = self.found
        stored = store.sessions.load(thread)
        assert stored is not None
        session = codec.decode(stored.state)
        checked = replay(store, thread)
        if not checked.ok or checked.skipped:
            found.faults.append(f"{thread} does not replay: {checked}")
        events = [codec.decode_event(row.event) for row in _journal(store, thread)]
        usages = [event for event in events if isinstance(event, e.UsageReported)]
        found.interrupted += sum(isinstance(event, e.RunInterrupted) for event in events)
        keys = Counter(event.key for event in usages)
        found.faults += [f"{key} was charged twice" for key, n in keys.items() if n > 1]
        goal = session.goal
        assert goal is not None
        found.tokens += goal.tokens_used
        if session.ledger.reported.input_tokens != 10 * len(usages):
            found.faults.append(f"the ledger of {thread} is not what was reported")
        if goal.tokens_used != session.ledger.charged_tokens:
            found.faults.append(f"{thread}: charged {session.ledger.charged_tokens}")
        said = {row[2] for row in written if row[0] == "usage" and row[1] == thread}
        ended = {row[2] for row in written if row[0] == "end" and row[1] == thread}
        charged = {event.key.partition(":")[0] for event in usages}
        found.faults += [f"usage of {run} was never said" for run in charged - said]
        interrupted = {ev.run_id for ev in events if isinstance(ev, e.RunInterrupted)}
        for run in ended - charged - interrupted:
            found.faults.append(f"usage of {run}, which ended well, is lost")
        prompts = "".join(
            path.read_text("utf-8") for path in (self.place / "prompts").glob(f"{thread}.*")
        )
        unread = {one.text for one in session.steering}
        for text in self.steered[thread]:
            found.steered += 1
            if text not in prompts and text not in unread:
                found.faults.append(f"{thread} lost {text}")


def _journal(store: PostgresReading, thread: str) -> list[msgspec.Struct]:
    rows: list[msgspec.Struct] = []
    revision = 0
    while page := store.journal.read(thread, after=revision):
        rows += page
        revision = page[-1].revision
    return rows


def drawn(seed: int, kills: int) -> list[Fault]:
    """Return the faults of a seed: mostly kills."""
    rng = random.Random(f"{seed} faults")
    weighed: list[Fault] = ["kill"] * 12 + ["stop"] * 3 + ["wipe"] * 2 + ["crash"]
    return [rng.choice(weighed) for _ in range(kills)]


def main() -> int:
    """Run the long form; return 1 where anything was amiss."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--nodes", type=int, default=3)
    parser.add_argument("--threads", type=int, default=50)
    parser.add_argument("--away", type=float, help="seconds without PostgreSQL; default: 1 to 40")
    parser.add_argument("--only", choices=["kill", "stop", "crash", "wipe"])
    parser.add_argument("--pause", type=float, default=6.0, help="most seconds between two")
    given = parser.parse_args()
    faults = [given.only] * given.kills if given.only else drawn(given.seed, given.kills)
    place = Path(tempfile.mkdtemp(prefix="goalfsm-killing-"))
    with postgres_server() as server:
        killing = Killing(server, place, seed=given.seed, nodes=given.nodes, threads=given.threads)
        killing.verbose = True
        away = AWAY_S if given.away is None else (given.away,)
        found = killing.run(faults, pause_s=given.pause, away_s=away)
    sys.stdout.write(f"{found.summary()}\n")
    for fault in found.faults[:40]:
        sys.stdout.write(f"  {fault}\n")
    sys.stdout.write(f"{place}\n")
    return bool(found.faults)


if __name__ == "__main__":
    sys.exit(main())
