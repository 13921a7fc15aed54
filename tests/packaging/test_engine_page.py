"""The service of docs/engine.md: served by uvicorn, followed, killed, and started again."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

PAGE = (Path(__file__).parents[2] / "docs" / "engine.md").read_text("utf-8")
SERVICE, REMEDIES, LOOKING_BACK, WORKING, LOGGING = re.findall(
    r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL
)
REPORTS = (Path(__file__).parents[2] / "docs" / "reports.md").read_text("utf-8")
(RECORD,) = re.findall(r"^```python\n(.*?)^```$", REPORTS, re.MULTILINE | re.DOTALL)
START_S = 15.0


class Service:
    """The service of the page, as a process that is started again and again on one database."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "service.py").write_text(SERVICE, encoding="utf-8")
        self.process: subprocess.Popen[str] | None = None
        self.client = httpx.Client(timeout=START_S)

    def start(self) -> None:
        """Start it; return when it answers. The socket listens before: no port is guessed."""
        listening = socket.create_server(("127.0.0.1", 0))
        port = listening.getsockname()[1]
        command = (sys.executable, "-m", "uvicorn", "service:app", "--no-access-log")
        options = ("--fd", str(listening.fileno()), "--timeout-graceful-shutdown", "1")
        self.process = subprocess.Popen(
            (*command, *options),
            cwd=self.folder,
            env={**os.environ, "GOALS": str(self.folder / "goals.db")},
            pass_fds=(listening.fileno(),),
            text=True,
        )
        listening.close()
        self.client.base_url = httpx.URL(f"http://127.0.0.1:{port}")
        assert self.client.get("/").status_code == 404

    def end(self, by: signal.Signals) -> int:
        """Send the signal; return how it exited."""
        assert self.process is not None
        self.process.send_signal(by)
        return self.process.wait(START_S)

    def events(self, last: int) -> Iterator[tuple[int | None, dict[str, Any]]]:
        """Yield what the stream says after a revision: each notice with its id."""
        number = None
        with self.client.stream(
            "GET", "/threads/report/events", headers={"Last-Event-ID": str(last)}
        ) as response:
            for line in response.iter_lines():
                if line.startswith("id: "):
                    number = int(line[4:])
                elif line.startswith("data: "):
                    yield number, json.loads(line[6:])
                    number = None

    def until_settled(self, last: int) -> list[tuple[int, str]]:
        """Return the events after a revision, as (revision, type), up to the goal's rest."""
        found = []
        for number, notice in self.events(last):
            if number is not None:
                found.append((number, notice["event"]["type"]))
            stands = notice.get("status", {}) if notice["type"] == "status" else {}
            if (stands.get("goal") or {}).get("status") == "complete" and not stands["run"]:
                return found
        raise AssertionError("the stream ended before the goal did")


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    made = Service(tmp_path)
    yield made
    made.client.close()
    if made.process is not None and made.process.poll() is None:
        made.process.kill()
        made.process.wait()


def test_a_client_misses_nothing_through_a_kill(
    service: Service, capsys: pytest.CaptureFixture[str]
) -> None:
    service.start()
    asked = {"Idempotency-Key": "order-1"}
    given = service.client.post("/threads/report", content="Write the report", headers=asked)
    assert given.json()["ok"], given.text
    heard = service.until_settled(0)
    assert [number for number, _ in heard] == list(range(1, len(heard) + 1))
    assert service.end(signal.SIGKILL) == -signal.SIGKILL

    service.start()
    again = service.client.post("/threads/report", content="Write the report", headers=asked)
    assert again.json()["code"] == given.json()["code"]
    shown = service.client.get("/threads/report").json()
    assert shown["goal"]["status"] == "complete"
    assert service.until_settled(0)[: len(heard)] == heard
    middle = len(heard) // 2
    assert service.until_settled(middle)[: len(heard) - middle] == heard[middle:]

    stream = service.events(0)
    next(stream)
    assert service.end(signal.SIGTERM) in {0, -signal.SIGTERM}
    stream.close()

    names: dict[str, Any] = {}
    exec(LOOKING_BACK, names)  # noqa: S102  the page is ours
    names["look_back"](service.folder / "goals.db")
    printed = capsys.readouterr().out
    assert printed.startswith("report complete\nNow: ")
    assert "1 ObjectiveGiven" in printed


@pytest.mark.parametrize(
    "example",
    [REMEDIES, WORKING, LOGGING, RECORD],
    ids=["remedies", "working", "logging", "record"],
)
def test_an_example_runs_as_printed(example: str) -> None:
    """Each is a program of its own, with what has to hold in it."""
    exec(compile(example, "example.py", "exec"), {})  # noqa: S102  the page is ours
