"""From inside its turn a worker takes none of a person's authority, whatever it does to itself."""

from __future__ import annotations

import json
import signal
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.cli.processes import daemon, goalfsm
from tests.cli.workers import COMPLETE, ENGINE, worker

ASKS = (
    "complete --evidence trust",
    "accept",
    "edit other",
    "budget --tokens none",
    "policy --set evidence_required=false",
    "steer skip",
    "set --replace 'print ok' -- true",
    "set --thread sibling work -- true",
    "templates trust mine",
    "notify add desktop",
    "notify remove 1",
)
LEAVES = """
import os, sys
if os.fork():
    os._exit(0)
os.setsid()
if os.fork():
    os._exit(0)
with open("asked", "w") as out:
    os.dup2(out.fileno(), 1), os.dup2(out.fileno(), 2)
    clean = {"PATH": os.environ["PATH"], "HOME": os.environ["HOME"]}
    import subprocess
    done = [
        subprocess.run([sys.executable, "-m", "goalfsm.cli", *words.split(), "--db", sys.argv[1],
                        "t"], env=clean, stdin=subprocess.DEVNULL).returncode
        for words in ("accept", "complete --evidence trust")
    ]
    print(done, flush=True)
os.rename("asked", "said")
"""


def test_everything_that_is_a_persons_is_refused() -> None:
    lines = [f"goalfsm {words} 2>> refusals.txt >&2; echo $? >> codes.txt" for words in ASKS]
    program = worker(COMPLETE, *lines)
    bound = ("--tokens", "10k", "--max-continuations", "1")
    with_goal = goalfsm("run", "do it", *bound, "--verify", "false", "--", program)
    assert with_goal.status != 0, with_goal
    assert "0" not in Path("codes.txt").read_text().split()
    said = Path("refusals.txt").read_text()
    assert said.count("no person") == len(ASKS)
    assert said.count("Hint: a person") == len(ASKS)
    goal = json.loads(goalfsm("status", "--json").out)["goal"]
    assert (goal["objective"], goal["token_budget"]) == ("do it", 10_000)
    assert goal["status"] != "complete"
    assert "sibling" not in goalfsm("list").out


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere what detaches is not adopted")
def test_what_has_left_its_session_and_its_environment_is_still_the_runs() -> None:
    Path("leaves.py").write_text(LEAVES)
    wait = "until [ -e said ]; do sleep 0.05; done"
    program = worker(COMPLETE, f"{sys.executable} leaves.py goals.db", wait)
    bound = ("--verify", "false", "--max-continuations", "1", "--db", "goals.db", "--thread", "t")
    goalfsm("run", "do it", *bound, "--", program)
    said = Path("said").read_text()
    assert said.count("no person") == 2, said
    assert "[0" not in said
    goal = json.loads(goalfsm("status", "t", "--db", "goals.db", "--json").out)["goal"]
    assert goal["status"] != "complete"


WAYS = {
    "in a session of its own": "setsid -w",
    "without a terminal": "nohup",
    "with an empty environment": 'env -i PATH="$PATH" HOME="$HOME"',
    "without what names the run": "env -u GOALFSM_RUN_ID -u GOALFSM_RUN_TOKEN -u GOALFSM_DB",
    "with other libraries": "env LD_PRELOAD=/nowhere.so",
    "without its mark": (
        '"$PY" -c "import os, resource, sys; _, most = resource.getrlimit(10); '
        'resource.setrlimit(10, (most, most)); os.execvp(sys.argv[1], sys.argv[1:])"'
    ),
    "in a pid namespace": "unshare -pf --mount-proc",
    "in a user namespace": "unshare -Ur",
}


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere there are other ways")
def test_whatever_way_it_is_started_it_is_the_runs() -> None:
    asks = '"$PY" -m goalfsm.cli complete t --evidence trust --db goals.db'
    lines = [f"PY={sys.executable}; export PY"]
    for number, way in enumerate(WAYS.values()):
        lines.append(f"{way} {asks} > way-{number}.txt 2>&1; echo $? >> way-{number}.txt")
    # A terminal server that the turn starts outlives the shell that asked for it.
    server = f"{asks} > way-tmux.txt 2>&1; echo 2 >> way-tmux.txt; mv way-tmux.txt tmux.txt"
    lines += [
        f"TMUX_TMPDIR=$PWD tmux -L own new-session -d '{server}'",
        "until [ -e tmux.txt ]; do sleep 0.05; done",
    ]
    bound = ("--verify", "false", "--max-continuations", "1", "--db", "goals.db", "--thread", "t")
    goalfsm("run", "do it", *bound, "--", worker(*lines))
    told = {way: Path(f"way-{number}.txt").read_text() for number, way in enumerate(WAYS)}
    told["by a terminal server of its own"] = Path("tmux.txt").read_text()
    for way, said in told.items():
        refused = "no person" in said or "unshare" in said or "Operation not permitted" in said
        assert refused, (way, said)
        assert said.split()[-1] != "0", (way, said)
    assert sum("no person" in said for said in told.values()) >= len(told) - 2
    goal = json.loads(goalfsm("status", "t", "--db", "goals.db", "--json").out)["goal"]
    assert goal["status"] != "complete"


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere there are no namespaces")
def test_a_database_that_no_engine_serves_is_asked_by_no_run_either() -> None:
    """In a namespace the run's own process is the first, and says nothing of the machine."""
    assert goalfsm("set", "--thread", "o", "--db", "o/other.db", "mine", "--", "true").status == 0
    ways = [
        f"unshare -Urpf --mount-proc {WAYS['without its mark']}",
        "unshare -Urpf --mount-proc prlimit --locks=0:",
        "unshare -Urpf --mount-proc prlimit --locks=5:5",
        "unshare -pf --mount-proc prlimit --locks=5:5",
    ]
    asks = 'env -i PATH=/usr/bin:/bin "$PY" -m goalfsm.cli complete o --evidence trust'
    lines = [f"PY={sys.executable}; export PY"]
    for number, way in enumerate(ways):
        told = f"told-{number}.txt"
        lines.append(f"{way} {asks} --db o/other.db > {told} 2>&1; echo $? >> {told}")
    bound = ("--max-continuations", "1", "--db", "goals.db", "--thread", "t")
    goalfsm("run", "do it", *bound, "--", worker(*lines))
    for number, way in enumerate(ways):
        said = Path(f"told-{number}.txt").read_text()
        assert "no person" in said or "unshare failed" in said, (way, said)
    goal = json.loads(goalfsm("status", "o", "--db", "o/other.db", "--json").out)["goal"]
    assert goal["status"] == "active"


HOOKED = '{"session_id": "s", "last_assistant_message": "done"}'


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the environment alone tells")
def test_a_goal_that_is_worked_on_by_hand_is_taken_up_by_no_run() -> None:
    """Its hook would be given a turn of that goal, and with it the token to claim it complete."""
    assert goalfsm("set", "--thread", "o", "--db", "o/other.db", "mine").status == 0
    asks = f'{WAYS["with an empty environment"]} "$PY" -m goalfsm.cli hook stop'
    line = f"PY={sys.executable}; echo '{HOOKED}' | {asks} --db o/other.db --thread o > told.txt"
    bound = ("--max-continuations", "1", "--db", "goals.db", "--thread", "t")
    goalfsm("run", "do it", *bound, "--", worker(line))
    assert "no person" in json.loads(Path("told.txt").read_text())["systemMessage"]
    seen = json.loads(goalfsm("status", "o", "--db", "o/other.db", "--json").out)
    assert seen["goal"]["continuations"] == 0


ESCAPES = """
import os, resource, signal, subprocess, sys, time
supervisor = os.getppid()
if os.fork():
    time.sleep(3600)
os.setsid()
if os.fork():
    os._exit(0)
try:
    resource.setrlimit(10, (-1, -1))
except ValueError:
    resource.setrlimit(10, resource.getrlimit(10)[1:] * 2)
clean = {"PATH": os.environ["PATH"], "HOME": os.environ["HOME"], "SUPERVISOR": str(supervisor)}
os.execve(sys.executable, [sys.executable, "asks.py", *sys.argv[1:]], clean)
"""
ASKS_AGAIN = """
import os, signal, subprocess, sys, time
supervisor, said = int(os.environ.pop("SUPERVISOR")), open("said", "w", buffering=1)
said.write(f"{os.getpid()}\\n")
children = open(f"/proc/{supervisor}/task/{supervisor}/children").read().split()
keepers = [int(p) for p in children if b"keeper" in open(f"/proc/{p}/cmdline", "rb").read()]
ends = [supervisor, *(keepers if sys.argv[2] == "both" else ())]
for number in (signal.SIGSTOP, signal.SIGKILL):
    for pid in ends:
        os.kill(pid, number)
for _ in range(100):
    words = "complete t --evidence trust --db".split()
    asked = [sys.executable, "-m", "goalfsm.cli", *words, sys.argv[1]]
    said.write(f"{subprocess.run(asked, stdin=subprocess.DEVNULL).returncode}\\n")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere what detaches is not adopted")
@pytest.mark.parametrize("whom", ["supervisor", "both"])
def test_what_kills_the_supervisor_takes_nothing(whom: str) -> None:
    """Without its session, mark and environment: the engine has adopted it, and ends it."""
    Path("escapes.py").write_text(ESCAPES)
    Path("asks.py").write_text(ASKS_AGAIN)
    program = worker(f"exec {sys.executable} escapes.py goals.db {whom}")
    bound = ("--verify", "false", "--max-continuations", "1", "--db", "goals.db", "--thread", "t")
    goalfsm("run", "do it", *bound, "--", program)
    pid, *codes = Path("said").read_text().split()
    assert "0" not in codes
    assert not psutil.pid_exists(int(pid))
    goal = json.loads(goalfsm("status", "t", "--db", "goals.db", "--json").out)["goal"]
    assert goal["status"] != "complete"


FLOOD = """
import json, os, socket, sqlite3, sys
place = sqlite3.connect("file:goals.db?mode=ro", uri=True).execute("SELECT socket FROM owner")
link = socket.socket(socket.AF_UNIX)
link.connect(place.fetchone()[0])
lines = link.makefile("rwb")
codes = []
for number in range(12):
    event = {"type": "ToolCalled", "name": "update_goal",
             "run_token": os.environ["GOALFSM_RUN_TOKEN"],
             "arguments": {"status": "blocked", "reason": "x" * 1_000_000}}
    asked = {"op": "submit", "thread_id": "t", "event_id": f"e{number}", "event": event}
    lines.write(json.dumps(asked).encode() + b"\\n")
    lines.flush()
    codes.append(json.loads(lines.readline()).get("code", ""))
open("codes.json", "w").write(json.dumps(codes))
"""


def test_what_a_turn_says_through_the_socket_is_bounded_in_bytes() -> None:
    Path("flood.py").write_text(FLOOD)
    program = worker(f"{sys.executable} flood.py 2> failed.txt")
    bound = ("--max-continuations", "1", "--db", "goals.db", "--thread", "t")
    goalfsm("run", "do it", *bound, "--", program)
    codes = json.loads(Path("codes.json").read_text())
    assert codes == [""] * 8 + ["too_much"] * 4
    assert Path("goals.db").stat().st_size < 16 * 1024 * 1024


LENDS = """
cat > /dev/null
echo "$GOALFSM_RUN_TOKEN" > token.part; mv token.part token
until [ -e over ]; do sleep 0.05; done
"""
CLAIMS = '"$PY" -m goalfsm.cli tool update_goal --status complete --evidence "not mine"'
BORROWED = "GOALFSM_THREAD=lends GOALFSM_RUN_TOKEN=$(cat token)"
WITH_ANOTHERS_TOKEN = {
    "as it is": f"env {BORROWED}",
    "by its run's name": f"env {BORROWED} GOALFSM_RUN_ID=$(cat run)",
    "with an empty environment": f'env -i GOALFSM_DB="$GOALFSM_DB" {BORROWED}',
    "in a session of its own": f"setsid -w env {BORROWED}",
    "left behind": f'setsid -f env -i LEFT=1 GOALFSM_DB="$GOALFSM_DB" {BORROWED}',
}
LOOKS = """
import json, sqlite3, time
while True:
    row = sqlite3.connect("file:goals.db?mode=ro", uri=True).execute(
        "SELECT state FROM session WHERE thread_id = 'lends'").fetchone()
    run = json.loads(row[0]).get("run")
    if run: break
    time.sleep(0.05)
print(run["run_id"])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere what detaches is not adopted")
def test_another_runs_token_is_refused() -> None:
    """Without isolation it can be read; who shows it is told by where it comes from."""
    Path("lends.sh").write_text(LENDS)
    Path("looks.py").write_text(LOOKS)
    lines = [f"PY={sys.executable}; export PY", "until [ -e token ]; do sleep 0.05; done"]
    lines.append('"$PY" looks.py > run')
    for number, way in enumerate(WITH_ANOTHERS_TOKEN.values()):
        asks = f"{CLAIMS} > way.txt 2>&1; echo $? >> way.txt; mv way.txt way-{number}.txt"
        lines += [
            f"{way} PY=\"$PY\" sh -c '{asks}'",
            f"until [ -e way-{number}.txt ]; do sleep 0.05; done",
        ]
    lines.append("touch over; exec sleep 60")
    db = ("--db", "goals.db")
    bound = ("--max-continuations", "1")
    goalfsm("set", "lends", "do it", *db, *bound, "--", "sh", "lends.sh")
    goalfsm("set", "takes", "do that", *db, *bound, "--", worker(*lines))
    with daemon(*db, "--grace", "0.1s") as serving:
        while not Path("over").exists():
            time.sleep(0.05)
        serving.process.send_signal(signal.SIGTERM)
        serving.process.wait()
    told = {way: Path(f"way-{n}.txt").read_text() for n, way in enumerate(WITH_ANOTHERS_TOKEN)}
    for way, said in told.items():
        assert "another run's" in said, (way, said)
        assert said.split()[-1] != "0", (way, said)
    goal = json.loads(goalfsm("status", "lends", *db, "--json").out)["goal"]
    assert goal["status"] != "complete"


POSES = """
import os, socket, sqlite3
owner = sqlite3.connect("file:goals.db?mode=ro", uri=True).execute("SELECT socket FROM owner")
place, = owner.fetchone()
os.unlink(place)
listening = socket.socket(socket.AF_UNIX)
listening.bind(place)
listening.listen()
open("posing", "w").close()
while True:
    asked, _ = listening.accept()
    with asked, asked.makefile("rwb") as lines:
        if row := lines.readline():
            open("overheard.txt", "ab").write(row)
            lines.write(b'{"answer":"reply","reply":{"ok":true,"message":"it is done"}}\\n')
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nobody knows who listens")
def test_what_listens_in_the_engines_place_is_told_nothing_and_not_believed() -> None:
    """A worker takes the engine's socket away: a person's word goes by the inbox, or is refused.

    The engine is stopped meanwhile: it would have its socket back within two seconds.
    """
    Path("poses.py").write_text(POSES)
    program = worker(
        f"engine={ENGINE}; kill -STOP $engine",
        f"{sys.executable} poses.py > /dev/null 2> failed.txt & poser=$!",
        "until [ -e posing ]; do sleep 0.02; done",
        "./person budget t --tokens none --db goals.db > budget.txt 2>&1; echo $? >> budget.txt",
        "./person steer t 'mind the gap' --db goals.db > steer.txt 2>&1; echo $? >> steer.txt",
        "./person status t --db goals.db > status.txt 2>&1",
        "./person run --thread t --db goals.db > run.txt 2>&1",
        "./person doctor --db goals.db > doctor.txt 2>&1; kill $poser; kill -CONT $engine",
    )
    bound = ("--max-continuations", "1", "--tokens", "10k", "--db", "goals.db", "--thread", "t")
    goalfsm("run", "do it", *bound, "--", program)
    budget, steer = Path("budget.txt").read_text(), Path("steer.txt").read_text()
    assert "listens in an engine's place, and is none" in budget, budget
    assert budget.split()[-1] != "0"
    assert "it is done" not in budget + steer
    assert steer.split()[-1] == "0", steer
    assert "do it" in Path("status.txt").read_text()
    assert "in an engine's place" in Path("run.txt").read_text()
    assert "in an engine's place" in Path("doctor.txt").read_text()
    assert not Path("overheard.txt").exists()
    goal = json.loads(goalfsm("status", "t", "--db", "goals.db", "--json").out)["goal"]
    assert goal["token_budget"] == 10_000
    assert "mind the gap" in goalfsm("log", "t", "--db", "goals.db").out
