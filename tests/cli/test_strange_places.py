"""What the system gives or takes: one line and a hint, no traceback, nothing written."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.processes import goalfsm
from tests.cli.terminal import Cli

STRANGE = os.fsdecode(b"\xff")


@pytest.fixture
def strange(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the working directory, whose name is no UTF-8."""
    place = tmp_path / f"{STRANGE}d"
    try:
        place.mkdir()
    except OSError:
        pytest.skip("this file system takes UTF-8 alone")
    monkeypatch.chdir(place)
    return place


@pytest.mark.parametrize(
    "words",
    [
        ("run", "do it", "--", "true"),
        ("set", "t", "do it", "--", "true"),
        ("set", "t", "do it", "--db", f"{STRANGE}.db", "--", "true"),
        ("run", "do it", "--", "echo", STRANGE),
    ],
)
def test_what_is_no_utf_8_is_refused_before_anything_is_written(
    words: tuple[str, ...], strange: Path, tmp_path: Path
) -> None:
    done = goalfsm(*words)
    assert done.status == 2, done
    assert "no UTF-8" in done.err
    assert "Hint: use a path" in done.err
    assert "Traceback" not in done.err
    assert list(strange.iterdir()) == []
    assert not list(tmp_path.glob("state/goalfsm/*.db"))


def test_commands_that_keep_nothing_work_there(cli: Cli, strange: Path) -> None:
    for command in ("list", "status", "explain", "report"):
        assert "no goal yet" in cli(command).err
    assert list(strange.iterdir()) == []


def _limited(words: tuple[str, ...], what: int, most: int) -> subprocess.CompletedProcess[str]:
    """Run a command under a limit of the system's."""

    def limited() -> None:
        resource.setrlimit(what, (most, most))

    return subprocess.run(
        [sys.executable, "-m", "goalfsm.cli", *words],
        preexec_fn=limited,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the limit means something else")
@pytest.mark.parametrize("words", [("run", "do it", "--", "true"), ("daemon",), ("status",)])
@pytest.mark.parametrize(
    ("what", "most"),
    [
        (resource.RLIMIT_AS, 40_000_000),
        (resource.RLIMIT_AS, 50_000_000),
        (resource.RLIMIT_NOFILE, 8),
        (resource.RLIMIT_NOFILE, 20),
    ],
)
def test_where_the_system_gives_no_more_it_ends_with_a_line(
    words: tuple[str, ...], what: int, most: int
) -> None:
    done = _limited(words, what, most)
    assert done.returncode != 0
    assert "Traceback" not in done.stderr, done.stderr
    # The log of an engine that had begun is before it.
    told, hint = done.stderr.splitlines()[-2:]
    assert done.stderr.count("goalfsm: ") == 1
    needs_little = words == ("status",) and what == resource.RLIMIT_AS
    assert needs_little or told.startswith("goalfsm: the system gives no more: ")
    assert hint.startswith("Hint: ")


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        OSError(errno.EMFILE, "Too many open files"),
        ImportError("libc.so: failed to map segment from shared object"),
        SystemError("returned NULL without setting an exception"),
    ],
)
def test_the_program_itself_that_finds_no_room_says_so(
    error: Exception, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Finder:
        def find_spec(self, name: str, *_: object) -> None:
            if name == "goalfsm.cli.app":
                raise error

    monkeypatch.setattr(sys, "meta_path", [Finder(), *sys.meta_path])
    monkeypatch.delitem(sys.modules, "goalfsm.cli.app", raising=False)
    done = cli("status")
    assert done.status == 1
    assert done.told_shortly
    assert "the system gives no more: " in done.err


def test_a_module_that_is_missing_is_a_fault(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "goalfsm.cli.app", None)
    with pytest.raises(ImportError):
        cli("status")


@pytest.mark.parametrize("most", [4_096, 65_536])
def test_a_limit_on_the_size_of_files_is_named(most: int, tmp_path: Path) -> None:
    """SQLite says that the disk is full, or that it failed, where a limit of the shell's is met."""
    words = ("set", "t", "do it", "--db", str(tmp_path / "small.db"), "--", "true")
    done = _limited(words, resource.RLIMIT_FSIZE, most)
    assert done.returncode == 1
    assert f"Hint: No file may be larger than {most:,} bytes here (ulimit -f)" in done.stderr


def test_output_beyond_such_a_limit_points_at_the_limits(tmp_path: Path) -> None:
    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (512, 512))

    with (tmp_path / "help.txt").open("wb") as output:
        done = subprocess.run(
            [sys.executable, "-m", "goalfsm.cli", "--help"],
            preexec_fn=limited,
            stdout=output,
            stderr=subprocess.PIPE,
            text=True,
            timeout=30,
            check=False,
            env={"PATH": os.defpath},
        )
    assert done.returncode == 1
    assert "Hint: look at the limits on memory, files and processes: ulimit -a" in done.stderr
