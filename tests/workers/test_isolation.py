"""An isolated worker: what it does not see, cannot change, and takes along when it ends."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from goalfsm.errors import GoalError
from goalfsm.workers import isolating
from goalfsm.workers.command import CommandWorker
from goalfsm.workers.isolating import Isolation
from goalfsm.workers.protocol import Skipped, TurnEvent, Work
from goalfsm.workers.spec import CommandSpec
from goalfsm.workers.supervisor import isolation
from goalfsm.workers.supervisor.client import Supervisor
from goalfsm.workers.supervisor.launching import ROOT
from tests.workers.reading import HOLD, LINES, Python, answer, ending, error

pytestmark = pytest.mark.skipif(
    isolation.is_possible() != "", reason="this machine allows no namespaces"
)


@pytest.fixture
def goals(tmp_path: Path) -> Path:
    """Return a directory that holds a database, and a run's own directory in it."""
    place = tmp_path / "state"
    (place / "run").mkdir(parents=True)
    (place / "goals.db").write_text("secret")
    (place / "run" / "socket").write_text("mine")
    return place


def isolated(
    bench: Any,
    argv: list[str],
    goals: Path,
    *,
    cwd: Path | None = None,
    hide: tuple[str, ...] = (),
    **given: Any,
) -> list[TurnEvent]:
    opened: list[str] = []

    @contextlib.asynccontextmanager
    async def around(work: Work) -> AsyncIterator[Isolation]:
        opened.append(work.run_id)
        yield Isolation(
            hide=(str(goals), *hide),
            bind=((str(goals / "run"), str(goals / "run")),),
            **given,
        )
        opened.append("closed")

    async def main(supervisor: Supervisor) -> list[TurnEvent]:
        spec = CommandSpec(argv=tuple(argv), isolate=True, cwd=str(cwd) if cwd else None)
        worker = CommandWorker(spec, supervisor)
        worker.isolate_by(around)
        return [event async for event in worker.run(bench.work())]

    events: list[TurnEvent] = bench.run(main)
    assert opened == ["run-1", "closed"]
    return events


def test_it_sees_neither_the_database_nor_other_processes(bench: Any, goals: Path) -> None:
    script = f"ls {goals}; cat {goals}/run/socket; echo; ls -d /proc/[0-9]* | wc -l"
    events = isolated(bench, ["sh", "-c", script], goals)
    listed, own, processes = answer(events).split()
    assert (listed, own) == ("run", "mine")
    assert int(processes) < 8
    assert ending(events).ok


def test_it_can_change_nothing_of_what_is_hidden_or_protected(
    bench: Any, goals: Path, tmp_path: Path
) -> None:
    check = tmp_path / "check.sh"
    check.write_text("exit 1")
    script = (
        f"echo x > {goals}/goals.db; umount {goals}; umount -l {goals}; echo 'exit 0' > {check}; "
        f"rm -f {check}; cat {goals}/goals.db; grep -c NoNewPrivs:.1 /proc/self/status; exit 0"
    )
    events = isolated(bench, ["sh", "-c", script], goals, readonly=(str(check),))
    assert answer(events) == "1\n"
    assert (goals / "goals.db").read_text() == "secret"
    assert check.read_text() == "exit 1"


def test_what_holds_the_hidden_keeps_its_place(
    bench: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who could rename a parent could put another directory of the same name there."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home" / "config"))
    goals = tmp_path / "home" / "p" / "state"
    (goals / "run").mkdir(parents=True)
    home = tmp_path / "home"
    script = (
        f"mv {goals} {goals}.x; mv {home}/p {home}/p.x; mv {home} {home}.x; "
        f"mv {home}/config {home}/config.x; touch {home}/config/goalfsm/notify.json; "
        f"touch {home}/p/beside && ls {home} {home}/p"
    )
    protected_now = isolating.protected(())
    events = isolated(bench, ["sh", "-c", script], goals, readonly=protected_now)
    assert answer(events).split() == [f"{home}:", "config", "p", f"{home}/p:", "beside", "state"]
    assert not list((home / "config" / "goalfsm").iterdir())


def test_a_link_on_the_way_to_the_goals_leads_where_it_led(
    bench: Any, goals: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who could turn it would have the next command find another database by that name."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "kept"))
    (tmp_path / "mine").mkdir()
    for place in (tmp_path / "config", tmp_path / "mine" / "goals"):
        place.symlink_to("../state" if place.name == "goals" else "mine")
    (tmp_path / "named").symlink_to(tmp_path / "config" / ".." / "mine" / "goals")
    links = isolating.links_to(str(tmp_path / "named" / "goals.db"))
    script = (
        f"cd {tmp_path}; for link in config mine/goals named; do "
        "rm $link; mv $link $link.x; ln -sfn /tmp $link; mv -T mine $link; done; "
        "mv mine mine.x; readlink config mine/goals named; ls named/ mine/"
    )
    events = isolated(bench, ["sh", "-c", script], goals, links=links)
    led = ["mine", "../state", f"{tmp_path}/config/../mine/goals"]
    assert answer(events).split() == [*led, "mine/:", "goals", "named/:", "run"]
    assert links == tuple(str(tmp_path / name) for name in ("config", "named", "mine/goals"))


def test_links_without_end_are_followed_as_far_as_the_system_goes(tmp_path: Path) -> None:
    (tmp_path / "round").symlink_to("round")
    assert set(isolating.links_to(str(tmp_path / "round" / "g.db"))) >= {str(tmp_path / "round")}


ASKS = """
import contextlib, os, socket, sys
sys.stdin.read()
for place in sys.argv[1:]:
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as asking:
        os.chdir(os.path.dirname(place))
        asking.connect(os.path.basename(place))
        print(place)
"""


def test_what_runs_commands_for_whoever_asks_is_not_reached(
    bench: Any, goals: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An editor or a window manager would run them outside of the namespaces, as the person."""
    runtime, temporary = tmp_path / "runtime", tmp_path / "tmp"
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
    monkeypatch.setenv("TMPDIR", str(temporary))
    names = ("bus", "emacs/server", "nvim.7.0", "zellij/0.40/one", "sway-ipc.0.7.sock", "hypr/x/s")
    keys = runtime / "gnupg" / "S.gpg-agent"
    places = [runtime / name for name in names]
    places += [temporary / f"emacs{os.getuid()}/server", temporary / "nvim.me/AbC/nvim.7.0", keys]
    with contextlib.ExitStack() as listening:
        for place in places:
            place.parent.mkdir(parents=True, exist_ok=True)
            monkeypatch.chdir(place.parent)
            server = listening.enter_context(socket.socket(socket.AF_UNIX))
            server.bind(place.name)
            server.listen()
        asks = [sys.executable, "-c", ASKS, *map(str, places)]
        monkeypatch.chdir(tmp_path)
        events = isolated(bench, asks, goals, hide=isolating.hidden(""))
    # What signs a person's commits is no such program.
    assert answer(events).split() == [str(keys)]


def test_a_link_that_a_turn_has_put_there_hides_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The check of its work would find a test empty that was sealed, and looked at outside."""
    runtime, work = tmp_path / "r", tmp_path / "work"
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
    for name in ("XDG_STATE_HOME", "TMPDIR", "TMUX_TMPDIR", "HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))
        (tmp_path / name).mkdir()
    runtime.mkdir()
    work.mkdir()
    (work / "test_it.py").write_text("assert False")
    user = os.getuid()
    places = ["r/podman", "r/nvim.1.0", f"TMPDIR/emacs{user}", "TMPDIR/nvim.me", "HOME/.screen"]
    for place in (*places, f"TMUX_TMPDIR/tmux-{user}"):
        (tmp_path / place).symlink_to(work)
    (runtime / "kitty-1").symlink_to(work / "test_it.py")
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("engine")
        (runtime / "docker.sock").symlink_to(tmp_path / "engine")
        found = [path for path in isolating.hidden("") if path.startswith(str(tmp_path))]
    assert found == [str(tmp_path / "engine")]


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Callable[[Path, str], Path]]:
    """Return how to mount a file or directory at a second place."""
    places: list[Path] = []

    def mount(what: Path, name: str) -> Path:
        place = tmp_path / name
        place.mkdir() if what.is_dir() else place.touch()
        done = subprocess.run(
            ["mount", "--bind", str(what), str(place)], capture_output=True, check=False
        )
        if done.returncode:
            pytest.skip("mounting needs root")
        places.append(place)
        return place

    yield mount
    for place in places:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


@pytest.mark.parametrize("what", ["itself", "above", "within", "file", "link"])
def test_a_second_mount_shows_no_more(
    bench: Any, goals: Path, mounted: Callable[[Path, str], Path], what: str
) -> None:
    """A directory above it, it, a part of it, one file; and a link that leads there."""
    sources = {"above": goals.parent, "within": goals / "run", "file": goals / "goals.db"}
    place = mounted(sources.get(what, goals), "else where")
    if what == "link":
        place = goals.parent / "linked"
        place.symlink_to(goals / "..", target_is_directory=True)
    shown = {"above": place / "state", "link": place / "state"}.get(what, place)
    tries = (
        f"cat '{shown}' '{shown}/goals.db' '{shown}/socket'; "
        f"echo x > '{shown}'; echo x > '{shown}/goals.db'; umount '{place}'; ls '{shown}'; exit 0"
    )
    listed = {"file": f"{shown}\n", "link": "run\n"}.get(what, "")
    assert answer(isolated(bench, ["sh", "-c", tries], goals)) == listed
    assert (goals / "goals.db").read_text() == "secret"


def test_it_cannot_work_where_the_goals_are_mounted_again(
    bench: Any, goals: Path, mounted: Callable[[Path, str], Path]
) -> None:
    place = mounted(goals, "again")
    failed = error(isolated(bench, ["true"], goals, cwd=place / "run"))
    assert failed.code == "isolation_unavailable"
    assert f"by another mount ({place / 'run'})" in failed.message


def test_what_is_protected_cannot_be_changed_at_a_second_place_either(
    bench: Any, goals: Path, tmp_path: Path, mounted: Callable[[Path, str], Path]
) -> None:
    checks = tmp_path / "checks"
    checks.mkdir()
    (checks / "check.sh").write_text("exit 1")
    place = mounted(checks, "again")
    script = f"echo 'exit 0' > {place}/check.sh; rm -f {place}/check.sh; cat {place}/check.sh"
    sealed = (str(checks / "check.sh"),)
    assert answer(isolated(bench, ["sh", "-c", script], goals, readonly=sealed)) == "exit 1"
    assert (checks / "check.sh").read_text() == "exit 1"


def test_what_it_detaches_ends_with_it(
    bench: Any, python: Python, goals: Path, lifeline: Any
) -> None:
    source = HOLD.format(path=str(lifeline.path)) + (
        "if os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n"
        "        os.write(line, b'up')\n        while True: time.sleep(3600)\n    os._exit(0)\n"
        "os.wait(); sys.exit(3)\n"
    )
    events = isolated(bench, python("import sys\n" + source), goals)
    assert ending(events).status == 3
    lifeline.wait_end()


def test_a_wait_for_one_of_its_processes_is_refused(
    bench: Any, python: Python, goals: Path
) -> None:
    source = LINES + 'say(type="wait", **{"for": "process"}, pid=2)'
    events = isolated(bench, python(source), goals)
    assert [event.reason for event in events if isinstance(event, Skipped)] == [
        "invalid wait: nothing of an isolated turn outlives it"
    ]


def test_it_cannot_work_where_the_goals_are_kept(bench: Any, goals: Path) -> None:
    failed = error(isolated(bench, ["true"], goals, cwd=goals / "run"))
    assert failed.code == "isolation_impossible"
    assert "--db" in failed.message


def test_without_anybody_who_says_what_it_sees_it_does_not_run(bench: Any) -> None:
    failed = error(bench.turn(["true"], spec={"isolate": True}))
    assert (failed.code, failed.kind) == ("isolation_unavailable", "spawn")


def test_a_machine_that_cannot_says_so(
    bench: Any, goals: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = isolated(bench, ["true"], goals, readonly=("/nowhere/at/all",))
    assert (error(events).code, error(events).kind) == ("isolation_unavailable", "spawn")
    assert "/nowhere/at/all" in error(events).message
    monkeypatch.setattr(isolation, "is_possible", lambda: "no namespaces")
    with pytest.raises(GoalError, match="no namespaces"):
        CommandSpec(argv=("true",), isolate=True).validate()


def test_anybody_may_isolate_where_user_namespaces_are_allowed() -> None:
    """As a user without privileges: still the same user inside, and without any."""
    setpriv = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--"]
    if subprocess.run([*setpriv, "unshare", "-Um", "true"], check=False).returncode:
        pytest.skip("only for root, where user namespaces are allowed")
    nothing = '{"hold": [], "hide": [], "bind": [], "readonly": []}'
    starter = ["-I", "-S", "-c", isolation.PROGRAM, ROOT, nothing]
    script = "id -u; grep -c 'CapEff:.0000000000000000' /proc/self/status"
    done = subprocess.run(
        [*setpriv, "/usr/bin/python3", *starter, "sh", "-c", script],
        capture_output=True,
        text=True,
        check=False,
    )
    if "Permission denied" in done.stderr or "No module" in done.stderr:
        pytest.skip("this user may not read the program")
    assert (done.stdout.split(), done.stderr) == (["65534", "1"], "")
