"""The collector of garbage in a process that is an engine."""

from __future__ import annotations

import gc

from goalfsm.cli.hosting import collect_rarely
from goalfsm.goal.model import Usage
from goalfsm.session import effects as f
from goalfsm.session import events as e
from goalfsm.session.state import Session


def test_it_looks_seldom_and_at_what_is_new() -> None:
    """What is loaded is looked at no more; to be told so twice changes nothing."""
    before = gc.get_threshold()
    gc.unfreeze()  # an engine that ran in this process before has been told the same
    gc.set_threshold(700, 10, 10)
    try:
        collect_rarely()
        kept = gc.get_freeze_count()
        assert kept > 0
        assert gc.get_threshold()[0] > 700
        more = [[number] for number in range(100)]
        collect_rarely()
        assert gc.get_freeze_count() == kept
        assert all(gc.is_tracked(each) for each in more)
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()


def test_values_are_nothing_to_look_at() -> None:
    """Sessions, events and effects cannot refer to themselves."""
    values = (
        Session(),
        e.UsageReported(run_id="r", key="k", usage=Usage(), run_token="t"),
        f.StartRun(run_id="r"),
    )
    assert not any(gc.is_tracked(value) for value in values)
