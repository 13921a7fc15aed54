"""Which effects are still wanted: what they were asked for may be over."""

from __future__ import annotations

import pytest

from goalfsm.session import Policy
from goalfsm.session import effects as f
from goalfsm.session.work import asks_to_go_on, is_wanted
from tests.session.hosts import started


@pytest.mark.parametrize(
    ("effect", "wanted"),
    [
        (f.RunVerifier(claim_id="c", index=0), False),
        (f.RunUntil(check_id="c"), False),
        (f.WatchProcess(pid=7, started="s"), False),
        (f.StartRun(run_id="r"), True),
    ],
)
def test_what_nobody_asks_for_any_more_is_not_wanted(effect: f.Effect, wanted: bool) -> None:
    assert is_wanted(effect, started().session) is wanted


def test_a_start_that_has_to_be_asked_about_is_told() -> None:
    thread = started(Policy(on_start="ask"))
    assert not asks_to_go_on(thread.session)
    thread.restart()
    assert asks_to_go_on(thread.session)
