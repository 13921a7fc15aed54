"""The release check's steps do what they record, and its verifier believes none of the records."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from goalfsm.examples import release, release_steps, release_verify
from goalfsm.examples.release_steps import STEPS, Step, StepError, Workspace
from tests.packaging.conftest import ROOT


@pytest.fixture
def space(dist: Path, installed: Path, tmp_path: Path) -> Workspace:
    """Return a workspace where everything is built, installed, checked and listed."""
    work = tmp_path / "release"
    work.mkdir()
    made = Workspace(ROOT, work)
    shutil.copytree(dist, made.dist)
    made.venv.symlink_to(installed.parent)
    made.finish("build", {})
    made.finish("install", {})
    made.finish("check", release_steps.check(made))
    made.finish("manifest", release_steps.manifest(made))
    return made


def test_what_is_whole_has_no_gaps(space: Workspace) -> None:
    assert list(release_verify.gaps_in(space)) == []


def test_the_check_finds_the_commands_of_the_documents(space: Workspace) -> None:
    checked = space.record("check")
    assert checked is not None
    assert {"run", "status", "app-server", "explain-error", "tool update_goal"} <= set(
        checked["commands"]
    )


def forget(space: Workspace) -> None:
    space.record_of("install").unlink()


def lengthen(space: Workspace) -> None:
    with release_steps.one("*.whl", space.dist).open("ab") as wheel:
        wheel.write(b"more")


def swap(space: Workspace) -> None:
    sdist = release_steps.one("*.tar.gz", space.dist)
    data = bytearray(sdist.read_bytes())
    data[len(data) // 2] ^= 1
    sdist.write_bytes(bytes(data))


def spoil(space: Workspace) -> None:
    """Leave the archive's header, and make the rest nothing that could be unpacked."""
    sdist = release_steps.one("*.tar.gz", space.dist)
    data = sdist.read_bytes()
    sdist.write_bytes(data[:20] + b"\xff" * (len(data) - 20))


def cut(space: Workspace) -> None:
    sdist = release_steps.one("*.tar.gz", space.dist)
    sdist.write_bytes(sdist.read_bytes()[:-100])


def add(space: Workspace) -> None:
    (space.dist / "stray.txt").touch()


def lie(space: Workspace) -> None:
    listed = json.loads(space.manifest.read_text())
    space.manifest.write_text(json.dumps(listed | {"version": "99"}))


@pytest.mark.parametrize("harm", [forget, lengthen, swap, spoil, cut, add, lie])
def test_the_verifier_notices(
    space: Workspace,
    harm: Callable[[Workspace], None],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    harm(space)
    words = ["release_verify", "--source", str(space.source), "--work", str(space.work)]
    monkeypatch.setattr("sys.argv", words)
    assert release_verify.main() == 1
    assert "the wheel runs" not in capsys.readouterr().out


def test_a_wheel_that_holds_more_is_refused(space: Workspace) -> None:
    import zipfile  # noqa: PLC0415  only here

    with zipfile.ZipFile(release_steps.one("*.whl", space.dist), "a") as wheel:
        wheel.writestr("tests/stray.py", "")
    with pytest.raises(StepError, match=r"tests/stray\.py"):
        release_steps.check(space)


def test_documents_without_commands_are_refused(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("goalfsm run is not in a block\n")
    with pytest.raises(StepError, match="no command"):
        release_steps.documented_commands(tmp_path)


def test_a_command_that_fails_says_why() -> None:
    with pytest.raises(StepError, match="exited with 3: it broke"):
        release_steps.command("sh", "-c", "echo it broke >&2; exit 3")


def test_a_step_does_not_learn_of_the_goal_around_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOALFSM_RUN_TOKEN", "secret")
    assert "GOALFSM" not in release_steps.command("env")


@pytest.fixture
def turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[[], list[dict[str, object]]]:
    """Run a turn of the worker with two quick steps, and return the lines that it reported."""

    def build(space: Workspace) -> dict[str, object]:
        (space.work / "built").touch()
        return {}

    def install(space: Workspace) -> dict[str, object]:
        if not (space.work / "key").exists():
            raise StepError("there is no key")
        return {}

    steps = (Step("build", "it is built", build), Step("install", "it is installed", install))
    monkeypatch.setattr(release, "STEPS", steps)

    def run() -> list[dict[str, object]]:
        monkeypatch.setattr("sys.stdin", io.StringIO("the prompt"))
        monkeypatch.setattr(
            "sys.argv", ["release", "--source", str(ROOT), "--work", str(tmp_path / "work")]
        )
        capsys.readouterr()
        assert release.main() == 0
        return [json.loads(row) for row in capsys.readouterr().out.splitlines()]

    return run


def test_each_turn_does_the_next_step_and_none_twice(
    turn: Callable[[], list[dict[str, object]]], tmp_path: Path
) -> None:
    space = Workspace(ROOT, tmp_path / "work")
    assert turn()[0] == {"type": "tool_end", "name": "build", "ok": True}
    assert turn()[0] == {"type": "tool_end", "name": "install", "ok": False}
    (space.work / "key").touch()
    assert turn()[0] == {"type": "tool_end", "name": "install", "ok": True}
    told = [(note["event"], note["step"]) for note in space.notes()]
    assert told == [
        ("started", "build"),
        ("finished", "build"),
        ("started", "install"),
        ("failed", "install"),
        ("started", "install"),
        ("finished", "install"),
    ]


def test_a_line_that_a_kill_cut_off_is_left_out(tmp_path: Path) -> None:
    space = Workspace(ROOT, tmp_path)
    space.note(event="started", step="build")
    with space.trail.open("a") as trail:
        trail.write('{"event": "fin')
    assert [note["event"] for note in space.notes()] == ["started"]


def test_the_criteria_are_those_of_the_steps() -> None:
    assert [step.name for step in STEPS] == ["build", "install", "check", "manifest"]
    assert all(step.criterion for step in STEPS)
