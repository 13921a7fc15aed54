"""Being told that a goal has ended or needs somebody."""

from __future__ import annotations

import json
import signal
import socket
import threading
from base64 import b64encode
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from goalfsm.cli import exits
from tests.cli.conftest import Cli
from tests.cli.processes import daemon, goal, goalfsm, terminal
from tests.cli.workers import COMPLETE, worker

BOUND_S = 60.0


class Received:
    """A webhook's receiver on loopback, and what it was sent."""

    def __init__(self) -> None:
        self.notes: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.authorized: list[str | None] = []
        self.answers: list[int] = []
        self.came = threading.Event()
        self.instead: list[Callable[[], None]] = []
        """What is done in place of an answer."""
        received = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                received.notes.append(json.loads(body))
                received.keys.append(self.headers["Idempotency-Key"])
                received.authorized.append(self.headers["Authorization"])
                if received.instead:
                    received.instead.pop()()
                    return
                self.send_response(received.answers.pop(0) if received.answers else 204)
                self.end_headers()
                received.came.set()

            def log_message(self, *args: object) -> None:
                """Say nothing."""

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook?token=secret"


@pytest.fixture
def received() -> Iterator[Received]:
    receiver = Received()
    serving = threading.Thread(target=receiver.server.serve_forever)
    serving.start()
    yield receiver
    receiver.server.shutdown()
    serving.join()
    receiver.server.server_close()


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


def test_a_completed_goal_is_told_to_a_webhook(cli: Cli, received: Received) -> None:
    assert cli("notify", "add", "webhook", received.url).status == exits.OK
    assert goalfsm("run", "write it", "--", worker(COMPLETE)).status == exits.OK
    (note,) = received.notes
    assert (note["status"], note["objective"]) == ("complete", "write it")
    assert received.keys == [note["key"]]


def test_a_receiver_that_is_away_is_asked_again_with_the_same_key(
    cli: Cli, received: Received
) -> None:
    received.answers = [503]
    cli("notify", "add", "webhook", received.url)
    assert goalfsm("run", "write it", "--", worker(COMPLETE)).status == exits.OK
    assert len(received.keys) == 2
    assert len(set(received.keys)) == 1


def test_a_notice_that_a_kill_left_open_is_sent_by_the_next_engine(
    cli: Cli, received: Received
) -> None:
    cli("notify", "add", "webhook", received.url)
    with terminal("run", "write it", "--", worker(COMPLETE)) as run:
        received.instead.append(run.process.kill)
        assert run.end().status == -signal.SIGKILL
    assert goal()["status"] == "complete"
    with daemon():
        assert received.came.wait(BOUND_S)
    first, again = received.notes
    assert first == again
    assert received.keys == [first["key"]] * 2


def test_who_pauses_is_not_told_of_it(cli: Cli, received: Received) -> None:
    cli("notify", "add", "webhook", received.url)
    cli("set", "write it", "--", worker("goalfsm wake >&2; echo hm"))
    cli("pause")
    assert goalfsm("run", "another", "--replace", "--", worker("exit 3")).status != exits.OK
    assert [note["status"] for note in received.notes] == ["paused"]
    assert received.notes[0]["objective"] == "another"


def test_a_claim_that_waits_for_a_person_is_told_once(cli: Cli, received: Received) -> None:
    cli("notify", "add", "webhook", received.url)
    program = worker(COMPLETE, name="claims.sh")
    with terminal("run", "write it", "--accept", "--", program) as run:
        run.until("this waits for you: goalfsm accept")
        assert goalfsm("accept").status == exits.OK
        assert run.end().status == exits.OK
    asked, done = received.notes
    assert (asked["status"], asked["activity"]) == ("active", "waiting on a person")
    assert asked["hint"].startswith(f"goalfsm accept {asked['thread_id']} --db {asked['db']}")
    assert done["status"] == "complete"
    assert done["hint"] == f"goalfsm report {done['thread_id']} --db {done['db']}"
    assert asked["key"] != done["key"]


def test_a_node_on_a_server_tells_a_webhook_and_writes_the_record(
    received: Received, dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is an effect of the commit that ended the goal, and is done where a node is free."""
    monkeypatch.setenv("GOALFSM_DB", dsn)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    assert goalfsm("notify", "add", "webhook", received.url).status == exits.OK
    claim = "goalfsm tool update_goal --status complete --evidence seen"
    goal = ("--thread", "books", "--on-complete", "report", "balance", "--", "sh", "-c", claim)
    with terminal("node") as node:
        node.until("serving", where="stderr")
        done = goalfsm("run", *goal)
        assert done.status == exits.OK, done.err
        assert received.came.wait(BOUND_S)
    (note,) = received.notes
    assert (note["thread_id"], note["status"]) == ("books", "complete")
    (record,) = (tmp_path / "state").rglob("books-*.md")
    assert "balance" in record.read_text("utf-8")


def test_a_desktop_shows_it(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / "notify-send"
    program.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" >> {tmp_path}/shown\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=":")
    assert cli("notify", "add", "desktop").status == exits.OK
    assert "sent to desktop" in cli("notify", "test").out
    assert "Show that notices arrive" in (tmp_path / "shown").read_text()
    program.write_text("#!/bin/sh\necho no bus >&2\nexit 1\n")
    failed = cli("notify", "test")
    assert failed.status == exits.FAILED
    assert "no bus" in failed.err


def test_a_service_of_apprise_is_told(
    cli: Cli, received: Received, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = received.url.replace("http://", "json://")
    added = cli("notify", "add", "apprise", url)
    assert (added.status, added.out) == (exits.OK, "told from the next run on: apprise json://…\n")
    assert goalfsm("run", "write it", "--", worker(COMPLETE)).status == exits.OK
    (note,) = received.notes
    assert note["title"].endswith(": complete")
    assert "write it" in note["message"]
    monkeypatch.setattr("goalfsm.daemon.stages.notifications._ATTEMPTS", 1)
    received.answers = [500]
    failed = cli("notify", "test")
    assert failed.status == exits.FAILED
    assert "apprise json://…: the service did not take it" in failed.err
    assert "secret" not in failed.err + failed.out


def test_the_list_hides_what_may_be_a_secret(cli: Cli, tmp_path: Path) -> None:
    assert "nobody" in cli("notify", "list").out
    cli("notify", "add", "webhook", "https://user:pass@example.org:8443/secret?token=secret")
    listed = cli("notify", "list").out
    assert listed == "1  webhook https://example.org:8443\n"
    (file,) = (tmp_path / "config").rglob("notify.json")
    assert file.stat().st_mode & 0o777 == 0o600
    assert cli("notify", "remove", "1").status == exits.OK
    assert "nobody" in cli("notify", "list").out


@pytest.mark.parametrize(
    "words",
    [
        ("add", "webhook"),
        ("add", "webhook", "ftp://example.org"),
        ("add", "webhook", "https://example.org:eighty/hook"),
        ("add", "webhook", "https://example.org:99999/hook"),
        ("add", "webhook", "https://[::1/hook"),
        ("add", "desktop", "https://example.org"),
        ("add", "apprise"),
        ("add", "apprise", "no-such-service://token"),
        ("remove", "1"),
        ("test",),
    ],
)
def test_what_makes_no_sense_is_refused(words: tuple[str, ...], cli: Cli) -> None:
    refused = cli("notify", *words)
    assert refused.status != exits.OK
    assert "Hint" in refused.err
    assert "nobody" in cli("notify", "list").out


def test_a_name_and_a_password_in_an_address_are_shown_to_the_receiver_alone(
    cli: Cli, received: Received
) -> None:
    address = received.url.replace("http://", "http://me%40home:a%2Fword@")
    cli("notify", "add", "webhook", address)
    told = cli("notify", "test")
    assert told.status == exits.OK, told
    assert received.authorized == [f"Basic {b64encode(b'me@home:a/word').decode()}"]
    assert "home" not in told.out


def test_a_receiver_that_speaks_no_http_is_said(
    cli: Cli, received: Received, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Like one that is away; what is sent next finds the rest of the list."""
    monkeypatch.setattr("goalfsm.daemon.stages.notifications._ATTEMPTS", 1)
    with socket.create_server(("127.0.0.1", 0)) as strange:
        answering = threading.Thread(target=_babble, args=(strange,))
        answering.start()
        cli("notify", "add", "webhook", f"http://127.0.0.1:{strange.getsockname()[1]}/")
        cli("notify", "add", "webhook", "http://127.0.0.1/a path")
        cli("notify", "add", "webhook", received.url)
        told = cli("notify", "test")
        answering.join()
    assert told.status == exits.FAILED, told
    assert "BadStatusLine" in told.err
    assert "InvalidURL" in told.err
    assert len(received.notes) == 1


def _babble(listening: socket.socket) -> None:
    caller, _ = listening.accept()
    with caller:
        caller.sendall(b"220 ready when you are\r\n")
        while caller.recv(65_536):
            pass


def test_a_broken_list_is_said(cli: Cli, tmp_path: Path) -> None:
    cli("notify", "add", "webhook", "https://example.org")
    (file,) = (tmp_path / "config").rglob("notify.json")
    file.write_text("{")
    assert "cannot be read" in cli("notify", "list").err
