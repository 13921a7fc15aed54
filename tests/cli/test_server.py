"""Goals on a PostgreSQL server, by the same commands: told by a URL, decided without a node."""

from __future__ import annotations

import contextlib
import json
import signal
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from goalfsm.cli import asking, exits, main
from goalfsm.daemon.config import WorkerConfig
from goalfsm.daemon.flow.notices import Problem, Settled, StatusChanged
from goalfsm.session.events import ObjectiveGiven, PauseRequested
from goalfsm.store.address import Server
from tests.cli.processes import Terminal, goalfsm, terminal
from tests.cli.terminal import Cli
from tests.postgres import PostgresServer

DONE = 'goalfsm tool update_goal --status complete --evidence "it is done"; echo finished'
WORKER = ("--", "sh", "-c", DONE)


@contextlib.contextmanager
def node(dsn: str, *words: str) -> Iterator[Terminal]:
    """Start a node, and go on when it serves."""
    with terminal("node", dsn, *words) as serving:
        serving.until("serving", where="stderr")
        yield serving
        serving.process.send_signal(signal.SIGTERM)
        serving.process.wait(30)


@pytest.fixture
def at(dsn: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Name the database in the environment, as whoever uses it all day does."""
    monkeypatch.setenv("GOALFSM_DB", dsn)
    return dsn


def status(cli: Cli, thread: str = "t") -> dict[str, object]:
    """Return the status of a thread."""
    shown = cli("status", thread, "--json")
    assert shown.status == exits.OK, shown.err
    found: dict[str, object] = json.loads(shown.out)
    return found


def test_a_goal_that_a_node_works_on_is_followed_to_its_end(cli: Cli, dsn: str) -> None:
    """The same output and exit status as where a daemon drives a file."""
    with node(dsn, "--name", "blue"):
        ran = cli("run", "do it", "--thread", "t", "--db", dsn, *WORKER)
        assert ran.status == exits.OK, ran.err
        assert "goal: do it" in ran.out
        assert "node blue on " in ran.out
        assert "turn 1 starts" in ran.out
        assert "| finished" in ran.out
        assert ran.out.splitlines()[-1].partition("  ")[2].startswith("complete")
        watched = cli("watch", "t", "--db", dsn, "--json")
        assert watched.status == exits.OK
        told = json.loads(watched.out.splitlines()[0])
        assert (told["type"], told["status"]["activity"]) == ("status", "complete")
        # The same words of every command that looks.
        assert "turn 1 finished" in cli("log", "t", "--db", dsn).out
        assert "finished" in cli("logs", "t", "--db", dsn).out
        assert "the goal is complete" in cli("explain", "t", "--db", dsn).out
        assert "- `it is done`" in cli("report", "t", "--db", dsn).out
        assert "turn 2" in cli("context", "t", "--db", dsn).out
        assert "complete" in cli("chip", "t", "--db", dsn).out
        assert cli("list", "--db", dsn).out.startswith("t  complete")
        assert "Complete" in cli("diagram", "goal", "--thread", "t", "--db", dsn).out.title()
        checked = cli("doctor", "--db", dsn)
        assert checked.status == exits.OK, checked.out
        assert "1 thread replays to its state" in checked.out
        assert "blue on " in checked.out


def test_a_thread_waits_for_its_place(cli: Cli, at: str) -> None:
    """Nobody serves it, a node of another place does not, one of its own does."""
    given = cli("set", "t", "do it", "--place", "build", *WORKER)
    assert given.status == exits.OK, given.err
    shown = cli("status", "t")
    assert "no node serves the place build" in shown.out
    assert f"Hint: goalfsm node {at} --places build" in shown.out.replace("'", "")
    with node(at, "--name", "other"):
        assert "no node serves the place build" in cli("status", "t").out
        assert "1 thread waiting: no node serves the place build" in cli("doctor").out
        run = Terminal("run", "--thread", "t")
        with contextlib.closing(run.process.stdout or run), node(at, "--places", "build"):
            assert run.end().status == exits.OK
    assert status(cli)["activity"] == "complete"


@pytest.mark.usefixtures("at")
def test_what_people_ask_is_decided_without_a_node(cli: Cli) -> None:
    """Each command, and what it says of who works on it."""
    assert cli("set", "t", "do it", "--tokens", "10k", "--accept", *WORKER).status == exits.OK
    asked = (
        ("steer", "t", "mind the gap"),
        ("edit", "t", "do it well"),
        ("budget", "t", "--tokens", "20k"),
        ("policy", "t", "--set", "blocked_after=5"),
        ("pause", "t"),
        ("resume", "t"),
        ("block", "t", "--reason", "no key"),
        ("resume", "t"),
        ("queue", "add", "t", "the next one"),
    )
    for words in asked:
        done = cli(*words)
        assert done.status == exits.OK, (words, done.err)
    found = status(cli)
    goal = found["goal"]
    assert isinstance(goal, dict)
    assert (goal["objective"], goal["token_budget"]) == ("do it well", 20_000)
    assert found["activity"] == "nobody works on this"
    rows = [json.loads(row) for row in cli("log", "t", "--json").out.splitlines()]
    by = [row["event"]["by"] for row in rows if "by" in row["event"]]
    assert len(by) >= len(asked)
    assert all(who["host"] and who["uid"] is not None for who in by)
    assert cli("clear", "t").status == exits.OK
    refused = cli("resume", "t")
    assert (refused.status, refused.told_shortly) == (exits.USAGE, True)


@pytest.mark.parametrize(
    "words",
    [
        ("pause", "t"),
        ("clear", "t"),
        ("set", "t", "do mine", "--replace"),
        ("set", "--thread", "t", "--", "true"),
        ("move", "--from", "AT", "--to", "mine.db"),
    ],
)
def test_a_run_is_no_person_on_a_server_either(
    cli: Cli, at: str, words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program in a turn that knows the address takes none of a person's authority."""
    assert cli("set", "t", "do it").status == exits.OK
    monkeypatch.setenv("GOALFSM_RUN_ID", "r")
    refused = goalfsm(*(at if word == "AT" else word for word in words))
    monkeypatch.delenv("GOALFSM_RUN_ID")
    assert (refused.status, "no person" in refused.err) == (exits.USAGE, True), refused
    goal = status(cli)["goal"]
    assert isinstance(goal, dict)
    assert (goal["objective"], goal["status"]) == ("do it", "active")


def test_a_run_goes_on_to_the_queue_of_a_server(cli: Cli, at: str) -> None:
    """Each goal when the one before it is complete."""
    assert cli("set", "t", "the first", *WORKER).status == exits.OK
    assert cli("queue", "add", "t", "the second").status == exits.OK
    with node(at):
        ran = cli("run", "--advance", "--thread", "t")
    assert ran.status == exits.OK, ran.err
    assert "going on to the next goal of the queue: the second" in ran.out
    goal = status(cli)["goal"]
    assert isinstance(goal, dict)
    assert (goal["objective"], goal["status"]) == ("the second", "complete")


def test_a_refused_goal_leaves_the_program_as_it_was(cli: Cli, at: str) -> None:
    """Goal and program are stored together or not at all."""
    assert cli("set", "t", "do it", "--place", "a", "--", "true").status == exits.OK
    refused = cli("set", "t", "do more", "--place", "b", "--", "false")
    assert (refused.status, "already has" in refused.err) == (exits.USAGE, True)

    def stored() -> tuple[str, bytes]:
        with psycopg.connect(at) as connection:
            found = connection.execute("SELECT place, config FROM goalfsm.worker").fetchone()
        assert found is not None
        return found

    assert stored()[0] == "a"
    assert b'"true"' in stored()[1]
    # What is not seen before is refused in the transaction itself.
    mine = WorkerConfig(argv=("false",), place="b").encode()
    given = ObjectiveGiven(objective="do more")
    client = asking.cluster(Server(at))
    assert cli("set", "u", "do it").status == exits.OK
    for thread, event in (("t", given), ("u", given), ("new", PauseRequested())):
        assert not client.request(thread, event, f"late {thread}", program=mine).ok
    with psycopg.connect(at) as connection:
        assert connection.execute("SELECT count(*) FROM goalfsm.worker").fetchone() == (1,)
    assert stored()[0] == "a"
    assert b'"true"' in stored()[1]
    assert cli("set", "--thread", "t", "--", "false").status == exits.OK
    assert stored()[0] == "a"
    assert b'"false"' in stored()[1]
    assert cli("set", "--thread", "t", "--place", "c").status == exits.OK
    assert stored()[0] == "c"
    assert b'"false"' in stored()[1]


@pytest.mark.usefixtures("at")
def test_this_host_need_not_have_the_program(cli: Cli) -> None:
    """The nodes of its place need it; that it is not here is said."""
    given = cli("set", "t", "do it", "--place", "build", "--", "no-such-program")
    assert given.status == exits.OK, given.err
    assert "no-such-program is not on PATH; that is so on this host" in given.err
    assert "no node serves the place build" in cli("status", "t").out


@pytest.mark.usefixtures("at")
def test_ctrl_c_stops_following_and_nothing_else(cli: Cli) -> None:
    """The goal stays as it is, for the nodes."""
    with terminal("run", "do it", "--thread", "t", "--", "true") as run:
        run.until("no node serves the place any")
        run.process.send_signal(signal.SIGINT)
        ended = run.end()
    assert ended.status == exits.INTERRUPTED
    assert "stopped following" in ended.out
    goal = status(cli)["goal"]
    assert isinstance(goal, dict)
    assert goal["status"] == "active"


def test_the_first_goal_makes_the_tables(cli: Cli, postgres: PostgresServer) -> None:
    """Looking does not, and says what does."""
    dsn = postgres.create(migrated=False)
    looked = cli("status", "t", "--db", dsn)
    assert (looked.status, looked.told_shortly) == (exits.USAGE, True)
    assert "goalfsm node" in looked.err
    assert cli("set", "t", "do it", "--db", dsn, "--", "true").status == exits.OK
    assert cli("status", "t", "--db", dsn).status == exits.OK


def test_a_thread_that_is_not_there_is_named(cli: Cli, at: str) -> None:
    for words in (("status", "nowhere"), ("pause", "nowhere"), ("run", "--thread", "nowhere")):
        shown = cli(*words)
        assert (shown.status, shown.told_shortly) == (exits.USAGE, True)
        assert "no thread nowhere" in shown.err
        assert at in shown.err


def test_a_node_of_no_server_says_so(cli: Cli) -> None:
    """Without the password, also of an address that is none."""
    for url, told in (
        (f"postgresql://u:hunter2@/goals?host={Path.cwd()}", "cannot be reached"),
        ("postgresql://u:hun ter2@localhost/db", "no URL that PostgreSQL takes"),
    ):
        shown = cli("node", url)
        assert (shown.status, shown.told_shortly) == (exits.FAILED, True), shown
        assert told in shown.err
        assert "hun" not in shown.err


@pytest.mark.parametrize(
    "words",
    [
        ("status", "t"),
        ("run", "do it", "--thread", "t", "--", "true"),
        ("set", "t", "do it", "--", "true"),
        ("pause", "t"),
        ("doctor",),
        ("list",),
        ("watch", "t"),
    ],
)
def test_a_server_that_is_not_there_is_told_in_a_line(cli: Cli, words: tuple[str, ...]) -> None:
    """With what to do, and without the password."""
    cut = words.index("--") if "--" in words else len(words)
    db = f"postgresql://u:hunter2@/goals?host={Path.cwd()}"
    shown = cli(*words[:cut], "--db", db, *words[cut:])
    assert (shown.status, shown.told_shortly) == (exits.FAILED, True)
    assert "cannot be reached" in shown.err
    assert "hunter2" not in shown.err


@pytest.mark.parametrize(
    "words",
    [
        ("daemon",),
        ("backup", "copy.db"),
        ("doctor", "--repair"),
        ("app-server",),
    ],
)
def test_what_needs_a_file_says_so(cli: Cli, at: str, words: tuple[str, ...]) -> None:
    shown = cli(*words)
    assert (shown.status, shown.told_shortly) == (exits.USAGE, True), shown
    assert at in shown.err or words[0] == "doctor"


def test_a_place_is_for_a_server(cli: Cli) -> None:
    shown = cli("set", "t", "do it", "--place", "build", "--db", "goals.db", "--", "true")
    assert (shown.status, "--place" in shown.err) == (exits.USAGE, True)
    assert not Path("goals.db").exists()


def test_everywhere_names_servers_without_their_password(
    cli: Cli, at: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A goal that was given on a server is found again; no password is written down."""
    secret = at.replace("://postgres:@", "://postgres:hunter2@")
    monkeypatch.setenv("GOALFSM_DB", secret)
    assert cli("set", "t", "do it", "--", "true").status == exits.OK
    monkeypatch.delenv("GOALFSM_DB")
    shown = cli("list", "--everywhere")
    assert "t  nobody works on this" in shown.out
    noted = "".join(
        path.read_text("utf-8", "replace")
        for path in (tmp_path / "state").rglob("*")
        if path.is_file()
    )
    assert "postgresql://postgres@/" in noted
    assert "hunter2" not in noted + shown.out + shown.err


def test_commands_on_a_file_load_no_driver_of_a_server(cli: Cli) -> None:
    """Who has a file only needs no extra."""
    import subprocess  # noqa: PLC0415
    import sys  # noqa: PLC0415

    assert cli("set", "t", "do it", "--db", "goals.db", "--", "true").status == exits.OK
    for words in ("status t", "list", "pause t", "resume t"):
        code = (
            "import sys; from goalfsm.cli import main; main(sys.argv[1:]);"
            "sys.exit(any('psycopg' in name or 'cluster' in name for name in sys.modules))"
        )
        ran = subprocess.run(
            [sys.executable, "-c", code, *words.split(), "--db", "goals.db"],
            capture_output=True,
            check=False,
        )
        assert ran.returncode == 0, words
    assert main(["status", "t", "--db", "goals.db"]) == exits.OK


def test_whoever_follows_waits_for_a_server_that_is_away(dsn: str) -> None:
    """It is told once, and what happened meanwhile follows when it is back."""
    server = Server(dsn)
    client = asking.cluster(server)
    assert client.request("t", ObjectiveGiven(objective="do it"), "once").ok
    with contextlib.closing(client.follow("t")) as notices:
        assert isinstance(next(notices), StatusChanged)
        name = dsn.partition("?")[0].rpartition("/")[2]
        with psycopg.connect(dsn.replace(f"/{name}", "/postgres"), autocommit=True) as other:
            other.execute(f'ALTER DATABASE "{name}" WITH ALLOW_CONNECTIONS false')
            other.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,)
            )
            problem = next(notice for notice in notices if not isinstance(notice, Settled))
            assert isinstance(problem, Problem)
            assert "cannot be reached" in problem.message
            other.execute(f'ALTER DATABASE "{name}" WITH ALLOW_CONNECTIONS true')
        assert client.request("t", PauseRequested(), "then").ok
        assert any(
            notice.status.activity == "paused (user)"
            for notice in notices
            if isinstance(notice, StatusChanged)
        )
