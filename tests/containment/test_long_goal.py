"""The release of two days: it ends complete, and its accounts are exact."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from goalfsm.daemon.flow.replay import replay
from goalfsm.goal.model import Usage
from goalfsm.session import codec
from goalfsm.session import events as e
from goalfsm.workers.protocol import UsageReported
from tests.containment import telling
from tests.containment.long_goal import BUILD, MORE_TOKENS, THREAD, TOKENS, TURNS, Story, tell


@pytest.fixture(scope="module")
def story() -> Iterator[Story]:
    """Play the two days once; the tests only look at them."""
    with contextlib.closing(tell()) as story:
        yield story


@pytest.fixture(scope="module")
def journal(story: Story) -> list[tuple[int, e.Event]]:
    """Return what happened, with the time (unix ms) of each event."""
    return [(row.at_ms, codec.decode_event(row.event)) for row in story.journal(THREAD)]


def test_it_ends_complete_after_forty_turns(story: Story) -> None:
    goal, session = story.goal(THREAD), story.session(THREAD)
    assert (goal.status, goal.continuations) == ("complete", TURNS)
    assert session.completion is not None
    assert session.completion.accepted_by == "person"
    assert len(session.completion.evidence) == len(goal.criteria)
    assert [result.outcome for result in session.completion.results] == ["passed"]
    assert story.worker.left == 0


def test_every_token_that_was_used_is_reported_and_charged_once(story: Story) -> None:
    """The sum over the turns is the ledger; all of it was the goal's."""
    told = [each for run in story.worker.runs for each in run.told]
    used = [each for each in told if isinstance(each, UsageReported)]
    spent = Usage(
        input_tokens=sum(each.input_tokens for each in used),
        output_tokens=sum(each.output_tokens for each in used),
        cached_tokens=sum(each.cached_tokens for each in used),
        cost=sum(each.cost for each in used),
    )
    goal, ledger = story.goal(THREAD), story.session(THREAD).ledger
    assert ledger.reported == spent
    assert goal.tokens_used == ledger.charged_tokens == spent.input_tokens + spent.output_tokens
    assert goal.cost_used == ledger.charged_cost == spent.cost
    assert ledger.uncharged == {}
    assert TOKENS < goal.tokens_used < MORE_TOKENS


def test_active_time_is_that_of_the_turns(story: Story, journal: list[tuple[int, e.Event]]) -> None:
    """Neither waits nor outages are, nor the time without an engine, nor the turn to wind down."""
    total_ms, begun_ms, wind_down = 0, 0, False
    for at_ms, event in journal:
        match event:
            case e.RunDispatched():
                begun_ms, wind_down = at_ms, event.wind_down
            case e.EngineLost():
                total_ms += event.seen_ms - begun_ms  # nobody knows how long it lived after that
                assert begun_ms < event.seen_ms < at_ms
            case e.RunFinished() if not wind_down:
                total_ms += at_ms - begun_ms
    assert story.goal(THREAD).active_seconds == total_ms // 1000


def test_every_thing_that_came_between_happened_once(
    journal: list[tuple[int, e.Event]],
) -> None:
    happened = [event for _, event in journal]
    counts = {
        kind.__name__: sum(isinstance(event, kind) for event in happened)
        for kind in (
            e.SteeringAcknowledged,
            e.CompactionEnded,
            e.RunInterrupted,
            e.BudgetChanged,
            e.ClaimAccepted,
        )
    }
    assert set(counts.values()) == {1}, counts
    assert [event.pid for event in happened if isinstance(event, e.ProcessEnded)] == [BUILD]
    winding_down = [event for event in happened if isinstance(event, e.RunDispatched)]
    assert [event.wind_down for event in winding_down].count(True) == 1


def test_nothing_runs_while_something_is_waited_for(
    story: Story, journal: list[tuple[int, e.Event]]
) -> None:
    """No turn between the wait and its end, the quota and its reset, the limit and its raise."""
    begun = [run.started_ms for run in story.worker.runs]
    pauses = [
        (e.WaitDeclared, e.ProcessEnded),
        (e.RunInterrupted, e.EngineStarted),
        (e.VerificationFinished, e.ClaimAccepted),
    ]
    for first, then in pauses:
        start = max(at for at, event in journal if isinstance(event, then))
        ended = [at for at, event in journal if isinstance(event, first) and at < start]
        assert not [at for at in begun if max(ended, default=start) < at < start], first.__name__
    quota = max(run.ended_ms or 0 for run in story.worker.runs if run.work.turn == 20)
    reset = min(run.started_ms for run in story.worker.runs if run.work.turn == 21)
    assert reset - quota > 12 * 3_600_000


def test_the_journal_replays_to_the_snapshot(story: Story) -> None:
    told = replay(story.engine._parts.store, THREAD)
    assert told.ok
    assert not told.skipped
    assert told.rows == len(story.journal(THREAD))


def test_the_page_of_the_docs_is_fresh(story: Story) -> None:
    """Make it anew with: python -m tests.containment --write."""
    assert telling.DOC.read_text(encoding="utf-8") == telling.page(story)
