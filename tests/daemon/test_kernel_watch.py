"""What the kernel tells of files that are watched, and what is given back afterwards."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from goalfsm.daemon.host.watch import Place, watch_files


def _told_of(places: list[Place], change: Callable[[], object]) -> bool:
    """Tell whether the system tells of a change."""

    async def main() -> bool:
        told = asyncio.Event()
        watch = watch_files(lambda: places)
        assert watch is not None
        assert watch.start(told.set)
        change()
        # Whatever the kernel has to tell is there when the change returns.
        for _ in range(3):
            await asyncio.sleep(0)
        watch.stop()
        return told.is_set()

    return asyncio.run(main())


@pytest.mark.parametrize("harm", ["write", "truncate", "delete", "replace", "log", "move", "mode"])
def test_the_system_tells_of(tmp_path: Path, harm: str) -> None:
    """Whatever happens to the database's file, its log or their directory."""
    home = tmp_path / "home"
    home.mkdir()
    file, log = home / "goals.db", home / "goals.db-wal"
    file.write_bytes(b"data")
    log.write_bytes(b"")
    (home / "new").write_bytes(b"other")
    changes: dict[str, Callable[[], object]] = {
        "write": lambda: file.write_bytes(b"other data"),
        "truncate": lambda: os.truncate(file, 0),
        "delete": file.unlink,
        "replace": lambda: (home / "new").rename(file),
        "log": lambda: log.write_bytes(b"a row"),
        "move": lambda: home.rename(tmp_path / "elsewhere"),
        "mode": lambda: file.chmod(0o400),
    }
    places = [Place(home, frozenset({file.name, log.name}))]
    assert _told_of(places, changes[harm])


def test_the_system_tells_of_nothing_else(tmp_path: Path) -> None:
    """Other files beside it are nobody's business; and what is read is not changed."""
    (tmp_path / "goals.db").write_bytes(b"data")
    places = [Place(tmp_path, frozenset({"goals.db"}))]
    assert not _told_of(places, lambda: (tmp_path / "goals.db-reserve").write_bytes(b"x"))
    assert not _told_of(places, (tmp_path / "goals.db").read_bytes)


def test_a_directory_that_comes_later_is_watched_too(tmp_path: Path) -> None:
    """Its parent tells of it, unless others write there; the next start watches it."""
    place = tmp_path / "state" / "stops"
    (tmp_path / "state").mkdir()
    places = [Place(tmp_path, frozenset({"goals.db"})), Place(place)]
    assert _told_of(places, place.mkdir)
    assert _told_of(places, (place / "stop.json").touch)
    place.joinpath("stop.json").unlink()
    place.rmdir()
    (tmp_path / "state").chmod(0o777)
    assert not _told_of(places, place.mkdir)


def test_a_watch_gives_everything_back(tmp_path: Path) -> None:
    """No descriptor stays; a directory that is gone is no watch."""

    async def main() -> None:
        before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - a count
        watch = watch_files(lambda: [Place(tmp_path)])
        assert watch is not None
        assert watch.start(lambda: None)
        assert watch.start(lambda: None)
        watch.stop()
        watch.stop()
        gone = watch_files(lambda: [Place(Path("/proc/self/nothing/here"))])
        assert gone is not None
        gone.start(lambda: None)
        gone.stop()
        assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208 - a count

    asyncio.run(main())
