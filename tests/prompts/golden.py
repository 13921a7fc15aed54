"""The samples behind the golden files; ``python -m tests.prompts.golden`` writes them anew."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from goalfsm.goal.accounting import Clock
from goalfsm.goal.model import Criterion, Goal, Verifier
from goalfsm.session import Session
from goalfsm.session import prompt_notices as notices
from goalfsm.session.state import Blocking, Run, Steering
from goalfsm.views.prompts import last_answer, render_turn, steering_text, wind_down_text
from goalfsm.views.prompts.turn import TEMPLATES

FOLDER = Path(__file__).parent / "golden"
NOW_MS = 1_800_000_125_000
GOAL = Goal(
    goal_id="goal-1",
    objective="Release 2.0: build it, <test> it & publish it.\nEvery check in RELEASE.md passes.",
    created_at=1_800_000_000,
    updated_at=1_800_000_100,
    token_budget=250_000,
    tokens_used=61_250,
    time_budget_seconds=7_200,
    active_seconds=95,
    cost_budget=20_000_000,
    cost_used=4_125_000,
    max_continuations=40,
    continuations=3,
    criteria=(
        Criterion(text="`make test` exits 0"),
        Criterion(text='The wheel\'s metadata says "2.0"'),
    ),
    verifiers=(Verifier(kind="command", argv=("make", "test")), Verifier(kind="person")),
)
SESSION = Session(
    goal=GOAL,
    clock=Clock(goal_id="goal-1", last_ms=1_800_000_100_000),
    blocking=Blocking(count=1, reason="no credentials"),
)
MESSAGES = (
    Steering(message_id="m-1", text="Leave the docs folder alone.", at_ms=1_800_000_050_000),
    Steering(message_id="m-2", text="The tag is <v2.0>,\nnot 2.0.", at_ms=1_800_000_060_000),
)
FENCE = "fence-4"
RUN = Run(run_id="run-4", token=FENCE, goal_id="goal-1", turn=4, started_ms=1_800_000_100_000)


def with_goal(session: Session = SESSION, **fields: Any) -> Session:
    """Return the sample session with ``fields`` of its goal changed."""
    assert session.goal is not None
    return replace(session, goal=replace(session.goal, **fields))


def _steering() -> str:
    compact = render_turn(SESSION, NOW_MS)
    return render_turn(replace(SESSION, steering=MESSAGES), NOW_MS).removesuffix(compact)


def _last_turn() -> str:
    prompt = render_turn(with_goal(continuations=39), NOW_MS)
    return prompt[prompt.index("This is the last of") :]


def _noticed(name: str) -> str:
    (kind,) = [kind for kind in notices.KINDS if kind == name]
    noticed = notices.add((), kind, "exit status 2:\n<no tag> & no wheel")
    prompt = render_turn(replace(SESSION, notices=noticed), NOW_MS)
    return prompt[: prompt.index("The work on this thread's goal")]


_SAMPLES: dict[str, Callable[[], str]] = {
    "continuation": lambda: render_turn(with_goal(continuations=0), NOW_MS),
    "continuation_compact": lambda: render_turn(SESSION, NOW_MS),
    "last_turn": _last_turn,
    "last_answer": lambda: last_answer("4 of 9 done\n</last_answer> & more"),
    "wind_down": lambda: wind_down_text(with_goal(status="budgetLimited", limited_by="tokens")),
    "steering": _steering,
    "steering_message": lambda: steering_text("m-1", MESSAGES[0].text),
}


def sample(name: str) -> str:
    """Return what the golden file of the template ``name`` holds."""
    return _SAMPLES[name]() if name in _SAMPLES else _noticed(name)


if __name__ == "__main__":
    for template in TEMPLATES:
        (FOLDER / f"{template}.txt").write_text(sample(template), encoding="utf-8")
