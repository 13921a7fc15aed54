"""The rules of a thread: what may be set, and what the reference leaves out."""

from __future__ import annotations

from math import inf, nan
from typing import Any

import msgspec
import pytest

from goalfsm.session import Policy


@pytest.mark.parametrize(
    "fields",
    [
        {"blocked_after": 0},
        {"steering_limit": 0},
        {"no_progress": -1},
        {"max_continuations": -1},
        {"retry_initial_s": 0.0},
        {"retry_maximum_s": -1.0},
        {"retry_window_s": inf},
        {"overrun_s": nan},
        {"short_wait_s": -1.0},
        {"short_wait_s": inf},
        {"retry_jitter": 1.1},
        {"retry_jitter": -0.1},
        {"cached_weight": 1.5},
        {"cached_weight": nan},
    ],
)
def test_what_could_never_be_meant_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"at least|or more|more than|from 0 to 1"):
        Policy(**fields)
    with pytest.raises(ValueError, match=r".+"):
        Policy().changed(fields)


def test_the_limits_of_what_may_be_set_may_be_set() -> None:
    Policy(blocked_after=1, steering_limit=1, no_progress=0, max_continuations=0)
    Policy(retry_jitter=0.0, cached_weight=1.0, retry_window_s=0.001)


def test_a_change_leaves_the_rest_as_it_was() -> None:
    policy = Policy(blocked_after=5)
    assert policy.changed({"no_progress": 1}) == Policy(blocked_after=5, no_progress=1)
    assert policy.changed({}) == policy


@pytest.mark.parametrize(
    "changes", [{"blocked": 1}, {"retries": "nobody"}, {"blocked_after": "three"}]
)
def test_an_unknown_or_mistyped_setting_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r".+"):
        Policy().changed(changes)


def test_a_stored_policy_is_checked_when_it_is_read() -> None:
    stored = msgspec.json.encode(Policy())
    assert msgspec.json.decode(stored, type=Policy) == Policy()
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(b'{"blocked_after": 0}', type=Policy)


def test_the_reference_has_nothing_that_goalfsm_adds() -> None:
    reference = Policy.reference()
    assert (reference.retries, reference.compacts) == ("host", "host")
    assert (reference.blocked_after, reference.evidence_required) == (1, False)
    assert (reference.no_progress, reference.max_continuations) == (0, 0)
    assert reference.idle_time_counts
