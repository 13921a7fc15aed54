from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from goalfsm.diagram import BUILTINS, named
from goalfsm.diagram.docs.files import MENDS, generated, main, pages

PROJECT = Path(__file__).parents[2]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Return a project with a document that has a stale block, and nothing generated yet."""
    (tmp_path / "diagrams").mkdir()
    (tmp_path / "docs").mkdir()
    block = "<!-- goalfsm:diagram recovery format=table -->\nold\n<!-- /goalfsm:diagram -->\n"
    (tmp_path / "docs" / "machines.md").write_text(block)
    (tmp_path / "README.md").write_text("nothing generated here\n")
    return tmp_path


def run(root: Path, *arguments: str) -> Result:
    return CliRunner().invoke(main, [*arguments, "--root", str(root)])


def test_everything_is_written_and_then_fresh(project: Path) -> None:
    written = run(project)
    assert written.exit_code == 0
    names = {path.name for path in (project / "diagrams").iterdir()}
    wide = {f"{name}-wide.svg" for name in ("goal", "recovery", "stale-work")}
    assert names == {"README.md", *wide, *(f"{n}.{e}" for n in BUILTINS for e in ("md", "svg"))}
    assert "| Trigger |" in (project / "docs" / "machines.md").read_text()
    assert "machines.md:1: written" in written.output
    checked = run(project, "--check")
    assert (checked.exit_code, checked.output) == (0, "")
    assert run(project).output == ""


def test_what_is_stale_is_named_with_the_command_that_mends_it(project: Path) -> None:
    run(project)
    (project / "diagrams" / "goal.svg").write_text("old")
    (project / "diagrams" / "run.md").unlink()
    (project / "diagrams" / "gone.svg").write_text("")
    document = project / "docs" / "machines.md"
    document.write_text(document.read_text().replace("| Trigger |", "| Trigre |"))
    checked = run(project, "--check")
    assert checked.exit_code == 1
    for said in (
        "goal.svg: is stale",
        "run.md: is stale",
        "gone.svg: belongs to no machine",
        "machines.md:1: the block of 'recovery' is stale",
        f"Run: {MENDS}",
    ):
        assert said in checked.output
    assert (project / "diagrams" / "goal.svg").read_text() == "old"
    assert "gone.svg: removed" in run(project).output
    assert run(project, "--check").exit_code == 0


def test_a_change_of_a_machine_makes_its_files_stale(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(project)
    monkeypatch.setitem(BUILTINS, "run", BUILTINS["run"]._replace(draw=lambda: named("recovery")))
    output = run(project, "--check").output
    assert "run.svg: is stale" in output
    assert "goal.svg" not in output


def test_the_wrong_folder_and_broken_blocks_are_refused(tmp_path: Path, project: Path) -> None:
    outside = tmp_path / "elsewhere"
    outside.mkdir()
    refused = run(outside)
    assert refused.exit_code == 1
    assert "name the project with --root" in refused.output
    (project / "README.md").write_text("<!-- goalfsm:diagram zzz -->\n<!-- /goalfsm:diagram -->")
    broken = run(project, "--check")
    assert broken.exit_code == 1
    assert "unknown machine 'zzz'" in broken.output
    assert "Hint: " in broken.output


def test_pages_show_the_picture_and_link_it(project: Path) -> None:
    files = {file.path.name: file.text for file in generated(project)}
    assert "stateDiagram-v2" in files["goal.md"]
    assert "(goal.svg)" in files["goal.md"]
    assert files["goal.svg"].startswith("<svg ")
    assert all(f"({name}.svg)" in files["README.md"] for name in BUILTINS)
    assert [path.name for path in pages(project)] == ["README.md", "machines.md"]


def test_this_project_s_own_files_are_fresh() -> None:
    """The pictures in the repository are those of the machines that run."""
    checked = run(PROJECT, "--check")
    assert checked.exit_code == 0, checked.output
