"""Where an engine's socket is: in a directory that is this user's alone."""

from __future__ import annotations

import errno
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


def test_where_nothing_can_be_written_or_removed_that_is_said(
    short_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A read-only file system, as root meets it, too."""

    def refused(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(socket_path, "_short", lambda: private(short_path / "own"))
    monkeypatch.setattr(tempfile, "mkdtemp", refused)
    with pytest.raises(GoalError, match="cannot create a directory in") as raised:
        socket_path.run_directory("a.db")
    assert raised.value.code == "no_socket_directory"
    left = short_path / "0123-1.sock"
    left.touch()
    monkeypatch.setattr(socket_path, "remove", refused)
    socket_path.remove_stale(short_path / "0123-2.sock")
    assert left.exists()
