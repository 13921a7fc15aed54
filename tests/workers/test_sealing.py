"""A verifier is sealed by what it is made of."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from goalfsm.errors import GoalError
from goalfsm.workers import sealing
from goalfsm.workers.sealing import changed, seal


def program(path: Path, text: str = "#!/bin/sh\nexit 0\n") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


def roles(argv: list[str], cwd: Path, **given: Any) -> dict[str, str]:
    return {
        str(Path(each.path).relative_to(cwd)): each.role
        for each in seal(argv, str(cwd), **given)
        if Path(each.path).is_relative_to(cwd)
    }


def test_the_program_and_files_among_its_arguments_are_sealed(tmp_path: Path) -> None:
    program(tmp_path / "bin" / "check")
    (tmp_path / "rules.txt").write_text("a")
    (tmp_path / "more.txt").write_text("a")
    argv = ["check", "rules.txt", "--with=more.txt", "missing.txt", "bin", "a\0b"]
    found = roles(argv, tmp_path, path=str(tmp_path / "bin"))
    assert found == {"bin/check": "program", "rules.txt": "argument", "more.txt": "argument"}
    found = roles(argv, tmp_path, path=str(tmp_path / "bin"), unsealed=["./rules.txt"])
    assert set(found) == {"bin/check", "more.txt"}
    assert roles(["./bin/check"], tmp_path, unsealed=["bin"]) == {}


def test_what_is_as_it_was_is_not_changed(tmp_path: Path) -> None:
    check = program(tmp_path / "check.sh")
    argv = ["./check.sh", "result.txt"]
    sealed = seal(argv, str(tmp_path))
    # What the goal makes is no part of the verifier.
    (tmp_path / "result.txt").write_text("ok")
    assert changed(sealed, argv, str(tmp_path)) == ()
    check.write_text("#!/bin/sh\nexit 0 # always\n")
    assert changed(sealed, argv, str(tmp_path)) == (str(check),)
    check.unlink()
    assert changed(sealed, argv, str(tmp_path)) == (str(check),)


def test_a_program_that_comes_before_the_sealed_one_is_a_change(tmp_path: Path) -> None:
    program(tmp_path / "b" / "check")
    path = f"{tmp_path}/a:{tmp_path}/b"
    sealed = seal(["check"], str(tmp_path), path=path)
    assert changed(sealed, ["check"], str(tmp_path), path=path) == ()
    program(tmp_path / "a" / "check")
    assert changed(sealed, ["check"], str(tmp_path), path=path) == (str(tmp_path / "b" / "check"),)


@pytest.mark.parametrize(
    ("arguments", "makefile"),
    [
        (["test"], "Makefile"),
        (["-C", "sub", "test"], "sub/makefile"),
        (["-Csub"], "sub/makefile"),
        (["--directory=sub"], "sub/makefile"),
        (["-f", "other.mk"], "other.mk"),
        (["--file=other.mk"], "other.mk"),
        (["--makefile", "other.mk"], "other.mk"),
        (["-f"], None),
        (["-C", "nowhere"], None),
    ],
)
def test_the_makefile_that_make_would_read_is_sealed(
    tmp_path: Path, arguments: list[str], makefile: str | None
) -> None:
    (tmp_path / "sub").mkdir()
    for name in ("Makefile", "sub/makefile", "other.mk"):
        (tmp_path / name).write_text("test:\n")
    found = roles(["make", *arguments], tmp_path)
    assert set(found) == ({makefile} if makefile else set())


def test_a_makefile_that_comes_before_the_sealed_one_is_a_change(tmp_path: Path) -> None:
    argv = ["make", "test"]
    assert [each.role for each in seal(argv, str(tmp_path))] in ([], ["program"])
    (tmp_path / "Makefile").write_text("test:\n")
    sealed = [each for each in seal(argv, str(tmp_path)) if each.role == "makefile"]
    assert changed(sealed, argv, str(tmp_path)) == ()
    (tmp_path / "GNUmakefile").write_text("test: ; true\n")
    assert changed(sealed, argv, str(tmp_path)) == (str(tmp_path / "Makefile"),)


def test_a_directory_that_is_named_is_sealed_with_all_its_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tests" / "deep").mkdir(parents=True)
    (tmp_path / "tests" / "deep" / "a.py").write_text("assert x")
    (tmp_path / "tests" / "link").symlink_to("/dev/null")
    given: dict[str, Any] = {"named": ["tests"], "path": ""}
    sealed = seal(["pytest"], str(tmp_path), **given)
    assert [(each.role, each.path) for each in sealed] == [("named", str(tmp_path / "tests"))]
    assert changed(sealed, ["pytest"], str(tmp_path), path="") == ()
    (tmp_path / "tests" / "conftest.py").write_text("")
    assert changed(sealed, ["pytest"], str(tmp_path), path="") == (str(tmp_path / "tests"),)
    monkeypatch.setattr(sealing, "MAX_FILES", 1)
    with pytest.raises(GoalError, match="more than 1 files"):
        seal(["pytest"], str(tmp_path), **given)
    # What has been filled up since is not as it was: the verifier proves nothing, and goes on.
    assert changed(sealed, ["pytest"], str(tmp_path), path="") == (str(tmp_path / "tests"),)


def copied(place: Path) -> None:
    """Move what is at a place, and lead there by a link: what is beside it may be anything now."""
    elsewhere = place.parent / "elsewhere"
    elsewhere.mkdir()
    place.rename(elsewhere / place.name)
    place.symlink_to(elsewhere / place.name)


@pytest.mark.parametrize("swapped", ["tests/check.py", "tests", "."])
def test_a_copy_that_a_link_leads_to_is_a_change(tmp_path: Path, swapped: str) -> None:
    """A script finds its modules beside the file that it is, wherever a link has led."""
    here = tmp_path / "here"
    program(here / "tests" / "check.py")
    argv = ["python3", "tests/check.py"]
    given: dict[str, Any] = {"path": ""}
    alone, whole = seal(argv, str(here), **given), seal(argv, str(here), named=["tests"], **given)
    assert (
        changed(alone, argv, str(here), **given) == changed(whole, argv, str(here), **given) == ()
    )
    copied(here / swapped)
    check, tests = str(here / "tests" / "check.py"), str(here / "tests")
    assert changed(alone, argv, str(here), **given) == (check,)
    assert changed(whole, argv, str(here), **given) == (tests, check)


def test_a_seal_of_which_nobody_knows_where_it_led_goes_by_what_it_holds(tmp_path: Path) -> None:
    check = program(tmp_path / "check.sh")
    sealed = tuple(replace(each, leads_to=None) for each in seal(["./check.sh"], str(tmp_path)))
    copied(check)
    assert changed(sealed, ["./check.sh"], str(tmp_path)) == ()


def test_what_lies_above_is_looked_at_as_the_system_finds_it(tmp_path: Path) -> None:
    """The directory above is that of where a link leads, not that of the link."""
    app = tmp_path / "app"
    app.mkdir()
    program(tmp_path / "check.sh")
    argv = ["../check.sh"]
    sealed = seal(argv, str(app))
    assert changed(sealed, argv, str(app)) == ()
    copied(app)
    program(tmp_path / "elsewhere" / "check.sh", "#!/bin/sh\nexit 0 # always\n")
    assert changed(sealed, argv, str(app)) == (f"{app}/../check.sh",)
    assert not seal(argv, str(tmp_path / "elsewhere"), unsealed=[".."])


def test_a_link_in_a_directory_that_is_named_leads_where_it_led(tmp_path: Path) -> None:
    for name in ("tests", "data", "other"):
        (tmp_path / name).mkdir()
    link = tmp_path / "tests" / "data"
    link.symlink_to(tmp_path / "data")
    given: dict[str, Any] = {"path": ""}
    sealed = seal(["pytest"], str(tmp_path), named=["tests"], **given)
    (tmp_path / "data" / "more.txt").write_text("what it leads to is not sealed with it")
    assert changed(sealed, ["pytest"], str(tmp_path), **given) == ()
    link.unlink()
    link.symlink_to(tmp_path / "other")
    assert changed(sealed, ["pytest"], str(tmp_path), **given) == (str(tmp_path / "tests"),)


@pytest.mark.parametrize("becomes", ["large", "fifo", "device", "folders"])
def test_what_became_endless_is_a_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, becomes: str
) -> None:
    """A worker that makes a check without an end holds nobody up."""
    check, named = program(tmp_path / "check.sh"), tmp_path / "tests"
    named.mkdir()
    sealed = seal(["./check.sh"], str(tmp_path), named=["tests"])
    monkeypatch.setattr(sealing, "MAX_BYTES", 1 << 20)
    monkeypatch.setattr(sealing, "MAX_FILES", 3)
    if becomes == "folders":
        for number in range(4):
            (named / str(number)).mkdir()
    else:
        check.unlink()
    if becomes == "large":
        check.touch(0o755)
        os.truncate(check, 1 << 40)
    elif becomes == "fifo":
        os.mkfifo(check)
        # It is a file when it is looked at, and none when it is opened.
        monkeypatch.setattr(sealing, "_is_regular", lambda _: True)
    elif becomes == "device":
        check.symlink_to("/dev/zero")
    changes = str(named if becomes == "folders" else check)
    assert changes in changed(sealed, ["./check.sh"], str(tmp_path))


def test_what_is_not_sealed_may_be_as_large_as_it_likes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(tmp_path / "check.sh")
    (tmp_path / "data").write_bytes(b"12345" * 99)
    monkeypatch.setattr(sealing, "MAX_BYTES", 400)
    with pytest.raises(GoalError, match="more than 400 bytes") as caught:
        seal(["./check.sh", "data"], str(tmp_path))
    assert "--unsealed" in caught.value.hint
    assert len(seal(["./check.sh", "data"], str(tmp_path), unsealed=["data"])) == 1


def test_what_is_named_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(GoalError) as caught:
        seal(["true"], str(tmp_path), named=["missing"])
    assert caught.value.code == "seal_unreadable"
    assert caught.value.hint


def test_what_cannot_be_read_is_not_sealed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tmp_path / "check.sh")

    def refuse(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(sealing, "open_regular", refuse)
    assert seal(["./check.sh"], str(tmp_path)) == ()
