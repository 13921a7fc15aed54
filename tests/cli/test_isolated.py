"""An isolated run: it has its goal's tools, and reaches nothing else of ours."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from goalfsm.daemon.remote import client
from goalfsm.store.sqlite import SqliteStore
from goalfsm.workers.supervisor import isolation
from tests.cli.processes import daemon, goalfsm
from tests.cli.terminal import Cli
from tests.cli.workers import COMPLETE, worker

pytestmark = pytest.mark.skipif(
    isolation.is_possible() != "", reason="this machine allows no namespaces"
)

CLEAN = 'env -i PATH="$PATH"'
ASKS = (
    "accept",
    "complete --evidence trust",
    "edit other",
    "budget --tokens none",
    "pause",
    "status",
    "logs",
    "set --replace 'print ok' -- true",
)
# What a stranger with a shell tries; each door is a function that returns when it was open.
STRANGER = r"""
import contextlib, ctypes, json, os, pathlib, resource, signal, socket, subprocess, sys
sys.stdin.read()
known = json.loads(pathlib.Path("known.json").read_text())
db, engine, home = known["db"], known["engine"], pathlib.Path(known["home"])

def reads_the_database(): return open(db, "rb").read(16)
def links_the_database(): os.link(db, "link.db"); os.remove("link.db")
def finds_another_run():
    for each in os.listdir("/proc"):
        with contextlib.suppress(OSError):
            if b"GOALFSM_THREAD=other" in open(f"/proc/{each}/environ", "rb").read(): return each
    raise LookupError
def sees_the_engine(): return open(f"/proc/{engine}/cmdline").read().index("goalfsm.cli")
def reaches_the_main_socket():
    link = socket.socket(socket.AF_UNIX); link.connect(known["socket"]); return True
def asks_its_own_socket_for_more():
    link = socket.socket(socket.AF_UNIX); link.connect(f"/tmp/goalfsm-{os.getuid()}/own/tool.sock")
    event = {"type": "CompleteRequested", "evidence": [{"text": "trust me"}]}
    for asked in ({"op": "submit", "thread_id": "t", "event_id": "e", "event": event},
                  {"op": "status", "thread_id": "other"}, {"op": "follow", "thread_id": "other"}):
        link.sendall(json.dumps(asked).encode() + b"\n")
        assert json.loads(link.recv(65536))["code"] != "origin_not_allowed"
def stops_the_engine():
    os.kill(engine, 0); return open(f"/proc/{engine}/cmdline").read().index("daemon")
def reads_the_engines_memory(): open(f"/proc/{engine}/mem", "rb")
def reads_the_engines_environment(): open(f"/proc/{engine}/environ", "rb")
def reads_the_engines_descriptors(): os.listdir(f"/proc/{engine}/fd")
def reads_a_supervisor():
    for each in os.listdir("/proc"):
        with contextlib.suppress(OSError):
            if b"GOALFSM_SUPERVISOR=" in open(f"/proc/{each}/environ", "rb").read():
                os.listdir(f"/proc/{each}/fd"); open(f"/proc/{each}/mem", "rb"); return each
    raise LookupError
def takes_the_socket_away():
    place = known["socket"]
    os.rename(place, place + ".x"); os.rename(place + ".x", place)
def has_a_job_run():
    link = socket.socket(socket.AF_UNIX); link.connect(known["jobs"])
    words = f"budget other --tokens 77 --db {db}"
    link.sendall(f"{sys.executable} -m goalfsm.cli {words}".encode())
    link.shutdown(1); link.recv(1)
def traces_the_engine(): assert ctypes.CDLL(None).ptrace(0x4206, engine, 0, 0) == 0
def unmounts():
    subprocess.run(["umount", os.path.dirname(db)], capture_output=True, check=True)
def unmounts_as_somebody():
    asked = f"umount -l {os.path.dirname(db)} && cat {db}"
    subprocess.run(["unshare", "-Urm", "sh", "-c", asked], capture_output=True, check=True)
def sets_the_kernel(): open("/proc/sys/kernel/core_pattern", "w").close()
def opens_a_disk(): return [p for p in pathlib.Path("/dev").iterdir() if p.is_block_device()][0]
def writes_a_terminal(): return [p for p in os.listdir("/dev/pts") if p != "ptmx"][0]
def freezes_a_group(): assert os.access("/sys/fs/cgroup", os.W_OK)
def asks_a_multiplexer():
    subprocess.run(["tmux", "-L", "persons", "new-window", f"touch {home}/by-tmux"], check=True,
                   capture_output=True)
def writes_templates(): (home / ".config/goalfsm/templates/mine.md").write_text("x")
def writes_who_is_told(): (home / ".config/goalfsm/notify.json").write_text("{}")
def gains_by_setuid():
    status = open("/proc/self/status").read(); assert "NoNewPrivs:\t0" in status or (
        int(status.split("CapPrm:")[1].split()[0], 16))
def asks_as_nobodys():
    soft, hard = resource.getrlimit(10); resource.setrlimit(10, (hard, hard))
    for words in (["accept", "t"], ["complete", "t", "--evidence", "x"], ["pause", "t"]):
        asked = [sys.executable, "-m", "goalfsm.cli", *words, "--db", db]
        done = subprocess.run(asked, env={"PATH": os.environ["PATH"]}, capture_output=True,
                              text=True, start_new_session=True)
        assert "no person" not in done.stderr
def writes_the_database(): open(db, "ab").close()

said = {}
for door in [f for name, f in list(globals().items()) if type(f).__name__ == "function"]:
    try: door()
    except BaseException as error: said[door.__name__] = f"shut: {type(error).__name__}"
    else: said[door.__name__] = "open"
pathlib.Path("said.json").write_text(json.dumps(said))
"""


JOBS = """
import os, socket, subprocess, sys
listening = socket.socket(socket.AF_UNIX)
listening.bind(sys.argv[1])
listening.listen()
print("up", flush=True)
while True:
    asked, _ = listening.accept()
    with asked, asked.makefile("r") as job:
        clean = {name: os.environ[name] for name in ("PATH", "HOME", "XDG_RUNTIME_DIR")}
        subprocess.run(["sh", "-c", job.read()], env=clean, cwd="/", stdin=subprocess.DEVNULL,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
"""


@pytest.fixture
def jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Start what stands for `at`, `cron` and a user's systemd: it runs jobs, and is no run's."""
    runtime = tmp_path / "runtime"
    runtime.mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
    command = [sys.executable, "-c", JOBS, str(runtime / "bus")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == "up\n"
        yield
        running.kill()


@pytest.fixture
def multiplexer(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Start a terminal multiplexer of the person's, which runs what it is asked to."""
    place = Path(tempfile.mkdtemp(prefix="tmux-", dir="/tmp"))
    monkeypatch.setenv("TMUX_TMPDIR", str(place))
    subprocess.run(["tmux", "-L", "persons", "new-session", "-d", "sleep 600"], check=True)
    yield
    subprocess.run(["tmux", "-L", "persons", "kill-server"], check=True)
    shutil.rmtree(place)


def test_it_has_its_goals_tools_without_a_token_and_without_an_environment() -> None:
    program = worker(
        f"{CLEAN} goalfsm tool get_goal > got.txt; echo $? >> codes.txt",
        "env | grep -c TOKEN > tokens.txt",
        "goalfsm tool wait --for process --pid $$ 2>> refused.txt; echo $? >> codes.txt",
        COMPLETE,
    )
    done = goalfsm("run", "do it", "--isolate", "--verify", "true", "--", program)
    assert done.status == 0, done
    assert "do it" in Path("got.txt").read_text()
    assert Path("codes.txt").read_text().split() == ["0", "2"]
    assert "no process of it can be waited for" in Path("refused.txt").read_text()
    assert Path("tokens.txt").read_text() == "0\n"


def test_all_that_is_a_persons_is_refused() -> None:
    lines = [f"goalfsm {words} 2>> refusals.txt >&2; echo $? >> codes.txt" for words in ASKS]
    program = worker(*lines)
    bound = ("--tokens", "10k", "--max-continuations", "1")
    goalfsm("run", "do it", "--isolate", *bound, "--", program)
    assert Path("codes.txt").read_text().split() == ["2"] * len(ASKS)
    said = Path("refusals.txt").read_text()
    assert said.count("no person") == len(ASKS), said
    goal = json.loads(goalfsm("status", "--json").out)["goal"]
    assert (goal["objective"], goal["token_budget"]) == ("do it", 10_000)


def _stranger(tmp_path: Path, *options: str) -> dict[str, str]:
    """Have a stranger try every door from inside a turn; return which were open."""
    state = tmp_path / "goals"
    db = ("--db", str(state / "g.db"))
    (tmp_path / ".config/goalfsm/templates").mkdir(parents=True)
    Path("stranger.py").write_text(STRANGER)
    state.mkdir(mode=0o700)
    secret = ("sh", "-c", "cat > /dev/null; sleep 60")
    goalfsm("set", "other", "a secret", *db, *options, "--", *secret)
    program = worker(f"{sys.executable} stranger.py < /dev/null 2> failed.txt")
    with daemon(*db, "--grace", "0.1s") as serving:
        owner = client.serving(state / "g.db")
        assert owner is not None
        known = {
            "db": str(state / "g.db"),
            "engine": serving.process.pid,
            "home": str(tmp_path),
            "socket": owner.socket,
            "jobs": str(tmp_path / "runtime" / "bus"),
        }
        Path("known.json").write_text(json.dumps(known))
        bound = ("--max-continuations", "1", "--accept")
        goalfsm("set", "t", "do it", *db, *bound, *options, "--", program)
        goalfsm("run", "--thread", "t", *db)
        serving.process.send_signal(signal.SIGINT)
        serving.process.wait()
    said: dict[str, str] = json.loads(Path("said.json").read_text())
    assert len(said) == STRANGER.count("\ndef ")
    goal = json.loads(goalfsm("status", "t", *db, "--json").out)["goal"]
    assert goal["status"] != "complete"
    return said


@pytest.mark.usefixtures("jobs", "multiplexer")
def test_a_stranger_finds_every_door_shut(tmp_path: Path) -> None:
    said = _stranger(tmp_path, "--isolate")
    assert {door: how for door, how in said.items() if how == "open"} == {}
    assert not (tmp_path / "by-tmux").exists()
    assert _budget_of_the_other(tmp_path) == []


@pytest.mark.usefixtures("jobs", "multiplexer")
def test_without_isolation_a_worker_is_trusted_with_your_files_not_with_your_word(
    tmp_path: Path,
) -> None:
    said = _stranger(tmp_path)
    open_to_any = {door for door, how in said.items() if how == "open"}
    trusted = {"reads_the_database", "links_the_database", "finds_another_run", "sees_the_engine"}
    trusted |= {"reaches_the_main_socket", "writes_templates", "writes_who_is_told"}
    trusted |= {"writes_the_database", "stops_the_engine", "asks_a_multiplexer", "has_a_job_run"}
    trusted |= {"takes_the_socket_away", "reads_the_engines_environment"}
    trusted |= {"reads_the_engines_descriptors"}
    assert trusted <= open_to_any
    assert said["asks_as_nobodys"].startswith("shut")
    # What a program of the person's does for it counts; the record says which program asked.
    (by,) = _budget_of_the_other(tmp_path)
    assert "budget other --tokens 77" in by["program"]
    assert by["uid"] == os.getuid()
    assert not {"terminal", "run_id"} & by.keys()


def _budget_of_the_other(tmp_path: Path) -> list[dict[str, Any]]:
    """Return who has changed the other thread's budget."""
    store = SqliteStore.open(tmp_path / "goals" / "g.db", read_only=True)
    try:
        rows = [json.loads(row.event) for row in store.journal.read("other")]
    finally:
        store.close()
    return [row["by"] for row in rows if row["type"] == "BudgetChanged"]


def test_what_checks_the_work_of_isolated_turns_sees_no_more_than_they(tmp_path: Path) -> None:
    """It runs what the turns have made, and would do for them what they may not."""
    place = tmp_path / "goals"
    place.mkdir(mode=0o700)
    Path("check.sh").write_text("./made.sh || exit 1\n[ ! -s seen.txt ]\n")
    made = f"ls -A {place} > seen.txt; ls -d /proc/[0-9]* | wc -l > processes.txt"
    made += f"; echo 'exit 0' > check.sh; goalfsm accept --db {place}/g.db && touch accepted; true"
    lines = [f"cat > made.sh <<'E'\n#!/bin/sh\n{made}\nE", "chmod +x made.sh", COMPLETE]
    bound = ("--db", str(place / "g.db"), "--max-continuations", "1", "--isolate")
    done = goalfsm("run", "do it", *bound, "--verify", "sh check.sh", "--", worker(*lines))
    assert done.status == 0, (done, Path("seen.txt").read_text())
    assert int(Path("processes.txt").read_text()) < 10
    assert Path("check.sh").read_text().startswith("./made.sh")
    assert not Path("accepted").exists()


def test_it_does_not_stop_the_engine_by_turning_a_link_on_the_way_to_its_database(
    tmp_path: Path,
) -> None:
    """The next command would take what the turn had put at the link's new end for the database."""
    (tmp_path / "goals").mkdir(mode=0o700)
    link = tmp_path / "named"
    link.symlink_to("goals")
    turns = f"rm {link}; mv {link} {link}.x; ln -sfn {tmp_path} {link}; touch turned"
    bound = ("--db", str(link / "g.db"), "--verify", "true", "--isolate")
    done = goalfsm("run", "do it", *bound, "--", worker(turns, "ls turned", COMPLETE))
    assert done.status == 0, done
    assert Path("turned").exists()
    assert link.readlink() == Path("goals")


def test_each_run_is_answered_for_its_own_goal() -> None:
    """Whatever a run says which thread it is of: its socket knows."""
    script = "cat > /dev/null; GOALFSM_THREAD={other} goalfsm tool get_goal > {own}.txt; sleep 0.5"
    for own, other in (("a", "b"), ("b", "a")):
        body = script.format(own=own, other=other)
        bound = ("--max-continuations", "1", "--isolate")
        goalfsm("set", own, f"the goal of {own}", *bound, "--", "sh", "-c", body)
    with daemon() as serving:
        for own in "ab":
            goalfsm("run", "--thread", own)
        serving.process.send_signal(signal.SIGINT)
        serving.process.wait()
    for own in "ab":
        assert f"the goal of {own}" in Path(f"{own}.txt").read_text()


def test_where_it_would_see_the_goals_it_is_refused_and_nothing_is_written(cli: Cli) -> None:
    for words in (("run", "do it"), ("set", "t", "do it")):
        refused = cli(*words, "--db", "g.db", "--isolate", "--", "true")
        assert refused.status == 2
        assert "an isolated worker cannot work in" in refused.err
        assert "Hint: keep the database in a directory of its own" in refused.err
    assert list(Path().iterdir()) == []


def test_a_database_that_was_given_another_name_is_shown_to_no_run(tmp_path: Path) -> None:
    """By that name it could be read, wherever it is; what was linked before is not opened."""
    place = tmp_path / "goals"
    db = ("--db", str(place / "g.db"))
    bound = ("--max-continuations", "1", "--isolate")
    goalfsm("set", "t", "do it", *db, *bound, "--", worker("cat other-name > read.txt"))
    goalfsm("pause", "t", *db)
    with daemon(*db, "--grace", "0.1s") as serving:
        os.link(place / "g.db", "other-name")
        goalfsm("resume", "t", *db)
        told = goalfsm("run", "--thread", "t", *db)
        serving.process.send_signal(signal.SIGINT)
        serving.process.wait()
    Path("other-name").unlink()
    assert not Path("read.txt").exists()
    assert "has 2 names (hard links)" in told.out + told.err + goalfsm("explain", "t", *db).out


def test_a_machine_that_cannot_isolate_says_so(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isolation, "is_possible", lambda: "no namespaces here")
    refused = cli("run", "do it", "--isolate", "--", "true")
    assert refused.status == 2
    assert "this machine cannot isolate a worker: no namespaces here" in refused.err
    assert "Hint: allow user namespaces" in refused.err
    agent = cli("run", "do it", "--isolate", "--agent", "acp", "--", "true")
    assert "this machine cannot isolate a worker" in agent.err


def test_without_a_program_there_is_nothing_to_isolate(cli: Cli) -> None:
    refused = cli("set", "t", "do it", "--isolate")
    assert refused.status == 2
    assert "these options describe a program" in refused.err


def test_a_template_may_ask_for_it() -> None:
    folder = Path(os.environ["HOME"], ".config/goalfsm/templates")
    folder.mkdir(parents=True)
    text = (
        "+++\nisolate = true\nprogram = \"sh -c 'ls -d /proc/[0-9]* | wc -l > seen'\"\n+++\nDo it\n"
    )
    (folder / "alone.md").write_text(text)
    goalfsm("run", "-t", "alone", "--max-continuations", "1")
    assert int(Path("seen").read_text()) < 8
