"""On every surface: what happened to a goal that stopped, and the command that takes it on."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from msgspec.structs import replace
from textual.widgets import Static

from goalfsm.daemon.remote.face import RemoteEngine
from goalfsm.daemon.stages.notifications import note_of
from goalfsm.daemon.stages.performers import CallbackCall
from goalfsm.session import codec
from goalfsm.store.sqlite import SqliteStore
from goalfsm.ui.app import GoalsApp, Surroundings
from goalfsm.ui.source import Database
from tests.cli.processes import terminal
from tests.cli.terminal import Cli
from tests.store.handles import commit, nobody_lives, owned
from tests.ui.pressing import drawn
from tests.ui.states import CLAIM, STATES, State, goal

DB = Path("goals.db")
WHY = "the archive is closed"
SHUT = {"paused_usage_limit", "paused_shutdown"}
"""What an engine would take up by itself: here there is none, and somebody has to start one."""
UNTOLD = {"paused_user", "paused_interrupt", "paused_shutdown"}
"""Pauses of which a notice would tell the one who asked for them."""
UNSURE = goal(status="paused", pause_reason="verification", note=WHY)
STOPPED: dict[str, tuple[State, str, str, str]] = {
    **{
        name: (state, f"paused ({name[7:]})", "", "run" if name in SHUT else "resume")
        for name, state in STATES.items()
        if name.startswith("paused_")
    },
    "paused_verification_claim": (
        State(replace(UNSURE, claim=CLAIM)),
        "paused (verification)",
        WHY,
        "accept",
    ),
    "blocked_by_model": (STATES["blocked"], "blocked", "no access to the archive", "resume"),
    "blocked_by_person": (State(goal(status="blocked", note=WHY)), "blocked", WHY, "resume"),
    **{
        name: (state, f"limited by {name[8:]}", "", "budget")
        for name, state in STATES.items()
        if name.startswith("limited_")
    },
    "accepting": (STATES["accepting"], "waiting on a person", "accepted or rejected", "accept"),
    "waiting_person": (
        STATES["waiting_person"],
        "nobody works on this",
        "waiting on a person: which bank holidays count?",
        "run",
    ),
}
REASONS = {
    "paused_user": "somebody asked for it",
    "paused_interrupt": "the running turn was interrupted",
    "paused_recovery": "recovery gave up; somebody has to look",
    "paused_no_progress": "the last turns got nowhere",
    "paused_usage_limit": "the provider's quota is used up",
    "paused_verification": "could not be verified",
    "paused_shutdown": "the engine shut down",
    "limited_tokens": "the token budget is used up",
    "limited_time": "the time budget is used up",
    "limited_cost": "the cost budget is used up",
    "limited_continuations": "all continuations are spent",
}


def stored(name: str) -> tuple[str, str, str]:
    """Write a thread as it was left; return how it stands, why, and the command to be told."""
    state, activity, why, command = STOPPED[name]
    assert state.session is not None
    store = owned(SqliteStore.open(DB, is_alive=nobody_lives))
    store.commit([commit("billing", state=codec.encode(state.session), status="paused")])
    store.owner.release()
    store.close()
    return activity, why or REASONS[name], f"goalfsm {command}"


def in_interface() -> str:
    async def look() -> str:
        def speak(hint: str, thread_id: str) -> str:
            return hint.replace("THREAD", thread_id)

        surroundings = Surroundings(Path(), speak, lambda *_: (True, ""))
        app = GoalsApp(Database(DB, RemoteEngine(DB)), surroundings, "billing")
        async with app.run_test(size=(160, 40)) as pilot:
            await drawn(pilot)
            return "\n".join(str(each.content) for each in app.screen.query(Static))

    return asyncio.run(look())


def watch(cli: Cli, status: str, command: str) -> str:
    """Return what `watch` says; it does not end while the goal is active."""
    if status != "active":
        return cli("watch", "billing").out
    with terminal("watch", "billing") as watching:
        return watching.until(command)


@pytest.mark.parametrize("name", STOPPED)
def test_it_says_what_happened_and_what_to_do(
    name: str, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    activity, why, command = stored(name)
    monkeypatch.setenv("GOALFSM_DB", str(DB))
    known = json.loads(cli("status", "billing", "--json").out)
    assert known["hint"].startswith(command)
    whole = known["hint"].replace(" --thread THREAD", " THREAD").replace("THREAD", "billing")
    for words in ("status", "list", "report", "report --pr", "pr", "report --since 1h"):
        thread = () if words == "list" else ("billing",)
        out = cli(*words.split(), *thread).out.replace(" --thread billing", " billing")
        assert activity in out, words
        assert why in out, words
        assert whole in out, words
    chip = cli("chip", "billing").out
    assert f"{activity} · {command} · " in chip
    assert activity in (watched := watch(cli, known["goal"]["status"], command))
    assert command in watched
    shown = in_interface()
    assert activity in shown
    assert why in shown
    assert command in shown


@pytest.mark.parametrize("name", STOPPED)
def test_a_notice_says_so_too(name: str) -> None:
    activity, why, command = stored(name)
    status = Database(DB, RemoteEngine(DB)).look("billing").status
    assert status is not None
    assert status.goal is not None
    asked = CallbackCall(
        thread_id="billing",
        goal_id=status.goal.goal_id,
        name="notify",
        status=status.goal.status,
        key="k",
    )
    note = note_of(asked, status, str(DB))
    assert (note is None) == (name in UNTOLD)
    if note is not None:
        assert (note.activity, why in note.reason) == (activity, True)
        assert note.hint.startswith(command)
        assert "billing --db goals.db" in note.hint
