"""Why work goes on or stops: the guards that were asked, decisions as sentences, moments."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args

import msgspec
import pytest
from msgspec.structs import replace

from goalfsm.session.continuation import GUARDS, StopReason
from goalfsm.session.state import Decision
from goalfsm.views.explain import chain_of, explain, moment, sentence
from goalfsm.views.parts import Driver, LastDecision
from tests.unit.sessions import RUN, active, with_goal


def decided(guard: str, decision: Any = "stop", reason: str = "r") -> Decision:
    return Decision(decision=decision, guard=guard, reason=reason, at_ms=1_800_000_000_000)


@pytest.mark.parametrize("at", range(len(GUARDS)))
def test_chain_ends_with_the_guard_that_decided(at: int) -> None:
    """Those before it said no, it said yes, those after it were not asked."""
    answers = [answer.answer for answer in chain_of(GUARDS[at].name)]
    assert answers == ["no"] * at + ["yes"] + ["not asked"] * (len(GUARDS) - at - 1)


def test_chain_of_work_that_goes_on_says_no_to_every_guard() -> None:
    chain = chain_of("otherwise")
    assert [(answer.guard, answer.asks) for answer in chain] == [(g.name, g.asks) for g in GUARDS]
    assert {answer.answer for answer in chain} == {"no"}


def test_decision_that_no_guard_made_has_no_chain() -> None:
    assert chain_of("somebody") == ()


def test_explanation_in_words_and_data() -> None:
    session = replace(
        with_goal(status="paused", pause_reason="no_progress", note="3 turns in a row did nothing"),
        decision=decided("no_progress", reason="no_progress: 3 turns in a row did nothing"),
    )
    told = explain(session)
    assert told.words[0] == "Now: paused (no_progress): 3 turns in a row did nothing."
    assert told.words[1] == (
        "Work stopped at 2027-01-15 08:00:00 UTC: the last turns got nowhere "
        "(3 turns in a row did nothing)."
    )
    assert told.words[-1] == "Hint: goalfsm resume THREAD"
    assert "  yes  Did the last turns get nowhere?" in told.words
    assert "  no   Is the goal anything but active?" in told.words
    asked = [one for one in told.chain if one.answer != "not asked"]
    assert len(told.words) == len(asked) + 3  # what was not asked says nothing
    assert len(told.chain) == len(GUARDS)
    assert told.last_decision is not None
    assert told.last_decision.guard == "no_progress"
    assert (told.activity, told.hint) == ("paused (no_progress)", "goalfsm resume THREAD")
    assert msgspec.json.decode(msgspec.json.encode(told))["chain"][0]["answer"] == "no"


def test_explanation_before_the_first_decision() -> None:
    assert explain(active(run=RUN)).words == (
        "Now: running a turn: turn 3.",
        "Nothing was decided yet.",
    )


def journal(*made: tuple[str, str, str]) -> Iterator[Decision]:
    """Yield decisions of a journal, newest first; nobody may read on beyond them."""
    for decision, guard, reason in made:
        yield Decision(decision=decision, guard=guard, reason=reason)  # type: ignore[arg-type]
    raise AssertionError("more is read than is shown")


def test_explanation_with_the_decisions_before() -> None:
    """Each that differs from the one after it; what was asked for in vain decided nothing."""
    session = replace(active(), decision=decided("wait", decision="wait", reason="the build"))
    wait, on = ("wait", "wait", "the build"), ("continue", "otherwise", "the objective is not met")
    told = explain(
        session,
        journal(wait, on, ("refused", "evidence_missing", "nothing is shown"), on, *[wait, on] * 2),
    )
    assert [one.decision for one in told.earlier] == ["continue", "wait"] * 2 + ["continue"]
    at = told.words.index("Before that:")
    assert told.words[at + 1] == (
        "  Work went on at 1970-01-01 00:00:00 UTC: the objective is not met (otherwise)."
    )
    assert len(told.words) == at + 6


def test_explanation_of_a_thread_whose_decisions_are_all_the_same() -> None:
    session = replace(active(), decision=decided("wait", decision="wait", reason="the build"))
    same = Decision(decision="wait", guard="wait", reason="the build")
    told = explain(session, (same, same))
    assert told.earlier == ()
    assert "Before that:" not in told.words


@pytest.mark.parametrize(("before", "said"), [(0, "else"), (4, "more"), (5, None)])
def test_explanation_of_the_newest_events_says_so(before: int, said: str | None) -> None:
    """Only where older ones might hold decisions that would be shown as well."""
    session = replace(active(), decision=decided("wait", decision="wait", reason="0"))
    made = [Decision(decision="wait", guard="wait", reason=str(n)) for n in range(before + 1)]
    told = explain(session, made, of_newest=20_000)
    words = f"Nothing {said} was decided in the newest 20,000 events; goalfsm log -n N"
    assert len(told.earlier) == before
    assert told.of_newest == (20_000 if said else None)
    assert [words in row for row in told.words].count(True) == (1 if said else 0)
    assert explain(session, made).of_newest is None


def test_explanation_of_what_was_decided_before_the_history_was_loaded() -> None:
    told = explain(active(), (Decision(decision="stop", guard="status", reason="completed"),))
    assert [one.reason for one in told.earlier] == ["completed"]


def last(decision: Any, reason: str, until_ms: int | None = None) -> LastDecision:
    return LastDecision(
        decision=decision, guard="g", reason=reason, at=0, at_ms=0, until_ms=until_ms
    )


@pytest.mark.parametrize(
    ("made", "text"),
    [
        (last("continue", "it is not met"), "Work went on at {0}: it is not met."),
        (
            last("wait", "the build\nruns", 60_000),
            "Work waited at {0}: the build runs, until 1970-01-01 00:01:00 UTC.",
        ),
        (last("stop", "completed"), "Work stopped at {0}: the goal is complete."),
        (last("stop", "paused: user"), "Work stopped at {0}: the goal is paused (user)."),
        (
            last("stop", "cleared: the thread has no goal"),
            "Work stopped at {0}: the thread has no goal.",
        ),
        (last("stop", "else"), "Work stopped at {0}: else."),
        (last("stop", ""), "Work stopped at {0}."),
    ],
)
def test_decision_as_a_sentence(made: LastDecision, text: str) -> None:
    assert sentence(made) == text.format("1970-01-01 00:00:00 UTC")


def test_every_reason_to_stop_has_words() -> None:
    """A reason that is shown as its code would be a word that nobody has explained."""
    for reason in get_args(StopReason):
        assert f": {reason}" not in sentence(last("stop", reason))


@pytest.mark.parametrize(
    ("unix_ms", "text"),
    [
        (1_800_000_000_999, "2027-01-15 08:00:00 UTC"),
        (253_402_300_799_999, "9999-12-31 23:59:59 UTC"),
        (253_402_300_800_000, "253402300800000 ms"),
        (2**53 - 1, "9007199254740991 ms"),
        (-1, "-1 ms"),
    ],
)
def test_moment(unix_ms: int, text: str) -> None:
    """A time that no calendar holds is no reason to fail."""
    assert moment(unix_ms) == text


def test_what_nobody_works_on_is_said_first() -> None:
    told = explain(active(), driver=Driver(pid=7, alive=False))
    assert "nobody works on this" in told.words[0]
