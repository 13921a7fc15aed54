"""Small files are read with a bound and written whole, whatever lies in their places."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from goalfsm import files
from recovery import load_rules


def test_what_is_written_is_read_again_by_its_owner_alone(tmp_path: Path) -> None:
    place = tmp_path / "new" / "file"
    files.write_bytes(place, b"one")
    files.write_bytes(place, b"two")
    assert files.read_bytes(place) == b"two"
    assert place.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in place.parent.iterdir()] == ["file"]


def test_a_link_is_replaced_and_not_followed(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_text("mine")
    (tmp_path / "file").symlink_to(other)
    files.write_bytes(tmp_path / "file", b"ours")
    assert other.read_text() == "mine"
    assert files.read_bytes(tmp_path / "file") == b"ours"


@pytest.mark.parametrize("what", ["fifo", "device", "folder"])
def test_what_is_no_file_is_refused_at_once(what: str, tmp_path: Path) -> None:
    place = tmp_path / what
    if what == "fifo":
        os.mkfifo(place)
    elif what == "device":
        place.symlink_to("/dev/zero")
    else:
        place.mkdir()
    with pytest.raises(OSError, match=r"regular|directory"):
        files.read_bytes(place)
    with pytest.raises((ValueError, OSError), match="regular"):
        load_rules(place)


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    place = tmp_path / "large"
    place.write_bytes(b"x" * 11)
    with pytest.raises(OSError, match="larger than 10 bytes"):
        files.read_bytes(place, most=10)
    assert len(files.read_bytes(place, most=11)) == 11


def test_what_cannot_be_written_leaves_what_was_there(tmp_path: Path) -> None:
    place = tmp_path / "file"
    place.mkdir()
    (place / "in the way").touch()
    with pytest.raises(OSError, match="directory"):
        files.write_bytes(place, b"ours")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("what", ["without an end", "too deep"])
def test_rules_are_read_with_a_bound(tmp_path: Path, what: str) -> None:
    place = tmp_path / "rules.toml"
    place.write_text("rule = " + "[" * 5_000)
    if what == "without an end":
        os.truncate(place, 1 << 40)
    with pytest.raises(ValueError, match=r"rules\.toml: (larger than|maximum recursion)"):
        load_rules(place)
