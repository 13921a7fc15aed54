"""A source that stands still: states as they are given, and what was sent is kept."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from goalfsm.daemon.flow.notices import Notice, Output
from goalfsm.errors import GoalError
from goalfsm.session.events import Event
from goalfsm.session.state import Reply
from goalfsm.store.rows import Transcript
from goalfsm.ui.app import GoalsApp, Surroundings
from goalfsm.ui.source import Look
from goalfsm.views.explain import explain
from goalfsm.views.report import CompletionRecord, record
from goalfsm.views.status import Status, project
from tests.ui.states import NOW_MS, STATES, State

THREAD: Final = "billing"
NO_ENGINE: Final = GoalError("no engine serves it", code="no_engine")


TOLD: Final = (
    Output(
        thread_id=THREAD,
        run_id="r-1",
        text="reading ledger/post.py\nrunning make test … 214 passed\n",
    ),
)


class Still:
    """Threads by name, each in a state; a notice is told to whoever follows, once."""

    def __init__(self, states: dict[str, State], told: Sequence[Notice] = ()) -> None:
        self.states = states
        self.told = list(told)
        self.kept: dict[str, Transcript] = {}
        self.sent: list[tuple[str, Event]] = []
        self.reply = Reply(ok=True, code="recorded", message="it is recorded")

    def now_ms(self) -> int:
        return NOW_MS

    def names(self) -> tuple[str, ...]:
        return tuple(name for name in sorted(self.states) if self.states[name].session is not None)

    def rows(self, names: Sequence[str]) -> tuple[Status, ...]:
        found = [self.look(name).status for name in names]
        return tuple(status for status in found if status is not None)

    def problems(self) -> tuple[str, ...]:
        return ()

    def look(self, thread_id: str) -> Look:
        state = self.states[thread_id]
        if state.session is None:
            return Look(None)
        status = project(state.session, NOW_MS, thread_id=thread_id, driver=state.driver)
        return Look(status, state.link)

    def why(self, thread_id: str) -> tuple[str, ...]:
        state = self.states[thread_id]
        return () if state.session is None else explain(state.session, driver=state.driver).words

    def report(self, thread_id: str) -> CompletionRecord:
        session, driver, _ = self.states[thread_id]
        if session is None or session.goal is None:
            raise GoalError("the thread has no goal to report on", code="no_goal")
        return record(session, NOW_MS, thread_id=thread_id, driver=driver)

    def revision(self, _thread_id: str) -> int:
        return 0

    def said(self, _thread_id: str, run_id: str) -> Transcript | None:
        return self.kept.get(run_id)

    def follow(self, _thread_id: str, _after: int) -> Iterator[Notice]:
        told, self.told = self.told, []
        yield from told
        raise NO_ENGINE

    def send(self, thread_id: str, event: Event) -> Reply:
        self.sent.append((thread_id, event))
        return self.reply


class Given:
    """What `goalfsm set` or `goalfsm queue add` would have been called with."""

    def __init__(self) -> None:
        self.words: list[tuple[str, str, list[str]]] = []

    def __call__(self, command: str, thread_id: str, words: Sequence[str]) -> tuple[bool, str]:
        self.words.append((command, thread_id, list(words)))
        return True, "the goal is given"


def app_of(
    source: Still, folder: Path = Path("/"), thread: str | None = THREAD, given: Given | None = None
) -> GoalsApp:
    """Return the interface on a source, as the command makes it."""

    def speak(hint: str, thread_id: str) -> str:
        return hint.replace("THREAD", thread_id)

    return GoalsApp(source, Surroundings(folder, speak, given or Given()), thread)


def app_in(state: str, told: Sequence[Notice] = ()) -> GoalsApp:
    """Return the interface on one goal in a state."""
    return app_of(Still({THREAD: STATES[state]}, told))
