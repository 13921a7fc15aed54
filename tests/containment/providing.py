"""Providers that fail, are away, have no quota left or too small a context."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from goalfsm.session.policy import Policy
from goalfsm.testing import claims_complete, fails, says, takes, uses_tool
from goalfsm.workers.protocol import ErrorReported
from tests.containment.scenario import OBJECTIVE, THREAD, TURN, Row, Stage, scenario, turn_tokens

OVERFLOW = fails("prompt is too long: 210000 tokens > 200000 maximum")
HOUR = 3_600
BACKOFF = Policy().retry_maximum_s * (1 + Policy().retry_jitter)


def attempts(seconds: float) -> int:
    """Return how many attempts there are at most in an outage that long."""
    policy = Policy()
    growing = int(policy.retry_maximum_s / policy.retry_initial_s).bit_length() + 1
    return int(seconds // policy.retry_maximum_s) + growing


def last(stage: Stage, *, at: str) -> None:
    """Check that the last turn began at ``at`` (UTC), or within one step of the backoff."""
    begun = datetime.fromtimestamp(stage.worker.runs[-1].started_ms / 1000, UTC)
    late = (begun - datetime.fromisoformat(f"{at}Z")).total_seconds()
    assert 0 <= late <= BACKOFF, f"{late} s late"


@scenario(
    "The network fails in the first turn",
    "The goal stops for good at its first error.",
)
def network(stage: Stage) -> Iterator[Row]:
    stage.worker.turn(fails("fetch failed: connect ECONNREFUSED 203.0.113.7:443"))
    stage.worker.turn(turn_tokens(), uses_tool(), claims_complete("it is released"))
    stage.give(THREAD, OBJECTIVE)
    stage.settle(THREAD)
    yield stage.row("with one more attempt", "complete", most=1, runs=2, tokens=TURN)


@scenario(
    "The provider is down for 6 hours",
    "All turns are spent on errors, or the goal gives up.",
)
def outage(stage: Stage) -> Iterator[Row]:
    stage.worker.until("2026-03-14 06:00", fails("503 Service Unavailable", status=503))
    stage.worker.turn(turn_tokens(), uses_tool(), claims_complete("it is released"))
    stage.give(THREAD, OBJECTIVE)
    stage.clock.advance("1s")
    yield stage.row("the turn that meets it", "recovering", most=1, tokens=0)
    stage.clock.advance("5h 50m")
    runs = attempts(6 * HOUR) - 1
    yield stage.row("while it is down", "recovering", most=0, runs=runs, tokens=0)
    stage.settle(THREAD)
    last(stage, at="2026-03-14 06:00")
    yield stage.row(
        "within one backoff step of its return", "complete", most=0, runs=3, tokens=TURN
    )


@scenario(
    "The provider is down for days",
    "Attempts without end.",
)
def days(stage: Stage) -> Iterator[Row]:
    stage.worker.rest(fails("overloaded_error: Overloaded", status=529))
    stage.give(THREAD, OBJECTIVE)
    stage.clock.advance("1s")
    yield stage.row("the turn that meets it", "recovering", most=1, tokens=0)
    stage.clock.advance("3d")
    runs = attempts(Policy().retry_window_s) - 1
    yield stage.row("in 3 days", "paused (recovery)", most=0, runs=runs, tokens=0)
    assert stage.session(THREAD).recovery.attention is not None


def used_up() -> ErrorReported:
    """Return the error of a quota that is there again after 5 hours."""
    return fails("You have hit your usage limit. Please try again later.", retry_after="5h")


@scenario(
    "The quota is used up for 5 hours",
    "The goal never comes back after the reset, or tries all the time.",
)
def quota(stage: Stage) -> Iterator[Row]:
    stage.worker.turn(turn_tokens(), used_up())
    stage.worker.turn(turn_tokens(), uses_tool(), claims_complete("it is released"))
    stage.give(THREAD, OBJECTIVE)
    stage.clock.advance("1m")
    yield stage.row("until it is used up", "paused (usage_limit)", most=1)
    stage.clock.advance("4h 58m")
    yield stage.row("until the reset", "paused (usage_limit)", most=0)
    stage.clock.advance("2m")
    yield stage.row("at the reset", "complete", most=1)


@scenario(
    "The engine restarts between quota and reset",
    "A restart forgets the reset, or does not wait for it.",
)
def restarted(stage: Stage) -> Iterator[Row]:
    stage.worker.turn(turn_tokens(), used_up())
    stage.worker.turn(turn_tokens(), uses_tool(), claims_complete("it is released"))
    stage.give(THREAD, OBJECTIVE)
    stage.clock.advance("1h")
    stage.restart()
    stage.clock.advance("1h")
    stage.stop()
    stage.start()
    stage.clock.advance("2h 50m")
    yield stage.row("until the reset", "paused (usage_limit)", most=1)
    stage.clock.advance("10m")
    yield stage.row("at the reset", "complete", most=1)


@scenario(
    "No engine runs at the reset of the quota",
    "Nobody was there at the reset, so it never happened.",
)
def absent(stage: Stage) -> Iterator[Row]:
    stage.worker.turn(turn_tokens(), used_up())
    stage.worker.turn(turn_tokens(), uses_tool(), claims_complete("it is released"))
    stage.give(THREAD, OBJECTIVE)
    stage.clock.advance("1h")
    stage.stop()
    stage.clock.advance("2d")
    yield stage.row("until an engine runs again", "paused (usage_limit)", most=1)
    stage.start()
    stage.clock.advance("1m")
    yield stage.row("when it does", "complete", most=1)


@scenario(
    "The clock is set back by a day while the quota is used up",
    "The reset is tomorrow by now, and the goal stands still until then.",
)
def set_back(stage: Stage) -> Iterator[Row]:
    stage.worker.turn(turn_tokens(), used_up())
    stage.worker.turn(turn_tokens(), uses_tool(), claims_complete("it is released"))
    stage.give(THREAD, OBJECTIVE)
    stage.clock.advance("1m")
    stage.clock.jump(-24 * HOUR)
    stage.clock.advance("4h 58m")
    yield stage.row("for what is left of 5 hours", "paused (usage_limit)", most=1)
    stage.clock.advance("2m")
    yield stage.row("after 5 hours", "complete", most=1)


@scenario(
    "The reset that is named has passed, and the quota stays used up",
    "It resumes and is refused, thousands of times.",
)
def overdue(stage: Stage) -> Iterator[Row]:
    said = fails("You have hit your usage limit.", code="usage_limit_reached", retry_after="0s")
    stage.worker.rest(said)
    stage.give(THREAD, OBJECTIVE)
    stage.clock.advance("8h")
    runs = attempts(8 * HOUR)
    yield stage.row("in 8 hours", "paused (usage_limit)", most=1, runs=runs, tokens=0)
    assert stage.goal(THREAD).resume_at_ms is not None
    stage.clock.advance("3d")
    runs = attempts(Policy().retry_window_s - 8 * HOUR)
    yield stage.row("in 3 days more", "paused (usage_limit)", most=0, runs=runs, tokens=0)
    assert stage.session(THREAD).recovery.attention is not None


@scenario(
    "The reset is a time of day in words",
    "Resets 3am (Europe/Paris), and nobody reads it.",
)
def words(stage: Stage) -> Iterator[Row]:
    said = fails("You've hit your limit · resets 3am (Europe/Paris)")
    stage.worker.turn(turn_tokens(), said)
    stage.worker.turn(turn_tokens(), uses_tool(), claims_complete("it is released"))
    stage.give(THREAD, OBJECTIVE)
    stage.clock.advance_to("2026-03-14 01:59:59")
    yield stage.row("until 3 in Paris", "paused (usage_limit)", most=1)
    stage.clock.advance_to("2026-03-14 02:00:05")
    yield stage.row("at 3 in Paris", "complete", most=1)


@scenario(
    "The context overflows, and compacting helps",
    "The thread is lost at its first overflow.",
)
def compacted(stage: Stage) -> Iterator[Row]:
    stage.worker.can |= {"compact"}
    stage.worker.turn(turn_tokens(), uses_tool(), says("It grows."), OVERFLOW)
    stage.worker.turn(turn_tokens(), uses_tool(), claims_complete("it is released"))
    stage.give(THREAD, OBJECTIVE)
    stage.settle(THREAD)
    yield stage.row("with one compaction", "complete", most=2)
    assert len(stage.worker.compactions) == 1


@scenario(
    "The context overflows after the compaction too",
    "Compact, overflow, compact, overflow.",
)
def overflowing(stage: Stage) -> Iterator[Row]:
    stage.worker.can |= {"compact"}
    stage.worker.rest(OVERFLOW)
    stage.give(THREAD, OBJECTIVE)
    stage.clock.advance("8h")
    yield stage.row("in 8 hours", "paused (recovery)", most=2, tokens=0)
    assert len(stage.worker.compactions) == 1


@scenario(
    "The context overflows and nothing can compact it",
    "The same request, again and again, each too long.",
)
def rigid(stage: Stage) -> Iterator[Row]:
    stage.worker.rest(OVERFLOW)
    stage.give(THREAD, OBJECTIVE)
    stage.clock.advance("8h")
    yield stage.row("in 8 hours", "paused (recovery)", most=1, tokens=0)


@scenario(
    "The provider's key is wrong",
    "An error that no attempt can mend, tried all night.",
)
def key(stage: Stage) -> Iterator[Row]:
    stage.worker.rest(fails("401 Unauthorized: invalid API key", status=401), takes("1s"))
    stage.give(THREAD, OBJECTIVE)
    stage.clock.advance("8h")
    yield stage.row("in 8 hours", "paused (recovery)", most=1, tokens=0)
