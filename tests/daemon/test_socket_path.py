"""Where an engine's socket is: in a directory that is this user's alone."""

from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from goalfsm.daemon.remote import socket_path
from goalfsm.daemon.remote.socket_path import MAX_PATH, socket_for
from goalfsm.errors import GoalError
from tests.daemon.scenes import private


@pytest.fixture
def short_path() -> Iterator[Path]:
    """Be a directory in which the path of a socket is short enough, whoever runs the test."""
    with tempfile.TemporaryDirectory(prefix="g", dir="/tmp") as made:
        yield Path(made)


def test_a_directory_that_others_can_use_is_not_used(
    short_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    monkeypatch.setenv("TMPDIR", str(short_path))
    place = short_path / f"goalfsm-{os.getuid()}"
    assert socket_for("a.db").parent == place
    place.chmod(0o755)
    with pytest.raises(GoalError) as raised:
        socket_for("a.db")
    assert raised.value.code == "no_socket_directory"
    place.rmdir()
    place.symlink_to(private(short_path / "elsewhere"))
    with pytest.raises(GoalError):
        socket_for("a.db")
    place.unlink()
    place.write_text("")
    with pytest.raises(GoalError):
        socket_for("a.db")


def test_a_long_directory_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    long = private(tmp_path / ("x" * 120))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(long))
    place = socket_for("a.db")
    assert long not in place.parents
    assert len(os.fsencode(place)) <= MAX_PATH


def test_what_anybody_may_make_is_no_run_s_own_socket(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Outside of a namespace a turn could listen there, and answer the tools of all others."""
    monkeypatch.setattr(socket_path, "_short", lambda: tmp_path)
    place = socket_path.own_directory() / socket_path.SOCKET
    place.parent.mkdir()
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(place))
        listening.listen()
        assert socket_path.own_socket() is None
        mounts = tmp_path / "mounts"
        mounts.write_text(f"36 35 98:0 /home {place.parent} ro - ext4 /dev/root ro\n")
        monkeypatch.setattr(socket_path, "_MOUNTS", mounts)
        assert socket_path.own_socket() == place
