"""Diagrams from the command line: every kind and place, and blocks in files."""

from __future__ import annotations

import errno
import json
import os
import sys
from pathlib import Path

import pytest

from goalfsm.cli import exits
from tests.cli.terminal import Cli


@pytest.fixture(autouse=True)
def _goal(cli: Cli, _elsewhere: None) -> None:
    set_ = cli("set", "ship it", "--tokens", "20k", "--criterion", "it is out", "--", "true")
    assert set_.status == exits.OK, set_


def test_a_diagram_shows_where_the_thread_is(cli: Cli) -> None:
    cli("pause")
    text = cli("diagram", "goal", "--thread", json.loads(cli("status", "--json").out)["thread_id"])
    assert "active --> paused : pause" in text.out
    assert "pause \N{MULTIPLICATION SIGN}1" in text.out


@pytest.mark.parametrize(
    "name", ["goal", "recovery", "stale-work", "continuation", "run", "session"]
)
@pytest.mark.parametrize("format_", ["mermaid", "dot", "plantuml", "svg", "md", "json"])
def test_every_machine_is_drawn_in_every_format(cli: Cli, name: str, format_: str) -> None:
    result = cli("diagram", name, "--format", format_, "-o", "drawn.txt")
    assert result.status == exits.OK, result
    assert result.out == ""
    assert Path("drawn.txt").stat().st_size > 200


@pytest.mark.parametrize(
    ("name", "start"),
    [
        ("drawn.svg", "<svg "),
        ("drawn.SVG", "<svg "),
        ("drawn.gv", "digraph"),
        ("drawn.puml", "@startuml"),
        ("drawn.json", "{"),
        ("drawn.md", "## The goal machine"),
        ("drawn.mmd", "---\ntitle"),
        ("drawn", "---\ntitle"),
    ],
)
def test_a_drawing_is_of_the_kind_that_its_file_s_name_says(
    cli: Cli, name: str, start: str
) -> None:
    assert cli("diagram", "goal", "-o", name).status == exits.OK
    assert Path(name).read_text("utf-8").startswith(start)
    assert cli("diagram", "goal", "--format", "dot", "-o", name).status == exits.OK
    assert Path(name).read_text("utf-8").startswith("digraph")


def test_a_picture_of_a_kind_that_there_is_not_is_refused(cli: Cli) -> None:
    refused = cli("diagram", "goal", "-o", "drawn.gif")
    assert refused.status == exits.USAGE
    assert "end it in .svg" in refused.err
    assert not Path("drawn.gif").exists()
    assert cli("diagram", "goal", "--format", "mermaid", "-o", "drawn.gif").status == exits.OK


def test_a_png_is_written_to_a_file_and_into_a_pipe(cli: Cli) -> None:
    pytest.importorskip("resvg_py", reason="resvg-py is not installed")
    done = cli("diagram", "goal", "-o", "drawn.png")
    if "no font" in done.err:
        pytest.skip(done.err)
    assert done.status == exits.OK
    assert Path("drawn.png").read_bytes().startswith(b"\x89PNG")


def test_without_resvg_a_png_is_refused_with_what_brings_it(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "resvg_py", None)
    refused = cli("diagram", "goal", "-o", "drawn.png")
    assert refused.status == exits.USAGE
    assert "pip install 'goalfsm[png]'" in refused.err
    assert not Path("drawn.png").exists()


@pytest.mark.parametrize(
    "words", [("goal",), ("--format", "svg"), ("-o", "x.md"), ("--no-guards",), ("--title", "T")]
)
def test_what_a_block_says_itself_is_not_given_beside_its_file(
    cli: Cli, words: tuple[str, ...]
) -> None:
    page = Path("page.md")
    page.write_text("<!-- goalfsm:diagram goal -->\n<!-- /goalfsm:diagram -->\n")
    before = page.read_text()
    refused = cli("diagram", "--update", "page.md", *words)
    assert refused.status == exits.USAGE
    assert "out: each block of a file says what is in it" in refused.err
    assert page.read_text() == before


def test_a_missing_folder_is_named_with_what_makes_it(cli: Cli) -> None:
    refused = cli("diagram", "goal", "-o", "no/such folder/x.svg")
    assert refused.status == exits.USAGE
    assert "mkdir -p 'no/such folder'" in refused.err


@pytest.mark.parametrize(
    "words",
    [
        ("diagram", "goal", "-o", "absent/x"),
        ("diagram", "goal", "-o", "."),
        ("diagram", "goal", "-o", "file/x"),
        ("backup", "absent/x"),
        ("backup", "file/x"),
        ("set", "x", "--db", "file/x"),
    ],
)
def test_a_place_where_no_file_can_be_is_wrong_usage(cli: Cli, words: tuple[str, ...]) -> None:
    Path("file").touch()
    refused = cli(*words)
    assert refused.status == exits.USAGE
    assert refused.told_shortly, refused
    assert not Path("absent").exists()


@pytest.mark.parametrize("words", [("goal", "-o", "drawn"), ("--update", "page.md")])
def test_a_disk_that_fails_while_a_drawing_is_written_is_no_wrong_usage(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    def fail(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    Path("page.md").write_text("<!-- goalfsm:diagram goal -->\n<!-- /goalfsm:diagram -->\n")
    Path("drawn").write_text("an older one")
    before = {path: path.read_text() for path in Path().iterdir() if path.is_file()}
    monkeypatch.setattr("goalfsm.files.os.fsync", fail)
    failed = cli("diagram", *words)
    assert {path: path.read_text() for path in Path().iterdir() if path.is_file()} == before
    assert failed.status == exits.FAILED
    assert "No space left on device" in failed.err
    assert "df shows" in failed.err


def test_generated_blocks_are_checked_and_written_again(cli: Cli) -> None:
    page = Path("page.md")
    page.write_text("# Mine\n\n<!-- goalfsm:diagram goal -->\n<!-- /goalfsm:diagram -->\n")
    stale = cli("diagram", "--check", "page.md")
    assert stale.status == exits.FAILED
    assert "goalfsm diagram --update page.md" in stale.err
    assert cli("diagram", "--update", "page.md").status == exits.OK
    assert "stateDiagram-v2" in page.read_text()
    assert cli("diagram", "--check", "page.md").status == exits.OK


def test_a_file_without_a_generated_block_is_told_and_is_no_error(cli: Cli) -> None:
    """A hook gives every Markdown file that changed; a wrong marker must be seen all the same."""
    Path("plain.md").write_text("# Nothing generated\n")
    Path("other.md").write_text("<!-- goalfsm diagram goal -->\n")
    for word in ("--check", "--update"):
        one = cli("diagram", word, "plain.md")
        assert one.status == exits.OK
        assert "plain.md has no generated block" in one.err
        assert "none of the 2 files has a generated block" in cli("diagram", word, "*.md").err


def test_many_files_are_checked_and_written_at_once(cli: Cli) -> None:
    """As words, as patterns that no shell has spelled out, and each once."""
    Path("docs/deep").mkdir(parents=True)
    block = "<!-- goalfsm:diagram goal -->\n<!-- /goalfsm:diagram -->\n"
    for name in ("docs/a b.md", "docs/deep/b.md", "c.md"):
        Path(name).write_text(block)
    Path("docs/plain.md").write_text("# Plain\n")
    stale = cli("diagram", "--check", "c.md", "docs/**/*.md", "docs/a b.md")
    assert stale.status == exits.FAILED
    assert stale.err.count("is stale") == 3
    assert "goalfsm diagram --update c.md 'docs/a b.md' docs/deep/b.md" in stale.err
    assert Path("c.md").read_text() == block
    written = cli("diagram", "--update", "c.md", "docs/**/*.md")
    assert written.status == exits.OK
    assert written.out.count("wrote 'goal' again") == 3
    assert cli("diagram", "--check", "--check", "c.md", "docs/**/*.md").status == exits.OK


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--check",), "no file was named"),
        (("--check", "absent.md"), "there is no absent.md"),
        (("--update", "*.none"), "no file matches *.none"),
        (("--check", "."), ". is a folder"),
        (("--check", "--update", "page.md"), "either checked or written"),
        (("goal", "run"), "one machine is drawn at a time, not 2"),
    ],
)
def test_files_that_cannot_be_looked_at_are_refused(
    cli: Cli, words: tuple[str, ...], said: str
) -> None:
    refused = cli("diagram", *words)
    assert refused.status == exits.USAGE
    assert said in refused.err
    assert refused.told_shortly, refused


def test_a_file_is_replaced_whole_and_keeps_its_rights(cli: Cli) -> None:
    """A link leads to the new drawing too; what is no file is written to."""
    target = Path("real.svg")
    target.write_text("old")
    target.chmod(0o640)
    Path("link.svg").symlink_to(target)
    with target.open() as reader:
        assert cli("diagram", "goal", "-o", "link.svg").status == exits.OK
        assert reader.read() == "old"
    assert target.read_text().startswith("<svg ")
    assert target.stat().st_mode & 0o777 == 0o640
    assert Path("link.svg").is_symlink()
    assert cli("diagram", "goal", "-o", os.devnull).status == exits.OK


def test_a_link_to_itself_is_refused(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("loop.svg").symlink_to("loop.svg")
    done = cli("diagram", "goal", "-o", "loop.svg")
    assert done.status == exits.USAGE
    assert done.told_shortly
    assert "cannot write loop.svg: Too many levels of symbolic links" in done.err
    assert Path("loop.svg").is_symlink()
