"""What was missed while no engine could be heard is told once by who comes back."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from goalfsm.daemon.flow.notices import Ended, Happened, Notice, Output, StatusChanged
from goalfsm.session import Session
from goalfsm.store.rows import Transcript
from goalfsm.ui.following import Follower
from goalfsm.views.status import project
from tests.ui.states import NOW_MS
from tests.ui.still import NO_ENGINE, Still

THREAD = "billing"
STANDS = StatusChanged(thread_id=THREAD, status=project(Session(), NOW_MS))


def happened(revision: int, kind: str, run: str) -> Happened:
    event = {"type": kind, "run_id": run}
    return Happened(thread_id=THREAD, revision=revision, at_ms=NOW_MS, event=event)


def said(run: str, text: str, **fields: Any) -> Output:
    return Output(thread_id=THREAD, run_id=run, text=text, **fields)


def kept(run: str, answer: str, *, before: int = 0) -> Transcript:
    data = answer.encode()
    return Transcript(
        thread_id=THREAD,
        run_id=run,
        turn=1,
        at_ms=NOW_MS,
        answer=data,
        stderr=b"",
        answer_bytes=len(data) + before,
        stderr_bytes=0,
    )


class Breaking(Still):
    """An engine that hangs up again and again."""

    def __init__(self, *connections: list[Notice]) -> None:
        super().__init__({})
        self.connections = [*connections]
        self.since: list[int] = []

    def revision(self, _thread_id: str) -> int:
        return 5

    def follow(self, _thread_id: str, after: int) -> Iterator[Notice]:
        self.since.append(after)
        yield from self.connections.pop(0)
        raise NO_ENGINE


def followed(source: Breaking) -> list[Notice]:
    told: list[Notice] = []
    over = threading.Event()

    def tell(_thread_id: str, notice: Notice) -> None:
        told.append(notice)
        if isinstance(notice, Ended):
            follower.stop()
            over.set()

    follower = Follower(source, THREAD, tell)
    follower.start()
    assert over.wait(30)
    return told


def test_what_was_missed_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("goalfsm.ui.following.AGAIN_S", 0.0)
    source = Breaking(
        [STANDS, happened(6, "RunDispatched", "r1"), said("r1", "one\ntw")],
        [
            happened(7, "RunFinished", "r1"),
            happened(8, "RunDispatched", "r2"),
            happened(9, "RunInterrupted", "r2"),
            happened(10, "RunDispatched", "r3"),
            STANDS,
            said("r3", "three so", again=True, left_out=100),
        ],
        [STANDS, said("r3", "three so far\n", again=True, left_out=100)],
        [STANDS, said("r3", "far\n", again=True, left_out=109), said("r3", "more\n")],
        [STANDS, happened(11, "RunFinished", "r3"), Ended(thread_id=THREAD)],
    )
    source.kept = {"r1": kept("r1", "one\ntwo\n"), "r2": kept("r2", "all\n", before=7)}
    told = followed(source)
    assert source.since == [5, 6, 10, 10, 10]
    heard = [(one.run_id, one.text, one.left_out) for one in told if isinstance(one, Output)]
    assert heard == [
        ("r1", "one\ntw", 0),
        ("r1", "o\n", 0),
        ("r2", "all\n", 7),
        ("r3", "three so", 100),
        ("r3", " far\n", 0),
        ("r3", "more\n", 0),
    ]
    revisions = [one.revision for one in told if isinstance(one, Happened)]
    assert revisions == [6, 7, 8, 9, 10, 11]
    assert source.connections == []
