"""What the runs of a goal came to, kept with the thread."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from goalfsm.goal.accounting import RunRecord, Tally
from goalfsm.goal.model import Usage, Verifier
from goalfsm.session import events as e
from goalfsm.testing.loop import START_MS
from goalfsm.testing.threads import CheckedThread
from goalfsm.views.report import record
from tests.session.hosts import started


def tally(thread: CheckedThread) -> Tally:
    assert thread.session.tally is not None
    return thread.session.tally


def counts(thread: CheckedThread) -> tuple[int, int, int, int]:
    found = tally(thread)
    return found.runs, found.finished, found.interrupted, found.refused_claims


def test_runs_are_counted_by_how_they_ended() -> None:
    thread = started()
    thread.turn("one")
    thread.advance(1)
    thread.dispatch()
    assert tally(thread).last_run == RunRecord(run_id="run-2", turn=2, started_ms=START_MS + 1000)
    thread.advance(2)
    thread.end(outcome="timed_out")
    assert counts(thread) == (2, 1, 0, 0)
    ended = tally(thread).last_run
    assert ended is not None
    assert (ended.outcome, ended.ended_ms) == ("timed_out", START_MS + 3000)


def test_a_repeated_dispatch_or_end_counts_once() -> None:
    thread = started()
    thread.dispatch()
    thread.do(e.RunDispatched(run_id="run-1", token="token-1"))
    thread.end()
    thread.do(e.RunFinished(run_id="run-1"))
    assert counts(thread) == (1, 1, 0, 0)


@pytest.mark.parametrize(("ended_ms", "shown"), [(None, 9000), (START_MS + 2000, 2000)])
def test_an_interrupted_run_ended_when_it_is_known_to_have(
    ended_ms: int | None, shown: int
) -> None:
    thread = started()
    thread.dispatch()
    thread.advance(9)
    thread.interrupt(ended_ms=ended_ms)
    last = tally(thread).last_run
    assert last is not None
    assert (last.outcome, last.ended_ms) == ("interrupted", START_MS + shown)
    assert counts(thread) == (1, 0, 1, 0)


def test_a_claim_that_is_refused_counts_and_one_that_is_accepted_does_not() -> None:
    thread = started(verifiers=(Verifier(kind="person"),))
    for answer in (e.ClaimRejected(feedback="no"), e.ClaimAccepted()):
        thread.dispatch()
        thread.claim_complete("it runs")
        thread.end()
        thread.do(answer)
    assert thread.status == "complete"
    assert counts(thread) == (2, 2, 0, 1)


def test_a_rejection_without_a_claim_counts_nothing() -> None:
    thread = started()
    thread.do(e.ClaimRejected(feedback="no"))
    assert counts(thread) == (0, 0, 0, 0)


def test_a_new_goal_begins_at_nothing() -> None:
    thread = started()
    thread.dispatch()
    thread.use(1_000)
    thread.end()
    thread.give("Another", replace=True)
    assert tally(thread) == Tally(ledger_before=Usage(input_tokens=1_000))
    thread.dispatch()
    thread.use(7)
    assert counts(thread) == (1, 0, 0, 0)
    assert record(thread.session, thread.now_ms).usage == Usage(input_tokens=7)
    thread.do(e.ClearRequested())
    assert thread.session.tally is None


def test_the_end_of_a_run_whose_goal_was_replaced_is_not_the_new_ones() -> None:
    thread = started()
    thread.dispatch()
    thread.give("Another", replace=True)
    thread.interrupt()
    assert tally(thread) == Tally()


def test_a_goal_of_an_earlier_version_is_counted_from_its_next_run_on() -> None:
    thread = started()
    thread.dispatch()
    thread.use(1_000)
    thread._session = replace(thread.session, tally=None)
    thread.end()
    assert thread.session.tally is None
    thread.advance(5)
    thread.dispatch()
    thread.use(7)
    found = record(thread.session, thread.now_ms)
    assert (found.runs, found.counted_since_ms) == (1, START_MS + 5000)
    assert found.usage == Usage(input_tokens=7)
