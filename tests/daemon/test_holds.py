"""Why no turn starts, in words."""

from __future__ import annotations

from goalfsm.daemon.flow.threads import ENDING, HALTED, OUTAGE, SHUTDOWN, Holds


def test_what_holds_a_thread_is_told_of_all_and_of_itself() -> None:
    holds = Holds(lambda _thread, _held: None)
    assert holds.told("a") == ""
    holds.add(OUTAGE)
    holds.add(HALTED, "a")
    assert holds.told("b") == "the store cannot commit"
    assert holds.told("a").startswith("the store cannot commit; a fault was met")
    holds.release(OUTAGE)
    assert "goalfsm resume" in holds.told("a")
    assert holds.told("b") == ""
    holds.add(SHUTDOWN)
    assert holds.told("") == "the engine shuts down"


def test_what_passes_within_moments_is_not_told() -> None:
    holds = Holds(lambda _thread, _held: None)
    holds.add(ENDING, "a")
    assert holds.stops("a")
    assert holds.told("a") == ""
