"""The stale-work reducer: recorded sequences, stories, its table, and every reachable state."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from recovery.obligations import Event, State
from recovery.stale_work import LIFECYCLE, STATES, TABLE, Row, compile_lifecycle
from tests.recovery.noticing import judge
from tests.recovery.stale_work_exploring import GOALS, INVARIANTS, TURNS, explore
from tests.recovery.stale_work_recordings import VECTORS, recorded, replay
from tests.recovery.stale_work_stories import STORIES, told

if TYPE_CHECKING:
    from collections.abc import Iterator


# --- recorded sequences ---------------------------------------------------------------------


def test_recorded_sequences() -> None:
    """Every recorded step gives the recorded state and plan."""
    assert len(recorded()) == 202
    assert list(replay(TABLE)) == []


def test_recorded_states_survive_json() -> None:
    """A state that was written down is the state that is read, in the recorded shape."""
    for line in VECTORS.read_text(encoding="utf-8").splitlines():
        for step in msgspec.json.decode(line)["steps"]:
            state = msgspec.convert(step["expect"]["state"], State)
            written = msgspec.json.encode(state)
            assert msgspec.json.decode(written) == step["expect"]["state"]
            assert msgspec.json.decode(written, type=State) == state


# --- stories: what the recordings leave open ------------------------------------------------


@pytest.mark.parametrize("name", STORIES)
def test_story(name: str) -> None:
    """Overlapping aborts, ends that are late, repeated or nameless."""
    assert name not in set(told(TABLE))


# --- every reachable state ------------------------------------------------------------------


def test_every_reachable_state(capsys: pytest.CaptureFixture[str]) -> None:
    """All invariants hold in every state with up to three owed runs, and on every step."""
    seen = explore(TABLE, runs=3)
    with capsys.disabled():
        print(  # noqa: T201 - the figure is what the test is for
            f"\nstale work: {seen.states} states, {seen.transitions} transitions, "
            f"depth {seen.depth} (complete for {len(GOALS)} goals up to renaming, "
            f"{len(TURNS)} turn indices and 3 owed runs), {INVARIANTS} invariants"
        )
    assert seen.broken == []
    assert seen.states > 20_000
    rows = {(row.trigger, row.source, row.dest) for row in LIFECYCLE}
    names = {state: name for name, state in STATES.items()}
    by_class = {state.__name__: name for state, name in names.items()}
    triggers = {event.__name__: event.__struct_config__.tag for event in Event.__args__}
    taken = {
        (triggers[event], by_class[source], by_class[dest]) for event, source, dest in seen.rows
    }
    assert rows <= taken


# --- the table ------------------------------------------------------------------------------


def noticed_by(rows: tuple[Row, ...]) -> str | None:
    """Return what notices that the lifecycle consists of ``rows``, or None."""
    try:
        table = compile_lifecycle(rows)
    except ValueError:
        return "compilation"
    if next(replay(table), None) is not None:
        return "recorded sequences"
    if next(told(table), None) is not None:
        return "stories"
    if explore(table, runs=1, stop_at_first=True).broken:
        return "invariants"
    return None


def mutants() -> Iterator[tuple[str, tuple[Row, ...]]]:
    """Yield every single change: a row dropped, redirected, unguarded, made to do less or more."""
    for number, row in enumerate(LIFECYCLE):
        before, after = LIFECYCLE[:number], LIFECYCLE[number + 1 :]
        yield f"{row} dropped", (*before, *after)
        changes: list[dict[str, Any]] = [{"dest": dest} for dest in STATES if dest != row.dest]
        changes += [{"skip": not row.skip}]
        changes += [
            {"actions": row.actions[:place] + row.actions[place + 1 :]}
            for place in range(len(row.actions))
        ]
        changes += [{"actions": (*row.actions, "abort")}] if "abort" not in row.actions else []
        if row.when is not None:
            changes.append({"when": None})
        if row.update is not None:
            changes.append({"update": None})
        for change in changes:
            yield f"{row} with {change}", (*before, row._replace(**change), *after)


def test_every_change_of_the_table_is_noticed(capsys: pytest.CaptureFixture[str]) -> None:
    """No row can be dropped, redirected or changed without something above noticing."""
    assert noticed_by(LIFECYCLE) is None
    judged = judge(mutants(), noticed_by)
    with capsys.disabled():
        print(f"\nstale work: {len(LIFECYCLE)} rows, {judged}")  # noqa: T201 - the figure is the point
    assert judged.missed == []
