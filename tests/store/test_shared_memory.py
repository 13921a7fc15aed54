"""The store where the index of its log, which processes share, fails at every call in turn."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from goalfsm.store.sqlite import SqliteStore
from tests.store.faulty_calls import FaultyCalls, failing_calls
from tests.store.scenario import Scenario

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="files of descriptors are named by /proc"
)

FAULTS = {
    "it cannot be opened": ("open", errno.EIO),
    "nothing is known of it": ("fstat", errno.EIO),
    "somebody has a lock on it": ("fcntl", errno.EAGAIN),
    "there is no room for it": ("pwrite64", errno.ENOSPC),
    "it cannot grow": ("pwrite64", errno.EIO),
    "it cannot be mapped": ("mmap", errno.ENOMEM),
    "it cannot be closed": ("close", errno.EIO),
    "it cannot be removed": ("unlink", errno.EIO),
}


@pytest.fixture
def calls() -> Iterator[FaultyCalls]:
    """Return what makes calls fail."""
    with failing_calls() as faults:
        yield faults


def _play(path: Path) -> Scenario:
    scenario = Scenario(path, "unix")
    scenario.play()
    return scenario


@pytest.mark.parametrize("name", FAULTS)
def test_every_call_fails_once(tmp_path: Path, calls: FaultyCalls, name: str) -> None:
    """A caller that does what the errors say ends where it would have ended, wherever it struck."""
    kind, code = FAULTS[name]
    _play(tmp_path / "whole" / "goals.db")
    often = calls.counts[kind]
    assert often > 0
    opened = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - it is no place of files
    for at in range(1, often + 1):
        path = tmp_path / str(at) / "goals.db"
        calls.counts.clear()
        calls.kind, calls.at, calls.code, calls.struck = kind, at, code, 0
        scenario = _play(path)
        assert calls.struck == 1
        store = SqliteStore.open(path, reserve_bytes=0)
        assert scenario.check(store) == set(scenario.tried)
        assert len(scenario.tried) == 9
        store.close()
    assert len(os.listdir("/proc/self/fd")) == opened  # noqa: PTH208 - as above
