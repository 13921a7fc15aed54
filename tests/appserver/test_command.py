"""The command itself: real processes, over stdio and over a socket."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, unix_connect
from websockets.exceptions import InvalidStatus

from goalfsm.session import codec
from goalfsm.session.events import ObjectiveGiven
from goalfsm.store.sqlite import SqliteStore

HELLO = {"id": 1, "method": "initialize", "params": {"clientInfo": {"name": "t", "version": "1"}}}
WORKER = ("sh", "-c", "sleep 600")
COMPLETES = (
    "sh",
    "-c",
    'exec "$GOALFSM_TOOL" tool update_goal --status complete --evidence "it is written"',
)


def argv(folder: Path, *more: str) -> list[str]:
    program = [sys.executable, "-m", "goalfsm.cli", "app-server", "--db", str(folder / "g.db")]
    return [*program, *more]


def lines(*messages: dict[str, Any]) -> str:
    return "".join(json.dumps(message) + "\n" for message in messages)


@contextlib.contextmanager
def start(
    folder: Path, *more: str, env: dict[str, str] | None = None
) -> Iterator[subprocess.Popen[str]]:
    """Start a server, which is killed where the test goes wrong."""
    with subprocess.Popen(
        argv(folder, *more),
        cwd=folder,
        env=env,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as server:
        try:
            yield server
        finally:
            server.kill()


def read_until(server: subprocess.Popen[str], reached: Callable[[Any], bool]) -> Any:
    assert server.stdout is not None
    for line in server.stdout:
        message = json.loads(line)
        if reached(message):
            return message
    pytest.fail("the server ended")


def wait_until_it_listens(server: subprocess.Popen[str]) -> None:
    assert server.stderr is not None
    assert any("listening at" in line for line in server.stderr)


def say(server: subprocess.Popen[str], *messages: dict[str, Any]) -> None:
    assert server.stdin is not None
    server.stdin.write(lines(*messages))
    server.stdin.flush()


def test_a_goal_is_achieved_over_stdio(tmp_path: Path) -> None:
    with start(tmp_path, "--", *COMPLETES) as server:
        say(
            server,
            HELLO,
            {"method": "initialized"},
            {"id": 2, "method": "thread/start", "params": {}},
        )
        started = read_until(server, lambda message: message.get("id") == 2)
        thread_id = started["result"]["thread"]["id"]
        assert started["result"]["cwd"] == str(tmp_path)
        goal = {"threadId": thread_id, "objective": "Write"}
        say(server, {"id": "a", "method": "thread/goal/set", "params": goal})
        told = read_until(
            server,
            lambda message: (
                message.get("method") == "thread/goal/updated"
                and message["params"]["goal"]["status"] == "complete"
            ),
        )
        assert told["params"]["turnId"] is not None
        ended = read_until(server, lambda message: message.get("method") == "turn/completed")
        assert ended["params"]["turn"]["status"] == "completed"
        assert server.stdin is not None
        server.stdin.close()
        assert server.wait(timeout=60) == 0
        assert server.stderr is not None
        assert server.stderr.read() == ""


def test_a_file_of_requests_is_answered_to_its_end(tmp_path: Path) -> None:
    asked = tmp_path / "asked"
    answers = tmp_path / "answers"
    unknown = {"threadId": "00000000-0000-7000-8000-000000000000"}
    asked.write_text(lines(HELLO, {"id": 2, "method": "thread/goal/get", "params": unknown}))
    with asked.open() as taken, answers.open("w") as given:
        subprocess.run(argv(tmp_path), stdin=taken, stdout=given, check=True, timeout=60)
    first, second = map(json.loads, answers.read_text().splitlines())
    assert first["result"]["codexHome"] == str(tmp_path)
    assert second["error"]["message"] == f"thread not found: {unknown['threadId']}"


def test_a_stdin_at_its_end_ends_it_at_once(tmp_path: Path) -> None:
    """A device that no loop can wait for, as every scheduler gives its jobs."""
    done = subprocess.run(
        argv(tmp_path), stdin=subprocess.DEVNULL, capture_output=True, check=True, timeout=60
    )
    assert (done.stdout, done.stderr) == (b"", b"")


def test_without_a_program_there_is_no_new_thread(tmp_path: Path) -> None:
    asked = lines(HELLO, {"id": 2, "method": "thread/start", "params": {}})
    done = subprocess.run(
        argv(tmp_path), input=asked, capture_output=True, text=True, check=True, timeout=60
    )
    refused = json.loads(done.stdout.splitlines()[1])
    assert "no program is known for a new thread" in refused["error"]["message"]
    assert "--agent" in refused["error"]["message"]


@pytest.mark.parametrize("listen", ["tcp://127.0.0.1:1", "unix://", "goals.sock"])
def test_another_place_to_listen_is_refused(tmp_path: Path, listen: str) -> None:
    done = subprocess.run(
        argv(tmp_path, "--listen", listen), capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 2
    assert "neither stdio:// nor unix://PATH" in done.stderr
    assert not (tmp_path / "g.db").exists()


async def ask(client: ClientConnection, number: int, method: str, **params: Any) -> Any:
    await client.send(json.dumps({"id": number, "method": method, "params": params}))
    while True:
        message = json.loads(await client.recv())
        if message.get("id") == number:
            return message.get("result", message.get("error"))


async def told(client: ClientConnection, method: str) -> Any:
    while True:
        message = json.loads(await client.recv())
        if message.get("method") == method:
            return message["params"]


def test_two_clients_over_the_socket_are_told_and_a_kill_is_survived(tmp_path: Path) -> None:
    place = tmp_path / "s"

    async def first() -> str:
        one = await unix_connect(str(place), uri="ws://localhost/rpc")
        other = await unix_connect(str(place), uri="ws://localhost/rpc")
        async with one, other:
            for client in (one, other):
                await ask(client, 1, "initialize", clientInfo={"name": "t", "version": "1"})
            thread_id = (await ask(one, 2, "thread/start"))["thread"]["id"]
            await ask(other, 2, "thread/resume", threadId=thread_id)
            await ask(one, 3, "thread/goal/set", threadId=thread_id, objective="Write")
            turns = [await told(client, "turn/started") for client in (one, other)]
            assert turns[0] == turns[1]
            return str(thread_id)

    async def second(thread_id: str) -> None:
        async with unix_connect(str(place), uri="ws://localhost/rpc") as client:
            await ask(client, 1, "initialize", clientInfo={"name": "t", "version": "1"})
            await ask(client, 2, "thread/resume", threadId=thread_id)
            goal = (await told(client, "thread/goal/updated"))["goal"]
            assert (goal["objective"], goal["status"]) == ("Write", "active")
            turn = (await told(client, "turn/started"))["turn"]
            assert turn["status"] == "inProgress"
            cleared = await ask(client, 3, "thread/goal/clear", threadId=thread_id)
            assert cleared == {"cleared": True}
            with pytest.raises(InvalidStatus, match="404"):
                await unix_connect(str(place), uri="ws://localhost/other")

    with start(tmp_path, "--listen", f"unix://{place}", "--", *WORKER) as server:
        wait_until_it_listens(server)
        assert stat.S_IMODE(place.stat().st_mode) == 0o600
        thread_id = asyncio.run(first())
        server.kill()
        server.wait(timeout=60)
    with start(tmp_path, "--listen", f"unix://{place}", "--grace", "1s", "--", *WORKER) as server:
        wait_until_it_listens(server)
        asyncio.run(second(thread_id))
        server.send_signal(signal.SIGTERM)
        assert server.wait(timeout=60) == 0
    assert not place.exists()


def test_a_process_of_a_run_is_refused(tmp_path: Path) -> None:
    place = tmp_path / "s"
    connecting = (
        "import asyncio; from websockets.asyncio.client import unix_connect\n"
        f"async def connect(): await unix_connect({str(place)!r}, uri='ws://localhost/rpc')\n"
        "asyncio.run(connect())"
    )
    with start(tmp_path, "--listen", f"unix://{place}") as server:
        wait_until_it_listens(server)
        done = subprocess.run(
            [sys.executable, "-c", connecting],
            env={**os.environ, "GOALFSM_RUN_ID": "run-1"},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        server.send_signal(signal.SIGTERM)
        assert server.wait(timeout=60) == 0
    assert "HTTP 403" in done.stderr


def test_a_server_that_a_run_has_started_changes_no_goal(tmp_path: Path) -> None:
    open_thread = {"id": 2, "method": "thread/start", "params": {}}
    with start(tmp_path, "--", *WORKER, env={**os.environ, "GOALFSM_RUN_ID": "run-1"}) as server:
        say(server, HELLO, open_thread)
        started = read_until(server, lambda message: message.get("id") == 2)
        goal = {"threadId": started["result"]["thread"]["id"], "objective": "Write"}
        say(server, {"id": 3, "method": "thread/goal/set", "params": goal})
        refused = read_until(server, lambda message: message.get("id") == 3)
        assert "is a person's to ask for" in refused["error"]["message"]
        assert server.stdin is not None
        server.stdin.close()
        assert server.wait(timeout=60) == 0


def test_who_asked_is_in_the_journal(tmp_path: Path) -> None:
    with start(tmp_path, "--", *WORKER) as server:
        say(server, HELLO, {"id": 2, "method": "thread/start", "params": {}})
        started = read_until(server, lambda message: message.get("id") == 2)
        thread_id = started["result"]["thread"]["id"]
        goal = {"threadId": thread_id, "objective": "Write", "status": "paused"}
        say(server, {"id": 3, "method": "thread/goal/set", "params": goal})
        read_until(server, lambda message: message.get("id") == 3)
        assert server.stdin is not None
        server.stdin.close()
        assert server.wait(timeout=60) == 0
    store = SqliteStore.open(tmp_path / "g.db")
    try:
        given = codec.decode_event(store.journal.read(thread_id)[0].event)
    finally:
        store.close()
    assert isinstance(given, ObjectiveGiven)
    assert given.by is not None
    assert (given.by.uid, given.by.pid) == (os.getuid(), server.pid)


def test_a_place_that_is_taken_is_left_alone(tmp_path: Path) -> None:
    place = tmp_path / "notes"
    place.write_text("mine")
    done = subprocess.run(
        argv(tmp_path, "--listen", f"unix://{place}"),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 2
    assert f"cannot listen at {place}" in done.stderr
    assert place.read_text() == "mine"
